"""Score-CAM: maps weighted by the score of what they let through, without a gradient."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.visualization.perturbations import check_covers, scores_of_copies
from kerasdl.visualization.probing import compiled, feature_layer, forward, in_batches
from kerasdl.visualization.targets import Target, check_images, check_target, likeliest, warn_if_empty


def score_cam(
    model: keras.Model,
    images: Any,
    target: Target = None,
    *,
    layer: str | None = None,
    value: float | np.ndarray | None = None,
    batch_size: int = 32,
) -> np.ndarray:
    """Score-CAM: a layer's maps, each weighted by the score of the image seen through it, rectified; `(N, H, W)`.

    Each map, enlarged and brought to [0, 1], is a mask on the image; the weights are the softmax of the scores of the
    masked images. Nothing is differentiated, but the model runs once per map. The paper's images are centred: what a
    mask keeps out becomes 0 there, which is the mean colour.

    Args:
        model: Any Keras model; it is left as it is.
        images: `(N, height, width, channels)`, in the range the model was trained on.
        target: None for the predicted class (of the image as it is), a class, one class per image, or a callable on
            the unnormalised scores.
        layer: Name of a layer that gives maps, also inside a nested model; None takes the last such layer.
        value: What stands where a mask lets nothing through: a number, or an array that fits one image, such as one
            value per channel; each image's own mean colour if None.
        batch_size: Images at once, masked ones too: memory does not grow with the number of maps.

    Returns:
        Maps at the images' size, float32, raw.

    Example:
        >>> layers = [keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)]
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
        >>> score_cam(model, np.random.default_rng(0).normal(size=(5, 8, 8, 3))).shape
        (5, 8, 8)

    Reference:
        [Wang et al., 2019](https://arxiv.org/abs/1910.01279), algorithm 1
    """
    images = check_images(model, images)
    classes, function = check_target(model, images, target)
    layer = feature_layer(model, images.shape[1:], layer)
    run = compiled(model, _score_cam, function=function, layer=layer, batch_size=batch_size)
    maps = in_batches(run, batch_size, images, classes, check_covers(images, value))
    warn_if_empty(maps, "the maps that speak most for the class are not above zero; those of another layer may be.")
    return maps


def _score_cam(
    model: keras.Model,
    images: tf.Tensor,
    classes: tf.Tensor,
    covers: tf.Tensor,
    *,
    function: Callable | None,
    layer: str,
    batch_size: int,
) -> tf.Tensor:
    seen: list[tf.Tensor] = []

    def note(features: tf.Tensor) -> tf.Tensor:
        seen.append(features)
        return features

    logits = forward(model, images, taps={layer: note})
    if function is None:
        classes = tf.where(classes < 0, likeliest(logits), classes)
    features = tf.transpose(tf.cast(seen[-1], "float32"), (0, 3, 1, 2))
    count = int(features.shape[1])

    def mask(which: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        small = tf.gather_nd(features, tf.stack([which, number], axis=1))[..., None]
        large = tf.image.resize(small, images.shape[1:3])
        least = tf.reduce_min(large, axis=(1, 2, 3), keepdims=True)
        most = tf.reduce_max(large, axis=(1, 2, 3), keepdims=True)
        cover = tf.gather(covers, which)
        return cover + (tf.gather(images, which) - cover) * tf.math.divide_no_nan(large - least, most - least)

    scores = scores_of_copies(model, images, classes, mask, count, function=function, batch_size=batch_size)
    # The paper takes the score of a baseline off first: the softmax is the same with and without.
    maps = tf.nn.relu(tf.einsum("nchw,nc->nhw", features, tf.nn.softmax(scores)))
    return tf.image.resize(maps[..., None], images.shape[1:3])[..., 0]
