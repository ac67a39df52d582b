"""The scores that attacks climb, their gradients, and the small sums over images that every attack needs."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from kerasdl.visualization.probing import forward
from kerasdl.visualization.targets import check_gradient


def scores_of(model: keras.Model, images: tf.Tensor) -> tf.Tensor:
    """The unnormalised score of each class; a single score stands against a zero, as in the sigmoid function."""
    scores = forward(model, images)
    scores = tf.reshape(scores, (-1, int(np.prod(scores.shape[1:]))))
    return tf.concat([tf.zeros_like(scores), scores], axis=1) if scores.shape[-1] == 1 else scores


def predict(model: keras.Model, images: tf.Tensor) -> tf.Tensor:
    """The class that the model finds likeliest, for each image."""
    return tf.argmax(scores_of(model, images), axis=1, output_type=tf.int32)


def is_fooled(scores: tf.Tensor, classes: tf.Tensor, targeted: bool) -> tf.Tensor:
    """Whether the likeliest class is the target, or is not the label."""
    found = tf.argmax(scores, axis=1, output_type=tf.int32)
    return found == classes if targeted else found != classes


def lead_of_others(scores: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    """How far all other classes together are ahead of this one: log((1 - p) / p).

    It rises and falls with the cross-entropy, -log p, so its gradient has the same direction. But it does not round to
    zero where the model is certain.
    """
    own = tf.gather(scores, classes, axis=1, batch_dims=1)
    return tf.reduce_logsumexp(other_classes(scores, classes), axis=1) - own


def best_of_others(scores: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    """How far the best other class is ahead of this one."""
    return tf.reduce_max(other_classes(scores, classes), axis=1) - tf.gather(scores, classes, axis=1, batch_dims=1)


def other_classes(scores: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    """The scores, with the lowest number in the place of these classes."""
    return tf.where(tf.one_hot(classes, scores.shape[-1], on_value=True, off_value=False), scores.dtype.min, scores)


def value_and_gradient(
    model: keras.Model, images: tf.Tensor, function: Callable[[tf.Tensor], tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The scores, `function` of them (one number per image), and its gradient with respect to the images."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        scores = scores_of(model, images)
        value = function(scores)
    return scores, value, check_gradient(model, tape.gradient(value, images), images)


def axes_of(images: tf.Tensor) -> list[int]:
    """All axes but the first."""
    return list(range(1, images.shape.rank))


def length(images: tf.Tensor) -> tf.Tensor:
    """The Euclidean length of each image."""
    return tf.sqrt(tf.reduce_sum(tf.square(images), axis=axes_of(images)))


def per_image(values: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """One value per image in a shape that can be multiplied with images."""
    return tf.reshape(values, [-1] + [1] * (images.shape.rank - 1))


def narrow(
    constant: tf.Tensor, low: tf.Tensor, high: tf.Tensor, goes_up: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The next constant of a search over many powers of ten, and what it now lies between."""
    low = tf.where(goes_up, constant, low)
    high = tf.where(goes_up, high, constant)
    is_between = (low > 0) & tf.math.is_finite(high)
    middle = tf.sqrt(tf.maximum(low, 1e-30)) * tf.sqrt(high)
    return tf.where(is_between, middle, constant * tf.where(goes_up, 10.0, 0.1)), low, high
