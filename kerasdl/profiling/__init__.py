"""What a network costs: parameters, multiply-adds, memory and time, of any `keras.Model`."""

from kerasdl.profiling.comparing import Comparison, compare
from kerasdl.profiling.measuring import profile
from kerasdl.profiling.profiles import Latency, LayerProfile, Profile

__all__ = ["Comparison", "Latency", "LayerProfile", "Profile", "compare", "profile"]
