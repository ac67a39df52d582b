"""Gradients of products of signs: the formulas of the estimators, the definition in double precision, and learning."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sign_padding import OPTIONS, pads, signs

from kerasdl.layers import XnorConv2D, XnorDense, approx_sign, sign_ste


@pytest.mark.parametrize("estimator", ["sign_ste", approx_sign])
def test_gradients_pass_the_signs_by_their_formulas(estimator):
    """Against the stock convolution of the signs, whose gradients are multiplied by the slopes."""
    rng = np.random.default_rng(0)
    images = tf.constant(rng.normal(size=(2, 6, 6, 4)), "float32")
    layer = XnorConv2D(5, 3, estimator=estimator, use_bias=False)
    layer.build(images.shape)
    layer.kernel.assign(rng.normal(scale=0.8, size=layer.kernel.shape))
    kernel = np.asarray(layer.kernel)
    upstream = tf.constant(rng.normal(size=(2, 4, 4, 5)), "float32")
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = layer(images)
    by_images, by_kernel = tape.gradient(outputs, [images, layer.trainable_weights[0]], upstream)
    x, w = tf.constant(signs(images), "float32"), tf.constant(signs(kernel), "float32")
    alpha = np.abs(kernel).mean((0, 1, 2))
    with tf.GradientTape() as tape:
        tape.watch([x, w])
        sums = tf.nn.conv2d(x, w, 1, "VALID")
    by_x, by_w = (np.asarray(each) for each in tape.gradient(sums, [x, w], upstream * alpha))
    size = np.abs(images)
    slope = np.maximum(2 - 2 * size, 0) if estimator is approx_sign else size <= 1
    np.testing.assert_allclose(by_images, by_x * slope, rtol=1e-4, atol=1e-5)
    through_alpha = np.sign(kernel) / kernel[..., 0].size * tf.reduce_sum(upstream * sums, (0, 1, 2)).numpy()
    np.testing.assert_allclose(by_kernel, by_w * (np.abs(kernel) <= 1) + through_alpha, rtol=1e-4, atol=1e-4)


def defined(layer, images, kernel, upstream):
    """The layer by its definition, with images that are padded, in float64; gradients as TensorFlow has them."""
    widths = [(0, 0), *pads(layer, images.shape[1:3]), (0, 0)]
    padded, sizes = tf.pad(sign_ste(images), widths, constant_values=layer.pad_value), tf.pad(tf.abs(images), widths)
    # Not all of TensorFlow's convolutions of spread kernels have a gradient: zeros between the taps.
    sides = zip(layer.kernel_size, layer.dilation_rate, strict=True)
    spread = [np.eye((size - 1) * rate + 1)[::rate] for size, rate in sides]
    box = tf.ones((*layer.kernel_size, kernel.shape[2], layer.filters)) / np.prod(kernel.shape[:3])
    taps, box = (tf.einsum("ia,jb,ijcf->abcf", *spread, tf.cast(each, "float64")) for each in (sign_ste(kernel), box))
    shares, outputs = [tf.split(each, layer.groups, -1) for each in (padded, taps, sizes, box)], []
    for part, weights, size, mean in zip(*shares, strict=True):
        sums = tf.nn.conv2d(part, weights, layer.strides, "VALID")
        outputs.append(sums * tf.nn.conv2d(size, mean, layer.strides, "VALID") if layer.input_scale else sums)
    return tf.concat(outputs, -1) * tf.reduce_mean(tf.abs(kernel), (0, 1, 2)) * upstream


@pytest.mark.parametrize("input_scale", [False, True])
@pytest.mark.parametrize("options", [*OPTIONS, {"padding": "same", "kernel_size": 5, "strides": 3, "pad_value": -1}])
def test_gradients_are_those_of_the_definition_where_signs_stand_around_the_image(options, input_scale):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 7, 6, 4)).astype("float32")
    layer = XnorConv2D(6, **{"kernel_size": 3} | options, input_scale=input_scale, use_bias=False)
    layer.build(images.shape)
    layer.kernel.assign(rng.normal(scale=0.7, size=layer.kernel.shape))
    upstream = rng.normal(size=layer.compute_output_shape(images.shape)).astype("float32")
    results = []
    for dtype in ("float32", "float64"):
        x, weights = tf.constant(images, dtype), tf.constant(layer.kernel.numpy(), dtype)
        with tf.GradientTape() as tape:
            tape.watch([x, weights])
            if dtype == "float32":
                values, weights = layer(x) * upstream, layer.trainable_weights[0]
            else:
                values = defined(layer, x, weights, upstream.astype(dtype))
        results.append([values, *tape.gradient(values, [x, weights])])
    for found, expected in zip(*results, strict=True):
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_learns_the_signs_of_another_layer():
    """What one layer of signs computes, another learns from examples."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3000, 15)).astype("float32")
    kernel = signs(rng.normal(size=(15, 4)))
    labels = (signs(rows) @ kernel > 0).astype("float32")
    layer = XnorDense(4, use_bias=False)
    inputs = keras.Input((15,))
    model = keras.Model(inputs, layer(inputs))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    falling = keras.optimizers.schedules.CosineDecay(0.02, 200)
    model.compile(keras.optimizers.Adam(falling), loss)
    model.fit(rows, labels, 300, epochs=20, verbose=0)
    # Of the seeds 0 to 3 one leaves a single sign of sixty wrong, the others none.
    assert np.mean(layer.kernel_signs() == kernel) >= 0.95
