import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.layers import WeightedSum


def three_inputs():
    random = np.random.default_rng(0)
    return [random.normal(size=(4, 5, 5, 2)).astype("float32") for _ in range(3)]


def test_each_input_is_turned_down_by_its_own_sigmoid(tmp_path):
    values, weights = three_inputs(), np.array([-2.0, 0.5, 3.0], "float32")
    given = [keras.Input((5, 5, 2)) for _ in values]
    layer = WeightedSum()
    model = keras.Model(given, layer(given))
    # At first every input counts half.
    np.testing.assert_allclose(model(values), sum(values) / 2, rtol=1e-5, atol=1e-6)
    layer.set_weights([weights])
    expected = sum(value / (1 + np.exp(-weight)) for value, weight in zip(values, weights, strict=True))
    np.testing.assert_allclose(model(values), expected, rtol=1e-5, atol=1e-6)
    assert model.output_shape == (None, 5, 5, 2)
    assert layer.compute_output_shape([value.shape for value in values]) == (4, 5, 5, 2)

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(values), model(values))

    half = WeightedSum.from_config({**layer.get_config(), "dtype": "mixed_bfloat16"})
    half.build([value.shape for value in values])
    half.set_weights([weights])
    rough = half([tf.cast(value, "bfloat16") for value in values])
    assert rough.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(rough, "float32"), expected, rtol=0.05, atol=0.05)


def test_gradients_are_those_of_finite_differences():
    values, weights = three_inputs(), np.array([-1.0, 0.0, 2.0])
    target = np.random.default_rng(1).normal(size=values[0].shape)

    def loss(at):
        return np.sum(target * sum(value / (1 + np.exp(-weight)) for value, weight in zip(values, at, strict=True)))

    layer = WeightedSum()
    layer.build([value.shape for value in values])
    layer.set_weights([weights])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(target.astype("float32") * layer(values))
    steps = 1e-4 * np.eye(3)
    expected = [(loss(weights + step) - loss(weights - step)) / 2e-4 for step in steps]
    np.testing.assert_allclose(tape.gradient(total, layer.edge_weights), expected, rtol=1e-3, atol=1e-3)


def test_configuration():
    layer = WeightedSum(initializer="ones", name="sum")
    assert WeightedSum.from_config(layer.get_config()).get_config() == layer.get_config()
    one = np.ones((1, 2), "float32")
    np.testing.assert_allclose(layer([one, one]), 2 * one / (1 + np.exp(-1)), rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "shapes"),
    [([(1, 2), (1, 3)], "[(1, 2), (1, 3)]"), ((1, 2), "[1, 2]")],
)
def test_other_than_inputs_of_one_shape_is_refused(given, shapes):
    text = f"WeightedSum expects a list of inputs that all have the same shape. Received: input_shape={shapes}."
    values = [np.zeros(shape, "float32") for shape in given] if isinstance(given, list) else np.zeros(given, "float32")
    with pytest.raises(ValueError, match=re.escape(text)):
        WeightedSum()(values)
