"""Every network of the course, as functions that return a `keras.Model`."""

from kerasdl.architectures.lenet import lenet5, lenet5_modern

__all__ = ["lenet5", "lenet5_modern"]
