"""The fused layer against the stock Keras layer and against the formula in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import check_layer

from kerasdl.layers import FusedBatchNormalization


def in_numpy(layer, inputs):
    scale = layer.gamma.numpy() / np.sqrt(layer.moving_variance.numpy() + layer.epsilon)
    return (inputs - layer.moving_mean.numpy()) * scale + layer.beta.numpy()


def pair(input_shape, **kwargs):
    """The fused and the stock layer with the same random weights."""
    random = np.random.default_rng(1)
    layers = FusedBatchNormalization(**kwargs), keras.layers.BatchNormalization(**kwargs)
    for layer in layers:
        layer.build(input_shape)
    weights = [random.uniform(0.5, 2, weight.shape) for weight in layers[0].weights]
    for layer in layers:
        layer.set_weights(weights)
    return layers


def images(*shape):
    return np.random.default_rng(2).normal(3, 2, shape).astype("float32")


def test_is_a_whole_layer():
    check_layer(FusedBatchNormalization, {"momentum": 0.9, "epsilon": 1e-4}, (4, 5, 6, 3), in_numpy)


@pytest.mark.parametrize(
    ("shape", "kwargs"),
    [
        ((8, 6, 5, 4), {}),
        ((8, 6, 5, 4), {"scale": False}),
        ((8, 6, 5, 4), {"center": False, "momentum": 0.5}),
        ((8, 6, 5, 4), {"scale": False, "center": False, "epsilon": 1e-3}),
        ((1, 1, 1, 4), {}),  # the variance over one value
        ((8, 6, 5, 4), {"epsilon": 1e-7}),  # from here on: cases that the kernel does not know
        ((8, 6, 5, 4), {"axis": 1}),
        ((8, 4), {}),
        ((8, 6, 4), {}),
    ],
)
def test_equals_the_stock_layer(shape, kwargs):
    fused, stock = pair(shape, **kwargs)
    inputs = images(*shape)
    tolerance = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(fused(inputs, training=False), stock(inputs, training=False), **tolerance)
    for _ in range(3):
        np.testing.assert_allclose(fused(inputs, training=True), stock(inputs, training=True), **tolerance)
    for ours, theirs in zip(fused.weights, stock.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, err_msg=ours.name)


def test_gradients_equal_those_of_the_stock_layer():
    fused, stock = pair((8, 6, 5, 4))
    inputs = tf.constant(images(8, 6, 5, 4))
    weights = np.random.default_rng(3).normal(size=inputs.shape).astype("float32")
    gradients = []
    for layer in (fused, stock):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(layer(inputs, training=True) * weights)
        gradients.append(tape.gradient(loss, [inputs, *layer.trainable_variables]))
    for ours, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_frozen_layer_keeps_its_statistics():
    fused, stock = pair((8, 6, 5, 4))
    fused.trainable = stock.trainable = False
    inputs = images(8, 6, 5, 4)
    np.testing.assert_allclose(fused(inputs, training=True), stock(inputs, training=True), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(fused.moving_mean, stock.moving_mean)


def test_a_mask_is_respected_as_in_the_stock_layer():
    fused, stock = pair((8, 6, 5, 4))
    inputs, mask = images(8, 6, 5, 4), np.random.default_rng(4).random((8, 6, 5)) < 0.5
    expected = stock(inputs, training=True, mask=mask)
    np.testing.assert_allclose(fused(inputs, training=True, mask=mask), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(fused.moving_variance, stock.moving_variance, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_statistics_stay_in_float32_under_mixed_precision(dtype):
    fused, stock = pair((8, 6, 5, 4), dtype=dtype)
    inputs = keras.ops.cast(images(8, 6, 5, 4), dtype.removeprefix("mixed_"))
    ours, theirs = (keras.ops.cast(layer(inputs, training=True), "float32") for layer in (fused, stock))
    np.testing.assert_allclose(ours, theirs, rtol=0.02, atol=0.02)
    np.testing.assert_allclose(fused.moving_mean, stock.moving_mean, rtol=1e-5)
    np.testing.assert_allclose(fused.moving_variance, stock.moving_variance, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["int32", "float64", "float16"])
def test_inputs_of_another_type_give_what_the_stock_layer_gives(dtype):
    fused, stock = pair((8, 6, 5, 4), autocast=False)
    inputs = tf.constant(images(8, 6, 5, 4).astype(dtype))
    ours, theirs = fused(inputs, training=True), stock(inputs, training=True)
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_second_derivatives_equal_those_of_the_stock_layer(training):
    # As a gradient penalty takes them.
    fused, stock = pair((4, 3, 3, 2))
    inputs = tf.constant(images(4, 3, 3, 2))
    second = []
    for layer in (fused, stock):
        with tf.GradientTape() as outer:
            outer.watch(inputs)
            with tf.GradientTape() as inner:
                inner.watch(inputs)
                loss = tf.reduce_sum(layer(inputs, training=training) ** 3)
            penalty = tf.reduce_sum(inner.gradient(loss, inputs) ** 2)
        second.append(outer.gradient(penalty, inputs))
    np.testing.assert_allclose(*second, rtol=1e-3, atol=1e-3 * np.abs(second[1]).max())


def test_takes_the_weights_of_a_network_with_the_stock_layer():
    def network(layer_class):
        inputs = keras.Input((6, 5, 4))
        x = keras.layers.Conv2D(3, 3)(inputs)
        return keras.Model(inputs, layer_class()(x))

    theirs, ours = network(keras.layers.BatchNormalization), network(FusedBatchNormalization)
    theirs.compile("sgd", "mse")
    theirs.train_on_batch(images(4, 6, 5, 4), images(4, 4, 3, 3))
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(ours(images(2, 6, 5, 4)), theirs(images(2, 6, 5, 4)), rtol=1e-5, atol=1e-5)
