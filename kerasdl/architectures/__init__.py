"""Every network of the course, as functions that return a `keras.Model`."""

from kerasdl.architectures.cifar_resnets import plain_cifar, resnet_cifar
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
from kerasdl.architectures.resnext import (
    resnet101_wide,
    resnext50_32x4d,
    resnext101_2x64d,
    resnext101_32x4d,
    resnext101_64x4d,
    resnext_cifar,
)
from kerasdl.architectures.wide_residual import wide_resnet

__all__ = [
    "lenet5",
    "lenet5_modern",
    "plain18",
    "plain34",
    "plain_cifar",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet101_wide",
    "resnet152",
    "resnet200",
    "resnet_cifar",
    "resnext50_32x4d",
    "resnext101_2x64d",
    "resnext101_32x4d",
    "resnext101_64x4d",
    "resnext_cifar",
    "wide_resnet",
]
