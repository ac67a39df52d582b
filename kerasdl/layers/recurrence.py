"""The loop of an Elman network over the steps of a sequence, and back-propagation through time, written out."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

# A function and its derivative, told from the function's own value: the states are then all that the way back needs.
ACTIVATIONS: dict[str, tuple[Callable, Callable]] = {
    "tanh": (tf.tanh, lambda value: 1 - value * value),
    "sigmoid": (tf.sigmoid, lambda value: value * (1 - value)),
    "relu": (tf.nn.relu, lambda value: tf.cast(value > 0, value.dtype)),
    "linear": (tf.identity, tf.ones_like),
}

# Of how many lengths a loop is compiled, where all else is equal: compiling takes longer than a loop gains in a while.
MOST_LENGTHS = 4
_lengths: dict[tuple, set[int]] = {}


def elman_states(
    inputs: tf.Tensor,
    kernel: tf.Tensor,
    offset: tf.Tensor | None,
    recurrent_kernel: tf.Tensor,
    state: tf.Tensor,
    mask: tf.Tensor | None,
    activation: str,
    every_step: bool,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The states `h_t = f(x_t W + offset + h_{t-1} U)`, with the gradient by back-propagation through time.

    Compiled by XLA where all shapes are known, of a few lengths at most; the plain loop where they are not.

    Args:
        inputs: `(batch, steps, features)`.
        kernel: W.
        offset: What is added to every step, `(units,)` or `(batch, units)`, or None.
        recurrent_kernel: U.
        state: `h_0`, `(batch, units)`.
        mask: `(batch, steps)`, False where a step leaves the state as it is, or None.
        activation: f, one of `ACTIVATIONS`.
        every_step: Whether all states are wanted, or the last alone.

    Returns:
        The states, `(batch, steps, units)`, or None in their place, and the last one, `(batch, units)`.
    """
    if tf.executing_eagerly():
        run = _traced
    else:
        run = _compiled if _worth_compiling(inputs, recurrent_kernel, state, mask, activation, every_step) else _states
    return run(inputs, kernel, offset, recurrent_kernel, state, mask, activation, every_step)


def _worth_compiling(inputs: tf.Tensor, recurrent_kernel: tf.Tensor, state: tf.Tensor, *others: Any) -> bool:
    """Whether all shapes are known, and few lengths of the kind have been seen."""
    if not (inputs.shape.is_fully_defined() and state.shape.is_fully_defined()) or inputs.shape[1] == 0:
        return False
    batch, length, features = inputs.shape
    mask, *options = others
    kind = (batch, features, recurrent_kernel.shape[0], inputs.dtype, mask is None, *options)
    lengths = _lengths.setdefault(kind, set())
    if len(lengths) < MOST_LENGTHS:
        lengths.add(length)
    return length in lengths


