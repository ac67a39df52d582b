"""How much of a gradient is left, step by step, on its way back through a recurrent layer."""

import functools
import weakref
from collections.abc import Callable
from numbers import Integral
from typing import Any

import keras
import numpy as np
import tensorflow as tf

_compiled: weakref.WeakKeyDictionary[keras.layers.RNN, dict] = weakref.WeakKeyDictionary()


def _gradients(layer: weakref.ref, state: int, inputs: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """The gradient of the sum of the last state for the state after each step, `(steps, batch, units)`."""
    cell = layer().cell  # type: ignore[union-attr]
    steps, batch = tf.unstack(tf.shape(mask)[:2])
    begin = tf.nest.flatten(cell.get_initial_state(batch_size=batch))
    # Adding d_t = 0 to h_t changes nothing, and dL/dd_t is dL/dh_t: one backward pass gives it for every t.
    nothing = tf.zeros([steps, batch, begin[state].shape[-1]], begin[state].dtype)

    def step(t: tf.Tensor, states: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        _, after = cell(inputs[t], states)
        after = [tf.where(mask[t], new, old) for new, old in zip(tf.nest.flatten(after), states, strict=True)]
        after[state] += nothing[t]
        return t + 1, after

    with tf.GradientTape() as tape:
        tape.watch(nothing)
        _, last = tf.while_loop(lambda t, _: t < steps, step, (0, begin), maximum_iterations=steps)
        total = tf.reduce_sum(last[0])
    return tape.gradient(total, nothing)


def _function(layer: keras.layers.RNN, state: int, spec: tuple[tf.TensorSpec, ...]) -> Callable[..., tf.Tensor]:
    """`_gradients`, compiled once for each layer; a new length or batch size needs no new one."""
    kept = _compiled.setdefault(layer, {})
    if (state, spec) not in kept:
        body = functools.partial(_gradients, weakref.ref(layer), state)
        kept[state, spec] = tf.function(body, input_signature=spec, autograph=False).get_concrete_function()
    return kept[state, spec]


def _check(layer: Any, inputs: Any, mask: Any, state: int) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(layer, keras.layers.RNN) or isinstance(layer.cell, keras.layers.StackedRNNCells):
        raise TypeError(
            "`layer` must be one recurrent layer, such as ElmanRNN, GRU or LSTM; of a Bidirectional one give its "
            f"`forward_layer` or `backward_layer`. Received: {type(layer).__name__}"
            f"{' of several cells' if isinstance(layer, keras.layers.RNN) else ''}."
        )
    if getattr(layer.cell, "context_kernel", None) is not None:
        raise ValueError("`layer` must be one that is called without a context. Received: one that has weights for it.")
    inputs = np.asarray(inputs)
    if inputs.ndim != 3 or not inputs.size or inputs.dtype.kind not in "fiub":
        raise ValueError(
            "`inputs` must be numbers of shape (batch, steps, features), with at least one of each. "
            f"Received: shape {inputs.shape}, {inputs.dtype}."
        )
    if not np.isfinite(inputs).all():
        raise ValueError("`inputs` must be finite. Received: some that are NaN or infinite.")
    built_for = (layer.get_build_config() or {}).get("input_shape") if layer.built else None
    if built_for and built_for[-1] not in (None, inputs.shape[-1]):
        raise ValueError(
            f"`inputs` must have the {built_for[-1]} features that the layer was built for. "
            f"Received: {inputs.shape[-1]}."
        )
    if not layer.built:
        layer.build(inputs.shape)
    mask = np.ones(inputs.shape[:2], bool) if mask is None else np.asarray(mask)
    if mask.shape != inputs.shape[:2] or mask.dtype != bool:
        raise ValueError(
            f"`mask` must be booleans of shape (batch, steps), here {inputs.shape[:2]}. "
            f"Received: shape {mask.shape}, {mask.dtype}."
        )
    sizes = tf.nest.flatten(layer.cell.state_size)
    if not isinstance(state, Integral) or isinstance(state, bool) or state not in range(len(sizes)):
        raise ValueError(
            f"`state` must be in range({len(sizes)}), as many as this layer has. Received: state={state!r}."
        )
    return inputs, mask


def gradient_norms(layer: keras.layers.RNN, inputs: Any, *, mask: Any = None, state: int = 0) -> np.ndarray:
    """How strongly the end depends on each step: `|dL/dh_t|` for every t, L the sum of the last state.

    On its way back from step T to step t the gradient is multiplied by the Jacobian of each step between, for an Elman
    layer `diag(1 - h_k^2) W_h`: each may shrink it by the largest singular value s of W_h, so that
    `|dL/dh_t| <= s^(T-t) |dL/dh_T|`. Below 1 it vanishes for certain; it can only explode where s is greater.

    Computed in the layer's own precision, as in training: what is below 1e-38 is 0 there.

    Args:
        layer: One recurrent layer: `ElmanRNN`, `SimpleRNN`, `GRU`, `LSTM`, or an `RNN` of a cell of your own.
        inputs: `(batch, steps, features)`.
        mask: `(batch, steps)`, False where a step is padding. Such a step copies the state, and so the gradient.
        state: Which of the layer's states is h_t: 0 is its output, 1 the memory c_t of an LSTM. The others are held
            still: what c_T does to h_T belongs to step T itself, so that at the end the norm for `state=1` is 0.

    Returns:
        The norms, `(batch, steps)` float64, of each example for itself: the last is sqrt(units) for `state=0`.

    Example:
        >>> layer = keras.layers.SimpleRNN(4, activation=None, recurrent_initializer=keras.initializers.Identity(0.5))
        >>> gradient_norms(layer, np.zeros((1, 4, 3))).tolist()
        [[0.25, 0.5, 1.0, 2.0]]

    Reference:
        [Pascanu et al., 2012](https://arxiv.org/abs/1211.5063), section 2.1
    """
    inputs, mask = _check(layer, inputs, mask, state)
    backwards = bool(getattr(layer, "go_backwards", False))
    if backwards:
        inputs, mask = inputs[:, ::-1], mask[:, ::-1]
    steps_first = tf.cast(tf.constant(inputs.swapaxes(0, 1)), layer.compute_dtype)
    spec = (
        tf.TensorSpec([None, None, inputs.shape[-1]], steps_first.dtype),
        tf.TensorSpec([None, None, 1], "bool"),
    )
    gradients = _function(layer, state, spec)(steps_first, tf.constant(mask.T[:, :, None]))
    # In float64, since the square of 1e-30 is no float32 any more.
    norms = np.linalg.norm(tf.cast(gradients, "float64"), axis=-1).T
    return norms[:, ::-1] if backwards else norms
