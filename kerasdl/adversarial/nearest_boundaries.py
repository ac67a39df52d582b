"""The nearest boundary, found by taking the model for a linear one again and again."""

from typing import Any

import keras
import tensorflow as tf

from kerasdl.adversarial.attacking import check_number, run_attack
from kerasdl.adversarial.margins import is_fooled, length, other_classes, per_image, scores_of, value_and_gradient
from kerasdl.visualization.checks import check_count


def deep_fool(
    model: keras.Model,
    images: Any,
    labels: Any = None,
    *,
    candidates: int = 10,
    steps: int = 50,
    overshoot: float = 0.02,
    bounds: tuple[float, float] = (0.0, 1.0),
    batch_size: int = 32,
) -> Any:
    """DeepFool: a small change, in Euclidean length, to the nearest of the likeliest other classes.

    Each step goes to where the boundary would be if the model were linear. On a linear model the first step is exact.

    Args:
        model: Any Keras model of one input; it is left as it is.
        images: As in `fgsm`.
        labels: The true classes as numbers or one-hot rows; None for what the model says.
        candidates: How many other classes, the likeliest for the image, are looked at: one gradient each in every step.
        steps: The most steps. A batch ends when all of its images are fooled.
        overshoot: The share by which to go on behind the boundary.
        bounds: Smallest and largest value of an image.
        batch_size: Images at once.

    Returns:
        An `Adversarial`: images, success, already_wrong, distance (Euclidean).

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
        >>> bool(deep_fool(model, np.full((4, 8, 8, 3), 0.5)).success.all())
        True

    Reference:
        [Moosavi-Dezfooli et al., 2015](https://arxiv.org/abs/1511.04599), algorithm 2
    """
    check_count("candidates", candidates)
    check_count("steps", steps)
    check_number("overshoot", overshoot)
    return run_attack(
        _deep_fool,
        model,
        images,
        labels,
        bounds=bounds,
        batch_size=batch_size,
        norm="l2",
        numbers=(overshoot,),
        counts=(steps, candidates),
    )


def _deep_fool(
    model: keras.Model,
    images: tf.Tensor,
    classes: tf.Tensor,
    places: tf.Tensor,
    low: tf.Tensor,
    high: tf.Tensor,
    overshoot: tf.Tensor,
    steps: tf.Tensor,
    candidates: tf.Tensor,
    *,
    targeted: bool,
) -> tf.Tensor:
    scores = scores_of(model, images)
    count = tf.minimum(candidates, scores.shape[-1] - 1)
    rivals = tf.math.top_k(other_classes(scores, classes), count).indices

    def nearest(x: tf.Tensor) -> tf.Tensor:
        """The shortest of the ways to the linear boundaries with each rival."""

        def look(number: tf.Tensor, distance: tf.Tensor, way: tf.Tensor) -> tuple[tf.Tensor, ...]:
            rival = rivals[:, number]

            def lead(scores: tf.Tensor) -> tf.Tensor:
                return tf.gather(scores, rival, axis=1, batch_dims=1) - tf.gather(scores, classes, axis=1, batch_dims=1)

            _, value, gradient = value_and_gradient(model, x, lead)
            slope = tf.maximum(length(gradient), 1e-20)
            # On the very boundary a step of nothing would not fool; a millionth of a score is enough.
            far = (tf.abs(value) + 1e-6) / slope
            is_nearer = far < distance
            # The direction first: without any slope it is nothing, however far.
            this_way = gradient / per_image(slope, x) * per_image(far, x)
            return number + 1, tf.where(is_nearer, far, distance), tf.where(per_image(is_nearer, x), this_way, way)

        start = (tf.constant(0), tf.fill(tf.shape(x)[:1], x.dtype.max), tf.zeros_like(x))
        return tf.while_loop(lambda number, *_: number < count, look, start, parallel_iterations=1)[2]

    def step(number: tf.Tensor, x: tf.Tensor, change: tf.Tensor, fooled: tf.Tensor) -> tuple[tf.Tensor, ...]:
        change += tf.where(per_image(fooled, x), 0.0, nearest(x))
        x = tf.clip_by_value(images + (1.0 + overshoot) * change, low, high)
        return number + 1, x, change, is_fooled(scores_of(model, x), classes, targeted)

    start = (tf.constant(0), images, tf.zeros_like(images), is_fooled(scores, classes, targeted))
    return tf.while_loop(
        lambda number, x, change, fooled: (number < steps) & ~tf.reduce_all(fooled), step, start, parallel_iterations=1
    )[1]
