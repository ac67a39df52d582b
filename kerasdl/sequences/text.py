"""Text to numbers and back, inside the model: strings go in, so that a saved model needs nothing else."""

import collections
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.sequences.checks import check_whole

# What stands before the words: padding, which `Embedding(mask_zero=True)` masks, and what the vocabulary lacks; in
# vocabularies of text that is written also what a text begins and ends with.
PADDING, UNKNOWN, START, END = "", "[UNK]", "[START]", "[END]"
PADDING_ID, UNKNOWN_ID, START_ID, END_ID = range(4)

# Letters and digits, joined by hyphens, with an apostrophe that ends them ("don't" is don' and t); or any single mark.
_WORD = r"[\pL\pN\pM]+(?:-[\pL\pN\pM]+)*'?|[^\s\pZ\pL\pN\pM]"
# Unicode has more spaces than ASCII, at which alone TensorFlow splits.
_SPACES = r"[\s\pZ]+"
_CLOSING, _OPENING = ",.;:!?)]}%…", "([{"


def _never_empty(words: tf.RaggedTensor) -> tf.RaggedTensor:
    """Gives a text without words one step of padding, or a batch of such texts would have no steps at all."""
    words = words.with_row_splits_dtype("int64")
    padding = tf.RaggedTensor.from_row_lengths(
        tf.fill([tf.math.count_nonzero(words.row_lengths() == 0)], PADDING), tf.cast(words.row_lengths() == 0, "int64")
    )
    return tf.concat([words, padding], axis=1)


def _with(word: str, words: tf.RaggedTensor, *, before: bool) -> tf.RaggedTensor:
    column = tf.fill([words.nrows(), 1], word)
    return tf.concat([column, words] if before else [words, column], axis=1)


@keras.saving.register_keras_serializable(package="kerasdl")
def split_words(texts: Any) -> tf.RaggedTensor:
    """Splits texts into words in lower case and single marks.

    Args:
        texts: Strings, `(batch,)`.

    Returns:
        The words of each, `(batch, None)`; one `""` for a text without words.

    Example:
        >>> split_words(["J'ai peut-être tort, non ?"]).to_list()[0][:3] == [b"j'", b"ai", "peut-être".encode()]
        True
    """
    lower = tf.strings.lower(tf.convert_to_tensor(texts, "string"), encoding="utf-8")
    apart = tf.strings.regex_replace(tf.strings.regex_replace(lower, _SPACES, " "), _WORD, r" \0 ")
    return _never_empty(tf.strings.split(apart))


@keras.saving.register_keras_serializable(package="kerasdl")
def split_words_after_start(texts: Any) -> tf.RaggedTensor:
    """The words of a text behind the start: what a model has seen when it is to say the next word."""
    return _with(START, tf.ragged.boolean_mask(words := split_words(texts), words != PADDING), before=True)


@keras.saving.register_keras_serializable(package="kerasdl")
def split_words_before_end(texts: Any) -> tf.RaggedTensor:
    """The words of a text and its end: what a model is to say at each step of `split_words_after_start`."""
    return _with(END, tf.ragged.boolean_mask(words := split_words(texts), words != PADDING), before=False)


@keras.saving.register_keras_serializable(package="kerasdl")
def split_characters(texts: Any) -> tf.RaggedTensor:
    """Splits texts into their characters, as they are; one `""` for an empty text."""
    return _never_empty(tf.strings.unicode_split(tf.convert_to_tensor(texts, "string"), "UTF-8"))


def check_vocabulary(words: Any, *, ends: bool = False) -> list[str]:
    """Refuses what is no vocabulary.

    Args:
        words: What the user gave: words, the most frequent first, without the special ones.
        ends: Whether the words are to be written, and need `START` and `END`.

    Returns:
        The words that `keras.layers.TextVectorization` is to be given.
    """
    if isinstance(words, str | bytes) or not isinstance(words, Iterable):
        raise TypeError(f"`vocabulary` must be a list of words, as kerasdl.sequences.vocabulary makes. Got: {words!r}.")
    words = list(words)
    for word in words:
        check_string("vocabulary", word)
    words = [word.decode() if isinstance(word, bytes) else str(word) for word in words]
    if any("\0" in word for word in words):
        raise ValueError("`vocabulary` must be without the character '\\0', which arrays of strings cannot hold.")
    special = {PADDING, UNKNOWN, START, END}
    if not words or len(set(words)) < len(words) or special & set(words):
        wrong = sorted(special & set(words)) or [word for word, n in collections.Counter(words).items() if n > 1][:3]
        raise ValueError(
            "`vocabulary` must have at least one word, each once, and none of '', '[UNK]', '[START]' and '[END]', "
            f"which are added. Received: {len(words)} words{f', with {wrong}' if wrong else ''}."
        )
    return [START, END, *words] if ends else words


def check_can_be_found(words: list[str]) -> None:
    """Refuses words that no text is ever split into: they would have a number that nothing gets."""
    parts = split_words(words).to_list()
    lost = [word for word, part in zip(words, parts, strict=True) if part != [word.encode()]]
    if lost:
        raise ValueError(
            "`vocabulary` must have words as texts are split into them, in lower case and without spaces: make it with "
            "kerasdl.sequences.vocabulary. "
            f"Received: {', '.join(map(repr, lost[:3]))}{', ...' if len(lost) > 3 else ''}."
        )


