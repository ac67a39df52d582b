"""Highway networks: layers by the dozen, each with gates through which its inputs may pass unchanged."""

import sys
from numbers import Integral
from typing import Any

import keras

from kerasdl.architectures.checks import check_choice, check_classes, check_dropout, check_image_shape
from kerasdl.architectures.parts import classify
from kerasdl.layers import HighwayConv2D, HighwayDense
from kerasdl.layers.checks import check_positive

# (maps, sides of the highway layers' kernels) of three stages, each of which begins with a plain 3x3 convolution; then
# the maps of the 1x1 convolution behind them.
NETWORKS = {
    "A": (((16, (3,) * 2), (32, (3,) * 2), (64, (3,) * 2)), 250),
    "B": (((32, (3,) * 4), (80, (3,) * 5), (128, (3,) * 5)), 100),
    "C": (((24, (3, 1) * 4 + (3,)), (48, (3, 1) * 4 + (3,)), (96, (3, 1) * 4 + (3,))), 100),
}


def highway_mlp(
    depth: int = 50,
    units: int = 50,
    carry: str = "coupled",
    gate_bias: float = -4.0,
    *,
    input_shape: tuple[int, int, int] = (28, 28, 1),
    classes: int = 10,
    name: str = "highway_mlp",
) -> keras.Model:
    """A highway network of dense layers for MNIST, 289,660 parameters.

    One ordinary dense layer brings the image to `units` numbers, which `depth - 1` highway layers pass on; the softmax
    is not counted. The paper trains it at depths of 10, 20, 50 and 100, and finds by search how far the gates shall
    be open at first, with biases between -1 and -10. The -4 is our choice for depth 50: at -2 so much is lost
    at 49 gates in a row that learning begins late (`kerasdl.tutorials.highway_gates`).

    Args:
        depth: Layers, at least 2.
        units: Width of every layer.
        carry: "coupled" or "independent", as in `kerasdl.layers.HighwayDense`.
        gate_bias: The first bias of the transform gates.
        input_shape: Height, width and channels.
        classes: Number of classes.
        name: The model's name.

    Example:
        >>> highway_mlp(depth=10).get_layer("stage2_out").gates(keras.ops.ones((1, 50)))[0].shape
        TensorShape([1, 50])

    Reference:
        [Srivastava et al., 2015](https://arxiv.org/abs/1507.06228), section 3.1
    """
    input_shape, classes = check_image_shape(input_shape), check_classes(classes)
    depth, units = _check_depth(depth), check_positive("units", units)
    inputs = keras.Input(input_shape, name="images")
    x = keras.layers.Flatten(name="flatten")(inputs)
    x = keras.layers.Dense(units, activation="relu", name="stage1_out")(x)
    for index in range(1, depth):
        layer = f"stage2_highway{index}" if index < depth - 1 else "stage2_out"
        x = HighwayDense("relu", carry, gate_bias, name=layer)(x)
    return keras.Model(inputs, classify(x, classes), name=name)


def highway_cnn(
    network: str = "B",
    carry: str = "coupled",
    gate_bias: float = -2.0,
    dropout: float = 0.2,
    *,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    name: str = "highway_cnn",
) -> keras.Model:
    """A convolutional highway network for CIFAR-10: A with 236,328, B with 2,256,838, C with 1,251,798 parameters.

    The paper gives the depths, 11, 19 and 32, and about 236,000, 2.3 and 1.25 million parameters; it says that A and B
    follow the FitNets of the same depth, and that C is thinner and deeper with 3x3 and 1x1 kernels in turn. Network B
    is, layer for layer, the one of the authors' published Caffe file: three stages, each a plain convolution that
    changes the number of maps and then highway layers, maxima of 2x2 between them, a 1x1 convolution, the mean over the
    image, and a dense layer; gate biases begin at -2, and a fifth of the values are dropped in front of each stage and
    of the dense layer. The same plan for A and C is ours, with the number of maps chosen to come near the paper's
    parameter counts: for A the maps of FitNet 1 (but 64 in all of the third stage, for a highway layer cannot change
    them) and 250 in the 1x1 convolution, for C 24, 48 and 96.

    Args:
        network: "A", "B" or "C".
        carry: "coupled" or "independent", as in `kerasdl.layers.HighwayConv2D`.
        gate_bias: The first bias of the transform gates.
        dropout: Share of the values dropped in front of each stage and of the dense layer.
        input_shape: Height, width and channels; at least 4x4.
        classes: Number of classes.
        name: The model's name.

    Example:
        >>> highway_cnn("A").get_layer("stage3_out").output.shape
        (None, 8, 8, 64)

    Reference:
        [Srivastava et al., 2015](https://arxiv.org/abs/1507.06228), Table 2, and the
        [authors' network B](https://github.com/flukeskywalker/highway-networks)
    """
    stages, last = NETWORKS[check_choice("network", network, NETWORKS)]
    input_shape, classes = check_image_shape(input_shape, smallest=4), check_classes(classes)
    dropout = check_dropout(dropout)
    inputs = x = keras.Input(input_shape, name="images")
    for stage, (maps, kernel_sizes) in enumerate(stages, start=1):
        if stage > 1:
            x = keras.layers.MaxPooling2D(2, name=f"stage{stage}_pool")(x)
        x = keras.layers.Dropout(dropout, name=f"stage{stage}_dropout")(x)
        x = keras.layers.Conv2D(maps, 3, padding="same", activation="relu", name=f"stage{stage}_conv1")(x)
        for index, kernel_size in enumerate(kernel_sizes, start=2):
            layer = f"stage{stage}_highway{index}" if index <= len(kernel_sizes) else f"stage{stage}_out"
            x = HighwayConv2D(kernel_size, "relu", carry, gate_bias, name=layer)(x)
    x = keras.layers.Conv2D(last, 1, activation="relu", name="stage4_out")(x)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(inputs, classify(x, classes), name=name)


def _check_depth(depth: Any) -> int:
    """Refuses less than one plain and one highway layer, and more than Keras can chain."""
    most = sys.getrecursionlimit() - 200
    if isinstance(depth, bool) or not isinstance(depth, Integral) or not 2 <= int(depth) <= most:
        raise ValueError(
            f"`depth` must be an integer from 2, a plain and a highway layer, to {most}: Keras walks a graph by "
            f"recursion, and Python allows {sys.getrecursionlimit()} calls in one another. Received: depth={depth!r}."
        )
    return int(depth)
