"""The recurrent encoder and decoder: all words at once in training, one after the other in writing."""

import re
from typing import Any

import keras
import tensorflow as tf

from kerasdl.layers import BahdanauAttention
from kerasdl.sequences.recurrent import CELLS


def encoder_decoder(
    source: Any,
    target: Any,
    *,
    sizes: tuple[int, int],
    cell: str,
    attention: bool,
    bidirectional: bool,
    units: int,
    embedding: int,
    layers: int,
    dropout: float,
) -> Any:
    """The network between the numbers of words and the logits.

    Args:
        source: Numbers of words, `(batch, places)`.
        target: Numbers of words, `(batch, steps)`.
        sizes: How many words there are in the source's vocabulary and in the target's.
        cell: Of `CELLS`.
        attention: Whether each step of the decoder looks at all states of the encoder.
        bidirectional: Whether the encoder reads from both ends.
        units: The size of the states; of each direction where there are two.
        embedding: The numbers per word.
        layers: Of the encoder, and of the decoder.
        dropout: The share that is dropped in training.

    Returns:
        `(batch, steps, units)`.
    """

    def drop(x: Any, name: str) -> Any:
        return keras.layers.Dropout(dropout, name=name)(x)

    def embed(side: str, ids: Any, size: int) -> Any:
        # Numbers of about 1. With Keras' own, of at most 0.05, all states begin so near to 0 that no word differs from
        # another, and nothing but the words' frequencies is learned for long.
        first = keras.initializers.RandomNormal(stddev=1.0)
        layer = keras.layers.Embedding(
            size, embedding, embeddings_initializer=first, mask_zero=True, name=f"{side}_embedding"
        )
        return drop(layer(ids), f"{side}_dropout")

    x = embed("source", source, sizes[0])
    starts = []
    for depth in range(1, layers + 1):
        layer = CELLS[cell](units, return_sequences=True, return_state=True, name=f"encoder{depth}")
        x, *last = (keras.layers.Bidirectional(layer, name=f"encoder{depth}") if bidirectional else layer)(x)
        x = drop(x, "memory" if depth == layers else f"encoder{depth}_dropout")
        if bidirectional:
            half = len(last) // 2
            last = [
                keras.layers.Concatenate(name=f"last{depth}_{number}")([last[number], last[half + number]])
                for number in range(half)
            ]
        # The decoder's first state, as in the paper: tanh of a projection of the encoder's last.
        starts.append(
            [
                keras.layers.Dense(units, activation="tanh", name=f"start{depth}_{number}")(state)
                for number, state in enumerate(last)
            ]
        )
    memory = x
    x = embed("target", target, sizes[1])
    for depth, start in enumerate(starts, 1):
        x = CELLS[cell](units, return_sequences=True, name=f"decoder{depth}")(x, initial_state=start)
        if depth < layers:
            x = drop(x, f"decoder{depth}_dropout")
    if attention:
        context, _ = BahdanauAttention(units, name="attention")(x, memory)
        # A sum, as in Bahdanau's readout: it learns faster than Luong's tanh of both.
        context = keras.layers.Dense(units, use_bias=False, name="context")(context)
        x = keras.layers.Add(name="state_and_context")([x, context])
    return drop(x, "readout")


def recurrent_steps(model: keras.Model, source: tf.Tensor, *, beam_width: int) -> tuple[Any, Any]:
    """The decoder of a model, word by word, for `beam_search`.

    Args:
        model: What `translator` made with a recurrent cell.
        source: Strings.
        beam_width: How many beginnings there are of each sentence.

    Returns:
        The state at the start, and the step.
    """
    names = [layer.name for layer in model.layers]
    decoders = [model.get_layer(name) for name in names if re.fullmatch(r"decoder\d+", name)]
    starts = [
        [name for name in names if re.fullmatch(rf"start{depth}_\d", name)] for depth in range(1, len(decoders) + 1)
    ]
    with_attention = "attention" in names
    wanted = ["source_words", *(name for each in starts for name in each)] + ["memory"] * with_attention
    encoder = keras.Model(model.get_layer("source").output, [model.get_layer(name).output for name in wanted])
    ids, *found = encoder(source, training=False)
    if with_attention:
        *found, memory = found
        attention = model.get_layer("attention")
        parts = (memory, attention.project(memory), ids != 0)
        fixed = [tf.repeat(part, beam_width, axis=0) for part in parts]
    state = tf.nest.pack_sequence_as(starts, found)

    def step(words: tf.Tensor, state: list[list[tf.Tensor]]) -> tuple[tf.Tensor, list, tf.Tensor]:
        # A copy, without the mask that cells know nothing of.
        x = tf.identity(model.get_layer("target_embedding")(words))
        after = []
        for layer, before in zip(decoders, state, strict=True):
            x, now = layer.cell(x, before)
            after.append(list(now))
        looked = tf.zeros([tf.shape(words)[0], 0])
        if with_attention:
            context, weights = attention.look(x[:, None], *fixed)
            x = x + model.get_layer("context")(context[:, 0])
            looked = weights[:, 0]
        return tf.nn.log_softmax(model.get_layer("logits")(x)), after, looked

    return state, step
