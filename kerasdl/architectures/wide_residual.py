"""Wide residual networks: few layers with many filters, in blocks that normalise first."""

from functools import partial
from typing import Any

import keras

from kerasdl.architectures.checks import check_classes, check_dropout, check_image_shape
from kerasdl.architectures.cifar_resnets import FILTERS, check_depth
from kerasdl.architectures.parts import Conv, classify, convolve, normalize
from kerasdl.architectures.resnet import stack_stages
from kerasdl.layers import FastConv2D
from kerasdl.layers.checks import check_positive


def preactivated_block(
    x: keras.KerasTensor,
    filters: int,
    strides: int,
    *,
    name: str,
    out: str,
    conv: Conv = FastConv2D,
    dropout: float = 0.0,
) -> keras.KerasTensor:
    """Normalisation and rectifier in front of each of two 3x3 convolutions, and the block's input added (Figure 1).

    Nothing stands on the way from block to block, so the sum runs through the whole stage. Only where the shape
    changes, a 1x1 convolution takes the normalised maps to the new shape.

    Args:
        x: The maps.
        filters: How many maps come out.
        strides: Step of the first convolution.
        name: Begins the names of all layers but the last.
        out: Name of the last layer.
        conv: `keras.layers.Conv2D` or a layer with the same arguments in its place.
        dropout: Share of the values between the two convolutions that training leaves out.
    """
    options: dict[str, Any] = {"use_bias": False, "kernel_initializer": "he_normal", "conv": conv}
    active = keras.layers.ReLU(name=f"{name}_relu1")(normalize(x, name=f"{name}_norm1"))
    residual = convolve(active, filters, 3, strides, name=f"{name}_conv1", **options)
    residual = keras.layers.ReLU(name=f"{name}_relu2")(normalize(residual, name=f"{name}_norm2"))
    if dropout:
        residual = keras.layers.Dropout(dropout, name=f"{name}_dropout")(residual)
    residual = convolve(residual, filters, 3, name=f"{name}_conv2", **options)
    if strides > 1 or x.shape[-1] != filters:
        x = convolve(active, filters, 1, strides, name=f"{name}_shortcut", **options)
    return keras.layers.Add(name=out)([x, residual])


def wide_resnet(
    depth: int = 28,
    width: int = 10,
    dropout: float = 0.0,
    *,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    name: str = "wide_resnet",
) -> keras.Model:
    """The wide residual network WRN-depth-width: 36,479,194 parameters for 28-10, 8,949,210 for 40-4.

    As accurate as thin networks of a thousand layers and several times as fast, since wide convolutions keep a
    processor busy that has to wait between thin ones.

    Args:
        depth: Convolutions: 6n + 4, for n blocks in each of three stages and a shortcut in each.
        width: How many times as many filters as `resnet_cifar` has.
        dropout: Share of the values between a block's convolutions that training leaves out; the paper takes 0.3.
        input_shape: Height, width and channels; at least 4x4.
        classes: Number of classes.
        name: The model's name.

    Example:
        >>> wide_resnet(10, 2).get_layer("stage4_out").output.shape
        (None, 8, 8, 128)

    Reference:
        [Zagoruyko and Komodakis, 2016](https://arxiv.org/abs/1605.07146), Table 1
    """
    blocks = check_depth(depth, 6, 4, layers=8, examples="16, 22, 28 or 40")
    width, dropout = check_positive("width", width), check_dropout(dropout)
    input_shape, classes = check_image_shape(input_shape, smallest=4), check_classes(classes)
    inputs = keras.Input(input_shape, name="images")
    options: dict[str, Any] = {"use_bias": False, "kernel_initializer": "he_normal"}
    x = convolve(inputs, FILTERS[0], 3, name="stage1_out", conv=FastConv2D, **options)
    stages = [(filters * width, blocks) for filters in FILTERS]
    x = stack_stages(x, stages, partial(preactivated_block, dropout=dropout), first=2)
    # The sum has not been normalised since the stage began.
    x = keras.layers.ReLU(name="final_relu")(normalize(x, name="final_norm"))
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(inputs, classify(x, classes), name=name)
