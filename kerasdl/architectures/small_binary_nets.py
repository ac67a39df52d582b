"""One small network for small images, of real, binary or ternary weights and of real or binary maps."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import keras

from kerasdl.architectures.checks import check_choice, check_classes, check_image_shape
from kerasdl.architectures.parts import Conv, classify, normalize
from kerasdl.constraints import LatentWeights
from kerasdl.layers import (
    BinaryConv2D,
    BinaryDense,
    FastConv2D,
    TernaryConv2D,
    TernaryDense,
    XnorConv2D,
    XnorDense,
)
from kerasdl.layers.checks import check_positive


class Kind(NamedTuple):
    """What stands between the real first layer and the real last one.

    Args:
        conv: Makes the convolutions.
        dense: Makes the hidden dense layer.
        rectified: Whether rectifiers stand before these; without them the layers take signs, of which a rectifier
            would leave one only.
    """

    conv: Conv
    dense: Callable[..., keras.layers.Layer]
    rectified: bool


# To centre latent weights is of Rastegari et al. alone. Courbariaux et al. only clip; Li and Liu do not even that, but
# beyond 1 the estimator of the signs has no derivative, so their kind is clipped here too.
CLIPPED: dict[str, Any] = {"kernel_constraint": LatentWeights(centre=False)}
UNSCALED: dict[str, Any] = {"weight_scale": False, **CLIPPED}
# From most bits to fewest: ternary weights are of Li and Liu 2016, BinaryConnect of Courbariaux et al. 2015, BinaryNet
# of Courbariaux et al. 2016, the others of Rastegari et al. 2016, whose K scales a sum by how large its inputs were.
KINDS = {
    "float": Kind(FastConv2D, keras.layers.Dense, rectified=True),
    "ternary": Kind(partial(TernaryConv2D, **CLIPPED), partial(TernaryDense, **CLIPPED), rectified=True),
    "binary_weight": Kind(BinaryConv2D, BinaryDense, rectified=True),
    "binary_connect": Kind(partial(BinaryConv2D, **UNSCALED), partial(BinaryDense, **UNSCALED), rectified=True),
    "xnor_k": Kind(partial(XnorConv2D, input_scale=True), partial(XnorDense, input_scale=True), rectified=False),
    "xnor": Kind(XnorConv2D, XnorDense, rectified=False),
    "binary_net": Kind(partial(XnorConv2D, **UNSCALED), partial(XnorDense, **UNSCALED), rectified=False),
}
# The convolutions of each stage, in widths. A stage ends in a maximum, after which the maps are half as large.
STAGES = ((1,), (1,), (2, 2))


def binary_cnn(
    kind: str | Kind = "xnor",
    width: int = 64,
    *,
    input_shape: tuple[int, int, int] = (28, 28, 1),
    classes: int = 10,
    name: str = "binary_cnn",
) -> keras.Model:
    """Four convolutions and two dense layers for small images, the same for every kind of weights and maps.

    557,386 latent parameters for images of 28x28x1 in any kind. The first layer and the last are real. A block is
    batch normalisation, then a rectifier or, in the layer itself, the sign, then the convolution, then a maximum: the
    order of XNOR-Networks, in which all kinds are one graph but for the rectifiers. Latent weights are clipped in all
    kinds but "float", and centred in those of XNOR-Networks ("binary_weight", "xnor", "xnor_k").

    Args:
        kind: "float", the network that the others are compared with; with real maps "ternary", "binary_weight" (scaled
            by the mean of the absolute weights) and "binary_connect" (not scaled); with binary maps "xnor" (scaled in
            the same way), "xnor_k" (by the size of the inputs too) and "binary_net" (not scaled). Or a `Kind` with
            layers of your own choice.
        width: Filters of the first convolutions; the last have twice as many, the dense layer four times. A packed
            network is fastest with multiples of 64.
        input_shape: Height, width and channels; at least 8x8, made for 28x28 to 64x64.
        classes: Number of classes.
        name: The model's name.

    Example:
        >>> binary_cnn("binary_weight", 16).get_layer("stage3_out").output.shape
        (None, 3, 3, 32)
        >>> binary_cnn("float").count_params() == binary_cnn("xnor").count_params()
        True

    Reference:
        [Rastegari et al., 2016](https://arxiv.org/abs/1603.05279), Figure 3
    """
    parts = kind if isinstance(kind, Kind) else KINDS[check_choice("kind", kind, KINDS)]
    width = check_positive("width", width)
    input_shape, classes = check_image_shape(input_shape, smallest=2 ** len(STAGES)), check_classes(classes)
    options: dict[str, Any] = {"use_bias": False, "kernel_initializer": "he_normal"}
    inputs = x = keras.Input(input_shape, name="images")
    for stage, widths in enumerate(STAGES, start=1):
        for index, times in enumerate(widths, start=1):
            conv: Conv = FastConv2D if stage == 1 else parts.conv
            if stage > 1:
                x = _prepare(x, f"stage{stage}", str(index), rectified=parts.rectified)
            x = conv(times * width, 3, padding="same", name=f"stage{stage}_conv{index}", **options)(x)
        x = keras.layers.MaxPooling2D(2, name=f"stage{stage}_out")(x)
    x = _prepare(x, "dense", rectified=parts.rectified)
    x = keras.layers.Flatten(name="flatten")(x)
    x = parts.dense(4 * width, name="dense", **options)(x)
    x = _prepare(x, "logits", rectified=True)
    return keras.Model(inputs, classify(x, classes), name=name)


def _prepare(x: keras.KerasTensor, name: str, number: str = "", *, rectified: bool) -> keras.KerasTensor:
    """What stands before a layer: batch normalisation, and a rectifier unless the layer takes signs."""
    x = normalize(x, name=f"{name}_norm{number}")
    return keras.layers.ReLU(name=f"{name}_relu{number}")(x) if rectified else x
