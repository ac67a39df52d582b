"""What language models write, compared with reading all again after every letter."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_language_models import LETTERS, probabilities, small

from kerasdl.sequences import generate, generating


def sharpened(model, factor=30.0):
    """Makes what an untrained model believes differ from step to step."""
    model.set_weights([factor * weight for weight in model.get_weights()])
    return model


@pytest.mark.parametrize(("cell", "layers"), [("elman", 1), ("gru", 2), ("lstm", 2)])
def test_a_step_is_the_whole_model_on_the_text_so_far(cell, layers):
    model = sharpened(small(cell=cell, layers=layers, dropout=0.3), 3.0)
    texts = tf.constant(["abcacbba", "ccabbaab"])
    whole = model(texts).numpy()
    states = generating.first_states(model, 2)
    for step, numbers in enumerate(tf.transpose(model.get_layer("words")(texts))):
        logits, states = generating.step(model, numbers, states)
        np.testing.assert_allclose(tf.nn.softmax(logits), whole[:, step], atol=1e-5)


def test_the_likeliest_is_what_reading_all_again_gives_whatever_stands_beside(tmp_path):
    model = sharpened(small(seed=3, cell="lstm", units=8))
    prompts = ["", "ab", "cbbca", "a"]
    expected = []
    for prompt in prompts:
        text = prompt
        for _ in range(6):
            likeliest = probabilities(model, text)[3:].argmax()
            if likeliest == 0:
                break
            text += LETTERS[likeliest - 1]
        expected.append(text)
    assert len(set(expected)) >= 3
    assert generate(model, prompts, 6, temperature=0) == expected
    assert generate(model, "ab", 6, temperature=0) == expected[1]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert generate(loaded, prompts, 6, temperature=0) == expected
    assert generate(loaded, prompts, 6, seed=7) == generate(model, prompts, 6, seed=7)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_what_is_drawn_is_as_frequent_as_the_softmax_says(temperature):
    model = sharpened(small(seed=1), 2.0)
    logits = np.log(probabilities(model, "ab")[3:]) / temperature
    expected = np.exp(logits) / np.exp(logits).sum()
    count = 4000
    drawn = [text[2:] for text in generate(model, ["ab"] * count, 1, temperature=temperature, seed=5)]
    observed = np.array([drawn.count(letter) for letter in ["", *LETTERS]])
    # Pearson's statistic of 3 degrees of freedom is over 16.3 once in a thousand times.
    assert ((observed - count * expected) ** 2 / (count * expected)).sum() < 16.3


def test_only_the_end_and_words_are_written_and_nothing_behind_the_end():
    model = small()
    bias = np.full(7, 9.0, "float32")
    bias[3:] = [0.0, 0.0, -90.0, -90.0]  # padding, unknown and start are likeliest; then, equally, the end and "a"
    model.get_layer("logits").set_weights([np.zeros((5, 7), "float32"), bias])
    texts = generate(model, ["b"] * 2000, 50)
    assert {*"".join(texts)} == {"a", "b"}
    # Before an end that comes with probability 1/2 there is on average one letter, with variance 2.
    lengths = np.array([len(text) - 1 for text in texts])
    assert lengths.mean() == pytest.approx(1.0, abs=4 * (2 / 2000) ** 0.5)


def test_the_seed_decides_and_no_temperature_is_too_low():
    model = small()
    assert generate(model, "a", 30, seed=1) == generate(model, "a", 30, seed=1)
    assert generate(model, "a", 30, seed=1) != generate(model, "a", 30, seed=2)
    assert generate(model, "a", 30, temperature=1e-30) == generate(model, "a", 30, temperature=0)
    assert all(len(text) == 8 for text in generate(sharpened(small(seed=3, units=8)), ["abcabca"], 1, temperature=0))


def test_words_are_joined_as_one_writes():
    model = small(letters=["know", "don'", "t", "."], unit="word")
    model.get_layer("logits").set_weights([np.zeros((5, 8), "float32"), np.eye(8, dtype="float32")[7] * 50])
    assert generate(model, "I don't  xyzzy", 2) == "I don't  xyzzy.."
    model.get_layer("logits").set_weights([np.zeros((5, 8), "float32"), np.eye(8, dtype="float32")[4] * 50])
    prompts = ["know ", "[END]", "don'"]
    assert generate(model, prompts, np.int64(1)) == ["know know", "[END] know", "don'know"]
    assert generate(model, tf.constant(prompts), 1, seed=-(2**63)) == generate(model, prompts, 1)
    assert generate(model, b"know ", 1) == "know know"
    assert generate(model, []) == []


def test_a_second_call_traces_nothing_and_the_model_is_forgotten(monkeypatch):
    model = small()
    traces = []
    step = generating.step
    monkeypatch.setattr(generating, "step", lambda *arguments: traces.append(1) or step(*arguments))
    generate(model, "a", 3)
    count = len(traces)
    assert count > 0
    generate(model, ["b", "abc"], 5, temperature=0.3, seed=9)
    assert len(traces) == count
    reference = weakref.ref(model)
    del model
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"prompt": "abXcé"},
            ValueError,
            "`prompt` must be made of the characters of the model's vocabulary. Received one with 'X', 'é'.",
        ),
        ({"prompt": "\x1f"}, ValueError, "vocabulary. Received one with '\\x1f'."),
        ({"prompt": [3]}, TypeError, "`prompt` must be strings. Received: 3."),
        ({"length": 2**31}, ValueError, "`length` must be at most 1000000000. Received: length=2147483648."),
        (
            {"seed": 2**63},
            ValueError,
            "`seed` must be a whole number of 64 bits. Received: seed=9223372036854775808.",
        ),
        ({"length": 0}, ValueError, "`length` must be a whole number of at least 1. Received: length=0."),
        (
            {"temperature": -1},
            ValueError,
            "`temperature` must be a finite number of at least 0. Received: temperature=-1.",
        ),
        (
            {"temperature": float("nan")},
            ValueError,
            "`temperature` must be a finite number of at least 0. Received: temperature=nan.",
        ),
        ({"seed": 0.5}, TypeError, "`seed` must be a whole number. Received: seed=0.5."),
    ],
)
def test_what_cannot_be_written_is_refused(arguments, error, message):
    with pytest.raises(error) as raised:
        generate(small(), **arguments)
    assert str(raised.value).endswith(message)
