"""Writing translations with a trained model."""

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from kerasdl.sequences import text
from kerasdl.sequences.checks import check_length_penalty, check_whole
from kerasdl.sequences.decoding import beam_search, compiled
from kerasdl.sequences.encoder_decoder import recurrent_steps
from kerasdl.sequences.transformer import transformer_steps
from kerasdl.sequences.translating import check_is_translator


class Translations(NamedTuple):
    """What `translate` gives.

    Args:
        sentences: One string per source.
        words: The words of each.
        source_words: Those of each source, as the model reads them.
        attention: For each sentence `(words, source words)` float32: how much each word looked at each of the source;
            None for a model without attention. `plots.attention(attention[i], source_words[i], words[i])` draws it.
        scores: `(sentences,)`: log P of each, divided as `length_penalty` says.

    Reference:
        [Bahdanau et al., 2014](https://arxiv.org/abs/1409.0473), section 5.2.1, for the attention
    """

    sentences: list[str]
    words: list[list[str]]
    source_words: list[list[str]]
    attention: list[np.ndarray] | None
    scores: np.ndarray


def translate(
    model: keras.Model,
    sentences: Any,
    *,
    beam_width: int = 1,
    length_penalty: float = 0.6,
    length: int = 50,
    batch_size: int = 64,
) -> Translations:
    """Translates sentences, all words of a batch in one compiled loop.

    Words that the source's vocabulary lacks are read as unknown; only words of the target's are written. An empty
    sentence stays empty.

    Args:
        model: What `translator` made.
        sentences: Strings: a list, an array, a tensor, or a `tf.data.Dataset` of single ones or batches.
        beam_width: How many beginnings of each translation are followed; 1 takes the most likely word at each step.
        length_penalty: How much long translations are preferred among those: they are ranked by
            `log P(words) / ((5 + |words|) / 6) ** length_penalty`. At least 0.
        length: The most words of a translation, the end among them; what is longer is cut.
        batch_size: Sentences that are translated at once.

    Returns:
        `(sentences, words, source_words, attention, scores)`, by name or in this order.

    Example:
        >>> model = kerasdl.sequences.translator(["i", "see"], ["je", "vois"], units=8)
        >>> [len(words) <= 4 for words in translate(model, ["I see", "see I"], length=4).words]
        [True, True]

    Reference:
        [Sutskever et al., 2014](https://arxiv.org/abs/1409.3215), section 3.2;
        [Wu et al., 2016](https://arxiv.org/abs/1609.08144), section 7
    """
    check_is_translator(model)
    sentences = text.as_list(sentences, "sentences")
    for name, value in (("beam_width", beam_width), ("length", length), ("batch_size", batch_size)):
        check_whole(name, value)
    penalty = check_length_penalty(length_penalty)
    run = compiled(model, _write, beam_width=beam_width, length=length, length_penalty=penalty)
    has_attention = any(layer.name in ("attention", "decoder1_source") for layer in model.layers)
    result: list[Any] = [None] * len(sentences)
    # Sentences of one length end together.
    order = np.argsort([len(sentence.split()) for sentence in sentences], kind="stable")
    for at in range(0, len(sentences), batch_size):
        chosen = order[at : at + batch_size]
        parts = [part.numpy() for part in run(tf.constant([sentences[index] for index in chosen]))]
        for index, *row in zip(chosen, *parts, strict=True):
            result[index] = _read(*row)
    words, source_words, weights, scores = zip(*result, strict=True) if result else ([], [], [], [])
    return Translations(
        [text.join_words(each) for each in words],
        list(words),
        list(source_words),
        list(weights) if has_attention else None,
        np.array(scores, "float32"),
    )


def _read(written: np.ndarray, source: np.ndarray, looked: np.ndarray, score: np.ndarray) -> tuple:
    """One sentence out of the arrays: words behind the end and places behind the source are left out."""
    sources = [word.decode() for word in source if word]
    words = [word.decode() for word in written if word != text.END.encode()] if sources else []
    return words, sources, looked[: len(words), : len(sources)], score if sources else 0.0


def _write(
    model: keras.Model, source: tf.Tensor, *, beam_width: int, length: int, length_penalty: float
) -> tuple[tf.Tensor, ...]:
    """The words of the translations, the words of the sources, the weights between them, and the scores."""
    recurrent = any(layer.name == "decoder1" for layer in model.layers)
    state, step = (recurrent_steps if recurrent else transformer_steps)(model, source, beam_width=beam_width)
    written, scores, looked = beam_search(
        step,
        state,
        start=text.START_ID,
        end=text.END_ID,
        length=length,
        beam_width=beam_width,
        length_penalty=length_penalty,
        never=(text.PADDING_ID, text.UNKNOWN_ID, text.START_ID),
    )
    with tf.init_scope():  # a table cannot be read while a graph is made
        words = model.get_layer("target_words").get_vocabulary()
    return tf.gather(tf.constant(words), written), text.split_words(source).to_tensor(), looked, scores
