"""Many small steps, each brought back into a ball around the image."""

from typing import Any

import keras
import tensorflow as tf

from kerasdl.adversarial.attacking import check_norm, check_number, run_attack
from kerasdl.adversarial.margins import (
    is_fooled,
    lead_of_others,
    length,
    per_image,
    scores_of,
    value_and_gradient,
)
from kerasdl.visualization.checks import check_count, check_seed


def pgd(
    model: keras.Model,
    images: Any,
    labels: Any = None,
    *,
    epsilon: float,
    norm: str = "linf",
    steps: int = 40,
    step_size: float | None = None,
    random_start: bool = True,
    restarts: int = 1,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
    batch_size: int = 32,
) -> Any:
    """Projected gradient descent: many gradient steps, each brought back to within `epsilon` of the image.

    What comes back is where the last step ended, which need not be the worst place on the way.

    Args:
        model: Any Keras model of one input; it is left as it is.
        images: As in `fgsm`; also for `training.fit(attack=functools.partial(pgd, epsilon=0.1, steps=7))`.
        labels: The true classes as numbers or one-hot rows; None for what the model says.
        epsilon: The radius of the ball.
        norm: The ball's: "linf" for the largest change of a pixel, "l2" for the change's Euclidean length.
        steps: Gradients of each image.
        step_size: Length of a step in this norm; without it 2.5 epsilon / steps, enough to cross the ball.
        random_start: Whether to begin at a random place in the ball, and not at the image.
        restarts: Random starts, one after the other until every image of a batch is fooled; of all ends the worst for
            the model is kept.
        target: None to lead away from the label; a class, or one per image, to lead to it.
        bounds: Smallest and largest value of an image.
        seed: Decides the random starts. Under `training.fit` they differ from step to step.
        batch_size: Images at once.

    Returns:
        An `Adversarial`: images, success, already_wrong, distance.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
        >>> attacked = pgd(model, np.full((4, 8, 8, 3), 0.5), epsilon=0.5, norm="l2")
        >>> bool((attacked.distance <= 0.5001).all())
        True

    Reference:
        [Madry et al., 2017](https://arxiv.org/abs/1706.06083), section 2.1
    """
    check_number("epsilon", epsilon)
    check_norm(norm)
    check_count("steps", steps)
    check_count("restarts", restarts)
    if restarts > 1 and not random_start:
        raise ValueError("`restarts` need `random_start=True`: from the image itself all would end at the same place.")
    if step_size is None:
        step_size = tf.cast(epsilon, tf.float32) * (2.5 / steps)
    check_number("step_size", step_size)
    return run_attack(
        _pgd,
        model,
        images,
        labels,
        target,
        bounds=bounds,
        batch_size=batch_size,
        norm=norm,
        numbers=(epsilon, step_size),
        counts=(steps, restarts, _seed_tensor(model, images, seed)),
        ball=norm,
        random_start=bool(random_start),
        is_repeated=restarts > 1,
    )


def _seed_tensor(model: keras.Model, images: Any, seed: Any) -> Any:
    """The seed as a number of 32 bits; for a tensor, as in training, one that changes with every step."""
    number = tf.cast(seed, tf.int32) if isinstance(seed, tf.Tensor | tf.Variable) else check_seed(seed)
    optimizer = getattr(model, "optimizer", None)
    if isinstance(images, tf.Tensor) and optimizer is not None:
        number = number + 104_729 * tf.cast(tf.convert_to_tensor(optimizer.iterations), tf.int32)
    return number


def _pgd(
    model: keras.Model,
    images: tf.Tensor,
    classes: tf.Tensor,
    places: tf.Tensor,
    low: tf.Tensor,
    high: tf.Tensor,
    epsilon: tf.Tensor,
    step_size: tf.Tensor,
    steps: tf.Tensor,
    restarts: tf.Tensor,
    seed: tf.Tensor,
    *,
    targeted: bool,
    ball: str,
    random_start: bool,
    is_repeated: bool,
) -> tf.Tensor:
    lowest, highest = low, high
    if ball == "linf":
        # The box and the ball in one: both are boxes.
        lowest, highest = tf.maximum(low, images - epsilon), tf.minimum(high, images + epsilon)
    pace = -step_size if targeted else step_size

    def project(x: tf.Tensor) -> tf.Tensor:
        if ball == "l2":
            change = x - images
            x = images + change * per_image(tf.minimum(1.0, epsilon / tf.maximum(length(change), 1e-20)), change)
        # An image lies within its bounds, so clipping to them only shortens the change.
        return tf.clip_by_value(x, lowest, highest)

    def step(count: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        _, _, gradient = value_and_gradient(model, x, lambda scores: lead_of_others(scores, classes))
        if ball == "linf":
            direction = tf.sign(gradient)
        else:
            direction = gradient / per_image(tf.maximum(length(gradient), 1e-20), gradient)
        return count + 1, project(x + pace * direction)

    def run_from(start: tf.Tensor) -> tf.Tensor:
        first = (tf.constant(0), start)
        return tf.while_loop(lambda count, _: count < steps, step, first, parallel_iterations=1)[1]

    if not random_start:
        return run_from(images)
    if not is_repeated:
        return run_from(project(images + _noise(images, places, seed, tf.constant(0), epsilon, ball)))

    def restart(number: tf.Tensor, best: tf.Tensor, harm: tf.Tensor, fooled: tf.Tensor) -> tuple[tf.Tensor, ...]:
        end = run_from(project(images + _noise(images, places, seed, number, epsilon, ball)))
        scores = scores_of(model, end)
        lead = lead_of_others(scores, classes)
        lead = -lead if targeted else lead
        found = is_fooled(scores, classes, targeted)
        # The loss of all classes together can grow while no single class wins, so a fooled image goes first.
        is_better = (found & ~fooled) | ((found == fooled) & (lead > harm))
        return (
            number + 1,
            tf.where(per_image(is_better, images), end, best),
            tf.where(is_better, lead, harm),
            fooled | found,
        )

    nothing = tf.fill(tf.shape(images)[:1], images.dtype.min)
    start = (tf.constant(0), images, nothing, tf.zeros_like(nothing, tf.bool))
    return tf.while_loop(
        lambda number, best, harm, fooled: (number < restarts) & ~tf.reduce_all(fooled),
        restart,
        start,
        parallel_iterations=1,
    )[1]


def _noise(
    images: tf.Tensor, places: tf.Tensor, seed: tf.Tensor, number: tf.Tensor, epsilon: tf.Tensor, ball: str
) -> tf.Tensor:
    """Evenly spread over the ball; each image of a call has noise of its own, whatever batch it comes in."""
    shape = tf.shape(images)[1:]

    def draw(place: tf.Tensor) -> tf.Tensor:
        key = tf.stack([seed + 7919 * number, place])
        if ball == "linf":
            return tf.random.stateless_uniform(shape, key, -epsilon, epsilon)
        direction = tf.random.stateless_normal(shape, key)
        # In d dimensions a share of r^d of a ball's volume lies within the share r of its radius.
        size = tf.cast(tf.reduce_prod(shape), "float32")
        radius = epsilon * tf.random.stateless_uniform([], key + 1) ** (1.0 / size)
        return direction * radius / tf.norm(direction)

    return tf.ensure_shape(tf.map_fn(draw, places, fn_output_signature=tf.float32), images.shape)
