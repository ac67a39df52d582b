"""Residual networks for ImageNet, and the plain networks that they were compared with."""

from collections.abc import Callable, Sequence
from functools import partial

import keras

from kerasdl.architectures.checks import check_classes, check_image_shape
from kerasdl.architectures.parts import Conv, classify, convolve_norm
from kerasdl.layers import FastConv2D

# He et al. 2015, Table 1: (filters, blocks) of conv2_x to conv5_x. ResNet-200 is He et al. 2016, Identity Mappings.
STAGES = {
    18: ((64, 2), (128, 2), (256, 2), (512, 2)),
    34: ((64, 3), (128, 4), (256, 6), (512, 3)),
    50: ((64, 3), (128, 4), (256, 6), (512, 3)),
    101: ((64, 3), (128, 4), (256, 23), (512, 3)),
    152: ((64, 3), (128, 8), (256, 36), (512, 3)),
    200: ((64, 3), (128, 24), (256, 36), (512, 3)),
}
Block = Callable[..., keras.KerasTensor]


def basic_block(
    x: keras.KerasTensor,
    filters: int,
    strides: int,
    *,
    name: str,
    out: str,
    conv: Conv = FastConv2D,
    shortcut: Callable[..., keras.KerasTensor] | None,
) -> keras.KerasTensor:
    """Two 3x3 convolutions, and the block's input added to what they give (Figure 5, left).

    Args:
        x: The maps.
        filters: How many maps come out.
        strides: Step of the first convolution.
        name: Begins the names of all layers but the last.
        out: Name of the last layer.
        conv: `keras.layers.Conv2D` or a layer with the same arguments in its place.
        shortcut: Brings the input to the output's shape, as `projection` does; None for a plain block.
    """
    residual = convolve_norm(x, filters, 3, strides, name=f"{name}_conv1", conv=conv)
    if shortcut is None:
        return convolve_norm(residual, filters, 3, name=f"{name}_conv2", conv=conv, relu=out)
    residual = convolve_norm(residual, filters, 3, name=f"{name}_conv2", conv=conv, relu=False)
    x = shortcut(x, filters, strides, name=f"{name}_shortcut", conv=conv)
    return keras.layers.ReLU(name=out)(keras.layers.Add(name=f"{name}_add")([x, residual]))


def bottleneck(
    x: keras.KerasTensor,
    filters: int,
    strides: int,
    *,
    name: str,
    out: str,
    conv: Conv = FastConv2D,
) -> keras.KerasTensor:
    """1x1 down to `filters`, 3x3, 1x1 up to four times as many, and the block's input added (Figure 5, right).

    The first convolution has the step, as in the paper; later implementations moved it to the second.

    Args:
        x: The maps.
        filters: How many maps the 3x3 convolution sees.
        strides: Step of the first convolution.
        name: Begins the names of all layers but the last.
        out: Name of the last layer.
        conv: `keras.layers.Conv2D` or a layer with the same arguments in its place.
    """
    residual = convolve_norm(x, filters, 1, strides, name=f"{name}_conv1", conv=conv)
    residual = convolve_norm(residual, filters, 3, name=f"{name}_conv2", conv=conv)
    residual = convolve_norm(residual, 4 * filters, 1, name=f"{name}_conv3", conv=conv, relu=False)
    x = projection(x, 4 * filters, strides, name=f"{name}_shortcut", conv=conv)
    return keras.layers.ReLU(name=out)(keras.layers.Add(name=f"{name}_add")([x, residual]))


def projection(x: keras.KerasTensor, filters: int, strides: int, *, name: str, conv: Conv) -> keras.KerasTensor:
    """Option B: the identity where the shape stays, a 1x1 convolution where it changes.

    Args:
        x: The block's input.
        filters: How many maps the block gives.
        strides: The block's step.
        name: The convolution's name.
        conv: `keras.layers.Conv2D` or a layer with the same arguments in its place.
    """
    if strides == 1 and x.shape[-1] == filters:
        return x
    return convolve_norm(x, filters, 1, strides, name=name, conv=conv, relu=False)


def stack_stages(
    x: keras.KerasTensor, stages: Sequence[tuple[int, int]], block: Block, *, first: int, strided_first: bool = False
) -> keras.KerasTensor:
    """Stages of blocks; the first block of every stage but the first halves the maps.

    Args:
        x: The maps.
        stages: (filters, blocks) of each stage.
        block: Makes a block from `(x, filters, strides, name=, out=)`.
        first: The first stage's number.
        strided_first: Whether the first stage halves the maps as well.
    """
    for stage, (filters, repeats) in enumerate(stages, start=first):
        for index in range(1, repeats + 1):
            strides = 2 if index == 1 and (stage > first or strided_first) else 1
            name = f"stage{stage}_block{index}"
            out = f"stage{stage}_out" if index == repeats else f"{name}_out"
            x = block(x, filters, strides, name=name, out=out)
    return x


