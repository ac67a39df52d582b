"""The grouped convolution against Keras' own layer, against separate convolutions, and against the clock."""

import os
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import check_layer

from kerasdl.layers import GroupedConv2D, grouped_convolution


def stock(layer, **changes):
    """Keras' layer with the same weights."""
    other = keras.layers.Conv2D(**{**layer.get_config(), **changes})
    other.build((None, None, None, layer.kernel.shape[2] * layer.groups))
    other.set_weights(layer.get_weights())
    return other


@pytest.mark.parametrize(
    "options",
    [
        {"filters": 6, "kernel_size": 3, "groups": 2, "padding": "same"},
        {"filters": 8, "kernel_size": (1, 3), "groups": 4, "strides": 2, "use_bias": False},
        {"filters": 4, "kernel_size": 3, "groups": 4, "dilation_rate": 2, "activation": "relu"},
        {"filters": 5, "kernel_size": 3},
    ],
)
def test_gives_what_the_stock_layer_gives(options):
    layer = check_layer(GroupedConv2D, options, (2, 9, 8, 4), lambda layer, x: stock(layer)(x))
    x = tf.random.stateless_normal((2, 9, 8, 4), (0, 0))

    def gradients(layer):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(y * y)
        return tape.gradient(loss, [x, *layer.trainable_variables])

    for ours, theirs in zip(gradients(layer), gradients(stock(layer)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("has_kernel", [True, False])
def test_is_separate_convolutions_side_by_side(has_kernel, monkeypatch):
    # Where TensorFlow runs without oneDNN, it has no gradient for its own grouped convolution.
    monkeypatch.setattr(grouped_convolution, "_kernel_has_a_gradient", lambda: has_kernel)
    layer = GroupedConv2D(6, 3, groups=3, padding="same", use_bias=False)
    x = np.random.default_rng(0).normal(size=(1, 5, 5, 12)).astype("float32")
    together = layer(x)
    padded, kernel = np.pad(x[0], ((1, 1), (1, 1), (0, 0))), layer.kernel.numpy()
    for group in range(3):
        for i, j, o in np.ndindex(5, 5, 2):
            window = padded[i : i + 3, j : j + 3, 4 * group : 4 * group + 4]
            expected = np.sum(window * kernel[..., 2 * group + o])
            np.testing.assert_allclose(together[0, i, j, 2 * group + o], expected, rtol=1e-4, atol=1e-5)


def test_a_training_step_is_much_faster_than_with_the_stock_layer():
    x = tf.random.stateless_normal((16, 14, 14, 64), (0, 0))

    def seconds(layer):
        @tf.function
        def step():
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tf.reduce_sum(tf.square(layer(x)))
            return tape.gradient(loss, [x, *layer.trainable_variables])

        step()
        begin = time.perf_counter()
        step()
        return time.perf_counter() - begin

    ours = GroupedConv2D(64, 3, groups=32, padding="same", use_bias=False)
    ours.build((None, 14, 14, 64))
    theirs = stock(ours)
    ratio = seconds(theirs) / min(seconds(ours) for _ in range(3))
    print(f"\nstock layer / ours, forward and backward: {ratio:.0f}")
    assert ratio > 5  # Hundreds, where TensorFlow has oneDNN.


@pytest.mark.slow
@pytest.mark.parametrize(
    "layer", ["GroupedConv2D(6, 3, groups=2)", 'XnorConv2D(6, 3, dilation_rate=2, padding="same")']
)
def test_trains_without_onednn_too(layer):
    script = f"""
import numpy as np, tensorflow as tf
from kerasdl.layers import GroupedConv2D, XnorConv2D, grouped_convolution
layer, x = {layer}, tf.ones((1, 5, 5, 4))
with tf.GradientTape() as tape:
    tape.watch(x)
    loss = tf.reduce_sum(layer(x) ** 2)
gradients = tape.gradient(loss, [x, *layer.trainable_variables])
print(grouped_convolution._kernel_has_a_gradient(), all(np.abs(g).max() > 0 for g in gradients))
"""
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip().endswith(" True")


def test_groups_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="evenly divisible by the number of groups"):
        GroupedConv2D(7, 3, groups=2)
    with pytest.raises(ValueError, match="evenly divisible by the number of groups"):
        GroupedConv2D(8, 3, groups=2).build((None, 8, 8, 3))
