"""The different kinds of image that a class holds: starts for `maximize`, which otherwise mixes them."""

from typing import Any

import keras
import numpy as np

from kerasdl.visualization import embeddings
from kerasdl.visualization.layer_outputs import activations
from kerasdl.visualization.probing import feature_layer
from kerasdl.visualization.targets import check_images


def facets(
    model: keras.Model,
    images: Any,
    k: int = 4,
    *,
    layer: str | None = None,
    nearest: int = 15,
    embed: bool = False,
    seed: int = 0,
    batch_size: int = 32,
) -> np.ndarray:
    """The mean image of each of `k` clusters of images, by a layer's features: `(k, height, width, channels)`.

    Give them to `maximize` as `start`: each leads the ascent to another facet of a class, with its own colours and
    layout.

    Args:
        model: Any Keras model; it is left as it is.
        images: Images of one class, `(N, height, width, channels)`.
        k: Clusters, found by k-means.
        layer: The layer whose values are the features; None takes the last maps.
        nearest: Each mean is that of so many images next to the cluster's centre, or of all it has if these are fewer.
        embed: Whether the features are brought to two dimensions by t-SNE first, as in the paper.
        seed: Decides the clusters.
        batch_size: Images at once.

    Returns:
        The means, float32, that of the largest cluster first.

    Example:
        >>> model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(2, 3), keras.layers.Flatten()])
        >>> facets(model, np.random.default_rng(0).uniform(size=(9, 4, 4, 3)), 2).shape
        (2, 4, 4, 3)

    Reference:
        [Nguyen et al., 2016](https://arxiv.org/abs/1602.03616), section 2
    """
    from sklearn.cluster import KMeans

    images = check_images(model, images)
    for name, value, most in (("k", k, len(images)), ("nearest", nearest, np.inf)):
        if not isinstance(value, int) or not 1 <= value <= most:
            limit = f" and at most the number of images, {most}" if name == "k" else ""
            raise ValueError(f"`{name}` must be a whole number of at least 1{limit}. Received: {name}={value!r}.")
    layer = feature_layer(model, images.shape[1:]) if layer is None else layer
    features = activations(model, images, layer, batch_size=batch_size).reshape(len(images), -1)
    if embed:
        perplexity = min(30.0, (len(features) - 1) / 3)
        features = embeddings.embed(features, seed=seed, perplexity=perplexity)
    clusters = KMeans(k, n_init=10, random_state=seed).fit(features)
    distances = clusters.transform(features)
    means = []
    for cluster in np.argsort(-np.bincount(clusters.labels_, minlength=k), kind="stable"):
        members = np.flatnonzero(clusters.labels_ == cluster)
        means.append(images[members[np.argsort(distances[members, cluster])[:nearest]]].mean(axis=0))
    return np.stack(means)
