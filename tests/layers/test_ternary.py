"""Weights +1, 0 and -1: the paper's rule in NumPy, and how near it comes to the best of all ternary filters."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import check_layer

from kerasdl.layers import TernaryConv2D, TernaryDense


def ternary(kernel):
    """Li and Liu, 2016, equations 3, 5 and 6, filter by filter: the signs and the scales."""
    signs, scales = np.zeros_like(kernel), []
    for filter in range(kernel.shape[-1]):
        weights = kernel[..., filter]
        over = np.abs(weights) > 0.7 * np.abs(weights).mean()
        signs[..., filter] = np.sign(weights) * over
        scales.append(np.abs(weights)[over].mean())
    return signs, np.array(scales, kernel.dtype)


def stock_convolution(layer, inputs):
    config = {name: value for name, value in layer.get_config().items() if name not in ("weight_scale", "name")}
    stock = keras.layers.Conv2D.from_config({**config, "kernel_constraint": None})
    stock.build(inputs.shape)
    signs, scales = ternary(np.asarray(layer.kernel))
    stock.set_weights([signs * scales if layer.weight_scale else signs, layer.bias])
    return np.asarray(stock(inputs))


@pytest.mark.parametrize(
    "kwargs",
    [
        {"padding": "same", "strides": 2, "activation": "relu", "bias_initializer": "random_normal"},
        {"weight_scale": False, "dilation_rate": 2},
        {"kernel_size": (1, 4), "groups": 2, "padding": "same"},
    ],
)
def test_is_the_convolution_with_ternary_weights(kwargs):
    layer = check_layer(TernaryConv2D, {"filters": 6, "kernel_size": 3} | kwargs, (2, 8, 7, 4), stock_convolution)
    signs, scales = ternary(np.asarray(layer.kernel))
    assert 0.2 < (signs == 0).mean() < 0.6
    np.testing.assert_array_equal(layer.kernel_signs(), signs)
    if layer.weight_scale:
        np.testing.assert_allclose(layer.kernel_scale(), scales, rtol=1e-6)


def test_is_the_product_with_ternary_weights():
    def product(layer, inputs):
        signs, scales = ternary(np.asarray(layer.kernel))
        return inputs @ (signs * scales) + layer.bias

    check_layer(TernaryDense, {"units": 6, "bias_initializer": "random_normal"}, (5, 20), product)


def test_the_scale_is_the_best_and_the_signs_are_nearly_so():
    """All 3^8 ternary filters, each with the factor that fits it best."""
    layer = TernaryDense(200)
    layer.build((None, 8))
    layer.kernel.assign(np.random.default_rng(0).normal(scale=0.3, size=(8, 200)))
    latent = np.asarray(layer.kernel, "float64")
    signs, scale = np.asarray(layer.kernel_signs(), "float64"), np.asarray(layer.kernel_scale(), "float64")
    errors = ((latent - scale * signs) ** 2).sum(0)
    for factor in np.linspace(0, 2, 41):
        assert (((latent - factor * scale * signs) ** 2).sum(0) >= errors * (1 - 1e-6)).all()
    choices = np.array([each for each in itertools.product((-1, 0, 1), repeat=8) if any(each)])
    # Of given signs T the best factor is w.T / |T|, and leaves |w|^2 - (w.T)^2 / |T|.
    best = (latent**2).sum(0) - ((choices @ latent) ** 2 / np.abs(choices).sum(1, keepdims=True)).max(0)
    assert (errors >= best - 1e-6).all()
    binary = ((latent - np.abs(latent).mean(0) * np.sign(latent)) ** 2).sum(0)
    # 49 % of the binary error is left, where the best filters would leave 45 %.
    np.testing.assert_allclose([errors.sum() / binary.sum(), best.sum() / binary.sum()], [0.49, 0.45], atol=0.01)


def test_the_gradient_goes_through_the_signs_and_through_the_scale():
    rng = np.random.default_rng(0)
    rows, upstream = rng.normal(size=(7, 20)).astype("float32"), rng.normal(size=(7, 5)).astype("float32")
    layer = TernaryDense(5, use_bias=False)
    layer.build(rows.shape)
    layer.kernel.assign(rng.normal(scale=0.8, size=(20, 5)))
    latent = np.asarray(layer.kernel)
    with tf.GradientTape() as tape:
        outputs = layer(rows)
    gradient = tape.gradient(outputs, layer.trainable_weights[0], upstream)
    signs, scales = ternary(latent)
    ordinary = rows.T @ upstream
    through_scale = signs / np.abs(signs).sum(0) * (ordinary * signs).sum(0)
    through_signs = ordinary * scales * (np.abs(latent) <= 1)
    np.testing.assert_allclose(gradient, through_signs + through_scale, rtol=1e-4, atol=1e-5)


def test_a_filter_of_zeros_gives_zeros_and_a_gradient_that_is_a_number():
    layer = TernaryDense(2, kernel_initializer="zeros", use_bias=False)
    with tf.GradientTape() as tape:
        outputs = layer(np.ones((3, 4), "float32"))
    np.testing.assert_array_equal(outputs, 0)
    np.testing.assert_array_equal(layer.kernel_scale(), 0)
    assert np.isfinite(tape.gradient(outputs, layer.trainable_weights[0])).all()


def test_learns_which_weights_are_0():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1000, 30)).astype("float32")
    kernel = rng.integers(-1, 2, size=(30, 4))
    layer = TernaryDense(4, use_bias=False)
    inputs = keras.Input((30,))
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model.fit(rows, rows @ (kernel * 0.4), 50, epochs=12, verbose=0)
    np.testing.assert_array_equal(layer.kernel_signs(), kernel)
    np.testing.assert_allclose(layer.kernel_scale(), 0.4, atol=1e-3)
