"""Text to numbers and back."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.sequences import text, vocabulary


def words_of(split, *texts):
    return [[word.decode() for word in row] for row in split(tf.constant(texts)).to_list()]


def test_words_are_letters_digits_and_single_marks():
    assert words_of(text.split_words, "J'ai PEUT-ÊTRE tort, non ?", "I don't know: 3.5!") == [
        ["j'", "ai", "peut-être", "tort", ",", "non", "?"],
        ["i", "don'", "t", "know", ":", "3", ".", "5", "!"],
    ]


def test_accents_stay_with_their_letters_however_they_are_written():
    assert words_of(text.split_words, "e\u0301te\u0301 fini") == [["e\u0301te\u0301", "fini"]]


@pytest.mark.parametrize("split", [text.split_words, text.split_characters])
def test_an_empty_text_has_one_step_of_padding(split):
    assert words_of(split, "", "a") == [[""], ["a"]]
    assert words_of(split, "") == [[""]]


def test_what_is_seen_and_what_is_to_be_said_are_one_step_apart():
    assert words_of(text.split_words_after_start, "I am.", "") == [["[START]", "i", "am", "."], ["[START]"]]
    assert words_of(text.split_words_before_end, "I am.", "") == [["i", "am", ".", "[END]"], ["[END]"]]


def test_joined_words_read_like_a_sentence():
    for sentence in ("i don't know.", "j'ai peut-être tort, non?", "(so it is: [yes])", "wait... what?"):
        assert text.join_words(text.split_words([sentence]).to_list()[0]) == sentence


def test_a_vocabulary_is_sorted_by_frequency_and_then_by_the_alphabet():
    texts = ["b a b", "c A", "a"]
    assert vocabulary(texts) == ["a", "b", "c"]
    assert vocabulary(np.array(texts)) == vocabulary(tf.constant(texts)) == ["a", "b", "c"]
    assert vocabulary(tf.data.Dataset.from_tensor_slices(texts).batch(2), minimum_count=2) == ["a", "b"]
    assert vocabulary(tf.data.Dataset.from_tensor_slices(texts), size=1) == ["a"]
    assert vocabulary(["ab", ""], unit="character") == ["a", "b"]
    assert vocabulary(["New York", "", "New York"], unit="token") == ["New York"]


@pytest.mark.parametrize(
    ("texts", "arguments", "error", "message"),
    [
        ("a text", {}, TypeError, "`texts` must be many texts, as a list or a data set. Received: one text, 'a text'."),
        ([1, 2], {}, TypeError, "`texts` must be strings. Received: 1."),
        (["", " "], {}, ValueError, "`texts` must hold a word that stands there at least 1 times. Received: none."),
        (3, {}, TypeError, "`texts` must be many texts, as a list or a data set. Received: 3."),
        (
            np.array("a"),
            {},
            TypeError,
            "`texts` must be many texts, as a list or a data set. Received: one text, array('a', dtype='<U1').",
        ),
        ([["a"], ["b"]], {}, TypeError, "`texts` must be strings. Received: ['a']."),
        (
            ["\ud800"],
            {},
            ValueError,
            "`texts` must be text that UTF-8 can encode; text.encode(errors='replace') writes ? for the rest. "
            "Received: '\\ud800'.",
        ),
        (["a"], {"size": 0}, ValueError, "`size` must be a whole number of at least 1. Received: size=0."),
        (
            ["a"],
            {"unit": "x"},
            ValueError,
            '`unit` must be "word", "character" or "token". Received: unit=\'x\'.',
        ),
    ],
)
def test_wrong_arguments_are_refused(texts, arguments, error, message):
    with pytest.raises(error) as raised:
        vocabulary(texts, **arguments)
    assert str(raised.value) == message


def test_a_data_set_of_pairs_is_refused():
    pairs = tf.data.Dataset.from_tensor_slices((["a"], [1]))
    with pytest.raises(TypeError, match="choose them with `map`"):
        vocabulary(pairs)


@pytest.mark.parametrize("words", [["a", "a"], [], ["a", "[START]"]])
def test_wrong_vocabularies_are_refused(words):
    with pytest.raises(ValueError, match="`vocabulary` must have at least one word, each once"):
        text.check_vocabulary(words)


@pytest.mark.parametrize("word", ["I", "É", "new york", "don't", "a\tb", " "])
def test_words_that_no_text_is_split_into_are_refused(word):
    with pytest.raises(ValueError, match=r"make it with kerasdl.sequences.vocabulary. Received: ") as raised:
        text.to_ids(["a", word], text.split_words, name="words")
    assert str(raised.value).endswith(f"Received: {word!r}.")
    # As characters or tokens they are found.
    assert text.to_ids(["a", word], text.split_characters, name="words").vocabulary_size() == 4


def test_every_vocabulary_that_is_made_can_be_found():
    strange = "İstanbul ǅ \u00a0 x\u0301 \u0301 a-b-'c' don't 3.5 \v ß ẞ ΑΣ 🙂👍🏽 a\u200bb --a a-- 'a [UNK]"
    words = vocabulary([strange])
    assert text.to_ids(words, text.split_words_after_start, name="words", ends=True).vocabulary_size() == 4 + len(words)


def test_numbers_are_the_same_after_saving(tmp_path):
    strings = keras.Input((), dtype="string")
    ids = text.to_ids(["a", "é"], text.split_words_after_start, name="words", ends=True)(strings)
    keras.Model(strings, ids).save(tmp_path / "model.keras")
    model = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert model.get_layer("words").get_vocabulary() == ["", "[UNK]", "[START]", "[END]", "a", "é"]
    np.testing.assert_array_equal(model(tf.constant(["É b a", ""])), [[2, 5, 1, 4], [2, 0, 0, 0]])
    np.testing.assert_array_equal(model.predict(np.array(["a"], object), verbose=0), [[2, 4]])


def test_unicode_spaces_part_words_and_are_none():
    assert text.split_words(["a\u00a0b\u2009c\u3000!", "\u3000"]).to_list() == [[b"a", b"b", b"c", b"!"], [b""]]


def test_words_of_sentences_of_any_lengths_are_counted():
    assert vocabulary([["I", "like"], ["I"], tf.constant(["I", "eggs", ""])], unit="token") == ["I", "eggs", "like"]
    assert vocabulary(["I", "I", "like"], unit="token") == ["I", "like"]
    assert vocabulary(tf.ragged.constant([["a"], ["b", "a"]]), unit="token") == ["a", "b"]
