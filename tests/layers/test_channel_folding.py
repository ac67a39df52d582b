"""Batch normalisation with folded pixels against NumPy and the stock layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.layers.channel_folding import folding, normalize_batch, normalize_with

EPSILON = 1e-3


def some(shape, seed=0):
    random = np.random.default_rng(seed)
    channels = shape[-1]
    # Means that are large against the spread, and different in different places: parts that differ are told apart.
    x = random.normal(size=shape) * random.uniform(0.5, 2, channels) + random.normal(size=channels) * 3
    x += np.linspace(-1, 1, shape[2])[:, None]
    return (value.astype("float32") for value in (x, random.uniform(0.5, 1.5, channels), random.normal(size=channels)))


@pytest.mark.parametrize(
    ("shape", "pixels"),
    [
        ((None, 8, 8, 12), 4),
        ((None, 8, 8, 24), 2),
        ((None, 4, 4, 3), 16),
        ((None, 8, 8, 48), 1),
        ((None, 3, 3, 12), 1),
        ((None, None, 8, 12), 1),
    ],
)
def test_as_many_pixels_as_fill_the_registers(shape, pixels):
    assert folding(shape) == (1 if tf.config.list_logical_devices("GPU") else pixels)


@pytest.mark.parametrize("shape", [(3, 4, 4, 12), (2, 4, 6, 20), (1, 4, 4, 3), (5, 2, 2, 36)])
def test_normalises_as_the_stock_layer_and_so_do_the_gradients(shape):
    x, scale, offset = some(shape)
    weights = np.random.default_rng(1).normal(size=shape).astype("float32")
    stock = keras.layers.BatchNormalization(epsilon=EPSILON, momentum=0.0)
    stock.build(shape)
    stock.set_weights([scale, offset, np.zeros_like(scale), np.ones_like(scale)])
    pixels = folding(shape)
    assert pixels > 1
    ours = [tf.Variable(value) for value in (x, scale, offset)]
    theirs = tf.Variable(x)
    with tf.GradientTape(persistent=True) as tape:
        y, mean, variance = normalize_batch(*ours, EPSILON, pixels)
        loss = tf.reduce_sum(tf.sin(y) * weights)
        expected = stock(theirs, training=True)
        stock_loss = tf.reduce_sum(tf.sin(expected) * weights)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    # NumPy, and what the stock layer has kept.
    np.testing.assert_allclose(mean, x.mean((0, 1, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance, x.var((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(variance, stock.moving_variance, rtol=1e-4)
    wanted = tape.gradient(stock_loss, [theirs, stock.gamma.value, stock.beta.value])
    for found, value in zip(tape.gradient(loss, ours), wanted, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-3, atol=1e-3 * np.abs(value).max())


def test_normalises_with_given_statistics():
    x, scale, offset = some((2, 4, 4, 12))
    mean, variance = np.linspace(-1, 1, 12, dtype="float32"), np.linspace(0.1, 3, 12, dtype="float32")
    expected = scale * (x - mean) / np.sqrt(variance + EPSILON) + offset
    found = normalize_with(tf.constant(x), scale, offset, mean, variance, EPSILON, 4)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_bfloat16_is_as_exact_as_it_can_be():
    x, scale, offset = some((3, 4, 4, 12))
    weights = np.random.default_rng(1).normal(size=x.shape).astype("float32")
    results = {}
    for dtype in ("float32", "bfloat16"):
        given = tf.Variable(tf.cast(tf.cast(x, "bfloat16"), dtype))
        with tf.GradientTape() as tape:
            y, mean, _ = normalize_batch(given, tf.constant(scale), tf.constant(offset), EPSILON, 4)
            loss = tf.reduce_sum(tf.cast(y, "float32") * weights)
        assert y.dtype == dtype
        assert mean.dtype == "float32"
        results[dtype] = [tf.cast(value, "float32").numpy() for value in (y, mean, tape.gradient(loss, given))]
    for rough, exact in zip(results["bfloat16"], results["float32"], strict=True):
        np.testing.assert_allclose(rough, exact, rtol=0.02, atol=0.01 * np.abs(exact).max())
