import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import check_layer

from kerasdl.layers import fast_convolution
from kerasdl.layers.fast_convolution import FastConv2D

OPTIONS = [
    {"kernel_size": 3},
    {"kernel_size": (1, 5), "strides": 2, "padding": "same", "use_bias": False},
    {"kernel_size": 3, "dilation_rate": 2, "activation": "relu"},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_is_the_stock_layer_in_float32(options):
    def stock(layer, inputs):
        same = keras.layers.Conv2D(6, **options)
        same.build(inputs.shape)
        same.set_weights(layer.get_weights())
        return np.asarray(same(inputs))

    check_layer(FastConv2D, {"filters": 6, **options}, (2, 9, 10, 4), stock)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("fast", [False, True])
def test_bfloat16_gives_the_values_and_gradients_of_the_stock_layer(options, fast, monkeypatch):
    monkeypatch.setattr(fast_convolution, "multiplies_bfloat16_fast", lambda: fast)
    images = tf.cast(tf.random.stateless_normal((2, 9, 10, 4), (0, 1)), tf.bfloat16)
    results = []
    ours = FastConv2D(6, dtype="mixed_bfloat16", **options)
    # Where products are taken in float32 the stock layer's must be as well: without oneDNN it adds up in bfloat16.
    stock = keras.layers.Conv2D(6, dtype="mixed_bfloat16" if fast else "float32", **options)
    for layer in (ours, stock):
        layer.build(images.shape)
    stock.set_weights(ours.get_weights())
    for layer in (ours, stock):
        inputs = tf.cast(images, layer.dtype_policy.compute_dtype)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs)
        gradients = tape.gradient(outputs, [inputs, *layer.trainable_weights])
        results.append([outputs, *gradients])
    weights = len(ours.trainable_weights)
    assert [each.dtype for each in results[0]] == [tf.bfloat16] * 2 + [tf.float32] * weights
    for mine, theirs in zip(*results, strict=True):
        mine, theirs = (np.asarray(tf.cast(each, tf.float32)) for each in (mine, theirs))
        # The stock layer rounds the kernel first: a step of bfloat16 is 1/256.
        np.testing.assert_allclose(mine, theirs, rtol=1 / 64, atol=np.abs(theirs).max() / 128)


def test_takes_the_way_that_is_fast_here(monkeypatch):
    def types(fast):
        monkeypatch.setattr(fast_convolution, "multiplies_bfloat16_fast", lambda: fast)
        layer = FastConv2D(6, 3, dtype="mixed_bfloat16")
        inputs = tf.ones((1, 5, 5, 4), tf.bfloat16)
        layer(inputs)
        graph = tf.function(layer).get_concrete_function(inputs).graph
        return [operation.get_attr("T") for operation in graph.get_operations() if operation.type == "Conv2D"]

    assert types(fast=False) == [tf.float32]
    assert types(fast=True) == [tf.bfloat16]
