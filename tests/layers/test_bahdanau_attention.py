"""Bahdanau's attention against the paper's formula, in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.layers import BahdanauAttention

random = np.random.default_rng(0)
QUERY = random.normal(size=(3, 2, 5)).astype("float32")
KEYS = random.normal(size=(3, 4, 6)).astype("float32")
MASK = np.array([[True, True, True, True], [True, True, False, False], [False, False, False, False]])


def by_hand(layer, query, keys, mask):
    w1, w2, v = layer.get_weights()
    context, weights = np.zeros((*query.shape[:2], keys.shape[2])), np.zeros((*query.shape[:2], keys.shape[1]))
    for row, step in np.ndindex(query.shape[:2]):
        seen = np.flatnonzero(mask[row])
        if len(seen):
            scores = np.array([v @ np.tanh(query[row, step] @ w1 + keys[row, place] @ w2) for place in seen])
            weights[row, step, seen] = np.exp(scores) / np.exp(scores).sum()
            context[row, step] = weights[row, step] @ keys[row]
    return context, weights


@pytest.mark.parametrize("mask", [None, MASK])
def test_it_computes_the_formula_of_the_paper(mask):
    layer = BahdanauAttention(7)
    context, weights = layer(QUERY, KEYS, keys_mask=mask)
    expected = by_hand(layer, QUERY, KEYS, np.ones_like(MASK) if mask is None else mask)
    assert layer.compute_output_shape(QUERY.shape, KEYS.shape) == (context.shape, weights.shape)
    np.testing.assert_allclose(context, expected[0], atol=1e-5)
    np.testing.assert_allclose(weights, expected[1], atol=1e-5)


def test_nothing_to_look_at_gives_zero_and_finite_gradients():
    layer = BahdanauAttention(7)
    keys = tf.constant(KEYS)
    with tf.GradientTape() as tape:
        tape.watch(keys)
        context, _ = layer(QUERY, keys, keys_mask=MASK)
        loss = tf.reduce_sum(context**2)
    to_keys, *to_weights = tape.gradient(loss, [keys, *(weight.value for weight in layer.weights)])
    assert all(np.isfinite(gradient).all() and np.any(gradient) for gradient in (to_keys, *to_weights))
    assert not to_keys.numpy()[~MASK].any()


def test_what_is_masked_may_be_no_number():
    value = np.where(np.arange(KEYS.shape[-1]) % 2, np.nan, np.inf)
    layer = BahdanauAttention(7)
    layer.build(QUERY.shape, KEYS.shape)
    sources = [tf.constant(np.where(MASK[..., None], KEYS, filling).astype("float32")) for filling in (0, value)]
    results = []
    for keys in sources:
        with tf.GradientTape() as tape:
            tape.watch(keys)
            context, weights = layer(QUERY, keys, keys_mask=MASK)
            loss = tf.reduce_sum(context**2)
        results.append([context, weights, *tape.gradient(loss, [keys, *(weight.value for weight in layer.weights)])])
        # Projected beforehand, as a decoder does.
        results[-1] += layer.look(QUERY, keys, layer.project(keys), MASK)
    for expected, found in zip(*results, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_keras_carries_the_masks_into_it_and_out_of_it(tmp_path):
    queries, places = keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="int32")
    embedding = keras.layers.Embedding(9, 5, mask_zero=True)
    context, weights = BahdanauAttention(7, name="attention")(embedding(queries), embedding(places))
    model = keras.Model([queries, places], [context, weights])
    given = [np.array([[1, 2, 0]]), np.array([[3, 4, 5, 0, 0]])]
    context, weights = model(given)
    assert not weights.numpy()[..., 3:].any()
    np.testing.assert_allclose(weights.numpy().sum(-1), 1, atol=1e-6)
    assert context._keras_mask.numpy().tolist() == [[True, True, False]]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(again(given)[0], context, atol=1e-6)
    layer = model.get_layer("attention")
    assert BahdanauAttention.from_config(layer.get_config()).get_config() == layer.get_config()


def test_in_bfloat16_it_is_about_the_same():
    layer, rough = BahdanauAttention(7), BahdanauAttention(7, dtype="mixed_bfloat16")
    context, _ = layer(QUERY, KEYS, keys_mask=MASK)
    rough.build(QUERY.shape, KEYS.shape)
    rough.set_weights(layer.get_weights())
    got, _ = rough(QUERY, KEYS, keys_mask=MASK)
    assert got.dtype == tf.bfloat16
    assert all(weight.dtype == "float32" for weight in rough.weights)
    np.testing.assert_allclose(tf.cast(got, "float32"), context, atol=0.05 * np.abs(context).max())


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match=r"^`units` must be a positive integer. Received: units=0.$"):
        BahdanauAttention(0)
    with pytest.raises(ValueError, match="BahdanauAttention") as raised:
        BahdanauAttention(2)(np.zeros((3, 5)), KEYS)
    assert str(raised.value) == (
        "BahdanauAttention expects a query and keys of shape (batch, several, features) with known features. "
        "Received: shapes (3, 5) and (3, 4, 6)."
    )
