"""Compiled once per model, and the best sentence found."""

import gc
import itertools
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.sequences.decoding import beam_search, compiled

START, END, WORDS, LENGTH = 0, 1, 4, 4


def _scaled(model, x, *, times):
    _scaled.traced += 1
    return times * model(x)


def _small_model():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])


def test_it_is_compiled_once_for_all_batch_sizes():
    _scaled.traced = 0
    model = _small_model()
    assert compiled(model, _scaled, times=2.0)([[1.0, 2.0]]).numpy().tolist() == [[6.0]]
    assert compiled(model, _scaled, times=2.0)(np.ones((3, 2), "float32")).numpy().tolist() == [[4.0]] * 3
    assert _scaled.traced == 1
    model.layers[0].kernel.assign([[10.0], [20.0]])
    assert compiled(model, _scaled, times=2.0)([[1.0, 1.0]]).numpy().tolist() == [[60.0]]
    assert compiled(model, _scaled, times=3.0)([[1.0, 1.0]]).numpy().tolist() == [[90.0]]
    assert _scaled.traced == 2


def test_what_is_compiled_does_not_keep_the_model():
    _scaled.traced = 0
    model = _small_model()
    compiled(model, _scaled, times=1.0)([[1.0, 2.0]])
    gone = weakref.ref(model)
    del model
    keras.backend.clear_session()
    gc.collect()
    assert gone() is None


class Writer:
    """A tiny recurrent model with random weights: what comes next depends on all that came before."""

    def __init__(self, seed, units=5):
        random = np.random.default_rng(seed)
        self.embedding = random.normal(size=(WORDS, units)).astype("float32")
        self.recurrent = random.normal(size=(units, units)).astype("float32")
        self.readout = random.normal(size=(units, WORDS)).astype("float32")

    def step(self, words, state):
        state = tf.tanh(tf.gather(self.embedding, words) + state @ self.recurrent)
        return tf.nn.log_softmax(state @ self.readout), state, tf.nn.softmax(state[:, :3])

    def follow(self, first, words):
        """The log probability of a sentence and what was looked at, in NumPy."""
        state, total, looked = first, 0.0, []
        for last, word in itertools.pairwise([START, *words]):
            state = np.tanh(self.embedding[last] + state @ self.recurrent)
            scores = state @ self.readout
            total += scores[word] - np.log(np.exp(scores).sum())
            looked.append(np.exp(state[:3]) / np.exp(state[:3]).sum())
        return total, np.array(looked)


def all_sentences(never=()):
    allowed = [word for word in range(WORDS) if word not in (END, *never)]
    for words in range(LENGTH):
        for sentence in itertools.product(allowed, repeat=words):
            yield (*sentence, END)
    yield from itertools.product(allowed, repeat=LENGTH)


def search(writer, first, **options):
    @tf.function
    def run(first):
        return beam_search(writer.step, first, start=START, end=END, length=LENGTH, **options)

    written, scores, looked = (result.numpy() for result in run(first))
    sentences = [tuple(row[: list(row).index(END) + 1] if END in row else row) for row in written.tolist()]
    return sentences, scores, looked


@pytest.mark.parametrize(("alpha", "never"), [(0.0, ()), (1.5, ()), (0.7, (START,))])
def test_with_a_beam_for_everything_the_best_sentence_is_found(alpha, never):
    writer = Writer(0)
    first = np.random.default_rng(1).normal(size=(5, 5)).astype("float32")
    options = {"beam_width": WORDS**LENGTH, "length_penalty": alpha, "never": never}
    sentences, scores, looked = search(writer, first, **options)

    def rank(state, words):
        return writer.follow(state, words)[0] / ((5 + len(words)) / 6) ** alpha

    for row, state in enumerate(first):
        best = max(all_sentences(never), key=lambda words: rank(state, words))
        assert sentences[row] == best
        assert scores[row] == pytest.approx(rank(state, best), abs=1e-5)
        np.testing.assert_allclose(looked[row, : len(best)], writer.follow(state, best)[1], atol=1e-5)
        assert not looked[row, len(best) :].any()
    assert len(set(sentences)) > 1


def test_the_penalty_makes_sentences_longer():
    writer = Writer(0)
    first = np.random.default_rng(1).normal(size=(30, 5)).astype("float32")
    # Of all sentences: the quotient of two penalties only grows with alpha, so that none becomes shorter.
    short, long = (
        [len(sentence) for sentence in search(writer, first, beam_width=WORDS**LENGTH, length_penalty=alpha)[0]]
        for alpha in (0.0, 2.0)
    )
    assert all(after >= before for before, after in zip(short, long, strict=True))
    assert sum(long) > sum(short)


def test_a_beam_of_one_is_greedy():
    writer = Writer(2)
    first = np.random.default_rng(3).normal(size=(20, 5)).astype("float32")
    sentences, scores, _ = search(writer, first)
    for row, start in enumerate(first):
        words, state, total = [START], start, 0.0
        while len(words) <= LENGTH and words[-1] != END:
            state = np.tanh(writer.embedding[words[-1]] + state @ writer.recurrent)
            likely = np.exp(state @ writer.readout) / np.exp(state @ writer.readout).sum()
            words.append(int(likely.argmax()))
            total += np.log(likely.max())
        assert sentences[row] == tuple(words[1:])
        assert scores[row] == pytest.approx(total, abs=1e-5)
    assert len({len(sentence) for sentence in sentences}) > 1
    # A somewhat wider beam may lose the greedy sentence, and find nothing better; one for everything may not.
    widest = search(writer, first, beam_width=WORDS**LENGTH)[1]
    assert (widest > scores - 1e-5).all()
    assert (widest > scores + 0.01).any()


@pytest.mark.parametrize("penalty", [-0.1, float("nan"), float("inf"), "x", None])
def test_a_penalty_under_which_the_search_would_end_too_early_is_refused(penalty):
    with pytest.raises(ValueError, match="`length_penalty`") as raised:
        beam_search(Writer(0).step, np.zeros((1, 5)), start=START, end=END, length=LENGTH, length_penalty=penalty)
    wanted = "`length_penalty` must be a number of at least 0."
    assert str(raised.value) == f"{wanted} Received: length_penalty={penalty!r}."


def test_nobody_to_write_for():
    sentences, scores, looked = search(Writer(0), np.zeros((0, 5), "float32"), beam_width=2)
    assert sentences == []
    assert scores.shape == (0,)
    assert looked.shape == (0, LENGTH, 3)
