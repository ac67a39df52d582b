"""The packed engine: binary networks as words of 64 bits, small and fast on an ordinary processor.

`pack` makes a `PackedModel` of a Keras model, its `save` writes a file, and `load` reads that. Importing this does not
import numba: the first `predict` does, and compiles the kernels, which are then kept on disk.
"""

from kerasdl.xnor.packed_model import PackedModel, load
from kerasdl.xnor.packing import pack

__all__ = ["PackedModel", "load", "pack"]
