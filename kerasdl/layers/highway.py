"""Highway layers: a gate per unit decides how much is transformed and how much passes unchanged."""

import math
from typing import Any

import keras

from kerasdl.layers.checks import check_positive


class _Highway(keras.layers.Layer):
    """What both kinds share: the gates, and how they mix; a kind says how inputs meet a kernel."""

    def __init__(
        self,
        activation: Any = "relu",
        carry: str = "coupled",
        gate_bias: float = -1.0,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if carry not in ("coupled", "independent"):
            raise ValueError(f'`carry` must be "coupled" or "independent". Received: carry={carry!r}.')
        self.activation = keras.activations.get(activation)
        self.carry = carry
        self.gate_bias = float(gate_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def _kernel_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        raise NotImplementedError

    def _product(self, inputs: Any, kernel: Any) -> Any:
        raise NotImplementedError

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes a kernel and a bias for H, for T and, where it is independent, for C."""
        shape = self._kernel_shape(input_shape)

        def affine(name: str, bias: float) -> tuple[Any, Any]:
            initializer = keras.initializers.Constant(bias)
            return (
                # A copy each: the same initialiser twice would draw the same numbers twice.
                self.add_weight(shape=shape, initializer=self.kernel_initializer.clone(), name=f"{name}kernel"),
                self.add_weight(shape=shape[-1:], initializer=initializer, name=f"{name}bias"),
            )

        self.kernel, self.bias = affine("", 0.0)
        self.transform_kernel, self.transform_bias = affine("transform_", self.gate_bias)
        if self.carry == "independent":
            # Carries at first what the other gate does not transform: sigmoid(-b) = 1 - sigmoid(b).
            self.carry_kernel, self.carry_bias = affine("carry_", -self.gate_bias)

    def gates(self, inputs: Any) -> tuple[Any, Any]:
        """The values of the gates for some inputs, each of the inputs' shape and between 0 and 1.

        Args:
            inputs: What the layer, which must have been built, would be called on.

        Returns:
            The transform gate T and the carry gate C, which is 1 - T where they are coupled.
        """
        inputs = keras.ops.cast(inputs, self.compute_dtype)
        transform = keras.ops.sigmoid(self._affine(inputs, self.transform_kernel, self.transform_bias))
        if self.carry == "coupled":
            return transform, 1 - transform
        return transform, keras.ops.sigmoid(self._affine(inputs, self.carry_kernel, self.carry_bias))

    def _affine(self, inputs: Any, kernel: Any, bias: Any) -> Any:
        # Inside a call the weights come in the dtype of the inputs; `gates` may be called outside of one.
        kernel, bias = keras.ops.cast(kernel, inputs.dtype), keras.ops.cast(bias, inputs.dtype)
        return self._product(inputs, kernel) + bias

    def call(self, inputs: Any) -> Any:
        """Transforms, carries and adds."""
        transform, carry = self.gates(inputs)
        return self.activation(self._affine(inputs, self.kernel, self.bias)) * transform + inputs * carry

    def multiply_adds(self, input_shape: tuple, output_shape: tuple) -> int:
        """Multiplications in the products of one example: as many for each gate as for H.

        Args:
            input_shape: The inputs' shape, batch first.
            output_shape: The outputs' shape, batch first.
        """
        products = 2 if self.carry == "coupled" else 3
        return products * math.prod(output_shape[1:-1]) * math.prod(self._kernel_shape(input_shape))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the inputs."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
            "carry": self.carry,
            "gate_bias": self.gate_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@keras.saving.register_keras_serializable(package="kerasdl")
class HighwayDense(_Highway):
    """A dense layer whose gate decides how much to transform: `y = H(x) T(x) + x (1 - T(x))`.

    `H(x) = f(W x + b)` is an ordinary dense layer with as many units as it has inputs, and the transform gate
    `T(x) = sigmoid(W_T x + b_T)` another one. Where a unit's gate is closed, its value passes the layer as it is, and
    so does the gradient on its way back: that is what lets fifty or a hundred of these layers be trained. The gates
    begin nearly closed, by a negative `b_T`, and open where that helps. With a carry gate of its own the layer computes
    `y = H(x) T(x) + x C(x)`, the paper's equation 2, with `C(x) = sigmoid(W_C x + b_C)`.

    Args:
        activation: The function f; None for the identity.
        carry: "coupled" for C = 1 - T, "independent" for a carry gate with weights of its own.
        gate_bias: The first `b_T`: at -1 gates are 27 % open, at -3 5 %; the deeper the network, the lower. `b_C`
            begins at its opposite.
        kernel_initializer: Draws the matrices.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> layer = HighwayDense(gate_bias=-1000)  # closed
        >>> np.asarray(layer(np.array([[1.0, -2.0, 3.0]]))).tolist()
        [[1.0, -2.0, 3.0]]

    Reference:
        [Srivastava et al., 2015](https://arxiv.org/abs/1507.06228), equations 2 and 3
    """

    def _kernel_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        if len(input_shape) < 2 or input_shape[-1] is None:
            raise ValueError(
                "HighwayDense expects vectors of a known length, of shape (batch, ..., length). "
                f"Received: input_shape={tuple(input_shape)}."
            )
        return (input_shape[-1], input_shape[-1])

    def _product(self, inputs: Any, kernel: Any) -> Any:
        return keras.ops.matmul(inputs, kernel)


@keras.saving.register_keras_serializable(package="kerasdl")
class HighwayConv2D(_Highway):
    """A convolution whose gate decides, at each pixel of each map, how much to transform: `y = H T + x (1 - T)`.

    As `HighwayDense`, with convolutions in the place of the matrix products. There are as many maps after as before,
    of the same size. With `carry="independent"` it computes `y = H T + x C`.

    Args:
        kernel_size: Side of the kernels of H and of the gates.
        activation: The function f in `H = f(W * x + b)`; None for the identity.
        carry: "coupled" for C = 1 - T, "independent" for a carry gate with weights of its own.
        gate_bias: The first bias of T; that of C begins at its opposite.
        kernel_initializer: Draws the kernels.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> layer = HighwayConv2D(3)
        >>> layer(keras.ops.ones((1, 8, 8, 16))).shape
        TensorShape([1, 8, 8, 16])
        >>> layer.count_params()  # twice a convolution
        4640

    Reference:
        [Srivastava et al., 2015](https://arxiv.org/abs/1507.06228), equations 2 and 3
    """

    def __init__(
        self,
        kernel_size: int,
        activation: Any = "relu",
        carry: str = "coupled",
        gate_bias: float = -1.0,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(activation, carry, gate_bias, kernel_initializer, **kwargs)
        self.kernel_size = check_positive("kernel_size", kernel_size)

    def _kernel_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        if len(input_shape) != 4 or input_shape[-1] is None:
            raise ValueError(
                "HighwayConv2D expects images of shape (batch, height, width, channels) with a known number of "
                f"channels. Received: input_shape={tuple(input_shape)}."
            )
        return (self.kernel_size, self.kernel_size, input_shape[-1], input_shape[-1])

    def _product(self, inputs: Any, kernel: Any) -> Any:
        return keras.ops.conv(inputs, kernel, padding="same")

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return {**super().get_config(), "kernel_size": self.kernel_size}
