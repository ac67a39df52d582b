"""Layers whose weights are +1, 0 or -1, with one scale per filter, and whose inputs are real numbers."""

from typing import Any

import keras
import tensorflow as tf

from kerasdl.layers.binary_weights import BinaryConv2D, BinaryDense
from kerasdl.layers.estimators import ternary_ste
from kerasdl.layers.latent_kernel import LatentKernel


class _TernaryKernel(LatentKernel):
    """Ternary signs, and the scale that fits them."""

    def kernel_signs(self) -> Any:
        """What the inputs are multiplied with, of the kernel's shape: +1, 0 or -1."""
        return ternary_ste(self._latent())

    def kernel_scale(self) -> Any:
        """`alpha`, one number per filter, by which the sums are multiplied; None without `weight_scale`."""
        if not self.weight_scale:
            return None
        latent = self._latent()
        axes = list(range(len(latent.shape) - 1))
        kept = tf.stop_gradient(tf.abs(ternary_ste(latent)))
        return tf.math.divide_no_nan(tf.reduce_sum(tf.abs(latent) * kept, axes), tf.reduce_sum(kept, axes))


@keras.saving.register_keras_serializable(package="kerasdl")
class TernaryConv2D(_TernaryKernel, BinaryConv2D):
    """A convolution with weights +1, 0, -1: `y = x * (alpha T) + b`, with `T = sign(W)` where `|W| > 0.7 mean |W|`.

    T is 0 elsewhere. Mean and alpha are those of each filter, and alpha is the mean `|W|` of what is over the
    threshold: given T, no other factor brings `alpha T` nearer to W in squares. The factor 0.7 is the paper's rule,
    near the best one for weights of a uniform or a normal distribution. The derivative of T is that of `ternary_ste`.

    The paper neither centres nor clips W. The default here does both, as in `BinaryConv2D`; with few inputs, or to be
    nearer to the paper, pass `kernel_constraint=LatentWeights(centre=False)`, which keeps W where T has a derivative.

    Args:
        filters: How many maps come out.
        kernel_size: Height and width of the kernel.
        strides: Step of the convolution.
        padding: "valid" or "same", which pads with zeros.
        weight_scale: False leaves alpha out.
        kernel_constraint: What keeps the latent weights within -1 and 1: `kerasdl.constraints.LatentWeights()` by
            default. None warns. Another one is taken as it is: `NonNeg` leaves no weight of -1, and `MaxNorm` clips
            none.
        **kwargs: All other arguments of `keras.layers.Conv2D`, in whose place it can stand.

    Example:
        >>> layer = TernaryConv2D(8, 3, padding="same")
        >>> layer(keras.ops.ones((1, 5, 5, 4))).shape, np.unique(layer.kernel_signs()).tolist()
        (TensorShape([1, 5, 5, 8]), [-1.0, 0.0, 1.0])

    Reference:
        [Li and Liu, 2016](https://arxiv.org/abs/1605.04711), section 2
    """


@keras.saving.register_keras_serializable(package="kerasdl")
class TernaryDense(_TernaryKernel, BinaryDense):
    """A dense layer with weights +1, 0, -1: `y = x (alpha T) + b`, with `T = sign(W)` where `|W| > 0.7 mean |W|`.

    Everything that `TernaryConv2D` says of its weights holds here too, a filter being what leads to one output.

    Args:
        units: How many numbers come out.
        weight_scale: False leaves alpha out.
        kernel_constraint: What keeps the latent weights within -1 and 1: `kerasdl.constraints.LatentWeights()` by
            default. None warns. Another one is taken as it is: `NonNeg` leaves no weight of -1, and `MaxNorm` clips
            none.
        **kwargs: All other arguments of `keras.layers.Dense`, in whose place it can stand.

    Example:
        >>> layer = TernaryDense(3)
        >>> layer(keras.ops.ones((2, 50))).shape, np.unique(layer.kernel_signs()).tolist()
        (TensorShape([2, 3]), [-1.0, 0.0, 1.0])

    Reference:
        [Li and Liu, 2016](https://arxiv.org/abs/1605.04711), section 2
    """
