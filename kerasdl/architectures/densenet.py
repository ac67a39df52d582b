"""Densely connected networks: every layer sees what all layers before it have made."""

from collections.abc import Sequence
from typing import Any

import keras

from kerasdl.architectures.checks import check_classes, check_image_shape
from kerasdl.architectures.cifar_resnets import check_depth
from kerasdl.architectures.parts import classify, convolve, convolve_norm, normalize
from kerasdl.layers import FastConv2D
from kerasdl.layers.checks import check_bool, check_positive

# Huang et al. 2016, Table 1: layers in each dense block.
BLOCKS = {
    121: (6, 12, 24, 16),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
    264: (6, 12, 64, 48),
}
_CONV: dict[str, Any] = {"conv": FastConv2D, "use_bias": False, "kernel_initializer": "he_normal"}


def _norm_relu(x: keras.KerasTensor, *, norm: str, relu: str) -> keras.KerasTensor:
    return keras.layers.ReLU(name=relu)(normalize(x, name=norm))


def dense_layer(
    x: keras.KerasTensor, growth_rate: int, *, name: str, out: str, bottleneck: bool = True
) -> keras.KerasTensor:
    """Makes a few new maps from all that there are, and puts them behind these (equation 2).

    Each convolution comes after its own normalisation: every layer scales the maps of the earlier ones in its own way.
    A layer concatenates two tensors, what it was given and what it made. To list all earlier layers in each
    concatenation takes as long, but makes a graph of quadratic size.

    Args:
        x: All maps so far.
        growth_rate: How many maps the layer adds, the paper's k.
        name: Begins the names of all layers but the last.
        out: Name of the last layer.
        bottleneck: Whether a 1x1 convolution reduces the maps to 4k before the 3x3 convolution.
    """
    new = _norm_relu(x, norm=f"{name}_norm1", relu=f"{name}_relu1")
    if bottleneck:
        new = convolve(new, 4 * growth_rate, 1, name=f"{name}_conv1", **_CONV)
        new = _norm_relu(new, norm=f"{name}_norm2", relu=f"{name}_relu2")
    new = convolve(new, growth_rate, 3, name=f"{name}_conv2" if bottleneck else f"{name}_conv1", **_CONV)
    return keras.layers.Concatenate(name=out)([x, new])


def transition(x: keras.KerasTensor, compression: float, *, name: str) -> keras.KerasTensor:
    """Between two blocks: a 1x1 convolution to fewer maps, then the mean of each 2x2 pixels.

    Args:
        x: The maps.
        compression: How many of the maps are left, the paper's theta.
        name: Begins the layers' names.
    """
    x = _norm_relu(x, norm=f"{name}_norm", relu=f"{name}_relu")
    x = convolve(x, int(x.shape[-1] * compression), 1, name=f"{name}_conv", **_CONV)
    return keras.layers.AveragePooling2D(2, name=f"{name}_pool")(x)


def stack_blocks(
    x: keras.KerasTensor,
    blocks: Sequence[int],
    growth_rate: int,
    *,
    first: int,
    bottleneck: bool = True,
    compression: float = 0.5,
) -> keras.KerasTensor:
    """Dense blocks with a transition between each two, and the normalisation that the last one lacks.

    Args:
        x: The maps.
        blocks: Layers of each block.
        growth_rate: How many maps each layer adds.
        first: The first block's stage.
        bottleneck: As in `dense_layer`.
        compression: As in `transition`.
    """
    last = first + len(blocks) - 1
    for stage, layers in enumerate(blocks, start=first):
        if stage > first:
            x = transition(x, compression, name=f"stage{stage}_transition")
        for index in range(1, layers + 1):
            name = f"stage{stage}_layer{index}"
            out = f"stage{stage}_out" if index == layers and stage < last else f"{name}_out"
            x = dense_layer(x, growth_rate, name=name, out=out, bottleneck=bottleneck)
    return _norm_relu(x, norm=f"stage{last}_norm", relu=f"stage{last}_out")


