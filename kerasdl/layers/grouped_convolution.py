"""Grouped convolution on TensorFlow's own kernel, which the stock Keras 3 layer does not use."""

import functools
from typing import Any

import keras
import tensorflow as tf


@functools.cache
def _kernel_has_a_gradient() -> bool:
    """Whether TensorFlow can train a grouped convolution here: on a CPU only its oneDNN kernels can."""
    # A tape records nothing in this scope, so the gradient is asked for by its name.
    with tf.init_scope():
        maps, kernel = tf.ones((1, 3, 3, 4)), tf.ones((3, 3, 2, 4))
        try:
            tf.raw_ops.Conv2DBackpropInput(
                input_sizes=maps.shape, filter=kernel, out_backprop=maps, strides=[1, 1, 1, 1], padding="SAME"
            )
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
            return False
    return True


def convolve(
    inputs: Any, kernel: Any, strides: tuple[int, int], padding: str, dilations: tuple[int, int] = (1, 1)
) -> Any:
    """`tf.nn.conv2d`, right also where TensorFlow's is not."""
    if inputs.shape[-1] == 1 and strides[0] != strides[1]:
        # TensorFlow 2.21 on a CPU (oneDNN) gives any numbers at all for several images of one channel, of which the
        # strides (1, 2) or (1, 3) leave one column. A second channel, of zeros, changes no sum and goes another way.
        inputs, kernel = tf.pad(inputs, [[0, 0]] * 3 + [[0, 1]]), tf.pad(kernel, [[0, 0]] * 2 + [[0, 1], [0, 0]])
    if dilations != (1, 1):
        # On a CPU without oneDNN the kernel of `conv2d` has no gradient then. This one takes the maps apart.
        return tf.nn.convolution(inputs, kernel, list(strides), padding, dilations=list(dilations))
    return tf.nn.conv2d(inputs, kernel, list(strides), padding)


@keras.saving.register_keras_serializable(package="kerasdl")
class GroupedConv2D(keras.layers.Conv2D):
    """Convolutions side by side: `y_g = x_g * k_g`, with a share g of the channels each.

    Same arguments, weights and results as `keras.layers.Conv2D`. On a CPU that layer hands a grouped convolution to
    XLA, whose gradient takes seconds where TensorFlow's own kernel takes milliseconds: a training step with 32 groups
    of 2 channels is some 480 times as fast here (`pytest -s tests/layers/test_grouped_convolution.py`). Dilated kernels
    and channels in front go the stock layer's way.

    Args:
        filters: How many maps come out.
        kernel_size: Sides of the kernels.
        groups: How many convolutions there are; divides the channels and `filters`.
        **kwargs: All other arguments of `keras.layers.Conv2D`.

    Example:
        >>> layer = GroupedConv2D(6, 3, groups=2)
        >>> layer(keras.ops.ones((1, 5, 5, 4))).shape, tuple(layer.kernel.shape)
        (TensorShape([1, 3, 3, 6]), (3, 3, 2, 6))

    Reference:
        [Krizhevsky et al., 2012](https://doi.org/10.1145/3065386), section 3.2;
        [Xie et al., 2016](https://arxiv.org/abs/1611.05431), Figure 3c
    """

    def __init__(self, filters: int, kernel_size: int | tuple[int, int], groups: int = 1, **kwargs: Any) -> None:
        super().__init__(filters, kernel_size, groups=groups, **kwargs)

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Convolves each share of the channels with its own kernels."""
        if self.data_format != "channels_last" or max(self.dilation_rate) > 1:
            return super().convolution_op(inputs, kernel)
        options = {"strides": self.strides, "padding": self.padding.upper()}
        if self.groups == 1 or _kernel_has_a_gradient():
            return convolve(inputs, kernel, **options)
        shares = zip(tf.split(inputs, self.groups, axis=-1), tf.split(kernel, self.groups, axis=-1), strict=True)
        return tf.concat([convolve(share, kernels, **options) for share, kernels in shares], axis=-1)