def to_ids(words: Iterable[str], split: Any, *, name: str, ends: bool = False) -> keras.layers.TextVectorization:
    """The layer that makes numbers of strings, to be the first of a model.

    Args:
        words: The vocabulary, without the special words.
        split: One of this module's functions.
        name: The layer's name.
        ends: Whether `START` and `END` have numbers.

    Returns:
        A layer from `(batch,)` strings to `(batch, steps)` int64, padded with 0 to the longest text.
    """
    known = check_vocabulary(words, ends=ends)
    if split in (split_words, split_words_after_start, split_words_before_end):
        check_can_be_found(known[2:] if ends else known)
    return keras.layers.TextVectorization(standardize=None, split=split, vocabulary=known, name=name)


def check_string(name: str, string: Any) -> None:
    """Refuses what is no text, or none that can be written down: half of a surrogate pair."""
    if not isinstance(string, str | bytes):
        raise TypeError(f"`{name}` must be strings. Received: {string!r}.")
    try:
        string.decode() if isinstance(string, bytes) else string.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"`{name}` must be text that UTF-8 can encode; text.encode(errors='replace') writes ? for the rest. "
            f"Received: {string!r}."
        ) from None
    except UnicodeDecodeError:
        raise ValueError(
            f"`{name}` must be text in UTF-8; text.decode(errors='replace') puts a mark for the rest. "
            f"Received: {string!r}."
        ) from None


def string_batches(texts: Any, name: str = "texts") -> Iterable[np.ndarray]:
    """Batches of strings, whatever they come in."""
    if isinstance(texts, tf.data.Dataset):
        if not isinstance(texts.element_spec, tf.TensorSpec) or texts.element_spec.dtype != tf.string:
            raise TypeError(
                f"`{name}` must be a data set of strings alone: choose them with `map`, as in "
                f"`dataset.map(lambda text, label: text)`. Received: elements {texts.element_spec}."
            )
        yield from (np.reshape(batch, -1) for batch in texts.as_numpy_iterator())
        return
    if isinstance(texts, tf.Tensor):
        texts = texts.numpy()
    if isinstance(texts, str | bytes) or (isinstance(texts, np.ndarray) and not texts.ndim):
        raise TypeError(f"`{name}` must be many texts, as a list or a data set. Received: one text, {texts!r}.")
    if not isinstance(texts, Iterable):
        raise TypeError(f"`{name}` must be many texts, as a list or a data set. Received: {texts!r}.")
    many = texts.reshape(-1).tolist() if isinstance(texts, np.ndarray) else list(texts)
    for text in many:
        check_string(name, text)
    strings = np.empty(len(many), dtype=object)  # np.array of nested lists would flatten them
    strings[:] = many
    yield strings


def as_list(texts: Any, name: str) -> list[str | bytes]:
    """Many texts out of a list, an array, a tensor or a data set."""
    return [string for batch in string_batches(texts, name) for string in batch]


def vocabulary(texts: Any, *, size: int | None = None, minimum_count: int = 1, unit: str = "word") -> list[str]:
    """The words or characters of some texts, the most frequent first, for the builders of this package.

    Args:
        texts: Strings: a list, an array, or a `tf.data.Dataset` of single ones or batches.
        size: How many to keep at most; None for all.
        minimum_count: How often a word must stand in the texts to be kept.
        unit: `"word"`: words in lower case and single marks; `"character"`; or `"token"`: each string is one word as it
            is, for text that is split already: words, or a list of sentences that are lists of words.

    Returns:
        The words; those that are equally frequent in the order of the alphabet.

    Example:
        >>> vocabulary(["to be", "or not to be"], size=3)
        ['be', 'to', 'not']

    Reference:
        [Manning et al., 2008](https://nlp.stanford.edu/IR-book/), section 2.2
    """
    split = {"word": split_words, "character": split_characters, "token": None}
    if unit not in split:
        raise ValueError(f'`unit` must be "word", "character" or "token". Received: unit={unit!r}.')
    if size is not None:
        check_whole("size", size)
    check_whole("minimum_count", minimum_count)
    if unit == "token" and isinstance(texts, tf.RaggedTensor):
        texts = texts.flat_values
    if unit == "token" and isinstance(texts, list | tuple):
        # Sentences of words, of any lengths: a word is a word in whichever it stands.
        texts = [word for row in texts for word in ([row] if isinstance(row, str | bytes) else as_list(row, "texts"))]
    counts: collections.Counter[bytes] = collections.Counter()
    for batch in string_batches(texts):
        if not len(batch):
            continue
        strings = tf.constant(batch.tolist())
        counts.update((split[unit](strings).flat_values if split[unit] else strings).numpy().tolist())
    del counts[PADDING.encode()]
    kept = sorted((-count, word.decode()) for word, count in counts.items() if count >= minimum_count)
    if not kept:
        raise ValueError(f"`texts` must hold a word that stands there at least {minimum_count} times. Received: none.")
    return [word for _, word in kept[:size]]


def join_words(words: Iterable[str | bytes], behind: str = "") -> str:
    """Writes words as a sentence: no space before a closing mark, behind an opening one or an apostrophe.

    Args:
        words: Words and marks, as `split_words` makes them; special words are left out.
        behind: Text that goes before them, and stays as it is.

    Returns:
        One line of text.

    Example:
        >>> join_words(["i", "don'", "t", "know", ".", "[END]"])
        "i don't know."
    """
    text = behind
    for given in words:
        word = given.decode() if isinstance(given, bytes) else str(given)
        if word in (PADDING, START, END):
            continue
        glued = (
            not text
            or text[-1].isspace()
            or text[-1] in _OPENING
            or (text[-1] == "'" and len(text) > 1 and text[-2].isalnum())
        )
        text += word if glued or word in _CLOSING else f" {word}"
    return text
