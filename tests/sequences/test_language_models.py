"""Language models: what they are trained on, and what cannot be built."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_language_models import LETTERS, probabilities, small

from kerasdl import training
from kerasdl.sequences import generate, language_batches, vocabulary

FIRST = 4  # the number of "a", behind padding, unknown, start and end


def unpacked(batches):
    return [(seen.numpy().tolist(), following.numpy().tolist()) for seen, following in batches]


def test_targets_are_the_text_one_step_on():
    model = small()
    ((seen, following),) = unpacked(language_batches(model, ["abc", ""], shuffle=False))
    assert seen == [b"abc", b""]
    assert following == [[4, 5, 6, 3], [3, 0, 0, 0]]
    assert model.get_layer("words")(tf.constant(["abc", ""])).numpy().tolist() == [[2, 4, 5, 6], [2, 0, 0, 0]]


def test_windows_put_end_to_end_are_the_text_and_only_the_first_has_a_start():
    # Whatever character the text has: the mark of a window is none.
    text = "\x1fcac\x1fbac\x1fb"
    letters = ["a", "b", "c", "\x1f"]
    model = small(letters=letters)
    read, said = [], []
    for seen, following in language_batches(model, [text], window=5, batch_size=2, shuffle=False):
        ids = model.get_layer("words")(seen).numpy()
        assert ids.shape == following.shape
        read += ids[ids > 0].tolist()
        said += following.numpy()[following > 0].tolist()
    numbers = [FIRST + letters.index(letter) for letter in text]
    assert read == [2, *numbers]
    assert said == [*numbers, 3]


def test_windows_of_words_split_again_into_the_same_words():
    texts = ["I don't know, peut-être (3.5)!", "So be it."]
    model = small(letters=vocabulary(texts, unit="word"), unit="word")
    names = model.get_layer("words").get_vocabulary()
    read, said = [], []
    for seen, following in language_batches(model, texts, window=3, batch_size=1, shuffle=False):
        read += [names[number] for number in model.get_layer("words")(seen).numpy()[0]]
        said += [names[number] for number in following.numpy()[0]]
    words = ["i", "don'", "t", "know", ",", "peut-être", "(", "3", ".", "5", ")", "!"]
    assert read == ["[START]", *words, "[START]", "so", "be", "it", "."]
    assert said == [*words, "[END]", "so", "be", "it", ".", "[END]"]


def test_every_form_of_texts_gives_the_same_batches():
    model = small()
    texts = ["ab", "cab", "b"]
    expected = unpacked(language_batches(model, texts, shuffle=False))
    data = tf.data.Dataset.from_tensor_slices(texts)
    for form in (np.array(texts), data, data.batch(2), data.map(lambda text: (text, text)).batch(2)):
        assert unpacked(language_batches(model, form, shuffle=False)) == expected


def test_shuffling_is_new_each_time_and_follows_from_the_seed():
    model = small()
    texts = ["a" * n for n in range(12)]
    batches = language_batches(model, texts, seed=1)
    first, second = unpacked(batches), unpacked(batches)
    assert first != second
    assert unpacked(language_batches(model, texts, seed=1)) == first
    assert sorted(first[0][0]) == sorted(second[0][0]) == [text.encode() for text in texts]


def test_padding_counts_neither_in_loss_nor_in_metrics():
    model = small(cell="elman")
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    texts = ["abcab", "b"]
    losses, right = [], []
    for text in texts:
        numbers = [*(FIRST + LETTERS.index(letter) for letter in text), 3]
        for step, number in enumerate(numbers):
            found = probabilities(model, text[:step])
            losses.append(-np.log(found[number]))
            right.append(found.argmax() == number)
    loss, accuracy = model.evaluate(language_batches(model, texts), verbose=0)
    assert loss == pytest.approx(np.mean(losses), abs=1e-6)
    assert accuracy == pytest.approx(np.mean(right), abs=1e-6)
    model.compile("sgd", "sparse_categorical_crossentropy")
    history = training.fit(model, language_batches(model, texts), epochs=1, verbose=0)
    assert history.history["loss"][0] == pytest.approx(np.mean(losses), abs=1e-6)


@pytest.mark.slow
def test_it_learns_what_follows_what():
    model = small(units=16, embedding=8, cell="elman")
    model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
    training.fit(model, language_batches(model, ["abcabcabc"] * 8, batch_size=1), epochs=30, verbose=0)
    assert generate(model, length=20, temperature=0) == "abcabcabc"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: small(unit="byte"), ValueError, '`unit` must be "character" or "word". Received: unit=\'byte\'.'),
        (
            lambda: generate(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="mine")),
            TypeError,
            "`model` must be one that kerasdl.sequences.language_model made. "
            "Received: <Sequential name=mine, built=True>.",
        ),
        (
            lambda: generate(None, "a"),
            TypeError,
            "`model` must be one that kerasdl.sequences.language_model made. Received: None.",
        ),
        (
            lambda: small(letters=["be", "a"]),
            ValueError,
            "`vocabulary` must be single characters: make it with kerasdl.sequences.vocabulary(texts, "
            'unit="character"), or ask for a model of words, unit="word". Received: \'be\'.',
        ),
        (
            lambda: small(letters=["Be", "a b", "c"], unit="word"),
            ValueError,
            "`vocabulary` must have words as texts are split into them, in lower case and without spaces: make it with "
            "kerasdl.sequences.vocabulary. Received: 'Be', 'a b'.",
        ),
        (
            lambda: small(letters="abc"),
            TypeError,
            "`vocabulary` must be a list of words, as kerasdl.sequences.vocabulary makes. Got: 'abc'.",
        ),
        (
            lambda: small(letters=["a", "\0"]),
            ValueError,
            "`vocabulary` must be without the character '\\0', which arrays of strings cannot hold.",
        ),
        (lambda: small(letters=[None]), TypeError, "`vocabulary` must be strings. Received: None."),
        (
            lambda: small(embedding=0),
            ValueError,
            "`embedding` must be a whole number of at least 1. Received: embedding=0.",
        ),
        (lambda: small(dropout=2), ValueError, "`dropout` must be a number from 0 to below 1. Received: dropout=2."),
        (
            lambda: language_batches(small(), ["a"], window=0),
            ValueError,
            "`window` must be a whole number of at least 1. Received: window=0.",
        ),
        (lambda: language_batches(small(), []), ValueError, "`texts` must hold at least one text. Received: none."),
        (
            lambda: language_batches(small(), "abc"),
            TypeError,
            "`texts` must be many texts, as a list or a data set. Received: one text, 'abc'.",
        ),
    ],
)
def test_what_cannot_be_built_is_refused(call, error, message):
    with pytest.raises(error) as raised:
        call()
    assert str(raised.value) == message
