"""AlexNet and ResNet-18 with binary weights, and with binary weights and binary maps (XNOR-Networks)."""

from functools import partial
from typing import Any

import keras

from kerasdl.architectures.alexnets import CONVOLUTIONS, DENSE_UNITS, tower_network
from kerasdl.architectures.checks import check_classes, check_image_shape
from kerasdl.architectures.parts import Conv, classify, convolve, normalize
from kerasdl.architectures.resnet import STAGES, basic_block, imagenet_network, projection, stack_stages
from kerasdl.layers import BinaryConv2D, BinaryDense, FastConv2D, FusedBatchNormalization, XnorConv2D, XnorDense


def bwn_alexnet(
    *, input_shape: tuple[int, int, int] = (227, 227, 3), classes: int = 1000, name: str = "bwn_alexnet"
) -> keras.Model:
    """AlexNet in one column with binary weights, 62,378,344 latent parameters, 1.14 G multiply-adds.

    It is `alexnet_single` with `BinaryConv2D` and `BinaryDense` in their places, but for the first layer and the last,
    which stay real: the same latent weights, of which training keeps all and a trained network only signs and one
    number per filter. Maps are real numbers, so that its products are additions and subtractions.

    The authors had batch normalisation where this network has the local response normalisation of 2012. Of ImageNet's
    validation images 56.8 % were right with theirs, and 56.6 % with real weights.

    Args:
        input_shape: Height, width and channels; at least 67x67.
        classes: Number of classes.
        name: The model's name.

    Example:
        >>> model = bwn_alexnet(input_shape=(67, 67, 3), classes=10)
        >>> type(model.get_layer("conv1")).__name__, type(model.get_layer("conv2")).__name__
        ('Conv2D', 'BinaryConv2D')

    Reference:
        [Rastegari et al., 2016](https://arxiv.org/abs/1603.05279), section 3.1
    """
    input_shape, classes = check_image_shape(input_shape, smallest=67), check_classes(classes)
    return tower_network(input_shape, classes, name, towers=1, conv=BinaryConv2D, dense=BinaryDense)


def bwn_resnet18(
    *, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000, name: str = "bwn_resnet18"
) -> keras.Model:
    """ResNet-18 with binary weights, 11,689,512 latent parameters, 1.81 G multiply-adds.

    It is `resnet18` with `BinaryConv2D` in its place, also in the projections, but for the first layer and the last.
    Of ImageNet's validation images 60.8 % were right in the paper, and 69.3 % with real weights.

    Args:
        input_shape: Height, width and channels; at least 32x32.
        classes: Number of classes.
        name: The model's name.

    Example:
        >>> bwn_resnet18(input_shape=(64, 64, 3), classes=10).get_layer("stage5_out").output.shape
        (None, 2, 2, 512)

    Reference:
        [Rastegari et al., 2016](https://arxiv.org/abs/1603.05279), Table 2
    """
    block = partial(basic_block, shortcut=projection, conv=BinaryConv2D)
    return imagenet_network(input_shape, classes, name, stages=STAGES[18], block=block)


def xnor_alexnet(
    *, input_shape: tuple[int, int, int] = (227, 227, 3), classes: int = 1000, name: str = "xnor_alexnet"
) -> keras.Model:
    """AlexNet in one column with binary weights and binary maps, 62,378,344 latent parameters, 1.14 G multiply-adds.

    A block is batch normalisation, sign, convolution and maximum, in this order (Figure 3): a maximum of signs would
    nearly always be +1, and so would be every sign after a rectifier. `XnorConv2D` and `XnorDense` take the sign
    themselves. First layer and last are real, and only the last has a rectifier before it. As the authors released it,
    without the scales K of the inputs.

    No layer but the last has a bias: the normalisation behind it would take it away again. It is there the shift of
    each map that is learned, and since that of a layer's maps stands behind the maximum, there are 96 + 256 + 384 +
    384 + 256 + 4096 + 4096 = 9,568 of them, as many as biases in `alexnet_single`. The normalisations have no factor
    for each map, as a positive one changes no sign: the count is exactly that of AlexNet.

    Of ImageNet's validation images 44.2 % were right in the paper.

    Args:
        input_shape: Height, width and channels; at least 67x67.
        classes: Number of classes.
        name: The model's name.

    Example:
        >>> xnor_alexnet(input_shape=(67, 67, 3), classes=10).get_layer("stage2_out").output.shape
        (None, 1, 1, 256)

    Reference:
        [Rastegari et al., 2016](https://arxiv.org/abs/1603.05279), section 3.2
    """
    input_shape, classes = check_image_shape(input_shape, smallest=67), check_classes(classes)
    options: dict[str, Any] = {"use_bias": False, "kernel_initializer": "he_normal"}
    inputs = x = keras.Input(input_shape, name="images")
    stage = 0
    for index, layer in enumerate(CONVOLUTIONS, start=1):
        make: Conv = keras.layers.Conv2D if index == 1 else XnorConv2D
        if index > 1:
            x = _norm(x, name=f"norm{index}", scale=False)
        x = make(
            layer.filters,
            layer.kernel_size,
            strides=layer.strides,
            padding=layer.padding,
            name=f"conv{index}",
            **options,
        )(x)
        if layer.pooled:
            stage += index > 1
            x = keras.layers.MaxPooling2D(3, 2, name=f"stage{stage}_out" if index > 1 else f"pool{index}")(x)
    # Map by map, as behind every other convolution, and flat only then.
    x = _norm(x, name=f"norm{len(CONVOLUTIONS) + 1}", scale=False)
    x = keras.layers.Flatten(name="flatten")(x)
    for index, units in enumerate(DENSE_UNITS, start=len(CONVOLUTIONS) + 1):
        x = XnorDense(units, name=f"dense{index}", **options)(x)
        x = _norm(x, name=f"norm{index + 1}", scale=False)
    x = keras.layers.ReLU(name="relu")(x)
    return keras.Model(inputs, classify(x, classes), name=name)


