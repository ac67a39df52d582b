"""A small plain network that learns the ten figures of `shapes/one`, to be looked into."""

from collections.abc import Sequence

import keras

from kerasdl.architectures.checks import check_classes, check_image_shape
from kerasdl.architectures.parts import classify, convolve_norm

# The convolutions of each stage, (filters, kernel size, strides). A place of the last maps sees 29x29 pixels: a whole
# figure, and little besides, so that what is found there lies there.
STAGES: Sequence[Sequence[tuple[int, int, int]]] = (
    ((16, 5, 2), (24, 3, 1)),
    ((48, 3, 2), (64, 3, 1), (64, 3, 1)),
)


def shapes_cnn(
    *, input_shape: tuple[int, int, int] = (64, 64, 3), classes: int = 10, name: str = "shapes_cnn"
) -> keras.Model:
    """Five convolutions with batch normalisation and rectifiers, the mean of each map, and one dense layer.

    80,618 parameters. It is made for visualizations: rectifiers everywhere, nothing between the
    last maps and the scores but their mean and a dense layer, and last maps of 16x16 places for images of 64x64.
    `kerasdl.architectures.pretrained("shapes_cnn")` gives it trained.

    Args:
        input_shape: Height, width and channels.
        classes: Number of classes.
        name: The model's name.

    Example:
        >>> shapes_cnn().get_layer("stage2_out").output.shape
        (None, 16, 16, 64)

    Reference:
        [Lin et al., 2013](https://arxiv.org/abs/1312.4400), section 3.2: means of maps in the place of dense layers
    """
    input_shape, classes = check_image_shape(input_shape), check_classes(classes)
    inputs = keras.Input(input_shape, name="images")
    x = inputs
    for stage, convolutions in enumerate(STAGES, start=1):
        for index, (filters, kernel_size, strides) in enumerate(convolutions, start=1):
            last = f"stage{stage}_out" if index == len(convolutions) else True
            x = convolve_norm(x, filters, kernel_size, strides, name=f"stage{stage}_conv{index}", relu=last)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(inputs, classify(x, classes), name=name)