def _states(
    inputs: tf.Tensor,
    kernel: tf.Tensor,
    offset: tf.Tensor | None,
    recurrent_kernel: tf.Tensor,
    state: tf.Tensor,
    mask: tf.Tensor | None,
    activation: str,
    every_step: bool,
) -> tuple[tf.Tensor, tf.Tensor]:
    steps, mask = project(inputs, kernel, offset), time_first(mask)
    function, derivative = ACTIVATIONS[activation]

    @tf.custom_gradient
    def recur(steps: tf.Tensor, recurrent_kernel: tf.Tensor, state: tf.Tensor) -> tuple[Any, Callable]:
        states, last = loop(steps, state, mask, lambda step, h: function(step + tf.matmul(h, recurrent_kernel)))

        def back(*upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            every, d_last = upstream if every_step else (None, *upstream)
            return _back_through_time(every, d_last, states, recurrent_kernel, state, mask, derivative)

        return ((states, last) if every_step else last), back

    if not every_step:
        return None, recur(steps, recurrent_kernel, state)
    states, last = recur(steps, recurrent_kernel, state)
    return tf.transpose(states, (1, 0, 2)), last


def project(inputs: tf.Tensor, kernel: tf.Tensor, offset: tf.Tensor | None) -> tf.Tensor:
    """What the inputs add to each step, time first: one matrix product for all of them."""
    # Time first before the product: inputs are mostly smaller than states.
    steps = tf.tensordot(tf.transpose(inputs, (1, 0, 2)), kernel, 1)
    return steps if offset is None else steps + offset


def time_first(mask: tf.Tensor | None) -> tf.Tensor | None:
    """A mask `(batch, steps)` as `(steps, batch, 1)`."""
    return None if mask is None else tf.transpose(mask)[..., tf.newaxis]


def loop(
    steps: tf.Tensor,
    state: tf.Tensor,
    mask: tf.Tensor | None,
    advance: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    unroll: bool = False,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Every state `h_t = advance(steps[t], h_{t-1})`, time first, and the last; where the mask is False, `h_{t-1}`."""
    length = _length(steps)

    def body(time: tf.Tensor, h: tf.Tensor, history: tf.TensorArray) -> tuple:
        new = advance(steps[time], h)
        new = new if mask is None else tf.where(mask[time], new, h)
        new.set_shape(state.shape)
        return time + 1, new, history.write(time, new)

    variables = 0, state, _history(state, length)
    if unroll:
        for _ in range(length):
            variables = body(*variables)
        return variables[2].stack()[:length], variables[1]

    # XLA sizes the history by `maximum_iterations`.
    _, last, history = tf.while_loop(lambda time, *_: time < length, body, variables, maximum_iterations=length)
    return history.stack()[:length], last


def _back_through_time(
    d_states: tf.Tensor | None,
    d_last: tf.Tensor,
    states: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    state: tf.Tensor,
    mask: tf.Tensor | None,
    derivative: Callable[[tf.Tensor], tf.Tensor],
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The gradients of the steps, of the recurrent kernel and of the first state.

    The loop carries `dL/dh_t` alone and collects `dL/dz_t`; the kernel's gradient is then one product over all steps.
    """
    length = _length(states)
    transposed = tf.transpose(recurrent_kernel)

    def body(time: tf.Tensor, dh: tf.Tensor, history: tf.TensorArray) -> tuple:
        dh = dh if d_states is None else dh + d_states[time]
        dz = dh * derivative(states[time])
        dz = dz if mask is None else tf.where(mask[time], dz, tf.zeros_like(dz))
        before = tf.matmul(dz, transposed)
        before = before if mask is None else tf.where(mask[time], before, dh)
        before.set_shape(state.shape)
        return time - 1, before, history.write(time, dz)

    _, d_state, history = tf.while_loop(
        lambda time, *_: time >= 0,
        body,
        (length - 1, tf.ensure_shape(d_last, state.shape), _history(state, length)),
        maximum_iterations=length,
    )
    d_steps = history.stack()[:length]
    before = tf.concat([state[tf.newaxis], states], 0)[:length]
    return d_steps, tf.tensordot(before, d_steps, [[0, 1], [0, 1]]), d_state


def _length(steps: tf.Tensor) -> Any:
    """How many steps there are: a number where it is known, and a tensor else."""
    return tf.shape(steps)[0] if steps.shape[0] is None else steps.shape[0]


def _history(state: tf.Tensor, length: Any) -> tf.TensorArray:
    """Room for a state of each step; at least for one, since an empty list cannot be stacked to an unknown shape."""
    if isinstance(length, int) and length > 0:
        return tf.TensorArray(state.dtype, length, element_shape=state.shape)
    return tf.TensorArray(state.dtype, tf.maximum(length, 1), element_shape=state.shape).write(0, tf.zeros_like(state))


# Each contains its own gradient, so that XLA compiles the way back as well.
_compiled = tf.function(_states, jit_compile=True, autograph=False)
_traced = tf.function(_states, reduce_retracing=True, autograph=False)