def _norm(x: keras.KerasTensor, *, name: str, **options: Any) -> keras.KerasTensor:
    """Batch normalisation with the constants of the others, and without what does nothing in its place."""
    return FusedBatchNormalization(momentum=0.9, epsilon=1e-5, name=name, **options)(x)


def xnor_basic_block(
    x: keras.KerasTensor, filters: int, strides: int, *, name: str, out: str, conv: Conv = XnorConv2D
) -> keras.KerasTensor:
    """Normalisation and sign in front of each of two 3x3 convolutions, and the block's input added.

    What is added, and is handed from block to block, are real numbers; between the convolutions of a block there are
    only signs. Where the shape changes, a 1x1 convolution of the same signs takes them to the new shape.

    Args:
        x: The maps.
        filters: How many maps come out.
        strides: Step of the first convolution.
        name: Begins the names of all layers but the last.
        out: Name of the last layer.
        conv: A convolution that takes the sign of what it is given.
    """
    options: dict[str, Any] = {"use_bias": False, "kernel_initializer": "he_normal", "conv": conv}
    normal = normalize(x, name=f"{name}_norm1")
    residual = convolve(normal, filters, 3, strides, name=f"{name}_conv1", **options)
    residual = normalize(residual, name=f"{name}_norm2")
    residual = convolve(residual, filters, 3, name=f"{name}_conv2", **options)
    if strides > 1 or x.shape[-1] != filters:
        x = convolve(normal, filters, 1, strides, name=f"{name}_shortcut", **options)
    return keras.layers.Add(name=out)([x, residual])


def xnor_resnet18(
    *, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000, name: str = "xnor_resnet18"
) -> keras.Model:
    """ResNet-18 with binary weights and binary maps, 11,687,784 latent parameters, 1.81 G multiply-adds.

    The convolutions of `resnet18`, shortcuts of type B with it, so as many weights in kernels. There are 1,728 numbers
    less in normalisations, because those stand before the convolutions and not behind: the three of the shortcuts are
    spared, the first of a stage is as narrow as the stage before, and that of the first layer has no shift, which all
    that follow would take away again. One more stands at the end. First layer and last are real, and only the last has
    a rectifier before it.

    Of ImageNet's validation images 51.2 % were right in the paper.

    Args:
        input_shape: Height, width and channels; at least 32x32.
        classes: Number of classes.
        name: The model's name.

    Example:
        >>> xnor_resnet18(input_shape=(64, 64, 3), classes=10).get_layer("stage5_out").output.shape
        (None, 2, 2, 512)

    Reference:
        [Rastegari et al., 2016](https://arxiv.org/abs/1603.05279), Table 2
    """
    input_shape, classes = check_image_shape(input_shape, smallest=32), check_classes(classes)
    inputs = keras.Input(input_shape, name="images")
    options: dict[str, Any] = {"use_bias": False, "kernel_initializer": "he_normal", "conv": FastConv2D}
    x = convolve(inputs, 64, 7, 2, name="stage1_conv1", **options)
    x = _norm(x, name="stage1_out", center=False)
    # Without a rectifier, zeros around the maps would be larger than much that is in them.
    x = keras.layers.MaxPooling2D(3, 2, padding="same", name="stage2_pool")(x)
    x = stack_stages(x, STAGES[18], xnor_basic_block, first=2)
    x = keras.layers.ReLU(name="final_relu")(normalize(x, name="final_norm"))
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(inputs, classify(x, classes), name=name)
