"""Layers whose weights are +1 or -1, with one scale per filter, and whose inputs are real numbers."""

from typing import Any

import keras
import tensorflow as tf

from kerasdl.layers.grouped_convolution import GroupedConv2D
from kerasdl.layers.latent_kernel import DEFAULT_CONSTRAINT, LatentKernel


@keras.saving.register_keras_serializable(package="kerasdl")
class BinaryConv2D(LatentKernel, GroupedConv2D):
    """A convolution with weights of one bit: `y = x * (alpha sign(W)) + b`, with `alpha = mean |W|` of each filter.

    Of all signs and factors these are nearest to W in squares. W, the latent weights, are what is stored and trained:
    steps too small to turn a sign add up in them. The sign's derivative is that of `sign_ste`; that of alpha is taken
    as it is. The derivative of a weight `alpha B_j` by a latent weight W_i thus has the part `B_j sign(W_i) / n`, n the
    weights of a filter, of which the paper writes the one for j = i, its `1/n`.

    Without a scale, and with `kernel_constraint=LatentWeights(centre=False)`, this is BinaryConnect. The default also
    centres the weights over the channels, so that their signs are never all equal. A layer that reads two or three
    inputs may be unable to learn because of it (`LatentWeights` has an example), and learns with `centre=False`.

    Kernels of 3 x 3 and more, groups, strides and dilation work as in `keras.layers.Conv2D`; images are channels_last.
    Under mixed precision the products are taken in float32.

    Args:
        filters: How many maps come out.
        kernel_size: Height and width of the kernel.
        strides: Step of the convolution.
        padding: "valid" or "same", which pads with zeros: the inputs are real.
        weight_scale: False leaves alpha out.
        kernel_constraint: What keeps the latent weights within -1 and 1: `kerasdl.constraints.LatentWeights()` by
            default. None warns. Another one is taken as it is: `NonNeg` leaves no weight of -1, and `MaxNorm` clips
            none.
        **kwargs: All other arguments of `keras.layers.Conv2D`, in whose place it can stand.

    Example:
        >>> layer = BinaryConv2D(8, 3, padding="same")
        >>> layer(keras.ops.ones((1, 5, 5, 4))).shape
        TensorShape([1, 5, 5, 8])
        >>> np.unique(layer.kernel_signs()).tolist(), layer.kernel_scale().shape
        ([-1.0, 1.0], TensorShape([8]))

    Reference:
        [Rastegari et al., 2016](https://arxiv.org/abs/1603.05279), section 3.1;
        [Courbariaux et al., 2015](https://arxiv.org/abs/1511.00363) without scale and centring
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = 1,
        padding: str = "valid",
        *,
        weight_scale: bool = True,
        kernel_constraint: Any = DEFAULT_CONSTRAINT,
        **kwargs: Any,
    ) -> None:
        kwargs |= {"strides": strides, "padding": padding, "kernel_constraint": kernel_constraint}
        super().__init__(filters, kernel_size, weight_scale=weight_scale, **kwargs)

    def call(self, inputs: Any) -> Any:
        """Convolves with the scaled signs."""
        inputs = tf.cast(inputs, self.compute_dtype)
        return self._finish(self.convolution_op(inputs, self._scaled_signs()))


@keras.saving.register_keras_serializable(package="kerasdl")
class BinaryDense(LatentKernel, keras.layers.Dense):
    """A dense layer with weights of one bit: `y = x (alpha sign(W)) + b`, with `alpha = mean |W|` of each output.

    Everything that `BinaryConv2D` says of its weights holds here too.

    Args:
        units: How many numbers come out.
        weight_scale: False leaves alpha out.
        kernel_constraint: What keeps the latent weights within -1 and 1: `kerasdl.constraints.LatentWeights()` by
            default. None warns. Another one is taken as it is: `NonNeg` leaves no weight of -1, and `MaxNorm` clips
            none.
        **kwargs: All other arguments of `keras.layers.Dense`, in whose place it can stand.

    Example:
        >>> layer = BinaryDense(3)
        >>> layer(keras.ops.ones((2, 5))).shape, np.unique(layer.kernel_signs()).tolist()
        (TensorShape([2, 3]), [-1.0, 1.0])

    Reference:
        [Rastegari et al., 2016](https://arxiv.org/abs/1603.05279), section 3.1;
        [Courbariaux et al., 2015](https://arxiv.org/abs/1511.00363) without scale and centring
    """

    def __init__(
        self, units: int, *, weight_scale: bool = True, kernel_constraint: Any = DEFAULT_CONSTRAINT, **kwargs: Any
    ) -> None:
        super().__init__(units, weight_scale=weight_scale, kernel_constraint=kernel_constraint, **kwargs)

    def call(self, inputs: Any) -> Any:
        """Multiplies by the scaled signs."""
        inputs = tf.cast(inputs, self.compute_dtype)
        return self._finish(keras.ops.matmul(inputs, self._scaled_signs()))
