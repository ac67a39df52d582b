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
    arguments = (inputs, kernel, offset, recurrent_kernel, state, mask, activation, every_step)
    if tf.executing_eagerly():
        return _states(*arguments, forward=_traced_forward, loop_back=_traced_loop_back)
    if _worth_compiling(inputs, recurrent_kernel, state, mask, activation, every_step):
        return _states(*arguments, forward=_compiled_forward, loop_back=_compiled_loop_back)
    return _states(*arguments)


@tf.custom_gradient
def _refuse_forward_mode(*tensors: tf.Tensor) -> tuple[Any, Callable]:
    """The tensors; behind `stop_gradient` only forward mode asks for the gradient, and it would take it for zero."""

    def gradient(*upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
        text = (
            "ElmanRNN's own gradient goes backwards only, by tf.GradientTape. For forward mode, "
            "tf.autodiff.ForwardAccumulator, make the layer with `unroll=True`, which leaves it to TensorFlow."
        )
        if tf.executing_eagerly():
            raise NotImplementedError(text)
        # In a graph it fails when it is run: saving a model for serving makes the graphs of all gradients.
        tf.debugging.Assert(tf.constant(False), [text])
        return upstream

    return tensors, gradient


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
    forward: Callable | None = None,
    loop_back: Callable | None = None,
) -> tuple[tf.Tensor | None, tf.Tensor]:
    forward, loop_back = forward or _forward, loop_back or _loop_back
    mask = time_first(mask)
    count = 4 if offset is None else 5

    @tf.custom_gradient
    def run(*tensors: tf.Tensor) -> tuple[Any, Callable]:
        # Stopped, since XLA's functions would hand over lists for a gradient that is never taken.
        states, last = forward(mask, activation, *map(tf.stop_gradient, _refuse_forward_mode(*tensors)))

        @tf.custom_gradient
        def back(*tensors: tf.Tensor) -> tuple[Any, Callable]:
            def again(*upstream: tf.Tensor) -> list[tf.Tensor]:
                # The gradient's own gradient is left to automatic differentiation.
                with tf.GradientTape() as tape:
                    tape.watch(tensors)
                    recomputed, _ = _forward(mask, activation, *tensors[:count])
                    gradients = _backward(_loop_back, mask, activation, recomputed, tensors[count:], *tensors[:count])
                return tape.gradient(gradients, tensors, upstream, unconnected_gradients="zero")

            stopped = [tf.stop_gradient(tensor) for tensor in tensors]
            found = _backward(loop_back, mask, activation, states, tuple(stopped[count:]), *stopped[:count])
            return found, again

        return ((states, last) if every_step else last), lambda *upstream: back(*tensors, *upstream)

    found = run(inputs, kernel, recurrent_kernel, state, *([] if offset is None else [offset]))
    return (tf.transpose(found[0], (1, 0, 2)), found[1]) if every_step else (None, found)


def _forward(
    mask: tf.Tensor | None,
    activation: str,
    inputs: tf.Tensor,
    kernel: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    state: tf.Tensor,
    offset: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The states, time first, and the last."""
    function, _ = ACTIVATIONS[activation]
    steps = project(inputs, kernel, offset)
    return loop(steps, state, mask, lambda step, h: function(step + tf.matmul(h, recurrent_kernel)))


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


def _backward(
    loop_back: Callable,
    mask: tf.Tensor | None,
    activation: str,
    states: tf.Tensor,
    upstream: tuple[tf.Tensor, ...],
    inputs: tf.Tensor,
    kernel: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    state: tf.Tensor,
    offset: tf.Tensor | None = None,
) -> tuple[tf.Tensor, ...]:
    """Back-propagation through time: the gradients of inputs, kernel, recurrent kernel, first state and offset.

    The loop carries `dL/dh_t` alone and collects `dL/dz_t`; that of each matrix is then one product over all steps.
    These products are not compiled: TensorFlow's own take two thirds of the time of XLA's.
    """
    d_steps, d_state = loop_back(mask, activation, states, upstream, recurrent_kernel, state)
    flat_steps = _flat(d_steps)
    steps_back = tf.matmul(flat_steps, kernel, transpose_b=True)
    inputs = tf.transpose(inputs, (1, 0, 2))
    d_inputs = tf.transpose(tf.reshape(steps_back, tf.shape(inputs)), (1, 0, 2))
    d_kernel = tf.matmul(_flat(inputs), flat_steps, transpose_a=True)
    if states.shape[0]:
        d_recurrent_kernel = tf.matmul(state, d_steps[0], transpose_a=True)
        d_recurrent_kernel += tf.matmul(_flat(states[:-1]), _flat(d_steps[1:]), transpose_a=True)
    else:
        before = tf.concat([state[tf.newaxis], states], 0)[: _length(states)]
        d_recurrent_kernel = tf.matmul(_flat(before), flat_steps, transpose_a=True)
    if offset is None:
        return d_inputs, d_kernel, d_recurrent_kernel, d_state
    # The sum over all rows of a matrix, in half the time of `reduce_sum`.
    d_offset = tf.raw_ops.BiasAddGrad(out_backprop=flat_steps) if offset.shape.rank == 1 else tf.reduce_sum(d_steps, 0)
    return d_inputs, d_kernel, d_recurrent_kernel, d_state, d_offset


def _loop_back(
    mask: tf.Tensor | None,
    activation: str,
    states: tf.Tensor,
    upstream: tuple[tf.Tensor, ...],
    recurrent_kernel: tf.Tensor,
    state: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The gradients of what the inputs add to each step, time first, and of the first state."""
    _, derivative = ACTIVATIONS[activation]
    *every, d_last = upstream
    length = _length(states)
    transposed = tf.transpose(recurrent_kernel)

    def body(time: tf.Tensor, dh: tf.Tensor, history: tf.TensorArray) -> tuple:
        dh = dh + every[0][time] if every else dh
        dz = dh * derivative(states[time])
        dz = dz if mask is None else tf.where(mask[time], dz, tf.zeros_like(dz))
        before = tf.matmul(dz, transposed)
        before = before if mask is None else tf.where(mask[time], before, dh)
        before.set_shape(state.shape)
        return time - 1, before, history.write(time, dz)

    d_last.set_shape(state.shape)
    _, d_state, history = tf.while_loop(
        lambda time, *_: time >= 0,
        body,
        (length - 1, d_last, _history(state, length)),
        maximum_iterations=length,
    )
    return history.stack()[:length], d_state


def _flat(steps: tf.Tensor) -> tf.Tensor:
    """`(steps, batch, features)` as a matrix."""
    return tf.reshape(steps, (-1, steps.shape[2]))


def _length(steps: tf.Tensor) -> Any:
    """How many steps there are: a number where it is known, and a tensor else."""
    return tf.shape(steps)[0] if steps.shape[0] is None else steps.shape[0]


def _history(state: tf.Tensor, length: Any) -> tf.TensorArray:
    """Room for a state of each step; at least for one, since an empty list cannot be stacked to an unknown shape."""
    if isinstance(length, int) and length > 0:
        return tf.TensorArray(state.dtype, length, element_shape=state.shape)
    return tf.TensorArray(state.dtype, tf.maximum(length, 1), element_shape=state.shape).write(0, tf.zeros_like(state))


_compiled_forward = tf.function(_forward, jit_compile=True, autograph=False)
_compiled_loop_back = tf.function(_loop_back, jit_compile=True, autograph=False)
_traced_forward = tf.function(_forward, reduce_retracing=True, autograph=False)
_traced_loop_back = tf.function(_loop_back, reduce_retracing=True, autograph=False)
