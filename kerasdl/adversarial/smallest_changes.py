"""The first attack of all: as small a change as leads to another class, by a penalty on its length."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.adversarial.attacking import run_attack
from kerasdl.adversarial.margins import (
    best_of_others,
    is_fooled,
    lead_of_others,
    length,
    narrow,
    per_image,
    scores_of,
    value_and_gradient,
)
from kerasdl.visualization.checks import check_count

_SHARPNESS, _GROWTH = 20.0, 1.5  # The first in units of the distance between the scores.
_HALVINGS = 10  # Of the way from the image, at the end.


def minimal_perturbation(
    model: keras.Model,
    images: Any,
    labels: Any = None,
    *,
    target: Any = None,
    steps: int = 40,
    searches: int = 10,
    bounds: tuple[float, float] = (0.0, 1.0),
    batch_size: int = 32,
) -> Any:
    """The least change r that leads to a class: minimises c |r| + loss(image + r, class) for the largest c that does.

    The larger c is, the smaller r, until it does not fool any more: a search over c, for each image by itself, finds
    this edge. The loss is the cross-entropy of scores that are made sharper from search to search, for in the end only
    the nearest rival counts; then r is made shorter as long as it fools. The paper minimises by L-BFGS; here steps
    along the gradient are followed by what the penalty and the bounds say, and halved where they made things worse.

    Args:
        model: Any Keras model of one input; it is left as it is.
        images: As in `fgsm`.
        labels: The true classes as numbers or one-hot rows; None for what the model says.
        target: A class, or one per image, to lead to; None for any but the label.
        steps: Gradients of each image for each c.
        searches: How many values of c are tried.
        bounds: Smallest and largest value of an image.
        batch_size: Images at once.

    Returns:
        An `Adversarial`: images, success, already_wrong, distance (Euclidean, |r|).

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
        >>> bool(minimal_perturbation(model, np.full((4, 8, 8, 3), 0.5)).success.all())
        True

    Reference:
        [Szegedy et al., 2013](https://arxiv.org/abs/1312.6199), section 4.1
    """
    check_count("steps", steps)
    check_count("searches", searches)
    return run_attack(
        _minimal_perturbation,
        model,
        images,
        labels,
        target,
        bounds=bounds,
        batch_size=batch_size,
        norm="l2",
        counts=(steps, searches),
    )


def _minimal_perturbation(
    model: keras.Model,
    images: tf.Tensor,
    classes: tf.Tensor,
    places: tf.Tensor,
    low: tf.Tensor,
    high: tf.Tensor,
    steps: tf.Tensor,
    searches: tf.Tensor,
    *,
    targeted: bool,
) -> tf.Tensor:
    def loss(scores: tf.Tensor, sharpness: tf.Tensor) -> tf.Tensor:
        # -log p of the target; or -log (1 - p) of the label, which is that of all other classes together.
        lead = lead_of_others(sharpness[:, None] * scores, classes)
        return tf.nn.softplus(lead if targeted else -lead) / sharpness

    def keep_shorter(
        x: tf.Tensor, scores: tf.Tensor, best: tf.Tensor, shortest: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        far = length(x - images)
        is_better = is_fooled(scores, classes, targeted) & (far < shortest)
        return tf.where(per_image(is_better, x), x, best), tf.where(is_better, far, shortest)

    def minimise(
        x: tf.Tensor, constant: tf.Tensor, sharpness: tf.Tensor, best: tf.Tensor, shortest: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        def penalised(value: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
            return value + constant * length(x - images)

        def step(
            number: tf.Tensor,
            x: tf.Tensor,
            total: tf.Tensor,
            gradient: tf.Tensor,
            rate: tf.Tensor,
            best: tf.Tensor,
            shortest: tf.Tensor,
        ) -> tuple[tf.Tensor, ...]:
            change = x - per_image(rate, x) * gradient - images
            # What the penalty says: every change is shortened by as much, and none is longer than it was.
            size = tf.maximum(length(change), 1e-20)
            change *= per_image(tf.nn.relu(1.0 - rate * constant / size), change)
            trial = tf.clip_by_value(images + change, low, high)
            scores, value, steepness = value_and_gradient(model, trial, lambda scores: loss(scores, sharpness))
            best, shortest = keep_shorter(trial, scores, best, shortest)
            value = penalised(value, trial)
            is_lower = value <= total
            here = per_image(is_lower, x)
            return (
                number + 1,
                tf.where(here, trial, x),
                tf.where(is_lower, value, total),
                tf.where(here, steepness, gradient),
                rate * tf.where(is_lower, 1.2, 0.5),
                best,
                shortest,
            )

        scores, value, gradient = value_and_gradient(model, x, lambda scores: loss(scores, sharpness))
        # No second derivative of a linear model's loss is larger than this.
        rate = 4 / (sharpness * slope**2)
        start = (tf.constant(0), x, penalised(value, x), gradient, rate, *keep_shorter(x, scores, best, shortest))
        end = tf.while_loop(lambda number, *_: number < steps, step, start, parallel_iterations=1)
        return end[1], end[5], end[6]

    def search(number: tf.Tensor, constant: tf.Tensor, least: tf.Tensor, most: tf.Tensor, *state: tf.Tensor) -> Any:
        x, sharpness, best, shortest = state
        x, best, shortest = minimise(x, constant, sharpness, best, shortest)
        fooled = is_fooled(scores_of(model, x), classes, targeted)
        constant, least, most = narrow(constant, least, most, fooled)
        # The next search begins at the best place, from where the edge is near.
        x = tf.where(per_image(tf.math.is_finite(shortest), x), best, x)
        return number + 1, constant, least, most, x, _GROWTH * sharpness, best, shortest

    _, lead, gradient = value_and_gradient(model, images, lambda scores: best_of_others(scores, classes))
    slope = tf.maximum(length(gradient), 1e-20)
    sharpness = _SHARPNESS / tf.maximum(tf.abs(lead), 1e-6)
    infinite = tf.fill(tf.shape(lead), np.float32(np.inf))
    # On a linear model of two classes the edge is at c = |gradient| / 2.
    start = (tf.constant(0), slope / 4, tf.zeros_like(lead), infinite, images, sharpness, images, infinite)
    best = tf.while_loop(lambda number, *_: number < searches, search, start, parallel_iterations=1)[6]

    def halve(number: tf.Tensor, least: tf.Tensor, most: tf.Tensor) -> tuple[tf.Tensor, ...]:
        middle = (least + most) / 2
        x = images + per_image(middle, best) * (best - images)
        fooled = is_fooled(scores_of(model, x), classes, targeted)
        return number + 1, tf.where(fooled, least, middle), tf.where(fooled, middle, most)

    edges = (tf.constant(0), tf.zeros_like(lead), tf.ones_like(lead))
    share = tf.while_loop(lambda number, *_: number < _HALVINGS, halve, edges, parallel_iterations=1)[2]
    # A thousandth on, or rounding would decide what the model says.
    behind = tf.clip_by_value(images + per_image(1.001 * share, best) * (best - images), low, high)
    is_behind = is_fooled(scores_of(model, behind), classes, targeted)
    return tf.where(per_image(is_behind, best), behind, best)
