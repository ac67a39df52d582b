"""Every network of the course, as functions that return a `keras.Model`."""

from kerasdl.architectures.lenet import lenet5, lenet5_modern
from kerasdl.architectures.resnet import (
    plain18,
    plain34,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnet200,
)

__all__ = [
    "lenet5",
    "lenet5_modern",
    "plain18",
    "plain34",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnet200",
]