def _imagenet_network(input_shape: tuple[int, int, int], classes: int, name: str, depth: int) -> keras.Model:
    input_shape, classes = check_image_shape(input_shape, smallest=32), check_classes(classes)
    inputs = keras.Input(input_shape, name="images")
    x = convolve_norm(inputs, 64, 7, 2, name="stage1_conv1", relu="stage1_out")
    # After a rectifier, padding with zeros does to a maximum what padding with minus infinity does.
    x = keras.layers.ZeroPadding2D(1, name="stage2_pad")(x)
    x = keras.layers.MaxPooling2D(3, 2, name="stage2_pool")(x)
    x = stack_blocks(x, BLOCKS[depth], 32, first=2)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(inputs, classify(x, classes), name=name)


def densenet121(
    *, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000, name: str = "densenet121"
) -> keras.Model:
    """DenseNet-121, 7,978,856 parameters, 2.83 G multiply-adds.

    Args:
        input_shape: Height, width and channels; at least 32x32.
        classes: Number of classes.
        name: The model's name.

    Returns:
        A model whose stages 2 to 5 are the four dense blocks.

    Reference:
        [Huang et al., 2016](https://arxiv.org/abs/1608.06993), Table 1
    """
    return _imagenet_network(input_shape, classes, name, 121)


def densenet169(
    *, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000, name: str = "densenet169"
) -> keras.Model:
    """DenseNet-169, 14,149,480 parameters, 3.36 G multiply-adds. Arguments as in `densenet121`.

    Reference:
        [Huang et al., 2016](https://arxiv.org/abs/1608.06993), Table 1
    """
    return _imagenet_network(input_shape, classes, name, 169)


def densenet201(
    *, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000, name: str = "densenet201"
) -> keras.Model:
    """DenseNet-201, 20,013,928 parameters, 4.29 G multiply-adds. Arguments as in `densenet121`.

    Reference:
        [Huang et al., 2016](https://arxiv.org/abs/1608.06993), Table 1
    """
    return _imagenet_network(input_shape, classes, name, 201)


def densenet264(
    *, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000, name: str = "densenet264"
) -> keras.Model:
    """DenseNet-264, 33,337,704 parameters, 5.75 G multiply-adds. Arguments as in `densenet121`.

    Reference:
        [Huang et al., 2016](https://arxiv.org/abs/1608.06993), Table 1
    """
    return _imagenet_network(input_shape, classes, name, 264)


def densenet_cifar(
    depth: int = 100,
    growth_rate: int = 12,
    bottleneck: bool = True,
    *,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    name: str = "densenet_cifar",
) -> keras.Model:
    """The DenseNet for CIFAR, DenseNet-BC-100-12 by default, 769,162 parameters.

    15,324,406 for BC-250-24; without bottlenecks 1,019,722 for 40-12 and 6,979,642 for 100-12.

    Args:
        depth: Convolutions and dense layers: 6n + 4 with bottlenecks, 3n + 4 without, for n layers in each of three
            blocks.
        growth_rate: How many maps each layer adds, the paper's k.
        bottleneck: Whether layers have a 1x1 convolution before the 3x3 one, and transitions halve the number of maps
            (DenseNet-BC); without it the network of the paper's first experiments.
        input_shape: Height, width and channels; at least 4x4.
        classes: Number of classes.
        name: The model's name.

    Example:
        >>> densenet_cifar(10, input_shape=(16, 16, 1)).get_layer("stage3_out").output.shape
        (None, 4, 4, 27)

    Reference:
        [Huang et al., 2016](https://arxiv.org/abs/1608.06993), section 4.2
    """
    bottleneck = check_bool("bottleneck", bottleneck)
    growth_rate = check_positive("growth_rate", growth_rate)
    # Keras follows the chain of concatenations first, so a dense layer is one call deep and not seven.
    if bottleneck:
        layers = check_depth(depth, 6, 4, layers=1, examples="40, 100, 190 or 250")
    else:
        layers = check_depth(depth, 3, 4, layers=1, examples="40 or 100")
    input_shape, classes = check_image_shape(input_shape, smallest=4), check_classes(classes)
    inputs = keras.Input(input_shape, name="images")
    stem = 2 * growth_rate if bottleneck else 16
    x = convolve(inputs, stem, 3, name="stage1_conv1", **_CONV)
    compression = 0.5 if bottleneck else 1.0
    x = stack_blocks(x, [layers] * 3, growth_rate, first=1, bottleneck=bottleneck, compression=compression)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(inputs, classify(x, classes), name=name)
