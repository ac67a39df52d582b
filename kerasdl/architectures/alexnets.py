"""AlexNet: in two towers, as it was spread over two graphics cards in 2012, and in one column."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras

from kerasdl.architectures.checks import check_classes, check_image_shape
from kerasdl.architectures.parts import Conv, classify
from kerasdl.layers import LocalResponseNormalization


class Convolution(NamedTuple):
    """A convolutional layer of both towers together, and what follows it."""

    filters: int
    kernel_size: int
    strides: int = 1
    padding: str = "same"
    crosses: bool = False  # Whether each tower sees the maps of both.
    normalized: bool = False
    pooled: bool = False


# Krizhevsky et al. 2012, section 3.5. Each half has half of the filters; only the third convolution sees both halves.
CONVOLUTIONS = (
    Convolution(96, 11, strides=4, padding="valid", normalized=True, pooled=True),
    Convolution(256, 5, normalized=True, pooled=True),
    Convolution(384, 3, crosses=True),
    Convolution(384, 3),
    Convolution(256, 3, pooled=True),
)
DENSE_UNITS = (4096, 4096)


def tower_network(
    input_shape: tuple[int, int, int],
    classes: int,
    name: str,
    *,
    towers: int,
    convolutions: Sequence[Convolution] = CONVOLUTIONS,
    dense_units: Sequence[int] = DENSE_UNITS,
    conv: Conv = keras.layers.Conv2D,
    dense: Callable[..., keras.layers.Layer] = keras.layers.Dense,
) -> keras.Model:
    """Columns of convolutions side by side that meet where a layer crosses, and before each dense layer.

    A stage ends where the towers meet, for there alone is one thing that can be named: `stage1_out` before the layer
    that crosses, `stage2_out` before the dense layers.

    Args:
        input_shape: Height, width and channels, checked.
        classes: Number of classes, checked.
        name: The model's name.
        towers: How many columns share the filters and units.
        convolutions: The convolutional layers.
        dense_units: Units of the dense layers before the last.
        conv: `keras.layers.Conv2D` or a layer with the same arguments in its place; the first layer and the last stay
            as they are, as in binary networks.
        dense: The same for `keras.layers.Dense`.
    """
    # He's deviation, not the paper's 0.01: that suits these widths alone, and a smaller network would stand still.
    options = {"activation": "relu", "kernel_initializer": "he_normal"}
    suffixes = [f"_tower{tower}" for tower in range(1, towers + 1)] if towers > 1 else [""]
    inputs = keras.Input(input_shape, name="images")
    columns, stage = [inputs] * towers, 0
    for index, layer in enumerate(convolutions, start=1):
        if layer.crosses:
            stage += 1
            columns = [join(columns, f"stage{stage}_out")] * towers
        make = keras.layers.Conv2D if index == 1 else conv
        filters = layer.filters // towers
        for tower, suffix in enumerate(suffixes):
            x = make(
                filters,
                layer.kernel_size,
                strides=layer.strides,
                padding=layer.padding,
                name=f"conv{index}{suffix}",
                **options,
            )(columns[tower])
            if layer.normalized:
                x = LocalResponseNormalization(name=f"norm{index}{suffix}")(x)
            if layer.pooled:
                # Windows of three that step by two: they overlap, which the paper finds a little better.
                x = keras.layers.MaxPooling2D(3, 2, name=f"pool{index}{suffix}")(x)
            columns[tower] = x
    x = keras.layers.Flatten(name="flatten")(join(columns, f"stage{stage + 1}_out"))
    for index, units in enumerate(dense_units, start=len(convolutions) + 1):
        halves = [dense(units // towers, name=f"dense{index}{suffix}", **options)(x) for suffix in suffixes]
        x = keras.layers.Dropout(0.5, name=f"dropout{index}")(join(halves, f"dense{index}_out"))
    return keras.Model(inputs, classify(x, classes), name=name)


def join(columns: Sequence[keras.KerasTensor], name: str) -> keras.KerasTensor:
    """All columns as one, under a name.

    Args:
        columns: What each tower gives.
        name: The layer's name.
    """
    if len(columns) == 1:
        return keras.layers.Identity(name=name)(columns[0])
    return keras.layers.Concatenate(name=name)(columns)


def alexnet(
    *, input_shape: tuple[int, int, int] = (227, 227, 3), classes: int = 1000, name: str = "alexnet"
) -> keras.Model:
    """AlexNet of 2012 in two towers, 60,965,224 parameters, 0.72 G multiply-adds.

    The towers were two graphics cards of 3 GB each. They are two branches of the graph: each has half of the filters,
    sees its own maps only in the second, fourth and fifth convolution, and those of both towers in the third and in the
    dense layers. Local response normalisation, as everything else there, stays within a tower. `stage1_out` and
    `stage2_out` are the places at which the towers meet.

    The paper speaks of images of 224 pixels, but its 55x55 first maps need 227.

    Args:
        input_shape: Height, width and channels; at least 67x67.
        classes: Number of classes.
        name: The model's name.

    Example:
        >>> alexnet(input_shape=(67, 67, 3), classes=10).get_layer("stage1_out").output.shape  # both towers
        (None, 3, 3, 256)

    Reference:
        [Krizhevsky et al., 2012](https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks),
        Figure 2
    """
    input_shape, classes = check_image_shape(input_shape, smallest=67), check_classes(classes)
    return tower_network(input_shape, classes, name, towers=2)


def alexnet_single(
    *, input_shape: tuple[int, int, int] = (227, 227, 3), classes: int = 1000, name: str = "alexnet_single"
) -> keras.Model:
    """AlexNet in one column, 62,378,344 parameters, 1.14 G multiply-adds. Arguments as in `alexnet`.

    The same layers, but every map sees every map below: with hardly more parameters, for most of these are in the
    dense layers, and half as much work again. So it is mostly built now that it fits on one card.

    Reference:
        After [Krizhevsky et al., 2012](https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks),
        Figure 2
    """
    input_shape, classes = check_image_shape(input_shape, smallest=67), check_classes(classes)
    return tower_network(input_shape, classes, name, towers=1)
