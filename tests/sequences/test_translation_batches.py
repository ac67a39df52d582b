"""Pairs of sentences as batches: strings and the numbers of the words, shuffled by length, refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_translators import PAIRS, make

from kerasdl.sequences import translate, translation_batches


@pytest.fixture(scope="module")
def small():
    return make("last state", units=4)


def test_batches_have_the_strings_and_the_numbers_of_the_words(small):
    model = small
    data = tf.data.Dataset.from_tensor_slices(tuple(map(list, zip(*PAIRS, strict=True))))
    for pairs in (PAIRS, data.batch(3)):
        (inputs, words), *others = translation_batches(model, pairs, batch_size=4)
        assert not others
        assert inputs["source"].numpy().tolist() == [pair[0].encode() for pair in PAIRS]
        names = np.array(model.get_layer("target_words").get_vocabulary())
        assert [" ".join(names[row[row > 0]]) for row in words.numpy()] == [
            "je vois un chien . [END]",
            "tu vois . [END]",
            "un chat me voit maintenant [END]",
            "vide [END]",
        ]


def test_shuffled_batches_are_other_ones_in_each_epoch_and_of_similar_lengths(small):
    model = small
    pairs = [(f"a {'cat ' * (number % 8)}", f"{number} {'chat ' * (number % 8)}") for number in range(64)]
    data = translation_batches(model, pairs, batch_size=8, shuffle=True, seed=3)
    assert len(data) == 8
    first, second = list(data), list(data)
    epochs = [[text for inputs, _ in each for text in inputs["target"].numpy().tolist()] for each in (first, second)]
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(target.encode() for _, target in pairs)
    shapes = [words.shape[1] for _, words in first]
    assert np.mean([int((words != 0).numpy().sum()) / words.numpy().size for _, words in first]) > 0.95
    assert shapes != sorted(shapes)
    again = translation_batches(model, pairs, batch_size=8, shuffle=True, seed=3)
    assert [t for inputs, _ in again for t in inputs["target"].numpy().tolist()] == epochs[0]


def test_other_models_and_other_data_are_refused(small):
    other = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)], name="other")
    for call in (lambda: translate(other, ["a"]), lambda: translation_batches(other, PAIRS)):
        with pytest.raises(
            TypeError, match=r"^`model` must be one that kerasdl.sequences.translator made. Received: <"
        ):
            call()
    model = small
    for pairs in ([("a", 1)], ["a"], tf.data.Dataset.from_tensor_slices(["a"])):
        with pytest.raises(TypeError, match=r"^`pairs` must be pairs of strings, \(source, target\). Received: "):
            translation_batches(model, pairs)
    for pairs in (None, 3, "ab"):
        with pytest.raises(TypeError, match=r"^`pairs` must be a list or a data set of \(source, target\). Received: "):
            translation_batches(model, pairs)
    # All sources and all targets, which would pass for two pairs.
    for pairs in ((["a", "b"], ["c", "d"]), (("a", "b"), ("c", "d"))):
        with pytest.raises(TypeError, match=r"list\(zip\(sources, targets\)\) makes pairs of them.$"):
            translation_batches(model, pairs)
    with pytest.raises(ValueError, match=r"^`pairs` must be text that UTF-8 can encode"):
        translation_batches(model, [("a", "\ud800")])
    for name, value in (("batch_size", 0), ("batch_size", 2.5), ("seed", None)):
        with pytest.raises(ValueError, match=rf"^`{name}` must be a whole number of at least ."):
            translation_batches(model, PAIRS, **{name: value})
    with pytest.raises(ValueError, match=r"^`pairs` must hold at least one pair of strings. Received: none.$"):
        translation_batches(model, [])
