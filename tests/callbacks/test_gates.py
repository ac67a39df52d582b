import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from event_helpers import read_scalars
from histogram_helpers import assert_histogram_of, read_histograms

from kerasdl import layers, training
from kerasdl.callbacks import GateSummary

RNG = np.random.default_rng(0)


def written(folder, model, data, **options):
    callback = GateSummary(folder, data, **options)
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_end(0)
    callback.on_train_end()
    numbers = {tag: steps[0] for tag, steps in read_scalars(folder).items()}
    return numbers, {tag: steps[0] for tag, steps in read_histograms(folder).items()}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gate(x, kernel, bias):
    return sigmoid(x @ kernel.numpy() + bias.numpy())


def test_the_gates_in_numpy_layer_by_layer(tmp_path):
    both = [layers.HighwayDense("tanh", gate_bias=-2.0), layers.HighwayDense(carry="independent", gate_bias=1.0)]
    model = keras.Sequential([keras.Input((6,)), *both])
    x = RNG.normal(size=(30, 6)).astype("float32")
    first, second = both
    transform = gate(x, first.transform_kernel, first.transform_bias)
    between = np.tanh(x @ first.kernel.numpy()) * transform + x * (1 - transform)
    opened = gate(between, second.transform_kernel, second.transform_bias)
    carry = gate(between, second.carry_kernel, second.carry_bias)
    numbers, tables = written(tmp_path, model, x)
    assert numbers == pytest.approx(
        {
            "gate_openness/highway_dense": transform.mean(),
            "gate_openness/highway_dense_1": opened.mean(),
            "carry_openness/highway_dense_1": carry.mean(),
            "mean_gate_openness": (transform.mean() + opened.mean()) / 2,
        },
        1e-5,
    )
    # A coupled carry gate is the other's rest, and says nothing more.
    assert sorted(tables) == ["carry_gates/highway_dense_1", "gates/highway_dense", "gates/highway_dense_1"]
    assert_histogram_of(tables["gates/highway_dense"], transform)
    assert_histogram_of(tables["gates/highway_dense_1"], opened)
    assert_histogram_of(tables["carry_gates/highway_dense_1"], carry)


def test_convolutions_in_a_nested_model_under_mixed_precision(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    highway = layers.HighwayConv2D(3, gate_bias=0.5)
    model = keras.Sequential([keras.Input((5, 5, 2)), keras.Sequential([keras.Input((5, 5, 2)), highway], name="part")])
    images = RNG.normal(size=(8, 5, 5, 2)).astype("float32")
    sums = tf.nn.conv2d(images, highway.transform_kernel.value, 1, "SAME").numpy() + 0.5
    numbers, _ = written(tmp_path, model, images)
    assert numbers["gate_openness/part/highway_conv2d"] == pytest.approx(sigmoid(sums).mean(), abs=0.003)


@pytest.mark.slow
def test_training_opens_them(tmp_path):
    """Two units that must become their own opposites open their gates."""
    model = keras.Sequential([keras.Input((2,)), layers.HighwayDense(None, gate_bias=-3.0)])
    model.compile(keras.optimizers.Adam(0.1), "mse")
    x = RNG.normal(size=(64, 2)).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x, -x)).batch(16)
    training.fit(model, data, epochs=20, verbose=0, callbacks=[GateSummary(tmp_path, x, every=10)])
    openness = read_scalars(tmp_path)["gate_openness/highway_dense"]
    assert [*openness] == [9, 19]
    expected = gate(x, model.layers[0].transform_kernel, model.layers[0].transform_bias).mean()
    assert openness[19] == pytest.approx(expected, 1e-5)
    assert openness[19] > 0.5 > sigmoid(-3.0)


def test_a_model_without_gates_is_told(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)], name="mine")
    text = (
        "GateSummary expects a model with highway layers, kerasdl.layers.HighwayDense or HighwayConv2D. "
        "Received: model 'mine', which has none."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        written(tmp_path, model, np.ones((4, 2)))
