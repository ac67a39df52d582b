"""What stands at the end of a residual branch: stochastic depth and layer scale, against NumPy."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import check_layer

from kerasdl.layers import LayerScale, StochasticDepth


def test_layer_scale():
    layer = check_layer(
        LayerScale, {"initial_value": 0.3}, (2, 3, 3, 5), lambda layer, inputs: np.float32(0.3) * inputs
    )
    factors = np.array([0.0, 1.0, -2.0, 1e-6, 5.0], "float32")
    layer.set_weights([factors])
    inputs = np.random.default_rng(0).normal(size=(2, 3, 3, 5)).astype("float32")
    np.testing.assert_array_equal(layer(inputs), np.einsum("nhwc,c->nhwc", inputs, factors))


def test_layer_scale_starts_nearly_at_zero():
    layer = LayerScale()
    layer.build((None, 4))
    np.testing.assert_array_equal(layer.gamma.numpy(), np.full(4, 1e-6, "float32"))


def test_stochastic_depth_leaves_everything_in_inference():
    layer = check_layer(StochasticDepth, {"rate": 0.4, "seed": 3}, (6, 2, 2, 3), lambda layer, inputs: inputs)
    assert layer.weights == []


@pytest.mark.parametrize("shape", [(64, 3), (64, 2, 2, 3)])
def test_stochastic_depth_multiplies_by_the_mask_that_its_seed_draws(shape):
    inputs = np.random.default_rng(0).normal(size=shape).astype("float32")
    drawn = keras.random.uniform((64,) + (1,) * (len(shape) - 1), seed=keras.random.SeedGenerator(7))
    mask = np.asarray(drawn) >= 0.3
    assert 0 < mask.sum() < 64
    outputs = StochasticDepth(0.3, seed=7)(inputs, training=True)
    np.testing.assert_allclose(outputs, inputs * mask / 0.7, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_stochastic_depth_keeps_the_expected_value(dtype):
    rate, count = 0.3, 20_000
    layer = StochasticDepth(rate, seed=1, dtype=dtype)
    ones = keras.ops.ones((count, 2, 2), layer.compute_dtype)
    outputs = np.asarray(keras.ops.cast(layer(ones, training=True), "float32"))
    # One draw for all of an example.
    assert np.ptp(outputs, axis=(1, 2)).max() == 0
    share = np.mean(outputs[:, 0, 0] == 0)
    # Within four standard errors of a binomial share.
    assert abs(share - rate) < 4 * np.sqrt(rate * (1 - rate) / count)
    assert outputs.mean() == pytest.approx(1, abs=0.03)
    # The next step draws anew.
    again = np.asarray(keras.ops.cast(layer(ones, training=True), "float32"))
    assert np.mean(again[:, 0, 0] != outputs[:, 0, 0]) == pytest.approx(2 * rate * (1 - rate), abs=0.02)


def test_stochastic_depth_stops_the_gradient_of_what_it_leaves_out():
    inputs = tf.ones((32, 4))
    layer = StochasticDepth(0.5, seed=2)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True)
    np.testing.assert_array_equal(tape.gradient(outputs, inputs), outputs)


def test_without_a_rate_nothing_is_left_out():
    inputs = np.ones((50, 3), "float32")
    np.testing.assert_array_equal(StochasticDepth(0.0)(inputs, training=True), inputs)


@pytest.mark.parametrize("rate", [1.0, -0.1, True, "half"])
def test_stochastic_depth_refuses_what_is_no_rate(rate):
    text = (
        "`rate` must be at least 0 and less than 1: the probability of leaving the branch out. "
        f"Received: rate={rate!r}."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        StochasticDepth(rate)


def test_layer_scale_refuses_what_it_cannot_use():
    text = "`initial_value` must be a number. Received: initial_value='small'."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        LayerScale("small")
    text = (
        "LayerScale has one weight per channel, the last axis, whose size must be known. "
        "Received: input_shape=(None, None)."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        LayerScale().build((None, None))
