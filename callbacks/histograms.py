"""Histograms for TensorBoard that are counted where the numbers are, in a few bytes for each of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

_BUCKETS = 30  # As many as `tf.summary.histogram` makes.


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
    return _count[tf.float64](values) if values.dtype == tf.float64 else _count[tf.float32](tf.cast(values, tf.float32))


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
    finite, infinity = tf.math.is_finite(values), tf.constant(np.inf, values.dtype)
    least = tf.reduce_min(tf.where(finite, values, infinity))
    most = tf.reduce_max(tf.where(finite, values, -infinity))
    # Halves, since the way from the smallest to the largest number may itself be too large for a number.
    half_range = most / 2 - least / 2
    shares = tf.math.divide_no_nan(values / 2 - least / 2, half_range)
    # What is not finite goes into a bucket of its own, that nobody sees: to pick out the others takes longer.
    places = tf.where(finite, tf.minimum(tf.cast(shares * _BUCKETS, tf.int32), _BUCKETS - 1), _BUCKETS)
    return tf.math.bincount(places, minlength=_BUCKETS + 1, maxlength=_BUCKETS + 1)[:_BUCKETS], least, most


_count = {dtype: shared(_bucket_counts, tf.TensorSpec([None], dtype)) for dtype in (tf.float32, tf.float64)}


def write_histogram(tag: str, found: tuple[Any, Any, Any], step: int) -> None:
    """Writes what `bucket_counts` has found, with the default writer; nothing where no number was finite.

    Args:
        tag: What it is called in TensorBoard.
        found: The counts, the smallest and the largest number.
        step: The epoch.
    """
    from tensorboard.plugins.histogram import metadata

    counts, least, most = (np.asarray(part, "float64") for part in found)
    if not counts.sum():
        return
    # Of one number alone TensorFlow's histogram has 30 buckets without width, and all is in the last one.
    counts = counts if most > least else counts[::-1]
    edges = np.linspace(least, most, _BUCKETS + 1)
    table = np.stack([edges[:-1], edges[1:], counts], axis=1)
    tf.summary.write(tag, table, step, metadata.create_summary_metadata(None, None))
