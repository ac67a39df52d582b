"""A class for a text, whatever stands behind its end."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl import training
from kerasdl.sequences import class_names, classifier, classify

WORDS = ["free", "eggs", "!", "don'", "t"]
TEXTS = ["Don't: FREE eggs!", "eggs", ""]
IDS = [[5, 6, 1, 2, 3, 4], [3], []]


def small(**arguments):
    return classifier(WORDS, **{"classes": ("ham", "spam"), "units": 5, "embedding": 4, **arguments})


def read(vectors, kernel, recurrent_kernel, bias):
    state = np.zeros(len(bias))
    for vector in vectors:
        state = np.tanh(vector @ kernel + state @ recurrent_kernel + bias)
    return state


def expected(model):
    """The probabilities, one text at a time without padding."""
    [vectors] = model.get_layer("embedding").get_weights()
    kernel, bias = model.get_layer("logits").get_weights()
    layer = model.get_layer("recurrent1")
    rows = []
    for ids in IDS:
        if isinstance(layer, keras.layers.Bidirectional):
            state = np.concatenate(
                [
                    read(vectors[ids], *layer.forward_layer.get_weights()),
                    read(vectors[ids[::-1]], *layer.backward_layer.get_weights()),
                ]
            )
        else:
            state = read(vectors[ids], *layer.get_weights())
        powers = np.exp(state @ kernel + bias)
        rows.append(powers / powers.sum())
    return np.array(rows)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_texts_run_through_the_network_as_the_formula_says(bidirectional):
    model = small(bidirectional=bidirectional)
    for weight in (model.get_layer("logits").bias, model.get_layer("recurrent1").trainable_weights[-1]):
        weight.assign(np.linspace(-1, 1, weight.shape[0]))
    np.testing.assert_allclose(model(tf.constant(TEXTS)), expected(model), atol=1e-6)


def test_what_is_read_with_a_longer_text_learns_the_same():
    # The short text alone, and beside a long one that does not count.
    one, other = small(), small()
    other.set_weights(start := one.get_weights())
    for model, eagerly in ((one, True), (other, False)):
        model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy", run_eagerly=eagerly)
    loss = -np.log(expected(one)[0, 1])
    history = one.fit(tf.constant(TEXTS[:1]), np.array([1]), verbose=0).history
    # The loss is a mean over two texts: the one counts twice, the other not at all.
    together = (tf.constant([TEXTS[0], "eggs " * 20]), np.array([1, 0]), np.array([2.0, 0.0]))
    again = training.fit(other, tf.data.Dataset.from_tensors(together), epochs=1, verbose=0).history
    np.testing.assert_allclose([history["loss"][0], again["loss"][0]], loss, atol=1e-6)
    for old, new, too in zip(start, one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(new, too, atol=1e-6)
        assert np.abs(new - old).max() > 1e-4


def test_texts_get_the_names_of_their_classes_from_a_saved_model_too(tmp_path):
    model = small(cell="gru", dropout=0.2)
    places = np.asarray(model(tf.constant(TEXTS))).argmax(axis=-1)
    names = [("ham", "spam")[place] for place in places]
    assert classify(model, TEXTS) == names
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(tf.constant(TEXTS)), model(tf.constant(TEXTS)))
    assert class_names.names_of(loaded) == ("ham", "spam")
    assert classify(loaded, np.array(TEXTS * 50)) == names * 50
    assert classify(loaded, tf.constant(TEXTS)) == names
    assert classify(loaded, []) == []
    assert classify(loaded, tf.data.Dataset.from_tensor_slices(TEXTS)) == names


def test_classes_without_names_are_numbers_and_nothing_is_compiled_twice(monkeypatch):
    model = small(classes=np.int64(3), units=np.int32(4), embedding=np.int64(3), layers=np.int8(1))
    [place] = classify(model, ["eggs"])
    assert place == np.asarray(model(tf.constant(["eggs"]))).argmax()
    traced = []
    call = model.get_layer("logits").call
    monkeypatch.setattr(model.get_layer("logits"), "call", lambda x: traced.append(1) or call(x))
    assert len(classify(model, ["a much longer text"] * 300)) == 300
    assert traced == []


def test_bfloat16_gives_about_the_same_and_probabilities_in_float32():
    model = small()
    keras.config.set_dtype_policy("mixed_bfloat16")
    half = small()
    half.set_weights(model.get_weights())
    assert half.output.dtype == "float32"
    np.testing.assert_allclose(half(tf.constant(TEXTS)), model(tf.constant(TEXTS)), atol=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"embedding": 0}, "`embedding` must be a whole number of at least 1. Received: embedding=0."),
        (
            {"classes": 1},
            "`classes` must be a number of at least 2, or at least two different names, as in ('ham', 'spam'). "
            "Received: classes=1.",
        ),
        (
            {"classes": "spam"},
            "`classes` must be a number of at least 2, or at least two different names, as in ('ham', 'spam'). "
            "Received: classes='spam'.",
        ),
        (
            {"classes": {"ham", "spam"}},
            "`classes` must be a number of at least 2, or at least two different names, as in ('ham', 'spam'). "
            f"Received: classes={ ({'ham', 'spam'})!r}.",
        ),
        ({"dropout": 1.0}, "`dropout` must be a number from 0 to below 1. Received: dropout=1.0."),
        ({"units": 0}, "`units` must be a whole number of at least 1. Received: units=0."),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match="must be") as raised:
        small(**arguments)
    assert str(raised.value) == message


def test_wrong_models_and_texts_are_refused():
    frames = keras.Input((None, 2))
    other = keras.Model(frames, class_names.output(frames, 2))
    for model, texts, message in (
        (small(), "eggs", "`texts` must be many texts, as a list or a data set. Received: one text, 'eggs'."),
        (small(), [1], "`texts` must be strings. Received: 1."),
        (
            small(),
            tf.constant("abc"),
            "`texts` must be many texts, as a list or a data set. Received: one text, b'abc'.",
        ),
        (other, ["a"], "`model` must be a classifier of texts. Received: one whose input is (None, None, 2)."),
        (
            None,
            ["a"],
            "`model` must be one that kerasdl.sequences.classifier, tagger or video_classifier made. "
            "Received: NoneType.",
        ),
    ):
        with pytest.raises(TypeError) as raised:
            classify(model, texts)
        assert str(raised.value) == message
