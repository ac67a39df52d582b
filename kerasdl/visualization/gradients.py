"""What in the image moves a score: the gradient, plain and averaged over noise."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.visualization.probing import compiled, in_batches
from kerasdl.visualization.targets import (
    Target,
    Unit,
    check_gradient,
    check_images,
    check_target,
    check_unit,
    score_of,
    warn_if_empty,
)


def saliency(
    model: keras.Model, images: Any, target: Target = None, *, unit: Unit | None = None, batch_size: int = 32
) -> np.ndarray:
    """How much each pixel moves the score: the gradient's largest absolute value among the channels, `(N, H, W)`.

    Args:
        model: Any Keras model; it is left as it is.
        images: `(N, height, width, channels)`, in the range the model was trained on.
        target: None for the predicted class, a class, one class per image, or a callable on the unnormalised scores.
        unit: In the place of a class, one neuron: (layer, (row, column, channel)).
        batch_size: Images at once.

    Returns:
        Maps, float32, raw.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
        >>> saliency(model, np.zeros((4, 8, 8, 3)), target=1).shape
        (4, 8, 8)

    Reference:
        [Simonyan et al., 2013](https://arxiv.org/abs/1312.6034), section 3.1
    """
    images = check_images(model, images)
    classes, function = check_target(model, images, target)
    if unit is not None:
        unit = check_unit(model, images, unit)
    run = compiled(model, _saliency, function=function, unit=unit)
    maps = in_batches(run, batch_size, images, classes)
    warn_if_empty(maps, "the score does not change with the image; a unit behind a rectifier may be off.")
    return maps


def image_gradient(
    model: keras.Model,
    images: tf.Tensor,
    classes: tf.Tensor,
    function: Callable | None = None,
    unit: Unit | None = None,
) -> tf.Tensor:
    """The gradient of each image's score with respect to the image."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        scores = score_of(model, images, classes, function=function, unit=unit)
    return check_gradient(model, tape.gradient(scores, images), images)


def _saliency(
    model: keras.Model, images: tf.Tensor, classes: tf.Tensor, *, function: Callable | None, unit: Unit | None
) -> tf.Tensor:
    return tf.reduce_max(tf.abs(image_gradient(model, images, classes, function, unit)), axis=-1)
