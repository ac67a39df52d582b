"""Translators: what is written word by word is what the whole network says, and padding never counts."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_translators import KINDS, PAIRS, SOURCE, TARGET, make

from kerasdl import training
from kerasdl.sequences import corpus_bleu, translate, translation_batches, translations, translator
from kerasdl.sequences.encoder_decoder import recurrent_steps
from kerasdl.sequences.transformer import transformer_steps

# Keras says so where a sentence has one word, and nothing is compiled.
pytestmark = pytest.mark.filterwarnings("ignore:.*You are using a softmax over axis")


@pytest.fixture(scope="module")
def small():
    return make("last state", units=4)


def log_probabilities(model, sources, targets):
    inputs = {"source": tf.constant(sources), "target": tf.constant(targets)}
    return np.log(model(inputs, training=False).numpy())


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow) if kind in ("gru", "last states") else kind for kind in KINDS]
)
def test_the_decoder_step_by_step_says_what_the_whole_network_says(kind):
    model = make(kind)
    sources, targets = ["a dog sees?", "", "You see a cat."], ["un chien voit", "vide", "tu vois inconnu un chat."]
    expected = log_probabilities(model, sources, targets)
    state, step = (transformer_steps if kind == "transformer" else recurrent_steps)(
        model, tf.constant(sources), beam_width=1
    )
    words = model.get_layer("target_words")(tf.constant(targets))
    for at in range(words.shape[1]):
        said, state, looked = step(tf.cast(words[:, at], "int32"), state)
        there = words[:, at] != 0
        np.testing.assert_allclose(said[there], expected[there, at], atol=1e-4)
        if looked.shape[1]:
            np.testing.assert_allclose(looked.numpy()[there & [True, False, True]].sum(axis=1), 1, atol=1e-5)
            assert not looked.numpy()[0, 4:].any()
    assert expected.std() > 0.1


@pytest.mark.parametrize(
    "kind",
    [
        "elman",
        "transformer",
        *(pytest.param(k, marks=pytest.mark.slow) for k in KINDS if k not in ("elman", "transformer")),
    ],
)
def test_longer_companions_in_a_batch_change_nothing(kind):
    model = make(kind)
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    alone = log_probabilities(model, ["You see."], ["tu vois"])
    beside = log_probabilities(model, ["You see.", "a cat sees me now ."], ["tu vois", "un chat me voit maintenant ."])
    np.testing.assert_allclose(beside[0, :3], alone[0], atol=1e-5)
    # Keras' mask reaches the loss: it is the mean over the words there are.
    (inputs, words), *_ = translation_batches(model, PAIRS[:3], batch_size=3)
    output = model(inputs)
    there = words.numpy() != 0
    assert output._keras_mask.numpy().tolist() == there.tolist()
    likelihood = np.take_along_axis(output.numpy(), words.numpy()[..., None], axis=2)[..., 0]
    loss = model.compute_loss(y=words, y_pred=output)
    assert float(loss) == pytest.approx(float(-np.log(likelihood[there]).mean()), abs=1e-5)


@pytest.mark.slow
def test_both_ways_of_training_measure_the_same_and_learn():
    histories = []
    for fit in (functools.partial(keras.Model.fit, shuffle=False), training.fit):
        model = make("elman", units=24, dropout=0.0)
        model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
        histories.append(fit(model, translation_batches(model, PAIRS[:3], batch_size=2), epochs=25, verbose=0).history)
    np.testing.assert_allclose(histories[0]["loss"][:3], histories[1]["loss"][:3], rtol=1e-4)
    assert histories[1]["accuracy"][-1] == 1
    sources, targets = zip(*PAIRS[:3], strict=True)
    assert translate(model, sources).sentences == [target.lower() for target in targets]
    assert corpus_bleu(translate(model, sources).sentences, targets) == pytest.approx(100)


@pytest.mark.parametrize("kind", ["elman", *(pytest.param(k, marks=pytest.mark.slow) for k in ("gru", "transformer"))])
def test_greedy_search_is_a_loop_that_takes_the_likeliest_word(kind, tmp_path, monkeypatch):
    model = make(kind, layers=1)
    model.save(tmp_path / "model.keras")
    model = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    traced = []
    monkeypatch.setattr(translations, "beam_search", lambda *a, **k: traced.append(1) or search(*a, **k))
    sources = ["a dog sees you now.", "", "Something unknown!", "see"]
    answer = translate(model, sources, length=7)
    names = model.get_layer("target_words").get_vocabulary()
    # What the whole network says behind the words that were written: no step sees those that follow.
    said = log_probabilities(model, sources, [" ".join(words) for words in answer.words])
    for at, (source, words, score) in enumerate(zip(sources, answer.words, answer.scores, strict=True)):
        if not source:
            assert (answer.sentences[at], words, score) == ("", [], 0)
            continue
        steps = min(len(words) + 1, 7)
        best = said[at, :steps, 3:]  # neither padding, nor unknown, nor the start
        assert [names[3 + word] for word in best.argmax(axis=1)] == [*words, "[END]"][:steps]
        assert score == pytest.approx(best.max(axis=1).sum() / ((5 + steps) / 6) ** 0.6, abs=1e-4)
    # The sources are given as the model reads them, and the attention has their shape.
    assert answer.source_words[0] == ["a", "dog", "sees", "you", "now", "."]
    for weights, words, source in zip(answer.attention, answer.words, answer.source_words, strict=True):
        assert weights.shape == (len(words), len(source))
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    # Other sentences, as many or not, are nothing new.
    assert len(translate(model, ["me"] * 3, length=7).sentences) == 3
    assert traced == [1]


search = translations.beam_search


def test_parameters_are_those_of_the_papers_formulas():
    words, written, units = len(SOURCE) + 2, len(TARGET) + 4, 8
    gru = make("gru", layers=1)
    both = 3 * (8 * units + units * units + 2 * units)
    attention = units * units + 2 * units * units + units
    expected = (words + written) * 8 + 2 * both + (2 * units + 1) * units + both
    expected += attention + 2 * units * units + (units + 1) * written
    assert gru.count_params() == expected
    # Vaswani et al.: four projections in each attention, and two layers of four times the units.
    transformer = make("transformer", layers=1)
    looking, feed_forward, norm = 4 * (units + 1) * units, 8 * units * units + 5 * units, 2 * units
    expected = (words + written) * units + 3 * looking + 2 * feed_forward + 7 * norm + (units + 1) * written
    assert transformer.count_params() == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cell": "rnn"}, "`cell` must be one of 'elman', 'gru', 'lstm', 'transformer'. Received: cell='rnn'."),
        ({"dropout": 1}, "`dropout` must be a number from 0 to below 1. Received: dropout=1."),
        ({"units": 0}, "`units` must be a whole number of at least 1. Received: units=0."),
        (
            {"cell": "transformer", "attention": False},
            "A transformer is made of attention. Received: attention=False.",
        ),
        (
            {"cell": "transformer", "embedding": 4, "units": 8},
            "In a transformer words have as many numbers as states: leave `embedding` out. Received: 4.",
        ),
        (
            {"cell": "transformer", "units": 10},
            "`units` must be an even multiple of `heads`. Received: units=10, heads=4.",
        ),
        ({"embedding": 0}, "`embedding` must be a whole number of at least 1. Received: embedding=0."),
        ({"embedding": 2.5}, "`embedding` must be a whole number of at least 1. Received: embedding=2.5."),
        ({"heads": 2}, "Only a transformer has `heads`: leave it out. Received: cell='gru', heads=2."),
        (
            {"cell": "transformer", "bidirectional": False},
            "A transformer's encoder sees all words at once: leave `bidirectional` out. Received: bidirectional=False.",
        ),
    ],
)
def test_what_cannot_be_built_is_refused(arguments, message):
    with pytest.raises(ValueError, match="Received") as raised:
        translator(SOURCE, TARGET, **arguments)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("sentences", "options", "error", "message"),
    [
        (
            "one",
            {},
            TypeError,
            "`sentences` must be many texts, as a list or a data set. Received: one text, 'one'.",
        ),
        (None, {}, TypeError, "`sentences` must be many texts, as a list or a data set. Received: None."),
        (
            tf.constant("one"),
            {},
            TypeError,
            "`sentences` must be many texts, as a list or a data set. Received: one text, b'one'.",
        ),
        (
            ["a"],
            {"length_penalty": -1},
            ValueError,
            "`length_penalty` must be a number of at least 0. Received: length_penalty=-1.",
        ),
        (["a", 3], {}, TypeError, "`sentences` must be strings. Received: 3."),
        (["a"], {"length": 0}, ValueError, "`length` must be a whole number of at least 1. Received: length=0."),
        (
            ["a"],
            {"beam_width": True},
            ValueError,
            "`beam_width` must be a whole number of at least 1. Received: beam_width=True.",
        ),
    ],
)
def test_what_cannot_be_translated_is_refused(small, sentences, options, error, message):
    with pytest.raises(error) as raised:
        translate(small, sentences, **options)
    assert str(raised.value) == message


def test_sentences_come_as_lists_arrays_tensors_and_data_sets(small):
    sentences = ["a dog sees", "", "you see ."]
    expected = translate(small, sentences, length=4).sentences
    assert expected[0] != expected[1]
    data = tf.data.Dataset.from_tensor_slices(sentences)
    for each in (np.array(sentences), tf.constant(sentences), data, data.batch(2), iter(sentences)):
        assert translate(small, each, length=4).sentences == expected


@pytest.mark.parametrize("kind", ["last state", "transformer"])
def test_a_sentence_much_longer_than_all_before_has_probabilities_too(kind):
    said = log_probabilities(make(kind), ["a cat sees " * 100], ["un chat voit " * 100])
    assert said.shape[1] == 301
    assert np.isfinite(said).all()


def test_nothing_to_translate(small):
    assert translate(small, []).sentences == []
