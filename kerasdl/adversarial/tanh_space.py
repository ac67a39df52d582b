"""Small changes by a penalty on the wrong winner, in variables that cannot leave the bounds."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.adversarial.attacking import check_finite_bounds, check_number, run_attack
from kerasdl.adversarial.margins import best_of_others, is_fooled, length, narrow, per_image, value_and_gradient
from kerasdl.visualization.checks import check_count


def carlini_wagner(
    model: keras.Model,
    images: Any,
    labels: Any = None,
    *,
    target: Any = None,
    kappa: float = 0.0,
    steps: int = 200,
    searches: int = 9,
    learning_rate: float | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    batch_size: int = 32,
) -> Any:
    """Carlini and Wagner's attack: minimises |r|^2 + c max(lead of the right class + kappa, 0), for the smallest c.

    The image is written as a hyperbolic tangent, so that it keeps its bounds by itself; Adam minimises; c is searched
    for each image. The smallest change of all steps that reaches the confidence `kappa` is kept.

    Args:
        model: Any Keras model of one input; it is left as it is.
        images: As in `fgsm`.
        labels: The true classes as numbers or one-hot rows; None for what the model says.
        target: A class, or one per image, to lead to; None for any but the label.
        kappa: By how much the wrong class must win, in unnormalised scores.
        steps: The most gradients of each image for each c; a search ends when a fifth of them brought nothing.
        searches: How many values of c are tried.
        learning_rate: Adam's at the beginning of a search, falling to zero; without it one that reaches the boundary in
            a fortieth of the steps if the model is linear.
        bounds: Smallest and largest value of an image; finite.
        batch_size: Images at once.

    Returns:
        An `Adversarial`: images, success, already_wrong, distance (Euclidean).

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
        >>> bool(carlini_wagner(model, np.full((4, 8, 8, 3), 0.5)).success.all())
        True

    Reference:
        [Carlini and Wagner, 2016](https://arxiv.org/abs/1608.04644), sections V and VI.A
    """
    check_number("kappa", kappa)
    check_count("steps", steps)
    check_count("searches", searches)
    rate = -1.0 if learning_rate is None else learning_rate
    check_number("learning_rate", 0.0 if learning_rate is None else learning_rate)
    check_finite_bounds(bounds)
    return run_attack(
        _carlini_wagner,
        model,
        images,
        labels,
        target,
        bounds=bounds,
        batch_size=batch_size,
        norm="l2",
        numbers=(kappa, rate),
        counts=(steps, searches),
    )


def _carlini_wagner(
    model: keras.Model,
    images: tf.Tensor,
    classes: tf.Tensor,
    places: tf.Tensor,
    low: tf.Tensor,
    high: tf.Tensor,
    kappa: tf.Tensor,
    rate: tf.Tensor,
    steps: tf.Tensor,
    searches: tf.Tensor,
    *,
    targeted: bool,
) -> tf.Tensor:
    half = (high - low) / 2
    # A hair less than one, or a black pixel would lie at minus infinity, where nothing moves.
    origin = tf.atanh(0.999999 * ((images - low) / half - 1.0))
    patience = tf.maximum(steps // 5, 1)

    # If the model were linear, the boundary would be this far, and no more than this c would lead there.
    _, lead, gradient = value_and_gradient(model, images, lambda scores: best_of_others(scores, classes))
    slope = tf.maximum(length(gradient), 1e-20)
    distance = (tf.abs(lead) + kappa) / slope
    # A thousandth more, or rounding would decide what the model says.
    enough = kappa + 0.001 * tf.abs(lead)
    sides = half * tf.sqrt(tf.cast(tf.size(images[0]), "float32"))
    share = tf.minimum(40.0 / tf.cast(steps, "float32"), 1.0)
    rates = tf.where(rate < 0, tf.clip_by_value(share * distance / sides, 1e-5, 0.1), rate)

    def shortfall(scores: tf.Tensor) -> tf.Tensor:
        lead = best_of_others(scores, classes)
        return tf.nn.relu(enough + (lead if targeted else -lead))

    def minimise(constant: tf.Tensor, best: tf.Tensor, shortest: tf.Tensor) -> tuple[tf.Tensor, ...]:
        def step(
            number: tf.Tensor,
            w: tf.Tensor,
            mean: tf.Tensor,
            square: tf.Tensor,
            lowest: tf.Tensor,
            last_gain: tf.Tensor,
            reached: tf.Tensor,
            best: tf.Tensor,
            shortest: tf.Tensor,
        ) -> tuple[tf.Tensor, ...]:
            stretched = tf.tanh(w)
            x = tf.clip_by_value(low + half * (stretched + 1.0), low, high)
            scores, missing, slope = value_and_gradient(model, x, shortfall)
            change = x - images
            far = length(change)
            is_reached = (missing <= 0.0) & is_fooled(scores, classes, targeted)
            is_better = is_reached & (far < shortest)
            total = far**2 + constant * missing
            is_gain = total < 0.9999 * lowest
            gradient = (2 * change + per_image(constant, x) * slope) * half * (1 - stretched**2)
            mean = 0.9 * mean + 0.1 * gradient
            square = 0.999 * square + 0.001 * gradient**2
            time = tf.cast(number + 1, "float32")
            rest = 1 - tf.cast(number, "float32") / tf.cast(steps, "float32")
            pace = per_image(rates, x) * rest * tf.sqrt(1 - 0.999**time) / (1 - 0.9**time)
            return (
                number + 1,
                w - pace * mean / (tf.sqrt(square) + 1e-8),
                mean,
                square,
                tf.minimum(total, lowest),
                tf.where(tf.reduce_any(is_gain), number, last_gain),
                reached | is_reached,
                tf.where(per_image(is_better, x), x, best),
                tf.where(is_better, far, shortest),
            )

        nothing, zeros = tf.zeros_like(images), tf.zeros_like(constant)
        start = (
            *(tf.constant(0), origin, nothing, nothing, zeros + np.inf, tf.constant(0), zeros > 0.0),
            *(best, shortest),
        )

        def goes_on(
            number: tf.Tensor, w: tf.Tensor, mean: tf.Tensor, square: tf.Tensor, *state: tf.Tensor
        ) -> tf.Tensor:
            return (number < steps) & (number - state[1] <= patience)

        return tf.while_loop(goes_on, step, start, parallel_iterations=1)[6:]

    def search(
        number: tf.Tensor, constant: tf.Tensor, least: tf.Tensor, most: tf.Tensor, best: tf.Tensor, shortest: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        reached, best, shortest = minimise(constant, best, shortest)
        constant, least, most = narrow(constant, least, most, ~reached)
        return number + 1, constant, least, most, best, shortest

    zeros = tf.zeros(tf.shape(images)[:1])
    start = (tf.constant(0), tf.maximum(4 * distance / slope, 1e-10), zeros, zeros + np.inf, images, zeros + np.inf)
    return tf.while_loop(lambda number, *_: number < searches, search, start, parallel_iterations=1)[4]
