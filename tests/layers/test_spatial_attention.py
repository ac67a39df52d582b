"""Attention over the places of a map."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import check_layer

from kerasdl.layers import AddCoordinates, SpatialAttention


def looked(layer, query, features):
    """The definition, one query and one place at a time: (context, weights)."""
    w1, w2, v = (np.asarray(weight, "float64") for weight in layer.get_weights())
    batch, steps, _ = query.shape
    scores = np.zeros((batch, steps, *features.shape[1:3]))
    for b, t, i, j in np.ndindex(scores.shape):
        scores[b, t, i, j] = v @ np.tanh(query[b, t] @ w1 + features[b, i, j] @ w2)
    weights = np.exp(scores)
    weights /= weights.sum(axis=(2, 3), keepdims=True)
    return np.einsum("btij,bijc->btc", weights, features), weights


@pytest.fixture
def given():
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, 3, 5)).astype("float32"), rng.normal(size=(2, 4, 6, 7)).astype("float32")


def test_it_is_v_tanh_of_both_projections(given):
    layer = SpatialAttention(8)
    context, weights = layer(list(given))
    expected, where = looked(layer, *given)
    np.testing.assert_allclose(context, expected, atol=1e-5)
    np.testing.assert_allclose(weights, where, atol=1e-6)
    assert layer.compute_output_shape([each.shape for each in given]) == [(2, 3, 7), (2, 3, 4, 6)]


def test_one_query_per_image_is_one_step_of_many(given):
    layer = SpatialAttention(8)
    many = layer(list(given))
    one = layer([given[0][:, 1], given[1]])
    for each, of_many in zip(one, many, strict=True):
        np.testing.assert_allclose(each, of_many[:, 1], atol=1e-6)
    assert layer.compute_output_shape([(2, 5), (2, 4, 6, 7)]) == [(2, 7), (2, 4, 6)]


def test_the_mask_of_the_queries_goes_on(given):
    words = keras.layers.Masking()(tf.constant(given[0]) * tf.constant([[[1.0], [1.0], [0.0]]]))
    context, _ = SpatialAttention(8)([words, tf.constant(given[1])])
    assert context._keras_mask.numpy().tolist() == [[True, True, False]] * 2


def test_it_is_saved_trained_and_runs_in_bfloat16(given, tmp_path):
    query, features = keras.Input((None, 5)), keras.Input((None, None, 7))
    context, _ = SpatialAttention(8)([query, features])
    model = keras.Model([query, features], context)
    expected = model([tf.constant(each) for each in given])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded([tf.constant(each) for each in given]), expected, atol=1e-6)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(loaded([tf.constant(each) for each in given]) ** 2)
    for gradient in tape.gradient(loss, [weight.value for weight in loaded.trainable_weights]):
        assert float(tf.norm(gradient)) > 0
    half = SpatialAttention(8, dtype="mixed_bfloat16")
    rough, _ = half(list(given))
    half.set_weights(model.get_weights())
    rough, _ = half(list(given))
    assert rough.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(rough, "float32"), expected, atol=0.05)


def test_a_map_of_one_kind_is_looked_at_evenly():
    context, weights = SpatialAttention(4)([np.ones((1, 3), "float32"), np.full((1, 2, 5, 2), 3.0, "float32")])
    np.testing.assert_allclose(weights, np.full((1, 2, 5), 0.1), atol=1e-6)
    np.testing.assert_allclose(context, [[3.0, 3.0]], atol=1e-5)


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        ([(2, 5), (2, 4, 7)], r"expects a feature map of shape \(batch, height, width, channels\) .* \(2, 4, 7\)\."),
        ([(2,), (2, 4, 4, 7)], r"expects queries of shape .* Received: \(2,\)\."),
        ([(2, 5)], r"expects \[query, features\]\."),
    ],
)
def test_wrong_shapes_are_refused(shapes, text):
    with pytest.raises(ValueError, match=text):
        SpatialAttention(4).build(shapes)


def test_no_units_are_refused():
    with pytest.raises(ValueError, match=r"`units` must be a positive integer. Received: units=0"):
        SpatialAttention(0)


def test_coordinates_go_from_one_border_to_the_other():
    def expected(_, x):
        rows = np.broadcast_to(np.linspace(-1, 1, 4)[None, :, None, None], (*x.shape[:3], 1))
        columns = np.broadcast_to(np.linspace(-1, 1, 5)[None, None, :, None], (*x.shape[:3], 1))
        return np.concatenate([x, rows, columns], axis=-1)

    check_layer(AddCoordinates, {}, (2, 4, 5, 3), expected)
    with pytest.raises(ValueError, match=r"AddCoordinates expects a feature map .* Received: \(2, 4, 3\)"):
        AddCoordinates()(np.zeros((2, 4, 3), "float32"))
