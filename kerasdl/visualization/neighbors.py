"""Which images a network finds alike: the nearest ones in the space of a layer's features."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.visualization.checks import check_count
from kerasdl.visualization.layer_outputs import layer_values
from kerasdl.visualization.maximal_activations import image_batches
from kerasdl.visualization.probing import compiled, feature_layer, in_batches, layer_path
from kerasdl.visualization.targets import check_images


def nearest_neighbors(
    model: keras.Model,
    queries: Any,
    gallery: Any,
    layer: str | None = None,
    k: int = 5,
    *,
    pool: bool = False,
    batch_size: int = 32,
) -> tuple[np.ndarray, np.ndarray]:
    """The k images of a gallery whose features are nearest to each query's, by Euclidean distance, the nearest first.

    The gallery runs through once in batches; no features are kept but those of the queries.

    Args:
        model: Any Keras model; it is left as it is.
        queries: Images `(N, height, width, channels)`, in the range the model was trained on.
        gallery: Images, or a `tf.data.Dataset` of batches of images, or of tuples that begin with them.
        layer: Name of a layer, also inside a nested model; None takes the last that gives maps.
        k: How many neighbours; no more than there are images in the gallery. A query that is in the gallery is its own
            first neighbour.
        pool: Whether to take the mean of each map, which forgets where things are; else every place counts.
        batch_size: Images at once, where they are arrays.

    Returns:
        Numbers of the images in the gallery, `(N, k)`, and their distances, `(N, k)` float32.

    Example:
        >>> model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(name="pixels")])
        >>> gallery = np.linspace(0, 1, 11)[:, None, None, None] * np.ones((11, 4, 4, 1))
        >>> nearest_neighbors(model, gallery[[2]] + 0.01, gallery, "pixels", k=3)[0]
        array([[2, 3, 1]])

    Reference:
        [Krizhevsky et al., 2012](https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks),
        section 6.1
    """
    check_count("k", k)
    queries = check_images(model, queries)
    shape = queries.shape[1:]
    path = feature_layer(model, shape) if layer is None else layer_path(model, shape, layer)
    features = in_batches(compiled(model, _features, layer=path, pool=pool), batch_size, queries)
    # Distances by a product of matrices lose digits where the features are far from zero. Their mean is taken off, and
    # what is left has digits enough that an image is nearer to itself than to one that is almost the same.
    features = features.astype("float64")
    center = features.mean(axis=0)
    run = compiled(model, _distances, layer=path, pool=pool)
    numbers, squares = np.zeros((len(queries), 0), int), np.zeros((len(queries), 0))
    seen = 0
    for images in image_batches(model, gallery, batch_size):
        new = run(images, features - center, center).numpy()
        squares = np.concatenate([squares, new], axis=1)
        numbers = np.concatenate([numbers, np.broadcast_to(seen + np.arange(len(images)), new.shape)], axis=1)
        nearest = np.argsort(squares, axis=1, kind="stable")[:, :k]
        squares, numbers = np.take_along_axis(squares, nearest, axis=1), np.take_along_axis(numbers, nearest, axis=1)
        seen += len(images)
    if seen < k:
        raise ValueError(f"`gallery` must hold at least k={k} images. Received: {seen}.")
    return numbers, np.sqrt(squares).astype("float32")


def _features(model: keras.Model, images: tf.Tensor, *, layer: str, pool: bool) -> tf.Tensor:
    values = layer_values(model, images, layers=(layer,))[0]
    if pool and values.shape.rank == 4:
        values = tf.reduce_mean(values, axis=(1, 2))
    return tf.reshape(values, (tf.shape(values)[0], int(np.prod(values.shape[1:]))))


def _distances(
    model: keras.Model, images: tf.Tensor, queries: tf.Tensor, center: tf.Tensor, *, layer: str, pool: bool
) -> tf.Tensor:
    """Squared distances, `(queries, images)` float64."""
    features = tf.cast(_features(model, images, layer=layer, pool=pool), "float64") - center
    squares = tf.reduce_sum(tf.square(queries), axis=1)[:, None] + tf.reduce_sum(tf.square(features), axis=1)
    return tf.maximum(squares - 2 * tf.matmul(queries, features, transpose_b=True), 0.0)
