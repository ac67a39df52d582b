"""The few steps that most networks share: padding as the papers' frameworks do it, convolution with norm, the head."""

from collections.abc import Callable
from typing import Any

import keras

from kerasdl.layers import FastConv2D, FusedBatchNormalization

Conv = Callable[..., keras.layers.Layer]


def convolve(
    x: keras.KerasTensor, filters: int, kernel_size: int, strides: int = 1, *, name: str, conv: Conv, **options: Any
) -> keras.KerasTensor:
    """A convolution that keeps the size, or divides it by `strides`, with the same padding on all sides.

    Keras' own "same" pads a strided convolution at the bottom and the right only, which moves everything by half a
    pixel; Caffe and Torch, in which the papers' networks were trained, pad all sides.

    Args:
        x: The images or maps.
        filters: How many maps come out.
        kernel_size: Side of the kernel.
        strides: Step in both directions.
        name: The convolution's name.
        conv: `keras.layers.Conv2D` or a layer with the same arguments in its place.
        **options: More arguments of `conv`.
    """
    padding = "same"
    if strides > 1 and kernel_size > 1:
        x = keras.layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
        padding = "valid"
    return conv(filters, kernel_size, strides=strides, padding=padding, name=name, **options)(x)


def convolve_norm(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    strides: int = 1,
    *,
    name: str,
    conv: Conv = FastConv2D,
    relu: bool | str = True,
    **options: Any,
) -> keras.KerasTensor:
    """Convolution without bias, batch normalisation, and a rectifier.

    Args:
        x: The images or maps.
        filters: How many maps come out.
        kernel_size: Side of the kernel.
        strides: Step in both directions.
        name: The convolution's name; the others append `_norm` and `_relu` to it.
        conv: `keras.layers.Conv2D` or a layer with the same arguments in its place.
        relu: Whether to end in a rectifier, or the name it shall have.
        **options: More arguments of `conv`.
    """
    options = {"use_bias": False, "kernel_initializer": "he_normal", **options}
    x = convolve(x, filters, kernel_size, strides, name=name, conv=conv, **options)
    x = normalize(x, name=f"{name}_norm")
    return keras.layers.ReLU(name=relu if isinstance(relu, str) else f"{name}_relu")(x) if relu else x


def normalize(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    """Batch normalisation with the constants of the papers' frameworks: Keras' 0.99 forgets too slowly for them.

    Args:
        x: The maps.
        name: The layer's name.
    """
    return FusedBatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


def classify(x: keras.KerasTensor, classes: int, **options: Any) -> keras.KerasTensor:
    """The head: the linear layer `logits`, then the softmax `predictions`, in float32 under any policy.

    Args:
        x: One vector per image.
        classes: Number of classes.
        **options: More arguments of the dense layer.
    """
    x = keras.layers.Dense(classes, name="logits", dtype="float32", **options)(x)
    return keras.layers.Activation("softmax", name="predictions", dtype="float32")(x)
