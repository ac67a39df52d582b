"""SimpNet: thirteen plain 3x3 convolutions, well proportioned, against networks many times as large."""

from collections.abc import Sequence

import keras

from kerasdl.architectures.checks import check_choice, check_classes, check_image_shape
from kerasdl.architectures.parts import classify
from kerasdl.layers import FusedBatchNormalization, SAFPooling

# Hasanpour et al. 2018, and the authors' definitions for CIFAR-10 (https://github.com/Coderx7/SimpNet, SimpNetV2).
# The widths of the convolutions of each group; a SAF-pooling ends the first and the second group.
WIDTHS = {
    "300k": ((30, 40, 40, 40, 50), (50, 50, 50, 50, 58), (58, 70, 90)),
    "600k": ((40, 60, 60, 60, 72), (73, 73, 73, 75, 81), (82, 90, 120)),
    "1m": ((60, 80, 80, 80, 85), (85, 90, 90, 90, 110), (110, 127, 150)),
    "5m": ((66, 128, 128, 128, 192), (192, 192, 192, 192, 288), (288, 355, 432)),
    "8.9m": ((128, 182, 182, 182, 182), (182, 182, 182, 182, 430), (430, 455, 600)),
}
# Per group: dropout between its convolutions, and on the maxima of the pooling that ends it (global for the last).
RATES = {
    "300k": ((0.0, 0.0), (0.0, 0.0), (0.0, 0.0)),
    "600k": ((0.1, 0.1), (0.1, 0.2), (0.2, 0.2)),
    "1m": ((0.0, 0.1), (0.0, 0.2), (0.0, 0.2)),
    "5m": ((0.2, 0.2), (0.2, 0.3), (0.3, 0.3)),
    "8.9m": ((0.2, 0.2), (0.2, 0.2), (0.2, 0.2)),
}
MOMENTUM = {"300k": 0.99, "600k": 0.99, "1m": 0.99, "5m": 0.95, "8.9m": 0.95}


def simple_network(
    input_shape: tuple[int, int, int],
    classes: int,
    name: str,
    *,
    widths: Sequence[Sequence[int]],
    rates: Sequence[tuple[float, float]],
    momentum: float = 0.9,
) -> keras.Model:
    """Groups of 3x3 convolutions with SAF-pooling between them, and a global maximum in front of the dense layer.

    The convolutions keep their biases in front of the normalisation, as the authors' do.

    Args:
        input_shape: Height, width and channels of the images.
        classes: Number of classes.
        name: The model's name.
        widths: The widths of the convolutions of each group.
        rates: Per group, the dropout between its convolutions and that on what its pooling gives.
        momentum: How much of the moving statistics each training step keeps.
    """
    inputs = keras.Input(input_shape, name="images")
    x = inputs
    layers = keras.layers
    for stage, (group, (rate, pool_rate)) in enumerate(zip(widths, rates, strict=True), start=1):
        last_stage = stage == len(widths)
        for index, filters in enumerate(group, start=1):
            conv = f"stage{stage}_conv{index}"
            last = index == len(group)
            # Caffe's "xavier" divides by the inputs alone: Keras calls it LeCun's.
            x = layers.Conv2D(filters, 3, padding="same", kernel_initializer="lecun_uniform", name=conv)(x)
            x = FusedBatchNormalization(momentum=momentum, epsilon=1e-5, name=f"{conv}_norm")(x)
            x = layers.ReLU(name=f"stage{stage}_out" if last and last_stage else f"{conv}_relu")(x)
            if rate and not last:
                x = layers.Dropout(rate, name=f"{conv}_dropout")(x)
        if not last_stage:
            x = SAFPooling(2, rate=pool_rate, name=f"stage{stage}_out")(x)
    x = layers.GlobalMaxPooling2D(name="maximum")(x)
    if rates[-1][1]:
        x = layers.Dropout(rates[-1][1], name="dropout")(x)
    return keras.Model(inputs, classify(x, classes, kernel_initializer="lecun_uniform"), name=name)


def simpnet(
    size: str = "300k",
    *,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    name: str = "simpnet",
) -> keras.Model:
    """SimpNet, a network of thirteen 3x3 convolutions in one of five sizes, with SAF-pooling.

    | size | parameters | accuracy on CIFAR-10 (paper) |
    |---|---:|---:|
    | "300k" | 300,964 | 93.25 % |
    | "600k" | 601,021 | 94.03 % |
    | "1m" | 1,001,296 | 94.76 % |
    | "5m" | 5,478,223 | 95.69 % |
    | "8.9m" | 8,902,729 | 96.12 % |

    Widths, dropout and the normalisation's momentum are those of the authors' files: no dropout in the smallest, on the
    poolings alone in "1m", and everywhere in the others. At rate 0 SAF-pooling is max pooling.

    Args:
        size: About how many parameters: "300k", "600k", "1m", "5m" or "8.9m".
        input_shape: Height, width and channels; at least 4x4, since two poolings halve the images.
        classes: Number of classes.
        name: The model's name.

    Example:
        >>> simpnet("300k").get_layer("stage1_out").output.shape
        (None, 16, 16, 50)

    Reference:
        [Hasanpour et al., 2018](https://arxiv.org/abs/1802.06205)
    """
    check_choice("size", size, WIDTHS)
    input_shape, classes = check_image_shape(input_shape, smallest=4), check_classes(classes)
    widths, rates, momentum = WIDTHS[size], RATES[size], MOMENTUM[size]
    return simple_network(input_shape, classes, name, widths=widths, rates=rates, momentum=momentum)
