"""The Elman network: a state that is made of the input and of the state before it."""

import math
from typing import Any

import keras
import tensorflow as tf

from kerasdl.layers.checks import check_shape
from kerasdl.layers.elman_cell import ElmanCell
from kerasdl.layers.recurrence import elman_states, loop, project, time_first

_OF_CELL = (
    "use_bias",
    "kernel_initializer",
    "recurrent_initializer",
    "bias_initializer",
    "kernel_regularizer",
    "recurrent_regularizer",
    "bias_regularizer",
    "kernel_constraint",
    "recurrent_constraint",
    "bias_constraint",
    "dropout",
    "recurrent_dropout",
    "seed",
)

# Those whose derivative can be told from their value.
_NAMES = {getattr(keras.activations, name): name for name in ("tanh", "sigmoid", "relu", "linear")}


@keras.saving.register_keras_serializable(package="kerasdl")
class ElmanRNN(keras.layers.SimpleRNN):
    """Elman's recurrent layer: `h_t = tanh(x_t W_xh + h_{t-1} W_hh + b)`.

    Same arguments, weights and results as `keras.layers.SimpleRNN`, also with masks, an initial state and inside
    `keras.layers.Bidirectional`. Called with `context=v`, one vector per sequence, it adds `v W_ih` at every step: a
    caption is told its image that way. `W_ih` is then the last of the weights. A mask is used also where an initial
    state or a context is given; the stock layer then wants it named, `mask=`. `keras.layers.Bidirectional` hands on no
    context: for both directions take two layers, one with `go_backwards=True`.

    The inputs of all steps are projected by one matrix product, and the gradient is back-propagation through time
    written out: its loop carries `dL/dh_t` alone, and the gradient of each matrix is one product over all steps. In a
    `tf.function` where batch and length are known (`batch(..., drop_remainder=True)`) the loops are compiled by XLA, of
    four lengths at most, since compiling takes about half a second; where they are not known, and outside of a
    `tf.function`, they run as they are. Activations other than tanh, sigmoid, relu and linear, recurrent dropout and
    `unroll` are left to automatic differentiation; `unroll` also allows forward mode, `tf.autodiff.ForwardAccumulator`,
    which the written gradient refuses. On one core, a step of training is 1.1 times (64 sequences of 50
    steps, 128 inputs, 256 units) to 5 times (one of 200 steps, 32 inputs, 64 units) as fast as that of the faster of
    the stock layer and `torch.nn.RNN` (`taskset -c 0 python -m benchmarks.recurrent --busy`).

    Args:
        units: Size of the state.
        activation: The function in the place of tanh.
        return_sequences: Whether the state of every step is given, or the last alone.
        return_state: Whether the last state is given as well.
        go_backwards: Whether it reads from the end; the states come in the order in which they were computed.
        stateful: Whether the last states of a batch are the first of the next; wants a fixed batch size.
        unroll: Whether there is a copy of the step in the graph for each, instead of a loop.
        **kwargs: All other arguments of `keras.layers.SimpleRNN`.

    Example:
        >>> words, image = np.ones((2, 7, 3)), np.ones((2, 5))
        >>> layer = ElmanRNN(4, return_sequences=True)
        >>> layer(words, context=image).shape
        TensorShape([2, 7, 4])

    Reference:
        [Elman, 1990](https://doi.org/10.1207/s15516709cog1402_1); the gradient:
        [Werbos, 1990](https://doi.org/10.1109/5.58337); the context:
        [Karpathy and Fei-Fei, 2015](https://arxiv.org/abs/1412.2306)
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        **kwargs: Any,
    ) -> None:
        of_cell = {name: kwargs.pop(name) for name in _OF_CELL if name in kwargs}
        same = {name: kwargs[name] for name in ("dtype", "trainable") if name in kwargs}
        cell = ElmanCell(units, activation, name="elman_cell", **of_cell, **same)
        # Past SimpleRNN's own constructor, which would make its own cell.
        super(keras.layers.SimpleRNN, self).__init__(
            cell,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            **kwargs,
        )
        self.input_spec = [keras.layers.InputSpec(ndim=3)]

    def build(
        self, sequences_shape: tuple, initial_state_shape: Any = None, context_shape: tuple | None = None
    ) -> None:
        """Makes the cell's weights, and the states that are kept where it is stateful."""
        if not self.cell.built:
            self.cell.build((sequences_shape[0], sequences_shape[2]), context_shape)
        super().build(sequences_shape, initial_state_shape)

    def call(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        context: Any = None,
        training: bool = False,
        sequences_mask: Any = None,
    ) -> Any:
        """Reads the sequences.

        Args:
            sequences: `(batch, steps, features)`.
            initial_state: `h_0`, `(batch, units)`, alone or in a list; zeros where it is None.
            mask: `(batch, steps)`, False where a step leaves the state as it is.
            context: v, `(batch, length)`, or None.
            training: Whether dropout drops.
            sequences_mask: The mask that Keras carries with the sequences; `mask` goes before it.
        """
        if self.unroll and sequences.shape[1] is None:
            raise ValueError(
                f"`unroll=True` wants a known number of steps. Received: sequences of shape {tuple(sequences.shape)}."
            )
        sequences = tf.cast(sequences, self.compute_dtype)  # whole numbers as well
        batch, length = sequences.shape[:2]
        check_shape(
            "sequences", sequences.shape, (batch, length, self.cell.kernel.shape[0]), "(batch, steps, features)"
        )
        mask = sequences_mask if mask is None else mask
        if mask is not None:
            mask = tf.cast(mask, tf.bool)
            # One column, as the stock layer takes it too.
            mask = mask[..., 0] if mask.shape.rank == 3 and mask.shape[2] == 1 else mask
            check_shape("mask", mask.shape, (batch, length), "(batch, steps)")
        state, offset = self._first_state(sequences, initial_state), self.cell.offset(context, batch)
        if batch is None:
            # One row for all would be taken as well; the gradient is then the sum over all.
            rows = (tf.shape(sequences)[0], self.units)
            state = tf.broadcast_to(state, rows)
            offset = offset if context is None else tf.broadcast_to(offset, rows)
        if self.go_backwards:
            sequences = tf.reverse(sequences, [1])
            mask = None if mask is None else tf.reverse(mask, [1])
        states, last = self._states(sequences, state, mask, offset, training)
        if self.stateful:
            self.states[0].assign(last)

        if self.return_sequences:
            output = states
            if mask is not None:
                output = tf.where(self._shown(mask)[..., tf.newaxis], states, tf.zeros_like(states))
        else:
            output = last
            if mask is not None:
                # Of no step at all, none is hidden.
                hidden = tf.reduce_any(~self._shown(mask)[:, -1:], axis=1, keepdims=True)
                output = tf.where(hidden, tf.zeros_like(last), last)
        return (output, last) if self.return_state else output

    def _shown(self, mask: tf.Tensor) -> tf.Tensor:
        """Where Keras shows the state and not zero: not at masked steps, or only not before the first that counts."""
        return mask if self.zero_output_for_mask else tf.cumsum(tf.cast(mask, tf.int32), axis=1) > 0

    def _first_state(self, sequences: Any, initial_state: Any) -> tf.Tensor:
        if initial_state is None:
            batch = tf.shape(sequences)[0] if sequences.shape[0] is None else sequences.shape[0]
            initial_state = self.states if self.stateful else self.get_initial_state(batch)
        if isinstance(initial_state, list | tuple):
            if len(initial_state) != 1:
                raise ValueError(
                    f"An Elman network has one state. Received: an `initial_state` of {len(initial_state)} tensors."
                )
            initial_state = initial_state[0]
        state = tf.cast(initial_state, self.compute_dtype)
        if self.stateful and None not in (sequences.shape[0], state.shape[0]) and sequences.shape[0] != state.shape[0]:
            raise ValueError(
                f"A stateful layer keeps the batch size that it was built with, {state.shape[0]}. "
                f"Received: a batch of {sequences.shape[0]}."
            )
        check_shape("initial_state", state.shape, (sequences.shape[0], self.units), "(batch, units)")
        return state

    def _states(
        self, sequences: tf.Tensor, state: tf.Tensor, mask: tf.Tensor | None, offset: tf.Tensor | None, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The states of every step, if they are wanted, and the last one."""
        cell = self.cell
        if training and cell.dropout:
            # One mask for all steps, as Keras has it.
            dropped = keras.random.dropout(tf.ones_like(sequences[:, :1]), cell.dropout, seed=cell.seed_generator)
            sequences = sequences * dropped
        kernel, recurrent_kernel = tf.convert_to_tensor(cell.kernel), tf.convert_to_tensor(cell.recurrent_kernel)
        name = _NAMES.get(cell.activation)
        if name and not self.unroll and not (training and cell.recurrent_dropout):
            return elman_states(sequences, kernel, offset, recurrent_kernel, state, mask, name, self.return_sequences)
        dropped = None
        if training and cell.recurrent_dropout:
            dropped = keras.random.dropout(tf.ones_like(state), cell.recurrent_dropout, seed=cell.seed_generator)

        def advance(step: tf.Tensor, h: tf.Tensor) -> tf.Tensor:
            h = h if dropped is None else h * dropped
            return cell.activation(step + tf.matmul(h, recurrent_kernel))

        states, last = loop(project(sequences, kernel, offset), state, time_first(mask), advance, unroll=self.unroll)
        return tf.transpose(states, (1, 0, 2)), last

    def compute_output_shape(
        self, sequences_shape: tuple, initial_state_shape: Any = None, context_shape: tuple | None = None
    ) -> Any:
        """`(batch, steps, units)` or `(batch, units)`, and the state's shape where it is given."""
        return super().compute_output_shape(sequences_shape, initial_state_shape)

    def multiply_adds(self, input_shape: tuple, output_shape: tuple) -> int:
        """Multiplications in the products of one example: two at every step, and one for the context.

        Args:
            input_shape: The sequences' shape, batch first.
            output_shape: The outputs' shape, batch first.
        """
        _, steps, features = input_shape
        context = 0 if self.cell.context_kernel is None else math.prod(self.cell.context_kernel.shape)
        return steps * self.units * (features + self.units) + context

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return {**super().get_config(), "seed": self.cell.seed}
