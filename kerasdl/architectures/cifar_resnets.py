"""Residual networks for the small images of CIFAR-10, and the plain networks that they were compared with."""

import sys
from collections.abc import Sequence
from functools import partial
from numbers import Integral
from typing import Any

import keras

from kerasdl.architectures.checks import check_choice, check_classes, check_image_shape
from kerasdl.architectures.parts import Conv, classify, convolve_norm
from kerasdl.architectures.resnet import Block, basic_block, projection, stack_stages
from kerasdl.layers import ZeroPaddedShortcut

# He et al. 2015, section 4.2: maps of 32x32, 16x16 and 8x8, with this many filters.
FILTERS = (16, 32, 64)
# How many frames of Python's stack Keras and its caller may need besides those for the layers.
_SPARE_FRAMES = 200


def check_depth(depth: Any, each: int, others: int, layers: int, examples: str) -> int:
    """Refuses a depth that three equal stages cannot have, or that Keras cannot build; gives the blocks per stage.

    Args:
        depth: How many convolutions and dense layers there shall be, `each * n + others`.
        each: How many a block in each of the three stages makes together.
        others: How many are outside the blocks.
        layers: How many Keras layers one block chains.
        examples: Some depths that exist.
    """
    if (
        isinstance(depth, bool)
        or not isinstance(depth, Integral)
        or int(depth) <= others
        or (int(depth) - others) % each
    ):
        raise ValueError(
            f"`depth` must be {each}n + {others} with n at least 1, such as {examples}. Received: depth={depth!r}."
        )
    blocks = (int(depth) - others) // each
    most = (sys.getrecursionlimit() - _SPARE_FRAMES) // (3 * layers)
    if blocks > most:
        raise ValueError(
            f"`depth` must be at most {each * most + others} here: Keras walks a graph by recursion, one call in "
            f"another for every layer, and Python allows {sys.getrecursionlimit()} of them; this network would chain "
            f"about {3 * layers * blocks} layers. Received: depth={depth}."
        )
    return blocks


def zero_padding(x: keras.KerasTensor, filters: int, strides: int, *, name: str, conv: Conv) -> keras.KerasTensor:
    """Option A: the identity where the shape stays, every second pixel and empty maps where it changes.

    Args:
        x: The block's input.
        filters: How many maps the block gives.
        strides: The block's step.
        name: The layer's name.
        conv: Not used: this shortcut has nothing to learn.
    """
    if strides == 1 and x.shape[-1] == filters:
        return x
    return ZeroPaddedShortcut(filters, strides, name=name)(x)


SHORTCUTS = {"A": zero_padding, "B": projection}


def cifar_network(
    input_shape: tuple[int, int, int],
    classes: int,
    name: str,
    *,
    stem: int,
    stages: Sequence[tuple[int, int]],
    block: Block,
) -> keras.Model:
    """The frame for small images: 3x3 convolution, three stages of blocks, global average, one dense layer.

    Args:
        input_shape: Height, width and channels of the images.
        classes: Number of classes.
        name: The model's name.
        stem: Filters of the first convolution.
        stages: (filters, blocks) of each stage.
        block: Makes a block from `(x, filters, strides, name=, out=)`.
    """
    input_shape, classes = check_image_shape(input_shape, smallest=4), check_classes(classes)
    inputs = keras.Input(input_shape, name="images")
    x = convolve_norm(inputs, stem, 3, name="stage1_conv1")
    x = stack_stages(x, stages, block, first=1)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(inputs, classify(x, classes), name=name)


def resnet_cifar(
    depth: int = 20,
    shortcut: str = "A",
    *,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    name: str = "resnet_cifar",
) -> keras.Model:
    """The residual network for CIFAR-10: 269,722 parameters at depth 20, 1,727,962 at depth 110.

    464,154 at 32, 658,586 at 44, 853,018 at 56. Depth 1202 is in the paper too, but Keras cannot hold a graph of that
    many layers.

    Args:
        depth: Convolutions and dense layers: 6n + 2, for n blocks in each of three stages.
        shortcut: What happens where maps get smaller and more: "A" adds empty maps, as the paper does here, "B" is a
            1x1 convolution, with 2,752 more parameters.
        input_shape: Height, width and channels; at least 4x4.
        classes: Number of classes.
        name: The model's name.

    Example:
        >>> resnet_cifar(8, input_shape=(16, 16, 1)).get_layer("stage3_out").output.shape
        (None, 4, 4, 64)

    Reference:
        [He et al., 2015](https://arxiv.org/abs/1512.03385), section 4.2
    """
    blocks = check_depth(depth, 6, 2, layers=7, examples="20, 32, 44, 56 or 110")
    block = partial(basic_block, shortcut=SHORTCUTS[check_choice("shortcut", shortcut, SHORTCUTS)])
    stages = [(filters, blocks) for filters in FILTERS]
    return cifar_network(input_shape, classes, name, stem=FILTERS[0], stages=stages, block=block)


def plain_cifar(
    depth: int = 20,
    *,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    name: str = "plain_cifar",
) -> keras.Model:
    """`resnet_cifar` without its shortcuts, and with as many parameters: option A has none. Arguments as there.

    At depth 56 it ends with a higher training error than at depth 20, which is what residual learning mends.

    Reference:
        [He et al., 2015](https://arxiv.org/abs/1512.03385), Figure 1
    """
    blocks = check_depth(depth, 6, 2, layers=6, examples="20, 32, 44, 56 or 110")
    block = partial(basic_block, shortcut=None)
    stages = [(filters, blocks) for filters in FILTERS]
    return cifar_network(input_shape, classes, name, stem=FILTERS[0], stages=stages, block=block)
