"""Many-to-many, delayed: sentences of one language in, of another one out."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.sequences import text
from kerasdl.sequences.checks import check_dropout, check_whole
from kerasdl.sequences.encoder_decoder import encoder_decoder
from kerasdl.sequences.recurrent import CELLS, check_recurrent
from kerasdl.sequences.transformer import transformer

_HEADS = 4  # of a transformer
_CHUNK = 50  # batches among which pairs are sorted by length


def translator(
    source_vocabulary: list[str],
    target_vocabulary: list[str],
    *,
    cell: str = "gru",
    attention: bool = True,
    bidirectional: bool = True,
    units: int = 256,
    embedding: int | None = None,
    layers: int = 1,
    heads: int | None = None,
    dropout: float = 0.0,
    name: str = "translator",
) -> keras.Model:
    """An encoder that reads a sentence and a decoder that writes its translation, word by word.

    In training the decoder sees the words that it should have written ("teacher forcing"): the model takes
    `{"source": strings, "target": strings}` and gives the probabilities of each next word, `(batch, steps, words)`, the
    last of them of the end. `translation_batches` makes its data, `translate` writes with it.

    The recurrent decoder begins with the encoder's last state. Without attention that is all it knows of the source:
    a sentence of any length in one vector. With attention, every state of the decoder is compared with all states of
    the encoder, and the mean of those that fit is added to it when the word is chosen. In Bahdanau's paper this mean
    also goes into the decoder's next state; here it does not, as in Luong's, which compares no worse and lets the
    decoder run over all steps at once in training instead of one attention after the other.

    `cell="transformer"` has attention alone: blocks of self-attention, attention to the source, and two dense layers,
    each normalised at its entrance, and sinusoidal positions.

    Args:
        source_vocabulary: The words that are read, of `kerasdl.sequences.vocabulary`.
        target_vocabulary: The words that are written.
        cell: `"elman"`, `"gru"`, `"lstm"` or `"transformer"`.
        attention: Whether a recurrent decoder looks at all words of the source.
        bidirectional: Whether a recurrent encoder reads from both ends; a transformer sees all words at once anyway.
        units: The size of a state; of the transformer, the numbers per word.
        embedding: The numbers per word for a recurrent network; `units` without it.
        layers: Of the encoder, and of the decoder.
        heads: In how many ways an attention of the transformer looks; 4 without it. Nothing else has heads.
        dropout: The share of the embeddings and of each layer's outputs that is dropped in training.
        name: The model's name.

    Returns:
        A model to be compiled with `"sparse_categorical_crossentropy"`. Keras' "accuracy" weighs batches by their
        padding; `kerasdl.sequences.StepAccuracy()` counts every word once.

    Example:
        >>> model = translator(["i", "see"], ["je", "vois"], units=8)
        >>> inputs = {"source": tf.constant(["I see"]), "target": tf.constant(["je vois"])}
        >>> model(inputs).shape
        TensorShape([1, 3, 6])

    Reference:
        [Bahdanau et al., 2014](https://arxiv.org/abs/1409.0473);
        [Luong et al., 2015](https://arxiv.org/abs/1508.04025), section 3.1;
        [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762);
        [Xiong et al., 2020](https://arxiv.org/abs/2002.04745), for the place of the normalisation
    """
    _check(cell, attention, bidirectional, units, embedding, layers, heads)
    check_dropout(dropout)
    inputs = {side: keras.Input((), dtype="string", name=side) for side in ("source", "target")}
    read = text.to_ids(source_vocabulary, text.split_words, name="source_words")
    seen = text.to_ids(target_vocabulary, text.split_words_after_start, ends=True, name="target_words")
    ids = {"source": read(inputs["source"]), "target": seen(inputs["target"])}
    sizes = (read.vocabulary_size(), seen.vocabulary_size())
    if cell == "transformer":
        x = transformer(**ids, sizes=sizes, units=units, heads=heads or _HEADS, layers=layers, dropout=dropout)
    else:
        x = encoder_decoder(
            **ids,
            sizes=sizes,
            cell=cell,
            attention=attention,
            bidirectional=bidirectional,
            units=units,
            embedding=units if embedding is None else embedding,
            layers=layers,
            dropout=dropout,
        )
    x = keras.layers.Dense(sizes[1], dtype="float32", name="logits")(x)
    x = keras.layers.Activation("softmax", dtype="float32", name="predictions")(x)
    return keras.Model(inputs, x, name=name)


def _check(
    cell: str, attention: bool, bidirectional: bool, units: int, embedding: int | None, layers: int, heads: int | None
) -> None:
    for name, value in (("embedding", embedding), ("heads", heads)):
        if value is not None:
            check_whole(name, value)
    if cell != "transformer":
        if cell not in CELLS:
            known = ", ".join(map(repr, [*CELLS, "transformer"]))
            raise ValueError(f"`cell` must be one of {known}. Received: cell={cell!r}.")
        check_recurrent(cell, units, layers)
        if heads is not None:
            raise ValueError(f"Only a transformer has `heads`: leave it out. Received: cell={cell!r}, heads={heads}.")
        return
    check_recurrent("gru", units, layers)
    if not attention:
        raise ValueError("A transformer is made of attention. Received: attention=False.")
    if not bidirectional:
        raise ValueError(
            "A transformer's encoder sees all words at once: leave `bidirectional` out. Received: bidirectional=False."
        )
    if embedding not in (None, units):
        raise ValueError(
            f"In a transformer words have as many numbers as states: leave `embedding` out. Received: {embedding}."
        )
    heads = _HEADS if heads is None else heads
    if units % heads or units % 2:
        raise ValueError(f"`units` must be an even multiple of `heads`. Received: units={units}, heads={heads}.")


def translation_batches(
    model: keras.Model, pairs: Any, *, batch_size: int = 64, shuffle: bool = False, seed: int = 0
) -> tf.data.Dataset:
    """Pairs of sentences as batches to train a translator with.

    Args:
        model: What `translator` made: its vocabulary gives the words their numbers.
        pairs: `(source, target)` strings: a list, or a `tf.data.Dataset` of single pairs or batches.
        batch_size: Pairs in a batch.
        shuffle: Whether they come in another order in every epoch. Then pairs of similar length stand in one batch, for
            short sentences beside a long one cost as much as long ones.
        seed: Where the chance of `shuffle` starts: a whole number of at least 0.

    Returns:
        Batches `({"source": strings, "target": strings}, numbers of the words to write)`.

    Example:
        >>> model = translator(["i", "see"], ["je", "vois"], units=8)
        >>> inputs, words = next(iter(translation_batches(model, [("I see", "je vois"), ("I", "je")])))
        >>> words.numpy().tolist()  # the end has the number 3, and 0 is padding
        [[4, 5, 3], [4, 3, 0]]

    Reference:
        [Sutskever et al., 2014](https://arxiv.org/abs/1409.3215), section 3.4, for batches of one length
    """
    check_is_translator(model)
    check_whole("batch_size", batch_size)
    check_whole("seed", seed, least=0)
    sources, targets = _as_arrays(pairs)
    vocabulary = model.get_layer("target_words").get_vocabulary(include_special_tokens=False)[2:]
    to_write = text.to_ids(vocabulary, text.split_words_before_end, ends=True, name="words_to_write")
    data = tf.data.Dataset.from_tensor_slices((sources, targets))

    def numbered(source: tf.Tensor, target: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        return {"source": source, "target": target}, to_write(target)

    def by_length(source: tf.Tensor, target: tf.Tensor) -> tf.data.Dataset:
        lengths = 1000 * tf.strings.split(target).row_lengths() + tf.strings.split(source).row_lengths()
        order = tf.argsort(lengths, stable=True)
        return tf.data.Dataset.from_tensor_slices((tf.gather(source, order), tf.gather(target, order))).batch(
            batch_size
        )

    if shuffle:
        data = data.shuffle(len(sources), seed=seed).batch(_CHUNK * batch_size).flat_map(by_length)
        data = data.shuffle(2 * _CHUNK, seed=seed + 1)
        data = data.apply(tf.data.experimental.assert_cardinality(-(-len(sources) // batch_size)))
    else:
        data = data.batch(batch_size)
    return data.map(numbered, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def _as_arrays(pairs: Any) -> tuple[np.ndarray, np.ndarray]:
    """The sources and the targets, as bytes."""
    if isinstance(pairs, tf.data.Dataset):
        spec = pairs.element_spec
        if not isinstance(spec, tuple) or len(spec) != 2 or any(getattr(s, "dtype", None) != tf.string for s in spec):
            raise TypeError(f"`pairs` must be pairs of strings, (source, target). Received: elements {spec}.")
        if spec[0].shape.rank == 0:
            pairs = pairs.batch(1000)
        parts = [[np.reshape(side, -1) for side in pair] for pair in pairs.as_numpy_iterator()]
        columns = [np.concatenate(side) for side in zip(*parts, strict=True)]
    else:
        _check_pairs(pairs)
        pairs = [tuple(pair) if isinstance(pair, list | tuple | np.ndarray) else pair for pair in pairs]
        for pair in pairs:
            if not isinstance(pair, tuple) or len(pair) != 2 or not all(isinstance(s, str | bytes) for s in pair):
                raise TypeError(f"`pairs` must be pairs of strings, (source, target). Received: {pair!r}.")
            for string in pair:
                text.check_string("pairs", string)
        columns = [np.array(side, dtype=object) for side in zip(*pairs, strict=True)]
    if not columns:
        raise ValueError("`pairs` must hold at least one pair of strings. Received: none.")
    return columns[0], columns[1]


def _check_pairs(pairs: Any) -> None:
    """Refuses what would be read as pairs and is none."""
    if isinstance(pairs, str | bytes) or not isinstance(pairs, Iterable):
        raise TypeError(f"`pairs` must be a list or a data set of (source, target). Received: {pairs!r}.")
    if isinstance(pairs, tuple) and len(pairs) == 2 and not any(isinstance(part, str | bytes) for part in pairs):
        # All sources and all targets, most likely: where there are two of each, they would pass for two pairs.
        raise TypeError(
            "`pairs` must be a list of (source, target). Received: a tuple of two, which may be all sources and all "
            "targets; list(zip(sources, targets)) makes pairs of them."
        )


def check_is_translator(model: Any) -> None:
    """Refuses a model of another kind."""
    names = {layer.name for layer in getattr(model, "layers", ())}
    if not {"source_words", "target_words", "readout", "logits"} <= names:
        raise TypeError(f"`model` must be one that kerasdl.sequences.translator made. Received: {model!r}.")
