"""Latent weights: centred over the channels, clipped, after every step."""

import re

import keras
import numpy as np
import pytest

from kerasdl.constraints import LatentWeights
from kerasdl.layers import BinaryConv2D, BinaryDense


@pytest.mark.parametrize("shape", [(3, 3, 6, 5), (1, 5, 2, 3), (50, 4)])
def test_centres_over_the_input_channels_and_clips(shape):
    weights = np.random.default_rng(0).normal(0.2, 0.8, size=shape).astype("float32")
    expected = np.clip(weights - weights.mean(-2, keepdims=True), -1, 1)
    assert (np.abs(expected) == 1).any()
    np.testing.assert_allclose(LatentWeights()(weights), expected, atol=1e-6)
    np.testing.assert_array_equal(LatentWeights(centre=False)(weights), np.clip(weights, -1, 1))


@pytest.mark.parametrize("shape", [(3, 3, 1, 5), (1, 4)])
def test_does_not_turn_the_only_channel_into_0(shape):
    weights = np.random.default_rng(0).normal(size=shape).astype("float32")
    np.testing.assert_array_equal(LatentWeights()(weights), np.clip(weights, -1, 1))


def test_forbids_equal_signs_to_filters_that_read_few_channels():
    weights = np.random.default_rng(0).normal(size=(3, 3, 2, 500)).astype("float32")
    first, second = np.moveaxis(np.sign(LatentWeights()(weights)), 2, 0)
    np.testing.assert_array_equal(first, -second)
    rows = np.random.default_rng(0).normal(size=(512, 3)).astype("float32")
    errors = []
    for centre in (True, False):
        inputs = keras.Input((3,))
        model = keras.Model(inputs, BinaryDense(1, kernel_constraint=LatentWeights(centre))(inputs))
        model.compile(keras.optimizers.Adam(0.05), "mse")
        targets = rows.sum(1, keepdims=True) / 2
        errors.append(model.fit(rows, targets, 64, epochs=15, verbose=0).history["loss"][-1])
    assert 0.6 < errors[0] < 0.7
    assert errors[1] < 1e-5


def test_follows_every_step_of_the_optimizer():
    inputs = keras.Input((5, 5, 4))
    layer = BinaryConv2D(3, 3, use_bias=False)
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(0.5), "mse")
    assert isinstance(layer.kernel_constraint, LatentWeights)
    rng = np.random.default_rng(0)
    images, targets = rng.normal(size=(8, 5, 5, 4)), rng.normal(size=(8, 3, 3, 3))
    free = keras.models.clone_model(model)
    free.layers[-1]._kernel.constraint = None
    free.compile(keras.optimizers.SGD(0.5), "mse")
    start = np.asarray(layer.kernel) * 3
    for each in (model, free):
        each.layers[-1].kernel.assign(start)
        each.train_on_batch(images, targets)
    moved = np.asarray(free.layers[-1].kernel)
    assert np.abs(moved - start).max() > 0.01
    expected = np.clip(moved - moved.mean(2, keepdims=True), -1, 1)
    np.testing.assert_allclose(layer.kernel, expected, atol=1e-6)


def test_is_saved_with_its_argument():
    for centre in (True, False):
        saved = keras.constraints.serialize(LatentWeights(centre))
        assert saved["registered_name"] == "kerasdl>LatentWeights"
        assert keras.constraints.deserialize(saved).centre is centre
    assert LatentWeights(np.False_).get_config() == {"centre": False}
    assert repr(LatentWeights(False)) == "LatentWeights(centre=False)"


def test_refuses_what_is_no_kernel():
    text = (
        "LatentWeights is meant for kernels, whose last two axes are the input channels and the filters. "
        "Received: weights of shape (7,)."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        LatentWeights()(np.ones(7))
    with pytest.raises(ValueError, match=r"^`centre` must be True or False\. Received: centre='yes'\.$"):
        LatentWeights("yes")
