"""Text that a language model makes up: one character or word after the other, each drawn given all before it."""

from collections.abc import Sequence
from typing import Any, overload

import keras
import numpy as np
import tensorflow as tf

from kerasdl.sequences import recurrent, text
from kerasdl.sequences.checks import check_whole
from kerasdl.sequences.decoding import compiled
from kerasdl.sequences.language_models import unit_of

_LONGEST = 10**9  # steps


@overload
def generate(
    model: keras.Model, prompt: str = "", length: int = 200, *, temperature: float = 1.0, seed: int = 0
) -> str: ...
@overload
def generate(
    model: keras.Model, prompt: Sequence[str], length: int = 200, *, temperature: float = 1.0, seed: int = 0
) -> list[str]: ...
def generate(
    model: keras.Model,
    prompt: str | Sequence[str] = "",
    length: int = 200,
    *,
    temperature: float = 1.0,
    seed: int = 0,
) -> str | list[str]:
    """Goes on from a text: each next character or word is drawn from `softmax(logits / temperature)`.

    One compiled loop carries the states of the recurrent layers along, so that no text is read twice. Of what was
    never meant to be written (padding, start, what the vocabulary lacks) nothing is drawn.

    Args:
        model: What `kerasdl.sequences.language_model` made.
        prompt: One text or several: a list, an array or a tensor; an empty one begins at the start. A model of
            words reads one that it does not know as unknown.
        length: How many characters or words are written at most; a text that comes to its end is shorter.
        temperature: 1 draws as the model believes; less is more careful, more is bolder; 0 takes the likeliest.
        seed: Decides what is drawn.

    Returns:
        The prompt as it was given with what follows it, or a list of such texts for several; an empty one for none.

    Example:
        >>> model = kerasdl.sequences.language_model(["a", "b"], units=8, embedding=4)
        >>> written = generate(model, "ab", 5, temperature=0.5, seed=1)
        >>> written.startswith("ab"), written == generate(model, "ab", 5, temperature=0.5, seed=1)
        (True, True)

    Reference:
        [Graves, 2013](https://arxiv.org/abs/1308.0850), section 2
    """
    unit = unit_of(model)
    is_one = isinstance(prompt, str | bytes)
    strings = text.as_list([prompt] if is_one else prompt, "prompt")
    prompts = [each.decode() if isinstance(each, bytes) else str(each) for each in strings]
    _check(length, temperature, seed)
    if not prompts:
        return []
    words = model.get_layer("words")
    vocabulary = words.get_vocabulary()
    unseen = sorted(set("".join(prompts)) - set(vocabulary)) if unit == "character" else []
    if unseen:
        raise ValueError(
            "`prompt` must be made of the characters of the model's vocabulary. "
            f"Received one with {', '.join(map(repr, unseen))}."
        )
    ids = words(tf.constant(prompts if unit == "character" else [each.strip() for each in prompts]))
    # All in a row, since that may have any length: one compilation serves prompts of every length.
    said = compiled(model, _continue)(
        tf.reshape(ids, [-1]),
        tf.constant(len(prompts)),
        tf.constant(int(length)),
        tf.constant(float(temperature), "float32"),
        tf.constant(int(seed), "int64"),
    ).numpy()
    texts = []
    for begun, row in zip(prompts, said, strict=True):
        new = [vocabulary[number] for number in row if number > text.END_ID]
        texts.append(begun + "".join(new) if unit == "character" else text.join_words(new, behind=begun))
    return texts[0] if is_one else texts


def _check(length: Any, temperature: Any, seed: Any) -> None:
    check_whole("length", length)
    if length > _LONGEST:
        raise ValueError(f"`length` must be at most {_LONGEST}. Received: length={length}.")
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool):
        raise TypeError(f"`seed` must be a whole number. Received: seed={seed!r}.")
    if not -(2**63) <= seed < 2**63:
        raise ValueError(f"`seed` must be a whole number of 64 bits. Received: seed={seed}.")
    if (
        not isinstance(temperature, int | float | np.number)
        or isinstance(temperature, bool)
        or not 0 <= temperature < float("inf")
    ):
        raise ValueError(f"`temperature` must be a finite number of at least 0. Received: temperature={temperature!r}.")


def recurrent_layers(model: keras.Model) -> list[Any]:
    """The recurrent layers of a language model, from below."""
    return [layer for layer in model.layers if isinstance(layer, tuple(recurrent.CELLS.values()))]


def first_states(model: keras.Model, batch_size: Any) -> list:
    """The states before anything was read: a list of tensors per recurrent layer."""
    return [list(layer.cell.get_initial_state(batch_size=batch_size)) for layer in recurrent_layers(model)]


def step(model: keras.Model, tokens: tf.Tensor, states: list) -> tuple[tf.Tensor, list]:
    """One step of the whole network: the logits after these tokens, `(batch, words)`, and the new states."""
    # The copy has no mask: no step here is padding, and a cell knows nothing of masks.
    x = tf.identity(model.get_layer("embedding")(tokens))
    following = []
    for layer, state in zip(recurrent_layers(model), states, strict=True):
        x, state = layer.cell(x, state, training=False)
        following.append(list(state))
    return model.get_layer("logits")(x), following


def _choose(logits: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """A word or the end, drawn from `softmax(logits / temperature)`; the likeliest at 0. Never a special word."""
    logits = logits[:, text.END_ID :]
    # The largest becomes 0, so that no temperature is too low.
    logits -= tf.reduce_max(logits, axis=-1, keepdims=True)
    drawn = tf.random.stateless_categorical(tf.math.divide_no_nan(logits, temperature), 1, seed, dtype="int64")[:, 0]
    return text.END_ID + tf.where(temperature > 0, drawn, tf.argmax(logits, axis=-1))


def _continue(
    model: keras.Model, ids: tf.Tensor, rows: tf.Tensor, length: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    """Reads prompts and goes on, step by step: the new words at their places behind it, and 0 elsewhere.

    Rows whose prompts are shorter begin to speak while the others still read.
    """
    prompt = tf.reshape(ids, [rows, -1])
    read = tf.math.count_nonzero(prompt, axis=1, dtype="int32")
    steps = tf.reduce_max(read) + length - 1

    def body(at: tf.Tensor, tokens: tf.Tensor, states: list, is_over: tf.Tensor, said: tf.TensorArray) -> tuple:
        logits, states = step(model, tokens, states)
        chosen = _choose(logits, temperature, tf.stack([seed, tf.cast(at, "int64")]))
        speaks = at + 1 >= read
        chosen = tf.where(speaks & ~is_over, chosen, 0)
        tokens = tf.where(speaks, chosen, prompt[:, tf.minimum(at + 1, tf.shape(prompt)[1] - 1)])
        is_over |= speaks & ((chosen == text.END_ID) | (at + 1 >= read + length - 1))
        return at + 1, tokens, states, is_over, said.write(at, chosen)

    *_, said = tf.while_loop(
        lambda at, tokens, states, is_over, said: (at < steps) & ~tf.reduce_all(is_over),
        body,
        (
            tf.constant(0),
            prompt[:, 0],
            first_states(model, tf.shape(prompt)[0]),
            tf.zeros_like(read, "bool"),
            tf.TensorArray("int64", 0, dynamic_size=True, element_shape=[None]),
        ),
    )
    return tf.transpose(said.stack())
