"""Many-to-many, in step: a class for every word of a sentence, or for every frame of a signal."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.sequences import class_names, decoding, letters, recurrent, text
from kerasdl.sequences.checks import check_whole

_ENDING_UNITS, _SHAPE_UNITS = 25, 5
_AT_ONCE = 128  # sentences

# Words as treebanks have them: "don't" is do and n't, "it's" is it and 's, "3.5" is one, and so is every other mark.
_WORD = re.compile(r"\w+(?=n['’]t\b)|n['’]t\b|['’]\w+|\d+(?:[.,]\d+)*|\w+|[^\w\s]", re.IGNORECASE)


def _vectors(strings: Any, known: list[str], units: int, name: str) -> Any:
    lookup = keras.layers.StringLookup(vocabulary=known, mask_token=text.PADDING, oov_token=text.UNKNOWN, name=name)
    embedding = keras.layers.Embedding(len(known) + 2, units, mask_zero=True, name=f"{name}_embedding")
    return embedding(lookup(strings))


def _check(vocabulary: Any, features: Any, embedding: Any, suffixes: Any) -> None:
    if (vocabulary is None) == (features is None):
        raise ValueError(
            "`tagger` must be given a `vocabulary` to tag words, or `features`, how many numbers each frame has, to "
            f"tag a signal. Received: {'neither' if features is None else 'both'}."
        )
    if features is not None:
        check_whole("features", features)
    check_whole("embedding", embedding)
    check_whole("suffixes", suffixes, least=0)


def tagger(
    vocabulary: list[str] | None = None,
    *,
    classes: int | Sequence[str],
    features: int | None = None,
    cell: str = "elman",
    units: int = 128,
    embedding: int = 100,
    suffixes: int = 3,
    layers: int = 1,
    bidirectional: bool = False,
    dropout: float = 0.0,
    name: str = "tagger",
) -> keras.Model:
    """A recurrent network that gives every word of a sentence, or every frame of a signal, a class.

    A word is known by a vector of its own, by the vectors of its last letters, up to `suffixes` of them, and by whether
    it is capitalised, in capitals, or has a digit: "unhelpfully" is an adverb though nobody has seen it. Leave words
    that stand once out of the vocabulary (`minimum_count=2`), and the model learns from them what to make of new ones.

    Sentences are split already, `(batch, steps)` strings padded with `""`, as `data.load("tagged_sentences")` gives
    them. Signals are `(batch, steps, features)`, padded with frames whose numbers are all 0; where a real frame may be
    all 0, add a feature that is 1 in each real frame. Padding changes no state, and its labels, any valid classes, have
    no part in the loss of a batch. Keras' "accuracy" weighs a batch by its padding, and its loss by its rows;
    `kerasdl.sequences.StepAccuracy()` counts every real step once.

    Give `fit` and `predict` words as `tf.constant(sentences)` or as an array of `dtype=object`: Keras takes no arrays
    of NumPy's own strings.

    Args:
        vocabulary: Words as `kerasdl.sequences.vocabulary(..., unit="token")` gives them; None for a signal.
        classes: The names of the classes, or how many there are.
        features: How many numbers a frame of a signal has; None for words.
        cell: `"elman"`, `"gru"` or `"lstm"`.
        units: The size of the state, of each direction.
        embedding: The size of a word's vector.
        suffixes: The longest ending of a word that has a vector, in letters; 0 for the words alone.
        layers: How many recurrent layers.
        bidirectional: Whether each step sees what comes after it too.
        dropout: The share of the vectors and of each layer's outputs that is dropped in training.
        name: The model's name.

    Returns:
        A model to probabilities `(batch, steps, classes)`, to be compiled with "sparse_categorical_crossentropy".

    Example:
        >>> model = tagger(["I", "eggs", "like"], classes=("NOUN", "PRON", "VERB"), units=8)
        >>> model(tf.constant([["I", "like", "eggs"], ["eggs", "", ""]])).shape
        TensorShape([2, 3, 3])
        >>> tagger(features=6, classes=5, units=8).input_shape
        (None, None, 6)

    Reference:
        [Collobert et al., 2011](https://www.jmlr.org/papers/v12/collobert11a.html), sections 3.2.2 and 6.1, which
        adds vectors for a word's capitals and its suffix; here for endings of several lengths
    """
    _check(vocabulary, features, embedding, suffixes)
    recurrent.check_recurrent(cell, units, layers, dropout)
    if vocabulary is None:
        inputs = keras.Input((None, features), name="frames")
        x = keras.layers.Masking(name="padding")(inputs)
    else:
        known = text.check_vocabulary(vocabulary)
        inputs = keras.Input((None,), dtype="string", name="sentences")
        x = _vectors(inputs, known, int(embedding), "words")
        if suffixes:
            shape = letters.WordShape(name="shape")(inputs)
            # Masked as all other vectors are: together with what has no mask, padding would count.
            parts = [
                x,
                keras.layers.Embedding(letters.WORD_SHAPES, _SHAPE_UNITS, mask_zero=True, name="shape_embedding")(
                    shape
                ),
            ]
            for length in range(1, suffixes + 1):
                ending = letters.WordEnding(length, name=f"ending{length}")(inputs)
                parts.append(_vectors(ending, letters.known_endings(known, length), _ENDING_UNITS, f"endings{length}"))
            x = keras.layers.Concatenate(name="letters")(parts)
    if dropout and vocabulary is not None:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    x = recurrent.stack(
        x,
        cell=cell,
        units=units,
        layers=layers,
        bidirectional=bidirectional,
        return_sequences=True,
        dropout=dropout,
    )
    return keras.Model(inputs, class_names.output(x, classes), name=name)


def _most_likely(model: keras.Model, words: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """The class of each word of all sentences, one behind the other; so any number and length needs one compilation."""
    sentences = tf.RaggedTensor.from_row_lengths(words, lengths)
    found = tf.argmax(model(sentences.to_tensor(text.PADDING), training=False), axis=-1)
    return tf.boolean_mask(found, tf.sequence_mask(lengths))


def _words(sentences: Any) -> list[list[str]]:
    """Every sentence as a list of words, whatever it came as."""
    if isinstance(sentences, tf.data.Dataset):
        raise TypeError(
            "`sentences` must be many sentences, as a list: of a data set give [words for words, _ in dataset]. "
            f"Received: elements {sentences.element_spec}."
        )
    if isinstance(sentences, tf.RaggedTensor):
        sentences = sentences.to_list()
    elif isinstance(sentences, tf.Tensor):
        sentences = sentences.numpy()
    single = isinstance(sentences, str | bytes) or (isinstance(sentences, np.ndarray) and not sentences.ndim)
    if single or not isinstance(sentences, Iterable):
        raise TypeError(f"`sentences` must be many sentences, as a list. Received: {sentences!r}.")
    split = []
    for sentence in sentences:
        is_whole = isinstance(sentence, str | bytes)
        if not is_whole and not (isinstance(sentence, Iterable) and len(getattr(sentence, "shape", (0,))) == 1):
            raise TypeError(f"`sentences` must be strings, or lists of words. Received: {sentence!r} as one of them.")
        words = text.as_list([sentence] if is_whole else sentence, "sentences")
        found = [word.decode() if isinstance(word, bytes) else str(word) for word in words]
        split.append(_WORD.findall(found[0]) if is_whole else [word for word in found if word != text.PADDING])
    return split


def tag(model: keras.Model, sentences: Any) -> list[list[tuple[str, str | int]]]:
    """Gives every word of some sentences the name of its most likely class.

    Args:
        model: What `tagger` made for words.
        sentences: A list of sentences, each a list of words, or a string, which is split as treebanks are: "don't" is
            do and n't. An array of words padded with `""`, as data sets give it, or a ragged tensor may be given too.

    Returns:
        For each sentence its words with their tags; with the classes' numbers, where the model knows no names. An empty
        list for no sentences.

    Example:
        >>> model = tagger(["I", "eggs", "like"], classes=("NOUN", "PRON", "VERB"), units=8)
        >>> [word for word, name in tag(model, ["I don't like eggs."])[0]]
        ['I', 'do', "n't", 'like', 'eggs', '.']

    Reference:
        [Marcus et al., 1993](https://aclanthology.org/J93-2004/), for how words are split
    """
    names = class_names.names_of(model)
    if len(model.input_shape) != 2:
        raise TypeError(
            "`model` must be a tagger of words; for a signal use model.predict. "
            f"Received: one whose input is {model.input_shape}."
        )
    split = _words(sentences)
    found: list[int] = []
    for at in range(0, len(split), _AT_ONCE):
        part = split[at : at + _AT_ONCE]
        words = [word for sentence in part for word in sentence]
        if words:
            lengths = np.array([len(sentence) for sentence in part], "int64")
            found += decoding.compiled(model, _most_likely)(tf.constant(words), lengths).numpy().tolist()
    tags = iter(found)
    return [[(word, names[next(tags)]) for word in sentence] for sentence in split]
