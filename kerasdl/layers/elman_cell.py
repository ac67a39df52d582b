"""One step of an Elman network."""

from typing import Any

import keras
import tensorflow as tf

from kerasdl.layers.checks import check_positive, check_shape


@keras.saving.register_keras_serializable(package="kerasdl")
class ElmanCell(keras.layers.SimpleRNNCell):
    """One step of Elman's network: `h_t = tanh(x_t W_xh + h_{t-1} W_hh + b)`.

    With a context v, which is the same at every step, `h_t = tanh(x_t W_xh + h_{t-1} W_hh + v W_ih + b)`. `W_ih` is
    made when the cell is first called with one, by the initialiser, regulariser and constraint of `W_xh`.

    Args:
        units: Size of the state.
        activation: The function in the place of tanh.
        **kwargs: All other arguments of `keras.layers.SimpleRNNCell`.

    Example:
        >>> cell = ElmanCell(4)
        >>> output, states = cell(np.ones((2, 3)), cell.get_initial_state(batch_size=2), context=np.ones((2, 5)))
        >>> [tuple(weight.shape) for weight in cell.weights]
        [(3, 4), (4, 4), (4,), (5, 4)]

    Reference:
        [Elman, 1990](https://doi.org/10.1207/s15516709cog1402_1)
    """

    def __init__(self, units: int, activation: Any = "tanh", **kwargs: Any) -> None:
        super().__init__(check_positive("units", units), activation=activation, **kwargs)
        self.context_kernel: Any = None

    def build(self, sequence_shape: tuple, context_shape: tuple | None = None) -> None:
        """Makes the weights; those of the context where there is one."""
        if sequence_shape[-1] is None:
            raise ValueError(
                f"{type(self).__name__} expects vectors of a known length. "
                f"Received: sequence_shape={tuple(sequence_shape)}."
            )
        super().build(sequence_shape)
        if context_shape is not None:
            if len(context_shape) != 2 or context_shape[-1] is None:
                raise ValueError(
                    "`context` must be one vector of a known length per sequence, (batch, length). "
                    f"Received: context of shape {tuple(context_shape)}."
                )
            self.context_kernel = self.add_weight(
                shape=(context_shape[-1], self.units),
                # A copy: the same initialiser twice would draw the same numbers twice.
                initializer=self.kernel_initializer.clone(),
                regularizer=self.kernel_regularizer,
                constraint=self.kernel_constraint,
                name="context_kernel",
            )

    def offset(self, context: Any = None, batch: int | None = None) -> tf.Tensor | None:
        """What is added to every step: `v W_ih + b`, or the part of it that there is.

        Args:
            context: The vectors v, `(batch, length)`, or None where the cell was built without.
            batch: How many sequences there are, where that is known.
        """
        if (context is None) != (self.context_kernel is None):
            built, given = ("without", "with") if self.context_kernel is None else ("with", "without")
            raise ValueError(
                f"This layer was first called {built} a `context` and is now called {given} one: its weights are made "
                "at the first call. Give a context always or never."
            )
        offset = None if self.bias is None else tf.convert_to_tensor(self.bias)
        if context is None:
            return offset
        context = tf.cast(context, self.compute_dtype)
        check_shape("context", context.shape, (batch, self.context_kernel.shape[0]), "(batch, length)")
        product = tf.matmul(context, self.context_kernel)
        return product if offset is None else product + offset

    def call(self, sequence: Any, states: Any, training: bool = False, context: Any = None) -> tuple[Any, Any]:
        """The next state, as the output and as the state."""
        nested = isinstance(states, list | tuple)
        state = states[0] if nested else states
        dropped, dropped_state = self.get_dropout_mask(sequence), self.get_recurrent_dropout_mask(state)
        if training and dropped is not None:
            sequence = sequence * dropped
        if training and dropped_state is not None:
            state = state * dropped_state
        z = tf.matmul(tf.cast(sequence, self.compute_dtype), self.kernel) + tf.matmul(state, self.recurrent_kernel)
        offset = self.offset(context)
        output = self.activation(z if offset is None else z + offset)
        return output, [output] if nested else output
