"""What a word's letters tell of it, also of a word that was never seen."""

from typing import Any

import keras
import tensorflow as tf

# Begins with a capital; has several letters, all of them capitals; has a digit.
_PATTERNS = (r"(?s)\p{Lu}.*", r"\P{Ll}*\p{Lu}\P{Ll}*\p{Lu}\P{Ll}*", r"(?s).*\pN.*")


@keras.saving.register_keras_serializable(package="kerasdl")
class WordEnding(keras.layers.Layer):
    """The last `length` letters of each word in lower case, or the whole word where it is shorter.

    Args:
        length: How many letters.
        **kwargs: As for every layer.
    """

    def __init__(self, length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.length = length

    def call(self, words: tf.Tensor) -> tf.Tensor:
        """The endings, in the places of the words."""
        lower = tf.strings.lower(words, encoding="utf-8")
        return tf.strings.regex_replace(lower, rf"(?s)^.*(.{{{self.length}}})$", r"\1")

    def compute_output_spec(self, words: Any) -> keras.KerasTensor:
        """Strings in the places of the words."""
        return keras.KerasTensor(words.shape, "string")

    def get_config(self) -> dict[str, Any]:
        """What `__init__` was given."""
        return {**super().get_config(), "length": self.length}


@keras.saving.register_keras_serializable(package="kerasdl")
class WordShape(keras.layers.Layer):
    """The kind of each word, `1 + capital + 2 capitals + 4 digit`: how it begins, is written throughout, what it holds.

    Padding, `""`, is of kind 0.
    """

    def call(self, words: tf.Tensor) -> tf.Tensor:
        """The number of each word's kind."""
        kind = tf.cast(words != "", "int32")
        for place, pattern in enumerate(_PATTERNS):
            kind += 2**place * tf.cast(tf.strings.regex_full_match(words, pattern), "int32")
        return kind

    def compute_output_spec(self, words: Any) -> keras.KerasTensor:
        """Whole numbers in the places of the words."""
        return keras.KerasTensor(words.shape, "int32")


# How many kinds of words there are, padding among them.
WORD_SHAPES = 1 + 2 ** len(_PATTERNS)


def known_endings(words: list[str], length: int) -> list[str]:
    """The endings of `length` letters that the words have, in the order of the alphabet."""
    return sorted({word.lower()[-length:] for word in words})
