"""A convolution in which a table says which input maps each output map sees."""

from typing import Any

import keras
import numpy as np

from kerasdl.layers.checks import check_positive


@keras.saving.register_keras_serializable(package="kerasdl")
class SparselyConnectedConv2D(keras.layers.Layer):
    """A 2-D convolution with a connection table: `y_o = f(sum over i with table[i, o] = 1 of x_i * w_io + b_o)`.

    Only the kernels that the table names exist as weights: C3 of LeNet-5, with 60 of 96 connections, has 60 kernels of
    5x5. For the computation they are laid into a dense kernel whose other entries are zero.

    Args:
        connections: The table, `connections[i][o]` is 1 where output map o sees input map i, else 0.
        kernel_size: Height and width of each kernel, one number.
        strides: Step of the convolution, one number.
        padding: "valid" or "same".
        activation: The function f; None for the identity.
        use_bias: Whether each output map has a bias.
        kernel_initializer: Draws the dense kernel, of which the connected part is kept.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> layer = SparselyConnectedConv2D(connections=[[1, 0], [1, 1]], kernel_size=3)
        >>> layer(keras.ops.ones((1, 8, 8, 2))).shape
        TensorShape([1, 6, 6, 2])
        >>> layer.count_params()  # three kernels of 3x3 and two biases
        29

    Reference:
        [LeCun et al., 1998](https://doi.org/10.1109/5.726791), section II.B, Table I
    """

    def __init__(
        self,
        connections: Any,
        kernel_size: int,
        strides: int = 1,
        padding: str = "valid",
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        table = np.asarray(connections)
        if table.ndim != 2 or not table.size or not np.isin(table, (0, 1)).all():
            raise ValueError(
                "`connections` must be a table of zeros and ones with one row per input map and one column per output "
                f"map. Received: connections={connections!r}."
            )
        if not table.any(axis=0).all():
            lonely = np.flatnonzero(~table.any(axis=0)).tolist()
            raise ValueError(
                "Every output map needs at least one input map: each column of `connections` must hold a 1. "
                f"Received: columns without one={lonely}."
            )
        if padding not in ("valid", "same"):
            raise ValueError(f'`padding` must be "valid" or "same". Received: padding={padding!r}.')
        self.connections = table.astype(int)
        self.kernel_size = check_positive("kernel_size", kernel_size)
        self.strides = check_positive("strides", strides)
        self.padding = padding
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes one kernel per connection and one bias per output map."""
        inputs, outputs = self.connections.shape
        if len(input_shape) != 4 or input_shape[-1] != inputs:
            raise ValueError(
                f"`connections` has {inputs} rows, so the input must have shape (batch, height, width, {inputs}). "
                f"Received: input_shape={tuple(input_shape)}."
            )
        side = self.kernel_size
        connected = np.flatnonzero(self.connections)
        # Where each entry of the dense kernel comes from; the absent ones all read one zero that follows the weights.
        self._source = np.full(inputs * outputs, len(connected))
        self._source[connected] = np.arange(len(connected))

        def connected_part(shape: tuple[int, ...], dtype: Any = None) -> Any:
            dense = self.kernel_initializer((side, side, inputs, outputs), dtype=dtype)
            return keras.ops.take(keras.ops.reshape(dense, (side, side, -1)), connected, axis=-1)

        self.kernel = self.add_weight(shape=(side, side, len(connected)), initializer=connected_part, name="kernel")
        if self.use_bias:
            self.bias = self.add_weight(shape=(outputs,), initializer="zeros", name="bias")

    def dense_kernel(self) -> Any:
        """The kernel of an ordinary convolution, `(height, width, inputs, outputs)`, zero where unconnected."""
        padded = keras.ops.pad(self.kernel, ((0, 0), (0, 0), (0, 1)))
        dense = keras.ops.take(padded, self._source, axis=-1)
        return keras.ops.reshape(dense, (self.kernel_size, self.kernel_size, *self.connections.shape))

    def call(self, inputs: Any) -> Any:
        """Convolves with the dense kernel, adds the bias and applies the activation."""
        outputs = keras.ops.conv(inputs, self.dense_kernel(), self.strides, self.padding)
        return self.activation(outputs + self.bias if self.use_bias else outputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the output maps."""
        batch, height, width, _ = input_shape
        lost = self.kernel_size - 1 if self.padding == "valid" else 0
        sides = (side if side is None else -(-(side - lost) // self.strides) for side in (height, width))
        return (batch, *sides, self.connections.shape[1])

    def multiply_adds(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """For one example: the kernels that the table names, at every place."""
        _, height, width, _ = output_shape
        return height * width * self.kernel_size**2 * int(self.connections.sum())

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return {
            **super().get_config(),
            "connections": self.connections.tolist(),
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
