"""The scores of many changed copies of a few images, of which only one batch exists at a time."""

from collections.abc import Callable

import keras
import tensorflow as tf

from kerasdl.visualization.targets import Unit, score_of


def scores_of_copies(
    model: keras.Model,
    images: tf.Tensor,
    classes: tf.Tensor,
    change: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    count: int,
    *,
    function: Callable | None = None,
    unit: Unit | None = None,
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
        batch_size: Copies at once, of whichever images, so that few images fill a batch too.
    """
    total = tf.shape(images)[0] * count

    def step(first: tf.Tensor, scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pairs = tf.range(first, tf.minimum(first + batch_size, total))
        which = pairs // count
        copies = change(which, pairs % count)
        new = score_of(model, copies, tf.gather(classes, which), function=function, unit=unit)
        return first + batch_size, tf.tensor_scatter_nd_update(scores, pairs[:, None], new)

    # One turn after the other: several at once would need the memory of several.
    _, scores = tf.while_loop(
        lambda first, _: first < total, step, (tf.constant(0), tf.zeros(total[None])), parallel_iterations=1
    )
    return tf.reshape(scores, (-1, count))
