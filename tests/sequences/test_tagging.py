"""A class for every step: of words, of frames, and never of padding."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import softmax

from kerasdl import training
from kerasdl.sequences import class_names, classifier, letters, tag, tagger

WORDS = ["I", "like", "eggs", "."]
TAGS = ("NOUN", "PRON", "PUNCT", "VERB")
SENTENCES = [["I", "like", "unseen", "."], ["Eggs", "", "", ""]]
LABELS = np.array([[1, 3, 0, 2], [0, 0, 0, 0]])


def small(**arguments):
    return tagger(WORDS, **{"classes": TAGS, "units": 5, "embedding": 4, "suffixes": 1, **arguments})


def elman(x, kernel, recurrent_kernel, bias):
    state, states = np.zeros(len(bias)), []
    for step in x:
        states.append(state := np.tanh(step @ kernel + state @ recurrent_kernel + bias))
    return np.array(states)


def padded(array, more):
    return np.pad(array, [(0, 0), (0, more)] + [(0, 0)] * (array.ndim - 2), constant_values=0)


@pytest.fixture(params=["words", "signal"])
def case(request):
    """A compiled tagger, a batch with padding, the same batch padded longer, and its weights."""
    keras.utils.set_random_seed(1)
    if request.param == "words":
        model, x = small(), np.array(SENTENCES)
        longer = tf.constant(np.concatenate([x, np.full((2, 3), "")], axis=1))
        x, real = tf.constant(x), x != ""
    else:
        model = tagger(features=3, classes=4, units=5)
        x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
        x[1, 1:] = 0
        longer, real = padded(x, 3), np.any(x != 0, axis=-1)
    # Eagerly, for that is far quicker than to compile for one batch.
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    return model, x, longer, real


def test_words_run_through_the_network_as_the_formula_says():
    model = small(bidirectional=True, suffixes=3)
    inner = {weight.path: np.asarray(weight) for weight in model.weights}
    forward, backward, (kernel, bias) = (
        model.get_layer("recurrent1").forward_layer.get_weights(),
        model.get_layer("recurrent1").backward_layer.get_weights(),
        model.get_layer("logits").get_weights(),
    )
    # Padding is 0, what is not known 1. "Eggs" is not known, but its endings are those of "eggs".
    assert letters.known_endings(WORDS, 1) == [".", "e", "i", "s"]
    assert letters.known_endings(WORDS, 2) == [".", "gs", "i", "ke"]
    assert letters.known_endings(WORDS, 3) == [".", "ggs", "i", "ike"]
    ids = {"words": [2, 3, 1, 5], "shape": [2, 1, 1, 1], "endings1": [4, 3, 1, 2], "endings2": [4, 5, 1, 2]}
    ids["endings3"] = [4, 5, 1, 2]
    x = np.concatenate([inner[f"{name}_embedding/embeddings"][places] for name, places in ids.items()], axis=-1)
    states = np.concatenate([elman(x, *forward), elman(x[::-1], *backward)[::-1]], axis=-1)
    found = model(tf.constant(SENTENCES))
    np.testing.assert_allclose(found[0], softmax(states @ kernel + bias), atol=1e-6)


def test_loss_and_accuracy_are_those_of_the_real_steps(case):
    model, x, longer, real = case
    probabilities = np.asarray(model(x))
    loss = -np.log(np.take_along_axis(probabilities, LABELS[..., None], -1)[..., 0])[real].mean()
    right = (probabilities.argmax(axis=-1) == LABELS)[real].mean()
    np.testing.assert_allclose(model.evaluate(x, LABELS, verbose=0), [loss, right], atol=1e-6)
    # Class 1 in the padding: it would count if anything did.
    np.testing.assert_allclose(
        model.evaluate(longer, np.where(padded(real, 3), padded(LABELS, 3), 1), verbose=0), [loss, right], atol=1e-6
    )


def test_padding_changes_nothing_in_training():
    # The step of the one on a batch, and that of the other on the same batch padded longer.
    one, other = small(), small()
    other.set_weights(start := one.get_weights())
    for model, eagerly in ((one, True), (other, False)):
        rule = keras.optimizers.SGD(0.5)
        model.compile(rule, "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=eagerly)
    history = one.fit(tf.constant(SENTENCES), LABELS, verbose=0).history
    longer = tf.constant(np.concatenate([SENTENCES, np.full((2, 3), "")], axis=1))
    data = tf.data.Dataset.from_tensors((longer, padded(LABELS, 3)))
    again = training.fit(other, data, epochs=1, verbose=0).history
    for key in ("loss", "accuracy"):
        np.testing.assert_allclose(history[key], again[key], atol=1e-6)
    for old, new, too in zip(start, one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(new, too, atol=1e-6)
        assert np.abs(new - old).max() > 1e-4


def test_a_batch_of_nothing_but_padding_is_no_accident(case):
    model, x, _, _ = case
    empty = tf.fill(tf.shape(x), "") if model.input_shape == (None, None) else tf.zeros_like(x)
    with tf.GradientTape() as tape:
        probabilities = model(empty, training=True)
        loss = model.compute_loss(empty, tf.constant(LABELS), probabilities)
    assert np.isfinite(probabilities).all()
    assert float(loss) == 0
    for gradient in tape.gradient(loss, model.trainable_variables):
        assert gradient is None or not np.any(tf.convert_to_tensor(gradient))


def test_a_saved_model_needs_nothing_else(tmp_path):
    model = small(cell="lstm", dropout=0.1)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(tf.constant(SENTENCES)), model(tf.constant(SENTENCES)))
    assert class_names.names_of(loaded) == TAGS
    assert tag(loaded, SENTENCES) == tag(model, SENTENCES)


def test_words_come_back_with_the_names_of_their_most_likely_classes(monkeypatch):
    model = small()
    expected = np.asarray(model(tf.constant(SENTENCES))).argmax(axis=-1)
    names = [[TAGS[place] for place in row] for row in expected]
    found = tag(model, SENTENCES)
    assert found == [list(zip(SENTENCES[0], names[0], strict=True)), [("Eggs", names[1][0])]]
    assert tag(model, tf.constant(SENTENCES)) == found
    ragged = tf.RaggedTensor.from_tensor(SENTENCES, padding="")
    assert tag(model, ragged) == found
    assert tag(model, [ragged[0], ragged[1]]) == found
    assert tag(model, ["I like unseen.", b"Eggs", "", []]) == [*found, [], []]
    # Other lengths and numbers of sentences: compiled once.
    traced = []
    call = model.get_layer("logits").call
    monkeypatch.setattr(model.get_layer("logits"), "call", lambda x: traced.append(1) or call(x))
    assert tag(model, [["I"] * 9] * 200) == [[tag(model, [["I"] * 9])[0][step] for step in range(9)]] * 200
    assert traced == []
    assert tag(model, []) == []
    assert tag(small(classes=4), [["I"]])[0][0][1] in range(4)


def test_sentences_are_split_as_treebanks_are():
    [found] = tag(small(), ["I DON'T think it's 3.5, can’t be: über-cool!"])
    assert " ".join(word for word, _ in found) == "I DO N'T think it 's 3.5 , ca n’t be : über - cool !"


def test_letters_are_seen():
    words = tf.constant([["Straßen", "USA", "ÉTÉS", "3rd", "I", ""]])
    ends = letters.WordEnding(2)(words).numpy()[0]
    assert [end.decode() for end in ends] == ["en", "sa", "és", "rd", "i", ""]
    # 1, and 1 more for a capital in the beginning, 2 for capitals, 4 for a digit; 0 for padding.
    np.testing.assert_array_equal(letters.WordShape()(words)[0], [2, 4, 4, 5, 2, 0])
    layer = letters.WordEnding(2)
    assert letters.WordEnding.from_config(layer.get_config()).length == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"features": 3},
            "`tagger` must be given a `vocabulary` to tag words, or `features`, how many numbers each frame has, to "
            "tag a signal. Received: both.",
        ),
        ({"dropout": -0.1}, "`dropout` must be a number from 0 to below 1. Received: dropout=-0.1."),
        ({"suffixes": -1}, "`suffixes` must be a whole number of at least 0. Received: suffixes=-1."),
        ({"embedding": 0}, "`embedding` must be a whole number of at least 1. Received: embedding=0."),
        (
            {"classes": ("A", "A")},
            "`classes` must be a number of at least 2, or at least two different names, as in ('ham', 'spam'). "
            "Received: classes=('A', 'A').",
        ),
        ({"cell": "rnn"}, "`cell` must be one of 'elman', 'gru', 'lstm'. Received: cell='rnn'."),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match="must be") as raised:
        small(**arguments)
    assert str(raised.value) == message


def test_wrong_models_and_sentences_are_refused():
    model = small()
    signal = tagger(features=2, classes=2, units=2)
    other = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)], name="other")
    for thing, sentences, message in (
        (model, "a b", "`sentences` must be many sentences, as a list. Received: 'a b'."),
        (model, [["a", 1]], "`sentences` must be strings. Received: 1."),
        (
            signal,
            ["a"],
            "`model` must be a tagger of words; for a signal use model.predict. "
            "Received: one whose input is (None, None, 2).",
        ),
        (model, [None], "`sentences` must be strings, or lists of words. Received: None as one of them."),
        (model, [5], "`sentences` must be strings, or lists of words. Received: 5 as one of them."),
        (model, tf.constant("abc"), "`sentences` must be many sentences, as a list. Received: b'abc'."),
        (
            model,
            tf.data.Dataset.from_tensors(["a"]),
            "`sentences` must be many sentences, as a list: of a data set give [words for words, _ in dataset]. "
            "Received: elements TensorSpec(shape=(1,), dtype=tf.string, name=None).",
        ),
        (
            classifier(["a"], classes=2, units=2),
            ["a"],
            "`model` must be a tagger of words; for a signal use model.predict. Received: one whose input is (None,).",
        ),
        (
            other,
            ["a"],
            "`model` must be one that kerasdl.sequences.classifier, tagger or video_classifier made. "
            "Received: Sequential 'other'.",
        ),
    ):
        with pytest.raises(TypeError) as raised:
            tag(thing, sentences)
        assert str(raised.value) == message
    for sentences in ([b"\xff"], ["\ud800"], [["a", "\ud800"]]):
        with pytest.raises(ValueError, match="`sentences` must be text"):
            tag(model, sentences)
