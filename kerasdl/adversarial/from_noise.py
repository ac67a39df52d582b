"""Images that a model is certain of and that show nothing."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.adversarial.attacking import Adversarial, check_finite_bounds, check_inside, check_number
from kerasdl.adversarial.margins import lead_of_others, length, per_image, scores_of, value_and_gradient
from kerasdl.visualization.checks import check_count, check_seed
from kerasdl.visualization.probing import compiled, in_batches
from kerasdl.visualization.targets import check_images, check_target


def fooling_image(
    model: keras.Model,
    target: Any,
    *,
    start: Any = None,
    confidence: float = 0.99,
    steps: int = 500,
    step_size: float = 0.005,
    bounds: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
    batch_size: int = 32,
) -> Adversarial:
    """One image for each target class that the model is sure to belong to it, though it shows noise, or anything else.

    The start climbs along the gradient until the class has this probability. No step asks how the image looks.

    Args:
        model: Any Keras model of one input; it is left as it is.
        target: A class, or several.
        start: One image to begin with, `(height, width, channels)`, or one per target; None for noise all over the
            bounds, which needs a model of a fixed size of image.
        confidence: The probability to reach, below one.
        steps: The most steps; a batch ends when all of its images are there.
        step_size: The root mean square of a step's change, as a share of the range of `bounds`.
        bounds: Smallest and largest value of an image; finite.
        seed: Decides the noise.
        batch_size: Images at once.

    Returns:
        An `Adversarial`: `success` where the confidence was reached, `already_wrong` where the start had it (and stays
        as it is), `distance` from the start (Euclidean).

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
        >>> made = fooling_image(model, [0, 1, 2])
        >>> np.argmax(model.predict(made.images, verbose=0), axis=1)
        array([0, 1, 2])

    Reference:
        [Nguyen et al., 2014](https://arxiv.org/abs/1412.1897), section 3.3
    """
    low, high = check_finite_bounds(bounds)
    check_count("steps", steps)
    check_number("step_size", step_size)
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence` must lie between 0 and 1. Received: {confidence!r}.")
    check_seed(seed)
    targets = np.atleast_1d(np.asarray(target))
    starts = check_images(model, _starts(model, start, len(targets), low, high, seed))
    check_inside(starts, low, high)
    goals = check_target(model, starts, targets)[0]
    run = compiled(model, _climb)
    # The probability p is reached when the class is ahead of all others together by log(p / (1 - p)).
    numbers = [confidence, step_size, low, high]

    def batch(*arrays: np.ndarray) -> Any:
        return run(*arrays, *(np.float32(number) for number in numbers), np.int32(steps))

    return Adversarial(*in_batches(batch, batch_size, starts, goals))


def _starts(model: keras.Model, start: Any, count: int, low: float, high: float, seed: int) -> np.ndarray:
    shape = tuple(getattr(model, "input_shape", None) or (None,))[1:]
    if start is None:
        if not shape or None in shape:
            raise ValueError(f"`start` must be an image, for model {model.name!r} takes images of any size.")
        return np.random.default_rng(seed).uniform(low, high, (count, *shape))
    starts = np.asarray(start, "float32")
    starts = starts[None] if starts.ndim == 3 else starts
    if starts.ndim != 4 or len(starts) not in (1, count):
        raise ValueError(
            f"`start` must be one image, (height, width, channels), or one per target ({count}). "
            f"Received: shape {starts.shape}."
        )
    return np.broadcast_to(starts, (count, *starts.shape[1:]))


def _climb(
    model: keras.Model,
    starts: tf.Tensor,
    goals: tf.Tensor,
    confidence: tf.Tensor,
    step_size: tf.Tensor,
    low: tf.Tensor,
    high: tf.Tensor,
    steps: tf.Tensor,
) -> tuple[tf.Tensor, ...]:
    def confident(scores: tf.Tensor) -> tf.Tensor:
        return lead_of_others(scores, goals) <= -tf.math.log(confidence / (1 - confidence))

    pace = step_size * (high - low) * tf.sqrt(tf.cast(tf.size(starts[0]), "float32"))

    def step(number: tf.Tensor, x: tf.Tensor, done: tf.Tensor) -> tuple[tf.Tensor, ...]:
        scores, _, gradient = value_and_gradient(model, x, lambda scores: lead_of_others(scores, goals))
        done = confident(scores)
        way = gradient * per_image(pace / tf.maximum(length(gradient), 1e-20), x)
        return number + 1, tf.where(per_image(done, x), x, tf.clip_by_value(x - way, low, high)), done

    already = confident(scores_of(model, starts))
    _, x, _ = tf.while_loop(
        lambda number, _, done: (number < steps) & ~tf.reduce_all(done),
        step,
        (tf.constant(0), starts, already),
        parallel_iterations=1,
    )
    return x, confident(scores_of(model, x)) & ~already, already, length(x - starts)
