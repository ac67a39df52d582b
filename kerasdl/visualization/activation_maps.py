"""Where in the image the evidence for a class lies: a layer's maps, weighted by what each does for the score."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.visualization.probing import compiled, feature_layer, forward, in_batches
from kerasdl.visualization.targets import Target, check_gradient, check_images, check_target, score, warn_if_empty


def grad_cam(
    model: keras.Model, images: Any, target: Target = None, *, layer: str | None = None, batch_size: int = 32
) -> np.ndarray:
    """Grad-CAM: a layer's maps, each weighted by its mean gradient, summed and rectified; `(N, H, W)`, not normalised.

    Args:
        model: Any Keras model; it is left as it is.
        images: `(N, height, width, channels)`, in the range the model was trained on.
        target: None for the predicted class, a class, one class per image, or a callable on the unnormalised scores.
        layer: Name of a layer that gives maps, also inside a nested model; None takes the last such layer.
        batch_size: Images at once.

    Returns:
        Maps at the images' size, float32, raw.

    Example:
        >>> layers = [keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)]
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
        >>> grad_cam(model, np.random.default_rng(0).normal(size=(5, 8, 8, 3)), layer=model.layers[0].name).shape
        (5, 8, 8)

    Reference:
        [Selvaraju et al., 2016](https://arxiv.org/abs/1610.02391), equations 1 and 2
    """
    images = check_images(model, images)
    classes, function = check_target(model, images, target)
    layer = feature_layer(model, images.shape[1:], layer)
    maps = in_batches(compiled(model, _grad_cam, function=function, layer=layer), batch_size, images, classes)
    warn_if_empty(maps, "no map of this layer speaks for the class; an earlier layer, or the predicted class, may.")
    return maps


def _grad_cam(
    model: keras.Model, images: tf.Tensor, classes: tf.Tensor, *, function: Callable | None, layer: str
) -> tf.Tensor:
    seen: list[tf.Tensor] = []
    # Nothing below the layer is watched, so nothing below it is differentiated.
    with tf.GradientTape(watch_accessed_variables=False) as tape:

        def watch(features: tf.Tensor) -> tf.Tensor:
            tape.watch(features)
            seen.append(features)
            return features

        scores = score(forward(model, images, taps={layer: watch}), classes, function)
    gradient = check_gradient(model, tape.gradient(scores, seen[-1]), images)
    weights = tf.reduce_mean(tf.cast(gradient, "float32"), axis=(1, 2))
    maps = tf.nn.relu(tf.einsum("nhwc,nc->nhw", tf.cast(seen[-1], "float32"), weights))
    return tf.image.resize(maps[..., None], images.shape[1:3])[..., 0]
