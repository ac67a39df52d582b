"""Many-to-one: a text is read to its end, and what is remembered then gives its class."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.sequences import class_names, decoding, recurrent, text
from kerasdl.sequences.checks import check_whole

_AT_ONCE = 128  # texts


def classifier(
    vocabulary: list[str],
    *,
    classes: int | Sequence[str],
    cell: str = "elman",
    units: int = 64,
    embedding: int = 64,
    layers: int = 1,
    bidirectional: bool = False,
    dropout: float = 0.0,
    name: str = "classifier",
) -> keras.Model:
    """A recurrent network that reads a text word by word and gives it a class, such as spam, or a mood.

    It takes texts as they are, `(batch,)` strings, and splits them into words in lower case and single marks. Leave
    words that stand once out of the vocabulary (`minimum_count=2`), and the model learns from them what to make of new
    ones. Padding changes no state: it does not matter which texts are in a batch together.

    Give `fit` and `predict` texts as `tf.constant(texts)` or as an array of `dtype=object`: Keras takes no arrays of
    NumPy's own strings.

    Args:
        vocabulary: The words that are known, as `kerasdl.sequences.vocabulary` gives them.
        classes: The names of the classes, or how many there are.
        cell: `"elman"`, `"gru"` or `"lstm"`.
        units: The size of the state, of each direction.
        embedding: The size of a word's vector.
        layers: How many recurrent layers.
        bidirectional: Whether a second layer beside each reads the text from its end.
        dropout: The share of the vectors and of each layer's outputs that is dropped in training.
        name: The model's name.

    Returns:
        A model to probabilities `(batch, classes)`, to be compiled with "sparse_categorical_crossentropy".

    Example:
        >>> model = classifier(["eggs", "free", "win"], classes=("ham", "spam"), units=8)
        >>> model(tf.constant(["Win free eggs!", "I like eggs."])).shape
        TensorShape([2, 2])

    Reference:
        [Elman, 1990](https://doi.org/10.1207/s15516709cog1402_1)
    """
    check_whole("embedding", embedding)
    recurrent.check_recurrent(cell, units, layers, dropout)
    inputs = keras.Input((), dtype="string", name="texts")
    ids = text.to_ids(vocabulary, text.split_words, name="words")
    x = ids(inputs)
    x = keras.layers.Embedding(ids.vocabulary_size(), int(embedding), mask_zero=True, name="embedding")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    x = recurrent.stack(
        x,
        cell=cell,
        units=units,
        layers=layers,
        bidirectional=bidirectional,
        return_sequences=False,
        dropout=dropout,
    )
    return keras.Model(inputs, class_names.output(x, classes), name=name)


def _most_likely(model: keras.Model, texts: tf.Tensor) -> tf.Tensor:
    return tf.argmax(model(texts, training=False), axis=-1)


def classify(model: keras.Model, texts: Any) -> list[str | int]:
    """Gives each text the name of its most likely class.

    Args:
        model: What `classifier` made.
        texts: Strings: a list, an array, a tensor, or a `tf.data.Dataset` of them. In a text without words there is
            nothing to read: it gets the class that the model gives to a state of zeros.

    Returns:
        A name for each; the class's number, where the model knows no names. An empty list for no texts.

    Example:
        >>> model = classifier(["eggs", "free", "win"], classes=("ham", "spam"), units=8)
        >>> set(classify(model, ["Win free eggs!", "I like eggs."])) <= {"ham", "spam"}
        True

    Reference:
        [Elman, 1990](https://doi.org/10.1207/s15516709cog1402_1)
    """
    names = class_names.names_of(model)
    if model.input_shape != (None,):
        raise TypeError(f"`model` must be a classifier of texts. Received: one whose input is {model.input_shape}.")
    strings = text.as_list(texts, "texts")
    found: list[np.ndarray] = [
        decoding.compiled(model, _most_likely)(tf.constant(strings[at : at + _AT_ONCE])).numpy()
        for at in range(0, len(strings), _AT_ONCE)
    ]
    return [names[place] for part in found for place in part]
