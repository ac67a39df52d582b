"""Language models: what they are trained on, and what they write."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl import training
from kerasdl.sequences import generate, generating, language_batches, language_model, vocabulary

LETTERS = ["a", "b", "c"]
FIRST = 4  # the number of "a", behind padding, unknown, start and end


def small(seed=0, letters=LETTERS, **options):
    keras.utils.set_random_seed(seed)
    return language_model(letters, **{"units": 5, "embedding": 3, **options})


def sharpened(model, factor=30.0):
    """Makes what an untrained model believes differ from step to step."""
    model.set_weights([factor * weight for weight in model.get_weights()])
    return model


def probabilities(model, text):
    """What the whole model, reading a text from its start, believes to come next."""
    return model(tf.constant([text])).numpy()[0, -1]


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
