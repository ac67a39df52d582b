"""Language models: what is the next character, or the next word, and so on without an end."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.sequences import recurrent, text
from kerasdl.sequences.checks import check_whole

# What a window begins with that does not begin its text: no START is read before it. In UTF-8 no text has this byte.
_GOES_ON = b"\xff"


def _after_start(texts: tf.Tensor, split: Any) -> tf.RaggedTensor:
    """What `split` gives, behind the start where the text begins with its beginning."""
    begins = tf.strings.substr(texts, 0, 1) != _GOES_ON
    marks = tf.cast(~begins, "int32")
    texts = tf.strings.substr(texts, marks, tf.strings.length(texts) - marks)
    words = split(texts).with_row_splits_dtype("int64")
    starts = tf.RaggedTensor.from_row_lengths(
        tf.fill([tf.math.count_nonzero(begins)], text.START), tf.cast(begins, "int64")
    )
    return tf.concat([starts, words], axis=1)


@keras.saving.register_keras_serializable(package="kerasdl")
def split_characters_so_far(texts: Any) -> tf.RaggedTensor:
    """The characters of a text behind the start; those of a window that does not begin its text without it."""
    return _after_start(tf.convert_to_tensor(texts, "string"), lambda part: tf.strings.unicode_split(part, "UTF-8"))


@keras.saving.register_keras_serializable(package="kerasdl")
def split_words_so_far(texts: Any) -> tf.RaggedTensor:
    """The words of a text behind the start; those of a window that does not begin its text without it."""
    return _after_start(
        tf.convert_to_tensor(texts, "string"),
        lambda part: tf.ragged.boolean_mask(words := text.split_words(part), words != text.PADDING),
    )


_SPLITS = {"character": split_characters_so_far, "word": split_words_so_far}


def language_model(
    vocabulary: Sequence[str],
    *,
    unit: str = "character",
    cell: str = "lstm",
    units: int = 256,
    embedding: int = 64,
    layers: int = 1,
    dropout: float = 0.0,
    name: str = "language_model",
) -> keras.Model:
    """The probability of each character or word, given all before it: `p(w_t | w_1 ... w_{t-1})`.

    The model reads texts, each behind a start, and says after every step what may come next; behind the last
    character, too, so that a text of n characters has n + 1 answers. Train it on what `language_batches` makes, and
    give `predict` texts as `tf.constant(texts)` or as an array of `dtype=object`: Keras takes no arrays of NumPy's own
    strings.

    Args:
        vocabulary: The characters or words, as `kerasdl.sequences.vocabulary` makes with the same `unit`.
        unit: `"character"` or `"word"`: what is read and said at a step.
        cell: `"elman"`, `"gru"` or `"lstm"`.
        units: The size of the state.
        embedding: The length of the vector that a character or word is read as.
        layers: How many recurrent layers.
        dropout: The share of each recurrent layer's outputs that is dropped in training.
        name: The model's name.

    Returns:
        A model from strings, `(batch,)`, to probabilities, `(batch, steps, 4 + len(vocabulary))`: of padding, of what
        the vocabulary lacks, of start, of end, and of the vocabulary.

    Example:
        >>> model = language_model(["a", "b"], units=8, embedding=4)
        >>> model(tf.constant(["abba", "b"])).shape
        TensorShape([2, 5, 6])

    Reference:
        [Elman, 1990](https://doi.org/10.1207/s15516709cog1402_1)
    """
    if unit not in _SPLITS:
        raise ValueError(f'`unit` must be "character" or "word". Received: unit={unit!r}.')
    check_whole("embedding", embedding)
    recurrent.check_recurrent(cell, units, layers, dropout)
    known = text.check_vocabulary(vocabulary)
    if unit == "word":
        text.check_can_be_found(known)
    elif long := [word for word in known if len(word) > 1]:
        raise ValueError(
            "`vocabulary` must be single characters: make it with kerasdl.sequences.vocabulary(texts, "
            f'unit="character"), or ask for a model of words, unit="word". Received: {", ".join(map(repr, long[:3]))}.'
        )
    words = text.to_ids(known, _SPLITS[unit], name="words", ends=True)
    texts = keras.Input((), dtype="string", name="texts")
    x = keras.layers.Embedding(words.vocabulary_size(), int(embedding), mask_zero=True, name="embedding")(words(texts))
    x = recurrent.stack(x, cell=cell, units=units, layers=layers, return_sequences=True, dropout=dropout)
    x = keras.layers.Dense(words.vocabulary_size(), dtype="float32", name="logits")(x)
    return keras.Model(texts, keras.layers.Activation("softmax", dtype="float32", name="predictions")(x), name=name)


def unit_of(model: keras.Model) -> str:
    """Whether the model reads characters or words; refuses other models."""
    layers = [layer for layer in getattr(model, "layers", ()) if layer.name == "words"]
    is_reader = bool(layers) and isinstance(layers[0], keras.layers.TextVectorization)
    split = layers[0].get_config()["split"] if is_reader else None
    for unit, function in _SPLITS.items():
        if split is function:
            return unit
    raise TypeError(f"`model` must be one that kerasdl.sequences.language_model made. Received: {model!r}.")


def _tokens(texts: Any, unit: str) -> Iterator[list[str]]:
    """The characters or words of each text."""
    spec = texts.element_spec if isinstance(texts, tf.data.Dataset) else None
    if isinstance(spec, tuple) and len(spec) == 2 and all(getattr(part, "dtype", None) == tf.string for part in spec):
        texts = texts.map(lambda text, _: text)  # (text, text), as kerasdl.data.load gives it
    for batch in text.string_batches(texts):
        if unit == "character":
            yield from (list(each.decode() if isinstance(each, bytes) else each) for each in batch)
        elif len(batch):
            for words in text.split_words(tf.constant(batch.tolist())).to_list():
                yield [word.decode() for word in words if word]


def language_batches(
    model: keras.Model,
    texts: Any,
    *,
    batch_size: int = 32,
    window: int | None = 100,
    shuffle: bool = True,
    seed: int = 0,
) -> tf.data.Dataset:
    """What trains a language model: texts, and the same one step on, `w_1 w_2 ...` behind a start and `w_2 w_3 ...`.

    Long texts are cut into windows of about the same length, which are read each from an empty state. Only the first
    of a text is read behind the start, only the last is to say the end.

    Args:
        model: What `language_model` made.
        texts: Strings: a list, an array, or a `tf.data.Dataset` of them or of pairs of which the first is the text.
        batch_size: Windows in a batch.
        window: The most steps in a window; None for whole texts.
        shuffle: Whether windows come in a new order each time.
        seed: Decides the order.

    Returns:
        Batches of strings and the numbers of what comes next, padded with 0; for `fit` and `evaluate`. The padding has
        no part in the loss of a batch. Over several, Keras weighs the loss by rows, and "accuracy" by padding too;
        `kerasdl.sequences.StepBits()` and `StepAccuracy()` count every step once.

    Example:
        >>> model = language_model(["a", "b"], units=8, embedding=4)
        >>> for strings, following in language_batches(model, ["abba", "b"], shuffle=False):
        ...     print(strings.numpy(), following.numpy().tolist())
        [b'abba' b'b'] [[4, 5, 5, 4, 3], [5, 3, 0, 0, 0]]

    Reference:
        [Williams and Zipser, 1989](https://doi.org/10.1162/neco.1989.1.2.270): teacher forcing
    """
    unit = unit_of(model)
    check_whole("batch_size", batch_size)
    if window is not None:
        check_whole("window", window)
    numbers = {word: number for number, word in enumerate(model.get_layer("words").get_vocabulary())}
    glue = "" if unit == "character" else " "
    windows, following, lengths = [], [], []
    for tokens in _tokens(texts, unit):
        steps = len(tokens) + 1  # with the end
        parts = math.ceil(steps / (window or steps))
        borders = [round(part * steps / parts) for part in range(parts + 1)]
        for begin, end in itertools.pairwise(borders):
            seen = glue.join(tokens[max(begin - 1, 0) : end - 1]).encode()
            windows.append(_GOES_ON + seen if begin else seen)
            lengths.append(end - begin)
        following += [numbers.get(word, text.UNKNOWN_ID) for word in tokens]
        following.append(text.END_ID)
    if not windows:
        raise ValueError("`texts` must hold at least one text. Received: none.")
    targets = tf.RaggedTensor.from_row_lengths(np.array(following, "int64"), lengths)
    data = tf.data.Dataset.from_tensor_slices((windows, targets))
    if shuffle:
        data = data.shuffle(len(windows), seed=seed)
    return data.batch(batch_size).map(lambda seen, next_: (seen, next_.to_tensor())).prefetch(tf.data.AUTOTUNE)
