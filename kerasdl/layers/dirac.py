"""A convolution that begins as the identity: a plain network that trains like a residual one."""

from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable(package="kerasdl")
class DiracConv2D(keras.layers.Conv2D):
    """A convolution with the kernel `diag(a) I + diag(b) W / ||W||`, where I passes its input on unchanged.

    I is the Dirac delta of convolution: one in the middle of the filter that leads from map i to map i, zero elsewhere.
    `a` and `b` are learned, one of each per output map, and each filter of `W` is divided by its own length. The
    shortcut of a residual block is thus inside the weights: once trained, the sum is the kernel of an ordinary
    convolution, and costs nothing more (`kerasdl.architectures.fold_dirac`).

    Where there are more output maps than input maps, the surplus ones have no input to copy and begin with `b W` alone;
    where there are fewer, the surplus inputs are not copied.

    Args:
        filters: How many maps come out.
        kernel_size: Height and width of the kernel; in the middle of an even size stands the upper left of four.
        strides: Step of the convolution: the identity then keeps every second pixel, or so.
        padding: "valid" or "same".
        alpha_initializer: The first `a`, 1 in the second version of the paper.
        beta_initializer: The first `b`, 0.1 there; None means that.
        **kwargs: All other arguments of `keras.layers.Conv2D`, in whose place it can stand.

    Example:
        >>> layer = DiracConv2D(3, 3, padding="same", beta_initializer="zeros")
        >>> images = np.random.default_rng(0).random((1, 8, 8, 3), dtype="float32")
        >>> bool(np.all(layer(images) == images))
        True

    Reference:
        [Zagoruyko and Komodakis, 2017](https://arxiv.org/abs/1706.00388), section 2
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        *,
        alpha_initializer: Any = "ones",
        beta_initializer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(filters, kernel_size, strides, padding, **kwargs)
        self.alpha_initializer = keras.initializers.get(alpha_initializer)
        tenth = keras.initializers.Constant(0.1)
        self.beta_initializer = tenth if beta_initializer is None else keras.initializers.get(beta_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the weights of a convolution, and `a` and `b`."""
        super().build(input_shape)
        # In float32 under any policy: the sum of a one and of small numbers is rounded only when it is complete.
        options: dict[str, Any] = {"shape": (self.filters,), "autocast": False}
        self.alpha = self.add_weight(initializer=self.alpha_initializer, name="alpha", **options)
        self.beta = self.add_weight(initializer=self.beta_initializer, name="beta", **options)
        self._delta = _dirac_delta(self.kernel.shape, self.groups)

    def dirac_kernel(self) -> Any:
        """The kernel of the ordinary convolution that this one is, `(height, width, inputs, filters)`."""
        return self._combine(self.kernel)

    def _combine(self, kernel: Any) -> Any:
        kernel = keras.ops.cast(kernel, self.variable_dtype)
        square = keras.ops.sum(keras.ops.square(kernel), axis=(0, 1, 2))
        # A filter of zeros stays one, and has a gradient.
        beta = self.beta * keras.ops.rsqrt(keras.ops.maximum(square, 1e-24))
        return self.alpha * self._delta + beta * kernel

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Convolves with the combined kernel."""
        return super().convolution_op(inputs, keras.ops.cast(self._combine(kernel), inputs.dtype))

    def save_own_variables(self, store: Any) -> None:
        """Writes the weights of a convolution, and `a` and `b`."""
        super().save_own_variables(store)
        if self.built:
            store["alpha"], store["beta"] = self.alpha, self.beta

    def load_own_variables(self, store: Any) -> None:
        """Reads the weights of a convolution, and `a` and `b`."""
        super().load_own_variables(store)
        if self.built:
            self.alpha.assign(store["alpha"])
            self.beta.assign(store["beta"])

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return {
            **super().get_config(),
            "alpha_initializer": keras.initializers.serialize(self.alpha_initializer),
            "beta_initializer": keras.initializers.serialize(self.beta_initializer),
        }


def _dirac_delta(shape: tuple[int, ...], groups: int) -> np.ndarray:
    """A kernel that copies: map i of each group's input becomes map i of the group's output."""
    height, width, inputs, filters = shape
    delta = np.zeros(shape, "float32")
    outputs = filters // groups
    for group in range(groups):
        for channel in range(min(inputs, outputs)):
            delta[(height - 1) // 2, (width - 1) // 2, channel, group * outputs + channel] = 1
    return delta
