"""Local response normalisation against the paper's formula unit by unit, and against TensorFlow's own operation."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import check_layer

from kerasdl.layers import LocalResponseNormalization


def formula(layer, inputs):
    """Section 3.3 of the paper, with its names, one map after the other."""
    count = inputs.shape[-1]
    outputs = np.empty_like(inputs, dtype="float64")
    for i in range(count):
        first, last = max(0, i - layer.n // 2), min(count - 1, i + layer.n // 2)
        total = sum(inputs[..., j].astype("float64") ** 2 for j in range(first, last + 1))
        outputs[..., i] = inputs[..., i] / (layer.k + layer.alpha * total) ** layer.beta
    return outputs


@pytest.mark.parametrize(
    ("arguments", "channels"),
    [({}, 8), ({"k": 1, "n": 3, "alpha": 0.5, "beta": 1}, 7), ({"k": 0.5, "n": 9, "alpha": 2.0, "beta": 0.5}, 3)],
)
def test_is_the_papers_formula(arguments, channels):
    layer = check_layer(LocalResponseNormalization, arguments, (3, 5, 4, channels), formula)
    assert layer.count_params() == 0


def test_agrees_with_tensorflow_for_large_values_and_in_the_gradient():
    maps = tf.constant(np.random.default_rng(0).normal(0, 100, (2, 6, 5, 48)).astype("float32"))
    weights = np.random.default_rng(1).normal(size=maps.shape).astype("float32")
    layer = LocalResponseNormalization()
    results = []
    for function in (layer, lambda x: tf.nn.local_response_normalization(x, 2, bias=2.0, alpha=1e-4, beta=0.75)):
        with tf.GradientTape() as tape:
            tape.watch(maps)
            outputs = function(maps)
            score = tf.reduce_sum(outputs * weights)
        results.append((outputs, tape.gradient(score, maps)))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    # The values are so large that the neighbours matter: without them the outputs are others.
    alone = maps / (2 + 1e-4 * maps**2) ** 0.75
    assert np.abs(alone - results[0][0]).max() > 1


def test_half_precision_loses_nothing_on_the_way():
    # In bfloat16 2 + 1e-4 * 5 * 4^2 would be 2: the sum is taken in float32, and the result alone is rounded.
    maps = tf.cast(np.random.default_rng(0).normal(0, 4, (2, 3, 3, 16)), "bfloat16")
    outputs = LocalResponseNormalization(dtype="mixed_bfloat16")(maps)
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    exact = LocalResponseNormalization()(tf.cast(maps, "float32"))
    np.testing.assert_array_equal(outputs, tf.cast(exact, "bfloat16"))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"n": 4}, "`n` must be odd: as many maps on one side as on the other. Received: n=4."),
        ({"n": 0}, "`n` must be a positive integer. Received: n=0."),
        ({"k": 0}, "`k` must be a positive number. Received: k=0."),
        ({"alpha": -1e-4}, "`alpha` must be a positive number. Received: alpha=-0.0001."),
        ({"beta": "0.75"}, "`beta` must be a positive number. Received: beta='0.75'."),
    ],
)
def test_wrong_arguments_are_explained(arguments, text):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        LocalResponseNormalization(**arguments)
    assert str(error.value) == text


def test_wants_maps():
    with pytest.raises(ValueError) as error:  # noqa: PT011
        LocalResponseNormalization().build((None, 10))
    assert str(error.value) == (
        "LocalResponseNormalization expects maps of shape (batch, height, width, channels). "
        "Received: input_shape=(None, 10)."
    )
