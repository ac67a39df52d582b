"""Batch normalisation on TensorFlow's fused kernel, which the stock Keras 3 layer does not use."""

from typing import Any

import keras
import tensorflow as tf

from kerasdl.layers.channel_folding import folding, normalize_batch, normalize_with

# The fused kernel takes no others (cuDNN refuses a smaller epsilon, TensorFlow a float64 input).
_FUSED_DTYPES = ("float16", "bfloat16", "float32")
_SMALLEST_FUSED_EPSILON = 1e-5


@keras.saving.register_keras_serializable(package="kerasdl")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation in one kernel: `y = gamma (x - mean) / sqrt(variance + epsilon) + beta`.

    Same arguments, weights and results as `keras.layers.BatchNormalization`, whose weights it takes (`set_weights`;
    in a file Keras finds weights by the layer's class, so the file is opened by the network that wrote it); training
    ResNet-20 is 1.4 to 1.9 times as fast in float32 on two cores, and in bfloat16 1.1 to 1.7 times, by the day on which
    `benchmarks/training_loop.py` is run. The mean and the variance are those of the batch in training and the moving
    ones in inference; all four weights and the statistics stay in float32 under mixed precision.

    What the kernel does not know (an `axis` other than the last of four, a mask, `synchronized` or `renorm`, float64)
    runs as in the stock layer.

    Args:
        axis: The channels' axis.
        momentum: How much of the moving statistics each training step keeps.
        epsilon: Added to the variance.
        **kwargs: All other arguments of `keras.layers.BatchNormalization`.

    Example:
        >>> layer = FusedBatchNormalization()
        >>> layer(keras.ops.ones((2, 4, 4, 3)), training=True).shape
        TensorShape([2, 4, 4, 3])

    Reference:
        [Ioffe and Szegedy, 2015](https://arxiv.org/abs/1502.03167)
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalises `inputs`, with the batch's statistics in training and the moving ones otherwise."""
        if mask is not None or not self._fits_the_kernel(inputs):
            return super().call(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        scale = tf.convert_to_tensor(self.gamma) if self.scale else tf.ones(channels)
        offset = tf.convert_to_tensor(self.beta) if self.center else tf.zeros(channels)
        moving_mean = tf.convert_to_tensor(self.moving_mean)
        moving_variance = tf.convert_to_tensor(self.moving_variance)
        pixels = folding(inputs.shape)
        if not (training and self.trainable):
            if pixels > 1:
                return normalize_with(inputs, scale, offset, moving_mean, moving_variance, self.epsilon, pixels)
            return tf.raw_ops.FusedBatchNormV3(
                x=inputs,
                scale=scale,
                offset=offset,
                mean=moving_mean,
                variance=moving_variance,
                epsilon=self.epsilon,
                is_training=False,
            ).y
        if pixels > 1:
            outputs, mean, variance = normalize_batch(inputs, scale, offset, self.epsilon, pixels)
        else:
            outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
                x=inputs, scale=scale, offset=offset, mean=[], variance=[], epsilon=self.epsilon, is_training=True
            )
            # The kernel normalises with the variance over n but reports the one over n - 1; Keras keeps the one over n.
            count = tf.cast(tf.size(inputs) // channels, tf.float32)
            variance *= (count - 1) / count
        self.moving_mean.assign(moving_mean * self.momentum + mean * (1 - self.momentum))
        self.moving_variance.assign(moving_variance * self.momentum + variance * (1 - self.momentum))
        return outputs

    def _fits_the_kernel(self, inputs: Any) -> bool:
        return (
            len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and not self.synchronized
            and not getattr(self, "renorm", False)
            and self.epsilon >= _SMALLEST_FUSED_EPSILON
            and self.variable_dtype == "float32"
            and self.compute_dtype in _FUSED_DTYPES
            and keras.backend.standardize_dtype(inputs.dtype) == self.compute_dtype
        )
