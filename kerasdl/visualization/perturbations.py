"""The scores of many changed copies of a few images, of which only one batch exists at a time."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.visualization.targets import Unit, score_of


def check_covers(images: np.ndarray, value: Any) -> np.ndarray:
    """What each image is covered with, `(N, height or 1, width or 1, channels)`."""
    if value is None:
        return images.mean(axis=(1, 2), keepdims=True)
    cover = np.asarray(value, "float32")
    try:
        np.broadcast_to(cover, images.shape[1:])
    except ValueError:
        cover = np.full((), np.nan)
    if not np.isfinite(cover).all():
        raise ValueError(
            f"`value` must be finite: a number, or an array that fits one image, {images.shape[1:]}. "
            f"Received: {np.asarray(value).dtype} of shape {np.shape(value)}."
        )
    cover = cover.reshape((1,) * (3 - cover.ndim) + cover.shape)
    return np.broadcast_to(cover, (len(images), *cover.shape[:2], images.shape[3]))


def scores_of_copies(
    model: keras.Model,
    images: tf.Tensor,
    classes: tf.Tensor,
    change: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    count: int,
    *,
    function: Callable | None = None,
    unit: Unit | None = None,
    layer: str | None = None,
    batch_size: int = 32,
) -> tf.Tensor:
    """The scores of `count` copies of each image, `(N, count)`.

    Args:
        model: Any Keras model.
        images: A batch.
        classes: The class of each image, known: a copy is not asked for its own.
        change: Makes a batch of copies from two vectors: the numbers of the images, and which copy of each.
        count: Copies of each image.
        function: As in `score_of`.
        unit: As in `score_of`.
        layer: If `change` makes what this layer gives for the copies: the model goes on from there.
        batch_size: Copies at once, of whichever images, so that few images fill a batch too.
    """
    total = tf.shape(images)[0] * count

    def step(first: tf.Tensor, scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pairs = tf.range(first, tf.minimum(first + batch_size, total))
        which = pairs // count
        copies = change(which, pairs % count)
        options: dict[str, Any] = {"function": function, "unit": unit}
        if layer is not None:
            # All that leads to the layer drops out of the graph: nobody asks for it.
            copies, options["taps"] = tf.gather(images, which), {layer: lambda _, copies=copies: copies}
        new = score_of(model, copies, tf.gather(classes, which), **options)
        return first + batch_size, tf.tensor_scatter_nd_update(scores, pairs[:, None], new)

    # One turn after the other: several at once would need the memory of several.
    _, scores = tf.while_loop(
        lambda first, _: first < total, step, (tf.constant(0), tf.zeros(total[None])), parallel_iterations=1
    )
    return tf.reshape(scores, (-1, count))
