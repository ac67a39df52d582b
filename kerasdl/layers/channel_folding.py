"""Batch normalisation of awkward numbers of channels, at the speed of multiples of 16.

On a processor TensorFlow's fused kernel has fast code for numbers of channels that fill its vector registers, multiples
of 16, and takes about six times as long for others, such as those of a DenseNet that grows by 12. Four pixels of 12
channels, one behind the other, are one pixel of 48: the same memory read as another shape. What is the same for every
pixel is repeated four times; the statistics, which then come in four parts, are put together again.
"""

import math
from typing import Any

import tensorflow as tf

_REGISTER = 16


def folding(shape: Any) -> int:
    """How many pixels must be read as one to fill the registers; 1 where that is not possible or of no use.

    Args:
        shape: Batch, height, width and channels; None for what is not known.

    Example:
        >>> folding((None, 8, 8, 12)), folding((None, 8, 8, 64)), folding((None, 3, 3, 12))
        (4, 1, 1)
    """
    _, height, width, channels = shape
    if None in (height, width, channels) or tf.config.list_logical_devices("GPU"):
        return 1
    pixels = _REGISTER // math.gcd(channels, _REGISTER)
    return pixels if height * width % pixels == 0 else 1


def _fold(x: Any, pixels: int) -> Any:
    _, height, width, channels = x.shape
    return tf.reshape(x, (-1, 1, height * width // pixels, channels * pixels))


def normalize_with(x: Any, scale: Any, offset: Any, mean: Any, variance: Any, epsilon: float, pixels: int) -> Any:
    """Normalises with given statistics: `y = scale (x - mean) / sqrt(variance + epsilon) + offset`.

    Args:
        x: Maps with a known height, width and number of channels.
        scale: One number per channel, as all that follow.
        offset: What is added at the end.
        mean: What is taken away.
        variance: What is divided by, before the root.
        epsilon: Added to the variance.
        pixels: What `folding` says.
    """
    scale, offset, mean, variance = (tf.tile(value, [pixels]) for value in (scale, offset, mean, variance))
    normalised = tf.raw_ops.FusedBatchNormV3(
        x=_fold(x, pixels),
        scale=scale,
        offset=offset,
        mean=mean,
        variance=variance,
        epsilon=epsilon,
        is_training=False,
    )
    return tf.reshape(normalised.y, tf.shape(x))


def normalize_batch(x: Any, scale: Any, offset: Any, epsilon: float, pixels: int) -> tuple[Any, Any, Any]:
    """Normalises with the batch's own mean and variance, and gives these as well.

    Args:
        x: Maps with a known height, width and number of channels.
        scale: One number per channel.
        offset: One number per channel.
        epsilon: Added to the variance.
        pixels: What `folding` says.
    """

    @tf.custom_gradient
    def normalize(x: Any, scale: Any, offset: Any) -> Any:
        mean, variance = _statistics(x, pixels)

        def backward(gradient: Any, *_: Any) -> tuple[Any, Any, Any]:
            # In float32 this kernel is fast for all numbers of channels, in bfloat16 it is not.
            back = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=tf.cast(gradient, tf.float32),
                x=tf.cast(x, tf.float32),
                scale=scale,
                reserve_space_1=mean,
                reserve_space_2=variance,
                reserve_space_3=[0.0],
                epsilon=epsilon,
                is_training=True,
            )
            return tf.cast(back.x_backprop, x.dtype), back.scale_backprop, back.offset_backprop

        y = normalize_with(x, scale, offset, mean, variance, epsilon, pixels)
        return (y, mean, variance), backward

    return normalize(x, scale, offset)


def _statistics(x: Any, pixels: int) -> tuple[Any, Any]:
    """Mean and variance of each channel, from those of its parts."""
    folded = _fold(x, pixels)
    parts = tf.raw_ops.FusedBatchNormV3(
        x=folded,
        scale=tf.ones(folded.shape[-1]),
        offset=tf.zeros(folded.shape[-1]),
        mean=[],
        variance=[],
        is_training=True,
    )
    # The kernel reports the variance over n - 1.
    count = tf.cast(tf.size(x) // folded.shape[-1], tf.float32)
    means = tf.reshape(parts.batch_mean, (pixels, -1))
    variances = tf.reshape(parts.batch_variance, (pixels, -1)) * ((count - 1) / count)
    # All parts have as many pixels: the whole varies as the parts do on average, and as their means do.
    return tf.reduce_mean(means, 0), tf.reduce_mean(variances, 0) + tf.math.reduce_variance(means, 0)
