import keras
import numpy as np
import pytest
from helpers import check_layer

import kerasdl
from kerasdl.layers import DiracConv2D


def dirac_convolution(layer, inputs):
    """Loops over filters and taps; the identity is added to the outputs instead of to the kernel."""
    kernel, alpha, beta = np.asarray(layer.kernel), np.asarray(layer.alpha), np.asarray(layer.beta)
    side, before = kernel.shape[0], (kernel.shape[0] - 1) // 2
    padded = np.pad(inputs, ((0, 0), (before, side - 1 - before), (before, side - 1 - before), (0, 0)))
    height, width = inputs.shape[1:3]
    outputs = np.zeros((*inputs.shape[:3], kernel.shape[-1]))
    for out in range(kernel.shape[-1]):
        direction = kernel[..., out] / np.sqrt((kernel[..., out] ** 2).sum())
        for row in range(side):
            for column in range(side):
                window = padded[:, row : row + height, column : column + width]
                outputs[..., out] += beta[out] * (window * direction[row, column]).sum(-1)
        if out < inputs.shape[-1]:
            outputs[..., out] += alpha[out] * inputs[..., out]
        if layer.use_bias:
            outputs[..., out] += np.asarray(layer.bias)[out]
    return np.asarray(layer.activation(outputs))


@pytest.mark.parametrize("filters", [3, 5, 2])
def test_is_the_identity_and_a_normalised_convolution(filters):
    kwargs = {"filters": filters, "kernel_size": 3, "padding": "same", "activation": "tanh"}
    random = {"alpha_initializer": "random_normal", "beta_initializer": "random_normal", "bias_initializer": "ones"}
    layer = check_layer(DiracConv2D, kwargs | random, (2, 6, 5, 3), dirac_convolution)
    assert isinstance(layer, keras.layers.Conv2D)
    assert [weight.path.split("/")[-1] for weight in layer.weights] == ["kernel", "bias", "alpha", "beta"]


@pytest.mark.parametrize("kernel_size", [1, 2, 4, 5])
def test_of_any_size_begins_near_the_identity(kernel_size):
    layer = DiracConv2D(4, kernel_size, padding="same", use_bias=False)
    inputs = np.random.default_rng(0).normal(size=(2, 7, 7, 4)).astype("float32")
    np.testing.assert_allclose(layer(inputs), dirac_convolution(layer, inputs), rtol=1e-4, atol=1e-5)
    assert np.all(layer.alpha == 1)
    np.testing.assert_allclose(layer.beta, 0.1)
    layer.beta.assign(np.zeros(4))
    np.testing.assert_array_equal(layer(inputs), inputs)


def test_keeps_every_second_pixel_with_a_step_of_two_and_groups_apart():
    layer = DiracConv2D(6, 3, strides=2, groups=2, beta_initializer="zeros")
    inputs = np.random.default_rng(0).normal(size=(1, 9, 9, 4)).astype("float32")
    outputs = np.asarray(layer(inputs))
    kept = inputs[:, 1:-1:2, 1:-1:2]
    np.testing.assert_array_equal(outputs[..., [0, 1, 3, 4]], kept)
    np.testing.assert_array_equal(outputs[..., [2, 5]], 0)


def test_the_length_of_a_filter_does_not_matter_even_zero():
    layer = DiracConv2D(3, 3)
    inputs = np.random.default_rng(0).normal(size=(1, 5, 5, 3)).astype("float32")
    before = np.asarray(layer(inputs))
    layer.kernel.assign(layer.kernel * np.array([7.0, 0.01, 1.0]))
    np.testing.assert_allclose(layer(inputs), before, rtol=1e-4, atol=1e-6)
    layer.kernel.assign(keras.ops.zeros_like(layer.kernel))
    np.testing.assert_allclose(layer(inputs), inputs[:, 1:-1, 1:-1], atol=1e-6)


def test_its_kernel_is_that_of_an_ordinary_convolution():
    layer = DiracConv2D(5, 3, strides=2, padding="same", dilation_rate=1)
    inputs = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    outputs = layer(inputs)
    ordinary = keras.layers.Conv2D(5, 3, strides=2, padding="same")
    ordinary.build(inputs.shape)
    ordinary.set_weights([layer.dirac_kernel(), layer.bias])
    np.testing.assert_allclose(ordinary(inputs), outputs, rtol=1e-5, atol=1e-6)


def test_stands_in_the_place_of_a_convolution_in_another_network():
    block = kerasdl.architectures.resnet.basic_block
    shortcut = kerasdl.architectures.resnet.projection
    inputs = keras.Input((8, 8, 4))
    model = keras.Model(inputs, block(inputs, 8, 2, name="a", out="b", conv=DiracConv2D, shortcut=shortcut))
    assert sum(isinstance(layer, DiracConv2D) for layer in model.layers) == 3
    assert model.output_shape == (None, 4, 4, 8)
