"""Histograms that are counted where the numbers are, in a few bytes for each of them."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

BUCKETS = 30  # As many as `tf.summary.histogram` makes.


def bucket_counts(values: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """How many numbers lie in each of 30 equally wide buckets, from the smallest to the largest number.

    `tf.summary.histogram` makes 240 bytes for each number while it counts: 25 GB for the largest matrix of VGG-16. This
    is also of use inside a compiled function, which then need not hand the numbers out.

    Args:
        values: A tensor of numbers. What is NaN or infinite is not counted.

    Returns:
        The counts, the smallest and the largest number.

    Example:
        >>> counts, least, most = bucket_counts([0.0, 1.0, 1.0, 3.0])
        >>> counts.numpy()[[0, 10, 29]].tolist(), float(least), float(most)
        ([1, 2, 1], 0.0, 3.0)
    """
    values = tf.reshape(tf.convert_to_tensor(values), [-1])
    dtype = tf.float64 if values.dtype == tf.float64 else tf.float32
    return _counter(dtype)(tf.cast(values, dtype))


def shared(function: Callable[..., Any], *specifications: tf.TensorSpec) -> Callable[..., Any]:
    """The function, traced once for all places of a graph that call it, and not copied into them.

    A graph that looks at hundreds of layers has so many fewer nodes, and is compiled sooner.

    Args:
        function: A function of tensors.
        specifications: What tensors.
    """
    options = {"autograph": False, "experimental_attributes": {"_noinline": True}}
    return tf.function(function, input_signature=specifications, **options)


def _bucket_counts(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    finite = tf.math.is_finite(values)
    # To pick some out takes longer than all the rest, and is hardly ever needed.
    values = tf.cond(tf.reduce_all(finite), lambda: values, lambda: tf.boolean_mask(values, finite))
    least, most = tf.reduce_min(values), tf.reduce_max(values)
    # Halves, since the way from the smallest to the largest number may itself be too large for a number.
    half_range = most / 2 - least / 2
    shares = tf.math.divide_no_nan(values / 2 - least / 2, half_range)
    places = tf.minimum(tf.cast(shares * BUCKETS, tf.int32), BUCKETS - 1)
    return tf.math.bincount(places, minlength=BUCKETS, maxlength=BUCKETS), least, most


@functools.cache
def _counter(dtype: tf.DType) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
    # Called as it is it would look for the right trace each time, which takes longer than to count a small weight.
    counter: Any = shared(_bucket_counts, tf.TensorSpec([None], dtype))
    return counter.get_concrete_function()
