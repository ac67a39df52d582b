"""The transformer's encoder and decoder: all words at once in training, one after the other in writing."""

import re
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kerasdl.layers import SinusoidalPositions

# Gives the layer of a name: made from its class and arguments, or found in a model that has it.
Layers = Callable[..., Any]


def _new(name: str, kind: Any, **options: Any) -> Any:
    return kind(**options, name=name)


def _feed_forward(layer: Layers, name: str, x: Any, units: int, dropout: float) -> Any:
    inner = layer(f"{name}_inner", keras.layers.Dense, units=4 * units, activation="relu")(
        layer(f"{name}_norm", keras.layers.LayerNormalization)(x)
    )
    y = layer(f"{name}_outer", keras.layers.Dense, units=units)(inner)
    return layer(f"{name}_sum", keras.layers.Add)([x, _dropped(layer, name, y, dropout)])


def _dropped(layer: Layers, name: str, x: Any, dropout: float) -> Any:
    return layer(f"{name}_dropout", keras.layers.Dropout, rate=dropout)(x)


def encoder_block(name: str, x: Any, *, units: int, heads: int, dropout: float) -> Any:
    """Every word looks at all words, then each is worked on for itself.

    Args:
        name: What the layers' names begin with.
        x: `(batch, steps, units)`, with its mask.
        units: The numbers per word.
        heads: In how many ways it looks.
        dropout: The share of each part's result that is dropped in training.
    """
    normal = _new(f"{name}_self_norm", keras.layers.LayerNormalization)(x)
    looked = _new(f"{name}_self", keras.layers.MultiHeadAttention, num_heads=heads, key_dim=units // heads)(
        normal, normal
    )
    x = _new(f"{name}_self_sum", keras.layers.Add)([x, _dropped(_new, f"{name}_self", looked, dropout)])
    return _feed_forward(_new, f"{name}_words", x, units, dropout)


def decoder_block(
    layer: Layers,
    name: str,
    x: Any,
    memory: Any,
    seen: Any,
    *,
    history: Any = None,
    units: int = 0,
    heads: int = 1,
    dropout: float = 0.0,
) -> tuple[Any, Any, Any]:
    """Every word looks at those before it and then at the source.

    Args:
        layer: Makes or finds the layers.
        name: What their names begin with.
        x: `(batch, steps, units)`.
        memory: What the encoder gives.
        seen: Which places of the memory are words, `(batch, 1, places)`.
        history: What an earlier call returned as such: then `x` is one step, the next one. Without it `x` has all.
        units: The numbers per word.
        heads: In how many ways it looks.
        dropout: The share of each part's result that is dropped in training.

    Returns:
        The steps, the history with them, and the weights on the memory, `(batch, heads, steps, places)`.
    """
    options = {"num_heads": heads, "key_dim": units // heads}
    normal = layer(f"{name}_self_norm", keras.layers.LayerNormalization)(x)
    known = normal if history is None else keras.ops.concatenate([history, normal], axis=1)
    looked = layer(f"{name}_self", keras.layers.MultiHeadAttention, **options)(
        normal, known, use_causal_mask=history is None
    )
    x = layer(f"{name}_self_sum", keras.layers.Add)([x, _dropped(layer, f"{name}_self", looked, dropout)])
    normal = layer(f"{name}_source_norm", keras.layers.LayerNormalization)(x)
    # The mask is handed over: the attention layer takes it off the memory, and the next block would see padding.
    looked, weights = layer(f"{name}_source", keras.layers.MultiHeadAttention, **options)(
        normal, memory, attention_mask=seen, return_attention_scores=True
    )
    x = layer(f"{name}_source_sum", keras.layers.Add)([x, _dropped(layer, f"{name}_source", looked, dropout)])
    return _feed_forward(layer, f"{name}_words", x, units, dropout), known, weights


def transformer(
    source: Any, target: Any, *, sizes: tuple[int, int], units: int, heads: int, layers: int, dropout: float
) -> Any:
    """The network between the numbers of words and the logits.

    Blocks normalise what they read, not what they give ("pre-norm", Xiong et al.): that trains without a warm-up.

    Args:
        source: Numbers of words, `(batch, places)`.
        target: Numbers of words, `(batch, steps)`.
        sizes: How many words there are in the source's vocabulary and in the target's.
        units: The numbers per word.
        heads: In how many ways each attention looks.
        layers: Blocks in the encoder, and in the decoder.
        dropout: The share that is dropped in training.

    Returns:
        `(batch, steps, units)`.
    """

    def begin(side: str, ids: Any, size: int) -> Any:
        x = keras.layers.Embedding(size, units, mask_zero=True, name=f"{side}_embedding")(ids)
        x = SinusoidalPositions(name=f"{side}_positions")(x)
        return keras.layers.Dropout(dropout, name=f"{side}_dropout")(x)

    options: dict[str, Any] = {"units": units, "heads": heads, "dropout": dropout}
    x = begin("source", source, sizes[0])
    for depth in range(1, layers + 1):
        x = encoder_block(f"encoder{depth}", x, **options)
    memory = keras.layers.LayerNormalization(name="memory")(x)
    seen = keras.ops.expand_dims(keras.ops.not_equal(source, 0), axis=1)
    x = begin("target", target, sizes[1])
    for depth in range(1, layers + 1):
        x, _, _ = decoder_block(_new, f"decoder{depth}", x, memory, seen, **options)
    return keras.layers.LayerNormalization(name="readout")(x)


def transformer_steps(model: keras.Model, source: tf.Tensor, *, beam_width: int) -> tuple[Any, Any]:
    """The decoder of a model, word by word, for `beam_search`.

    What the blocks have seen is kept, and grows by a word at each step; each block's queries are of the new word alone.

    Args:
        model: What `translator` made with `cell="transformer"`.
        source: Strings.
        beam_width: How many beginnings there are of each sentence.

    Returns:
        The state at the start, and the step. What a word looks at is the mean over the heads of the last block.
    """
    encoder = keras.Model(
        model.get_layer("source").output, [model.get_layer(n).output for n in ("source_words", "memory")]
    )
    ids, memory = encoder(source, training=False)
    rows = tf.shape(ids)[0]
    memory, ids = tf.repeat(memory, beam_width, axis=0), tf.repeat(ids, beam_width, axis=0)
    seen = (ids != 0)[:, None]
    found_names = (re.match(r"(decoder\d+)_self$", each.name) for each in model.layers)
    names = [match[1] for match in found_names if match]
    # Of no length yet, but of a length that is not known, so that it may grow.
    nothing = tf.zeros(tf.stack([rows, rows * 0, memory.shape[-1]]), memory.dtype)

    def found(name: str, *_: Any, **__: Any) -> Any:
        return model.get_layer(name)

    def step(words: tf.Tensor, state: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor]:
        x = model.get_layer("target_embedding")(words[:, None])
        x = model.get_layer("target_positions")(x, start=tf.shape(state[0])[1])
        histories = []
        for name, history in zip(names, state, strict=True):
            x, history, weights = decoder_block(found, name, x, memory, seen, history=history)
            histories.append(history)
        x = model.get_layer("logits")(model.get_layer("readout")(x)[:, 0])
        return tf.nn.log_softmax(x), histories, tf.reduce_mean(weights[:, :, 0], axis=1)

    return [nothing] * len(names), step
