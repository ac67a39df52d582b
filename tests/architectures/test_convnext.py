"""ConvNeXt against keras.applications with the same weights, and its rates of stochastic depth."""

import re

import keras
import numpy as np
import pytest
from networks_alike import check_same_logits

from kerasdl import architectures
from kerasdl.architectures import convnext, convnext_tiny
from kerasdl.layers import StochasticDepth


def name_here(layer: str) -> str:
    """What a layer of keras.applications' ConvNeXt is called here: its stages 0 to 3 are 2 to 5."""
    place = re.fullmatch(r"convnext_[a-z]+_(\w+)", layer)[1]
    parts = {
        "depthwise_conv": "conv1",
        "layernorm": "norm",
        "pointwise_conv_1": "conv2",
        "pointwise_conv_2": "conv3",
        "layer_scale": "scale",
    }
    fixed = {
        "stem_conv": "stage1_conv1",
        "stem_layernorm": "stage1_out",
        "head_layernorm": "norm",
        "head_dense": "logits",
    }
    if match := re.fullmatch(r"stage_(\d)_block_(\d+)_(\w+)", place):
        return f"stage{int(match[1]) + 2}_block{int(match[2]) + 1}_{parts[match[3]]}"
    if match := re.fullmatch(r"downsampling_(?:layer)?(norm|conv)_(\d)", place):
        return f"stage{int(match[2]) + 3}_downsample_{match[1]}"
    return fixed[place]


def name_there(name: str) -> str:
    return f"ConvNeXt{name.removeprefix('convnext_').capitalize()}"


@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize(
    ("name", "size"),
    [
        pytest.param("convnext_tiny", 64, marks=pytest.mark.slow),
        *(pytest.param(f"convnext_{size}", 224, marks=pytest.mark.slow) for size in ("tiny", "small", "base", "large")),
    ],
)
def test_same_logits_as_keras_applications(name, size):
    theirs = getattr(keras.applications, name_there(name))(
        weights=None, classifier_activation=None, include_preprocessing=False, input_shape=(size, size, 3)
    )
    check_same_logits(getattr(architectures, name)(input_shape=(size, size, 3)), theirs, name_here)


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("tiny", 0.1),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in (("small", 0.4), ("base", 0.5))),
        ("large", 0.5),
    ],
)
def test_deeper_blocks_are_left_out_more_often(name, rate):
    stages = {"tiny": 9}.get(name, 27)
    # Only the rates count here, so the blocks are thin.
    assert getattr(architectures, f"convnext_{name}").__defaults__ == (rate,)
    thin = [(4, repeats) for _, repeats in convnext.STAGES[name]]
    model = convnext.convnext_network((32, 32, 3), 2, name, stages=thin, drop_rate=rate)
    rates = [layer.rate for layer in model.layers if isinstance(layer, StochasticDepth)]
    np.testing.assert_allclose(rates, np.linspace(0, rate, 3 + 3 + stages + 3))


def test_training_leaves_blocks_out_and_inference_does_not():
    model = convnext_tiny(0.5, input_shape=(32, 32, 3), classes=4)
    for layer in model.layers:
        if layer.name.endswith("_scale"):
            layer.set_weights([np.ones(layer.gamma.shape)])
    images = np.random.default_rng(0).random((2, 32, 32, 3), dtype="float32")
    logits = keras.Model(model.input, model.get_layer("logits").output)
    np.testing.assert_array_equal(logits(images), logits(images))
    assert np.ptp([np.asarray(logits(images, training=True)) for _ in range(3)], axis=0).min() > 1e-3


def test_equal_layers_start_with_different_weights():
    # Of the first stage's width, the others thin.
    model = convnext.convnext_network((32, 32, 3), 2, "thin", stages=[(96, 2), (4, 1), (4, 1), (4, 1)], drop_rate=0)
    first, second = (model.get_layer(f"stage2_block{index}_conv2").kernel.numpy() for index in (1, 2))
    assert np.abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05
    # A normal distribution cut at two standard deviations keeps 0.88 of its own.
    assert first.std() == pytest.approx(0.02 * 0.8796, rel=0.02)


@pytest.mark.parametrize("rate", [1, -0.1, None, True])
def test_a_wrong_rate_is_explained(rate):
    text = f"`drop_rate` must be at least 0, for no stochastic depth, and less than 1. Received: drop_rate={rate!r}."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        convnext_tiny(rate)