def imagenet_network(
    input_shape: tuple[int, int, int], classes: int, name: str, *, stages: Sequence[tuple[int, int]], block: Block
) -> keras.Model:
    """The frame of Table 1: 7x7 convolution, max pooling, four stages of blocks, global average, one dense layer.

    Args:
        input_shape: Height, width and channels of the images.
        classes: Number of classes.
        name: The model's name.
        stages: (filters, blocks) of each stage.
        block: Makes a block from `(x, filters, strides, name=, out=)`.
    """
    input_shape, classes = check_image_shape(input_shape, smallest=32), check_classes(classes)
    inputs = keras.Input(input_shape, name="images")
    x = convolve_norm(inputs, 64, 7, 2, name="stage1_conv1", relu="stage1_out")
    # After a rectifier, padding with zeros does to a maximum what padding with minus infinity does.
    x = keras.layers.ZeroPadding2D(1, name="stage2_pad")(x)
    x = keras.layers.MaxPooling2D(3, 2, name="stage2_pool")(x)
    x = stack_stages(x, stages, block, first=2)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(inputs, classify(x, classes), name=name)


def resnet18(
    *, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000, name: str = "resnet18"
) -> keras.Model:
    """ResNet-18, 11,689,512 parameters, 1.81 G multiply-adds.

    Args:
        input_shape: Height, width and channels; at least 32x32.
        classes: Number of classes.
        name: The model's name.

    Example:
        >>> resnet18(input_shape=(64, 64, 3), classes=10).get_layer("stage5_out").output.shape
        (None, 2, 2, 512)

    Reference:
        [He et al., 2015](https://arxiv.org/abs/1512.03385), Table 1
    """
    block = partial(basic_block, shortcut=projection)
    return imagenet_network(input_shape, classes, name, stages=STAGES[18], block=block)


def resnet34(
    *, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000, name: str = "resnet34"
) -> keras.Model:
    """ResNet-34, 21,797,672 parameters, 3.66 G multiply-adds. Arguments as in `resnet18`.

    Reference:
        [He et al., 2015](https://arxiv.org/abs/1512.03385), Table 1
    """
    block = partial(basic_block, shortcut=projection)
    return imagenet_network(input_shape, classes, name, stages=STAGES[34], block=block)


def plain18(
    *, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000, name: str = "plain18"
) -> keras.Model:
    """ResNet-18 without its shortcuts. Arguments as in `resnet18`.

    11,515,688 parameters: the three projections are gone as well.

    Reference:
        [He et al., 2015](https://arxiv.org/abs/1512.03385), Figure 4
    """
    block = partial(basic_block, shortcut=None)
    return imagenet_network(input_shape, classes, name, stages=STAGES[18], block=block)


def plain34(
    *, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000, name: str = "plain34"
) -> keras.Model:
    """ResNet-34 without its shortcuts, which learns worse than `plain18`. Arguments as in `resnet18`.

    21,623,848 parameters.

    Reference:
        [He et al., 2015](https://arxiv.org/abs/1512.03385), Figure 3, middle
    """
    block = partial(basic_block, shortcut=None)
    return imagenet_network(input_shape, classes, name, stages=STAGES[34], block=block)


def resnet50(
    *, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000, name: str = "resnet50"
) -> keras.Model:
    """ResNet-50, 25,557,032 parameters, 3.86 G multiply-adds. Arguments as in `resnet18`.

    The paper's network, with the step in the first 1x1 convolution of a block; moved to the 3x3 convolution ("v1.5")
    it would cost 4.09 G.

    Reference:
        [He et al., 2015](https://arxiv.org/abs/1512.03385), Table 1
    """
    return imagenet_network(input_shape, classes, name, stages=STAGES[50], block=bottleneck)


def resnet101(
    *, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000, name: str = "resnet101"
) -> keras.Model:
    """ResNet-101, 44,549,160 parameters, 7.57 G multiply-adds. Arguments as in `resnet18`.

    Reference:
        [He et al., 2015](https://arxiv.org/abs/1512.03385), Table 1
    """
    return imagenet_network(input_shape, classes, name, stages=STAGES[101], block=bottleneck)


def resnet152(
    *, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000, name: str = "resnet152"
) -> keras.Model:
    """ResNet-152, 60,192,808 parameters, 11.28 G multiply-adds. Arguments as in `resnet18`.

    Reference:
        [He et al., 2015](https://arxiv.org/abs/1512.03385), Table 1
    """
    return imagenet_network(input_shape, classes, name, stages=STAGES[152], block=bottleneck)


def resnet200(
    *, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000, name: str = "resnet200"
) -> keras.Model:
    """ResNet-200, 64,673,832 parameters. Arguments as in `resnet18`.

    With the units of 2015; the paper compares them, in this network, with units that normalise first.

    Reference:
        [He et al., 2016](https://arxiv.org/abs/1603.05027), section 5
    """
    return imagenet_network(input_shape, classes, name, stages=STAGES[200], block=bottleneck)
