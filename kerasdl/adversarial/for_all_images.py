"""One change that fools a model on most images."""

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from kerasdl.adversarial.attacking import check_bounds, check_inside, check_norm, check_number
from kerasdl.adversarial.batches import batches_of
from kerasdl.adversarial.margins import is_fooled, lead_of_others, predict, value_and_gradient
from kerasdl.visualization.checks import check_count
from kerasdl.visualization.probing import compiled
from kerasdl.visualization.targets import check_images


class Universal(NamedTuple):
    """What `universal_perturbation` found.

    Attributes:
        perturbation: As large as one image; add it and clip to the bounds.
        fooling_rate: The share of the images for which the model now says something else.

    Reference:
        [Moosavi-Dezfooli et al., 2016](https://arxiv.org/abs/1610.08401), equation 1
    """

    perturbation: np.ndarray
    fooling_rate: float


def universal_perturbation(
    model: keras.Model,
    data: Any,
    *,
    epsilon: float,
    norm: str = "linf",
    fooling_rate: float = 0.8,
    passes: int = 20,
    step_size: float | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    batch_size: int = 32,
) -> Universal:
    """One perturbation of at most `epsilon` that changes what the model says of most images, also of unseen ones.

    As in the paper it goes over the images again and again, moves for those that it does not fool yet, and comes back
    into the ball, until the rate is reached. It moves with the mean gradient of a batch and not, image by image, with
    DeepFool. By such steps Shafahi et al. had theirs 13 times sooner. The best of all passes is kept.

    Args:
        model: Any Keras model of one input; it is left as it is.
        data: Images, `(N, height, width, channels)`, or a `tf.data.Dataset` of batches of images, or of images and
            labels; labels are not looked at.
        epsilon: The radius of the ball.
        norm: The ball's, "linf" or "l2".
        fooling_rate: The share of the images at which to stop.
        passes: The most passes over the images.
        step_size: Length of a step in this norm; without it a tenth of epsilon.
        bounds: Smallest and largest value of an image.
        batch_size: Images at once, where `data` is an array.

    Returns:
        A `Universal`: the perturbation, and its fooling rate on these images.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
        >>> images = np.random.default_rng(0).uniform(size=(50, 8, 8, 3))
        >>> universal_perturbation(model, images, epsilon=0.5).perturbation.shape
        (8, 8, 3)

    Reference:
        [Moosavi-Dezfooli et al., 2016](https://arxiv.org/abs/1610.08401), algorithm 1;
        [Shafahi et al., 2018](https://arxiv.org/abs/1811.11304), algorithm 2, for its steps
    """
    low, high = check_bounds(bounds)
    check_number("epsilon", epsilon)
    check_norm(norm)
    check_count("passes", passes)
    check_count("batch_size", batch_size)
    check_number("step_size", 0.0 if step_size is None else step_size)
    pace = epsilon / 10 if step_size is None else step_size
    if not 0 < fooling_rate <= 1:
        raise ValueError(f"`fooling_rate` must be a share above 0, at most 1. Received: {fooling_rate!r}.")
    move, count = compiled(model, _move, ball=norm), compiled(model, _fooled)
    ends = np.float32(low), np.float32(high)

    best = Universal(np.zeros(0, "float32"), -1.0)
    perturbation = None
    for _ in range(passes):
        for images, _labels in batches_of(data, batch_size):
            images = check_images(model, images)
            check_inside(images, low, high)
            if perturbation is None:
                perturbation = tf.zeros((1, *images.shape[1:]))
            perturbation = move(images, perturbation, *ends, np.float32(epsilon), np.float32(pace))
        if perturbation is None:
            raise ValueError("`data` must hold at least one image. Received: none.")
        fooled = [
            count(np.asarray(images, "float32"), perturbation, *ends) for images, _ in batches_of(data, batch_size)
        ]
        rate = float(np.mean(np.concatenate(fooled)))
        if rate > best.fooling_rate:
            best = Universal(perturbation.numpy()[0], rate)
        if rate >= fooling_rate:
            break
    return best


def _move(
    model: keras.Model,
    images: tf.Tensor,
    perturbation: tf.Tensor,
    low: tf.Tensor,
    high: tf.Tensor,
    epsilon: tf.Tensor,
    pace: tf.Tensor,
    *,
    ball: str,
) -> tf.Tensor:
    said = predict(model, images)
    moved = tf.clip_by_value(images + perturbation, low, high)

    def lead(scores: tf.Tensor) -> tf.Tensor:
        # Those that are fooled already have no say.
        return tf.where(is_fooled(scores, said, targeted=False), 0.0, lead_of_others(scores, said))

    _, _, gradient = value_and_gradient(model, moved, lead)
    way = tf.reduce_sum(gradient, axis=0, keepdims=True)
    if ball == "linf":
        return tf.clip_by_value(perturbation + pace * tf.sign(way), -epsilon, epsilon)
    perturbation += pace * way / tf.maximum(tf.norm(way), 1e-20)
    return perturbation * tf.minimum(1.0, epsilon / tf.maximum(tf.norm(perturbation), 1e-20))


def _fooled(
    model: keras.Model, images: tf.Tensor, perturbation: tf.Tensor, low: tf.Tensor, high: tf.Tensor
) -> tf.Tensor:
    return predict(model, images) != predict(model, tf.clip_by_value(images + perturbation, low, high))
