"""The deep stack against the same weights in a chain of stock convolutions, and its memory."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import check_layer

from kerasdl.initializers import DeltaOrthogonal
from kerasdl.layers import DeepConvolutionStack


def chain(layer, x):
    """The same convolutions, one stock layer each."""
    size = layer.kernel_size
    for kernel, bias in zip(layer.kernel.numpy(), layer.bias.numpy(), strict=True):
        if layer.padding == "circular":
            x = wrap(x, (size - 1) // 2, size // 2)
        padding = "valid" if layer.padding == "circular" else "same"
        conv = keras.layers.Conv2D(kernel.shape[-1], size, padding=padding, activation=layer.activation)
        conv.build(x.shape)
        conv.set_weights([kernel, bias])
        x = conv(x)
        yield conv, x


def wrap(x, before, after):
    height, width = x.shape[1:3]
    repeated = tf.tile(x, (1, 3, 3, 1))
    return repeated[:, height - before : 2 * height + after, width - before : 2 * width + after]


def last_of_chain(layer, x):
    return np.asarray(list(chain(layer, tf.convert_to_tensor(x)))[-1][1])


RANDOM = {"kernel_initializer": "glorot_normal", "bias_initializer": keras.initializers.RandomNormal(stddev=0.3)}


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({"depth": 5, **RANDOM}, (2, 4, 5, 3)),
        ({"depth": 4, "kernel_size": 5, "padding": "same", "activation": "relu", **RANDOM}, (3, 6, 4, 2)),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (
                ({"depth": 3, "kernel_size": 2, "activation": None, **RANDOM}, (2, 3, 3, 4)),
                ({"depth": 1, "kernel_size": 1, **RANDOM}, (2, 2, 3, 4)),
            )
        ),
    ],
)
def test_does_what_a_chain_of_convolutions_does(arguments, shape):
    arguments = {**arguments, "bias_initializer": keras.initializers.RandomNormal(stddev=0.3)}
    check_layer(DeepConvolutionStack, arguments, shape, last_of_chain)


@pytest.mark.parametrize("padding", ["circular", pytest.param("same", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("depth", "jit_compile"),
    [(1, False), (7, False), (7, True), *(pytest.param(n, False, marks=pytest.mark.slow) for n in (2, 12))],
)
def test_its_gradients_are_those_of_a_chain(depth, padding, jit_compile):
    layer = DeepConvolutionStack(depth, padding=padding, **RANDOM)
    x, weights = (tf.random.normal((2, 4, 5, 3), seed=seed) for seed in (0, 1))
    layer.build(x.shape)

    @tf.function(jit_compile=jit_compile)
    def gradients(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x) * weights)
        return tape.gradient(loss, [x, *layer.trainable_weights])

    with tf.GradientTape() as tape:
        tape.watch(x)
        convolutions, outputs = zip(*chain(layer, x), strict=True)
        loss = tf.reduce_sum(outputs[-1] * weights)
    kernels, biases = [conv.kernel for conv in convolutions], [conv.bias for conv in convolutions]
    of_x, of_kernels, of_biases = tape.gradient(loss, [x, kernels, biases])
    for ours, expected in zip(gradients(x), [of_x, np.stack(of_kernels), np.stack(of_biases)], strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.slow
def test_gradients_of_gradients():
    # A penalty on the input's gradient, by finite differences along a random direction of the kernel.
    keras.utils.set_random_seed(1)
    layer = DeepConvolutionStack(5, **RANDOM)
    x = tf.random.normal((1, 4, 4, 2), seed=0)
    layer.build(x.shape)

    @tf.function
    def penalty(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x) ** 2)
        return tf.reduce_sum(tape.gradient(loss, x) ** 2)

    with tf.GradientTape() as tape:
        value = penalty(x)
    direction = tf.random.normal(layer.kernel.shape, seed=2)
    slope = tf.reduce_sum(tape.gradient(value, layer.trainable_weights[0]) * direction)
    kernel, values = layer.kernel.numpy(), []
    for step in (1e-3, -1e-3):
        layer.kernel.assign(kernel + step * direction.numpy())
        values.append(float(penalty(x)))
    assert float(slope) == pytest.approx((values[0] - values[1]) / 2e-3, rel=2e-2)


@pytest.mark.slow
def test_keeps_norms_through_ten_thousand_layers():
    layer = DeepConvolutionStack(10_000, activation=None)
    x, arriving = (tf.random.normal((2, 3, 3, 8), seed=seed) for seed in (0, 1))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    gradient, of_kernel = tape.gradient(y, [x, layer.trainable_weights[0]], arriving)
    # Each pixel by itself, for the kernels reach no neighbour; what is lost is round-off.
    np.testing.assert_allclose(np.linalg.norm(y, axis=-1), np.linalg.norm(x, axis=-1), rtol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(gradient, axis=-1), np.linalg.norm(arriving, axis=-1), rtol=1e-3)
    assert of_kernel.shape == (10_000, 3, 3, 8, 8)
    norms = np.linalg.norm(np.reshape(of_kernel, (10_000, -1)), axis=1)
    assert norms.max() < 1.5 * norms.min()


@pytest.mark.parametrize(
    ("initializer", "variance"),
    [("glorot_uniform", 2 / (9 * 8 + 9 * 8)), ("he_normal", 2 / (9 * 8)), ("lecun_normal", 1 / (9 * 8))],
)
def test_stock_initializers_see_the_fans_of_one_kernel(initializer, variance):
    layer = DeepConvolutionStack(100, kernel_initializer=initializer)
    layer.build((None, 4, 4, 8))
    assert layer.kernel.numpy().var() == pytest.approx(variance, rel=0.03)
    assert layer.get_config()["kernel_initializer"]["config"].get("scale") is None


def test_delta_orthogonal_is_the_default():
    layer = DeepConvolutionStack(2)
    assert type(layer.kernel_initializer) is DeltaOrthogonal


def test_counts_its_multiply_adds():
    layer = DeepConvolutionStack(10, 3)
    # One multiplication per weight and place.
    assert layer.multiply_adds((None, 6, 5, 4), (None, 6, 5, 4)) == 10 * 3 * 3 * 4 * 4 * 6 * 5


@pytest.mark.parametrize(
    ("arguments", "shape", "text"),
    [
        ({"depth": 0}, None, "`depth` must be a positive integer. Received: depth=0."),
        (
            {"depth": 2, "padding": "valid"},
            None,
            "`padding` must be 'circular' or 'same'. Received: padding='valid'.",
        ),
        (
            {"depth": 2, "kernel_initializer": "orthogonal"},
            None,
            "`kernel_initializer` may not be Orthogonal, which would make one flat matrix of the whole stack: use "
            "kerasdl.initializers.DeltaOrthogonal.",
        ),
        (
            {"depth": 2},
            (None, 4, 4),
            "DeepConvolutionStack expects maps of shape (batch, height, width, channels), the channels known. "
            "Received: input_shape=(None, 4, 4).",
        ),
        (
            {"depth": 2, "kernel_size": 7},
            (None, 2, 4, 3),
            "With circular padding the maps must be at least 3x3 for kernels of side 7. "
            "Received: input_shape=(None, 2, 4, 3).",
        ),
    ],
)
def test_wrong_arguments_are_explained(arguments, shape, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        DeepConvolutionStack(**arguments).build(shape)
