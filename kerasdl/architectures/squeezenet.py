"""SqueezeNet: as good as AlexNet with a fiftieth of its parameters."""

from collections.abc import Sequence

import keras

from kerasdl.architectures.checks import check_classes, check_image_shape
from kerasdl.architectures.parts import Conv

# Iandola et al. 2016, Table 1: after conv1 and its pooling the fire modules' (squeeze, expand 1x1, expand 3x3) maps;
# between the rows of a version is a pooling. Version 1.1 pools earlier, and conv1 is smaller.
FIRES_1_0: Sequence[Sequence[tuple[int, int, int]]] = (
    ((16, 64, 64), (16, 64, 64), (32, 128, 128)),
    ((32, 128, 128), (48, 192, 192), (48, 192, 192), (64, 256, 256)),
    ((64, 256, 256),),
)
FIRES_1_1: Sequence[Sequence[tuple[int, int, int]]] = (
    ((16, 64, 64), (16, 64, 64)),
    ((32, 128, 128), (32, 128, 128)),
    ((48, 192, 192), (48, 192, 192), (64, 256, 256), (64, 256, 256)),
)


def fire(
    x: keras.KerasTensor,
    squeeze: int,
    expand1x1: int,
    expand3x3: int,
    *,
    name: str,
    out: str | None = None,
    conv: Conv = keras.layers.Conv2D,
) -> keras.KerasTensor:
    """A fire module: few 1x1 filters, so that the 3x3 filters after them see few maps; 1x1 filters beside those.

    Args:
        x: The maps.
        squeeze: How many maps the module's second half sees.
        expand1x1: How many maps come from 1x1 filters.
        expand3x3: How many come from 3x3 filters.
        name: Begins the names of its layers.
        out: The name of its last layer, where that shall be another than the module's.
        conv: `keras.layers.Conv2D` or a layer with the same arguments in its place.
    """
    options = {"activation": "relu", "kernel_initializer": "he_normal", "padding": "same"}
    x = conv(squeeze, 1, name=f"{name}_squeeze", **options)(x)
    pointwise = conv(expand1x1, 1, name=f"{name}_expand1x1", **options)(x)
    wide = conv(expand3x3, 3, name=f"{name}_expand3x3", **options)(x)
    return keras.layers.Concatenate(name=out or name)([pointwise, wide])


def pool(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    """The largest of 3x3 every two pixels; as in Caffe, the last window may hang over the border.

    Args:
        x: Maps behind a rectifier: what hangs over is taken for zero.
        name: The layer's name.
    """
    missing = [(side - 3) % 2 for side in x.shape[1:3]]
    if any(missing):
        x = keras.layers.ZeroPadding2D([(0, pixels) for pixels in missing], name=f"{name}_pad")(x)
    return keras.layers.MaxPooling2D(3, 2, name=name)(x)


def squeeze_network(
    input_shape: tuple[int, int, int],
    classes: int,
    name: str,
    *,
    filters: int,
    kernel_size: int,
    stages: Sequence[Sequence[tuple[int, int, int]]],
    conv: Conv = keras.layers.Conv2D,
) -> keras.Model:
    """The frame of both versions.

    Args:
        input_shape: Height, width and channels of the images, checked.
        classes: Number of classes, checked.
        name: The model's name.
        filters: Of the first convolution.
        kernel_size: Of the first convolution.
        stages: The fire modules between the poolings.
        conv: `keras.layers.Conv2D` or a layer with the same arguments in its place, in the fire modules.
    """
    options = {"activation": "relu", "kernel_initializer": "he_normal"}
    inputs = keras.Input(input_shape, name="images")
    x = keras.layers.Conv2D(filters, kernel_size, strides=2, name="conv1", **options)(inputs)
    x = pool(x, name="stage1_out")
    number = 2
    for stage, modules in enumerate(stages, start=2):
        for index, sizes in enumerate(modules, start=1):
            last = stage == len(stages) + 1 and index == len(modules)
            x = fire(x, *sizes, name=f"fire{number}", out=f"stage{stage}_out" if last else None, conv=conv)
            number += 1
        if stage <= len(stages):
            x = pool(x, name=f"stage{stage}_out")
    x = keras.layers.Dropout(0.5, name="dropout")(x)
    # No dense layer: each class has a map of its own, and its logit is the map's average.
    # The authors begin it with small weights, so that a new head on old features does not begin with large mistakes.
    small = keras.initializers.RandomNormal(stddev=0.01)
    x = keras.layers.Conv2D(classes, 1, activation="relu", kernel_initializer=small, name="conv10")(x)
    x = keras.layers.GlobalAveragePooling2D(name="logits", dtype="float32")(x)
    return keras.Model(inputs, keras.layers.Activation("softmax", name="predictions", dtype="float32")(x), name=name)


def squeezenet1_0(
    *, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000, name: str = "squeezenet1_0"
) -> keras.Model:
    """SqueezeNet, the paper's, 1,248,424 parameters, 0.82 G multiply-adds.

    There is no dense layer: `logits` is the average of the rectified maps of `conv10`, so no logit is negative.

    Args:
        input_shape: Height, width and channels; at least 21x21.
        classes: Number of classes.
        name: The model's name.

    Example:
        >>> squeezenet1_0(input_shape=(64, 64, 3), classes=10).get_layer("stage4_out").output.shape
        (None, 3, 3, 512)

    Reference:
        [Iandola et al., 2016](https://arxiv.org/abs/1602.07360), Table 1
    """
    input_shape, classes = check_image_shape(input_shape, smallest=21), check_classes(classes)
    return squeeze_network(input_shape, classes, name, filters=96, kernel_size=7, stages=FIRES_1_0)


def squeezenet1_1(
    *, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000, name: str = "squeezenet1_1"
) -> keras.Model:
    """SqueezeNet 1.1, 1,235,496 parameters, 0.35 G multiply-adds: 2.3 times less work for the same accuracy.

    Args:
        input_shape: Height, width and channels; at least 17x17.
        classes: Number of classes.
        name: The model's name.

    Example:
        >>> squeezenet1_1(input_shape=(64, 64, 3), classes=10).get_layer("stage4_out").output.shape
        (None, 3, 3, 512)

    Reference:
        [Iandola et al., 2016](https://arxiv.org/abs/1602.07360), and the authors'
        [version 1.1](https://github.com/forresti/SqueezeNet/tree/master/SqueezeNet_v1.1)
    """
    input_shape, classes = check_image_shape(input_shape, smallest=17), check_classes(classes)
    return squeeze_network(input_shape, classes, name, filters=64, kernel_size=3, stages=FIRES_1_1)
