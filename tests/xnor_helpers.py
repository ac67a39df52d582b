"""Packed networks that tests share."""

import keras
import numpy as np

from kerasdl.xnor import PackedModel
from kerasdl.xnor.bits import pack_filters
from kerasdl.xnor.convolution_steps import ConvolveFloats
from kerasdl.xnor.inputs import Input
from kerasdl.xnor.keras_part import KerasPart
from kerasdl.xnor.shapes import BitShape
from kerasdl.xnor.steps import Binarize


def hand_made(layer: keras.layers.Layer | None = None, filters: int = 20) -> PackedModel:
    """A network of three steps: a layer in Keras on images of 6x6x3, signs, and a dense layer of signs.

    Args:
        layer: What runs in Keras; a convolution unless it is given.
        filters: How many channels that layer has.
    """
    random = np.random.default_rng(0)
    images = keras.Input((6, 6, 3), name="images")
    layer = layer or keras.layers.Conv2D(filters, 3, strides=2, bias_initializer="random_normal", name="stem")
    model = keras.Model(images, layer(images))
    height, width, channels = model.output_shape[1:]
    bits = BitShape(height, width, channels)
    scale, offset = random.normal(size=(2, 10)).astype("float32")
    kernel = random.choice([-1, 1], (height, width, channels, 10))
    steps = (
        KerasPart(
            name="stem", layers=("stem",), sources=("in",), outputs=("maps",), model=model, float_bytes=4 * 560,
            reasons={"stem": "because."},
        ),
        Binarize(
            name="sign", source="maps", output="signs", thresholds=random.normal(0, 0.1, channels).astype("float32"),
            flips=random.random(channels) < 0.5, shape=bits,
        ),
        ConvolveFloats(
            name="logits", layers=("norm", "flatten", "logits"), float_bytes=4 * kernel.size + 40, source="signs",
            output="logits", panels=pack_filters(kernel), input=bits, kernel_size=(height, width), strides=(1, 1),
            dilation=(1, 1), origin=(0, 0), size=(1, 1), filters=10, scale=scale, offset=offset, vector=True,
        ),
    )  # fmt: skip
    return PackedModel("hand_made", (Input("images", (6, 6, 3)),), steps, ("in",), "logits")


def some_images(count: int, shape: tuple[int, ...] = (6, 6, 3), seed: int = 0) -> np.ndarray:
    """Normal numbers."""
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype("float32")


def trained_looking(model: keras.Model, seed: int = 0) -> keras.Model:
    """Gives weights and the statistics of norms values that training could have left, some factors negative.

    Args:
        model: Changed in place.
        seed: Where chance starts.
    """
    random = np.random.default_rng(seed)
    for weight in model.weights:
        shape = tuple(weight.shape)
        if weight.path.endswith("gamma"):
            value = random.uniform(0.3, 1.5, shape) * random.choice([-1, 1, 1], shape)
        elif weight.path.endswith("variance"):
            value = random.uniform(0.2, 4, shape)
        elif weight.path.endswith(("mean", "beta", "bias")):
            value = random.normal(0, 0.5, shape)
        else:
            value = random.normal(size=shape) / np.sqrt(max(np.prod(shape[:-1]), 1))
        weight.assign(value)
    return model
