"""VGG: how far small convolutions carry when there are more and more of them."""

from typing import Any

import keras

from kerasdl.architectures.checks import check_classes, check_image_shape
from kerasdl.architectures.parts import Conv, classify, convolve
from kerasdl.layers import LocalResponseNormalization

# Simonyan and Zisserman 2014, Table 1, a line for each of its columns: "3-64" is their conv3-64, 64 filters of 3x3; a
# bar is a max pooling. One more follows at the end, then FC-4096, FC-4096, FC-1000.
TABLE_1 = {
    "A": "3-64 | 3-128 | 3-256 3-256 | 3-512 3-512 | 3-512 3-512",
    "A-LRN": "3-64 LRN | 3-128 | 3-256 3-256 | 3-512 3-512 | 3-512 3-512",
    "B": "3-64 3-64 | 3-128 3-128 | 3-256 3-256 | 3-512 3-512 | 3-512 3-512",
    "C": "3-64 3-64 | 3-128 3-128 | 3-256 3-256 1-256 | 3-512 3-512 1-512 | 3-512 3-512 1-512",
    "D": "3-64 3-64 | 3-128 3-128 | 3-256 3-256 3-256 | 3-512 3-512 3-512 | 3-512 3-512 3-512",
    "E": "3-64 3-64 | 3-128 3-128 | 3-256 3-256 3-256 3-256 | 3-512 3-512 3-512 3-512 | 3-512 3-512 3-512 3-512",
}


def vgg_network(
    input_shape: tuple[int, int, int],
    classes: int,
    name: str,
    *,
    column: str,
    dense_units: int = 4096,
    conv: Conv = keras.layers.Conv2D,
) -> keras.Model:
    """Builds what a column of Table 1 says.

    Args:
        input_shape: Height, width and channels of the images.
        classes: Number of classes.
        name: The model's name.
        column: In the words of `TABLE_1`.
        dense_units: Units of each of the two hidden dense layers.
        conv: `keras.layers.Conv2D` or a layer with the same arguments in its place; the first convolution stays as it
            is, as in binary networks.
    """
    input_shape, classes = check_image_shape(input_shape, smallest=32), check_classes(classes)
    # The paper started the deeper columns from trained shallow ones. With He's deviation, made for this very kind of
    # network a year later, they learn without.
    options: dict[str, Any] = {"activation": "relu", "kernel_initializer": "he_normal"}
    inputs = x = keras.Input(input_shape, name="images")
    for stage, words in enumerate(column.split("|"), start=1):
        index = 0
        for word in words.split():
            if word == "LRN":
                x = LocalResponseNormalization(name=f"stage{stage}_norm")(x)
                continue
            index += 1
            kernel_size, filters = map(int, word.split("-"))
            make = keras.layers.Conv2D if stage == index == 1 else conv
            x = convolve(x, filters, kernel_size, name=f"stage{stage}_conv{index}", conv=make, **options)
        x = keras.layers.MaxPooling2D(2, name=f"stage{stage}_out")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    for index in (1, 2):
        x = keras.layers.Dense(dense_units, name=f"fc{index}", **options)(x)
        x = keras.layers.Dropout(0.5, name=f"dropout{index}")(x)
    return keras.Model(inputs, classify(x, classes), name=name)


def vgg_a(
    *, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000, name: str = "vgg_a"
) -> keras.Model:
    """VGG with 11 layers with weights, 132,863,336 parameters, 7.61 G multiply-adds.

    Args:
        input_shape: Height, width and channels; at least 32x32.
        classes: Number of classes.
        name: The model's name.

    Example:
        >>> vgg_a(input_shape=(32, 32, 3), classes=10).get_layer("stage4_out").output.shape
        (None, 2, 2, 512)

    Reference:
        [Simonyan and Zisserman, 2014](https://arxiv.org/abs/1409.1556), Table 1, column A
    """
    return vgg_network(input_shape, classes, name, column=TABLE_1["A"])


def vgg_a_lrn(
    *, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000, name: str = "vgg_a_lrn"
) -> keras.Model:
    """VGG A with AlexNet's normalisation, 132,863,336 parameters. Arguments as in `vgg_a`.

    It was no better than `vgg_a`, so the paper's deeper networks, and nearly all since, leave it out.

    Reference:
        [Simonyan and Zisserman, 2014](https://arxiv.org/abs/1409.1556), Table 1, column A-LRN
    """
    return vgg_network(input_shape, classes, name, column=TABLE_1["A-LRN"])


def vgg_b(
    *, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000, name: str = "vgg_b"
) -> keras.Model:
    """VGG with 13 layers with weights, 133,047,848 parameters, 11.31 G multiply-adds. Arguments as in `vgg_a`.

    Reference:
        [Simonyan and Zisserman, 2014](https://arxiv.org/abs/1409.1556), Table 1, column B
    """
    return vgg_network(input_shape, classes, name, column=TABLE_1["B"])


def vgg_c(
    *, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000, name: str = "vgg_c"
) -> keras.Model:
    """VGG with 16 layers with weights, three of them 1x1, 133,638,952 parameters. Arguments as in `vgg_a`.

    As deep as `vgg_d`, with 1x1 convolutions in place of the third 3x3: more rectifiers, but no wider view. It is
    better than `vgg_b` and worse than `vgg_d`, so both count. 11.77 G multiply-adds.

    Reference:
        [Simonyan and Zisserman, 2014](https://arxiv.org/abs/1409.1556), Table 1, column C
    """
    return vgg_network(input_shape, classes, name, column=TABLE_1["C"])


def vgg_d(
    *, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000, name: str = "vgg_d"
) -> keras.Model:
    """VGG-16, 138,357,544 parameters, 15.47 G multiply-adds. Arguments as in `vgg_a`.

    Reference:
        [Simonyan and Zisserman, 2014](https://arxiv.org/abs/1409.1556), Table 1, column D
    """
    return vgg_network(input_shape, classes, name, column=TABLE_1["D"])


def vgg_e(
    *, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000, name: str = "vgg_e"
) -> keras.Model:
    """VGG-19, 143,667,240 parameters, 19.63 G multiply-adds. Arguments as in `vgg_a`.

    Reference:
        [Simonyan and Zisserman, 2014](https://arxiv.org/abs/1409.1556), Table 1, column E
    """
    return vgg_network(input_shape, classes, name, column=TABLE_1["E"])


def vgg16(
    *, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000, name: str = "vgg16"
) -> keras.Model:
    """VGG-16, the common name of `vgg_d`. Arguments as in `vgg_a`.

    Reference:
        [Simonyan and Zisserman, 2014](https://arxiv.org/abs/1409.1556), Table 1, column D
    """
    return vgg_d(input_shape=input_shape, classes=classes, name=name)


def vgg19(
    *, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000, name: str = "vgg19"
) -> keras.Model:
    """VGG-19, the common name of `vgg_e`. Arguments as in `vgg_a`.

    Reference:
        [Simonyan and Zisserman, 2014](https://arxiv.org/abs/1409.1556), Table 1, column E
    """
    return vgg_e(input_shape=input_shape, classes=classes, name=name)
