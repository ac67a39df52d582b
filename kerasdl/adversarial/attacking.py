"""What all attacks share: their arguments, the run over batches, and the report."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.adversarial.margins import axes_of, is_fooled, length, per_image, predict, scores_of
from kerasdl.visualization.probing import compiled, in_batches
from kerasdl.visualization.targets import check_images, check_target, number_of_classes

UNKNOWN = -1  # Stands for the label of an image without one, and for the target of an attack without one.


@dataclasses.dataclass(frozen=True, eq=False)
class Adversarial:
    """The images that an attack made of arrays, with its report; where an array is wanted it stands for its images.

    Attributes:
        images: As many as came, in their shape, float32. An image that was already wrong is as it was.
        success: Where the attack, and not the model by itself, led to a wrong class, or to the target.
        already_wrong: Where the model was wrong, or said the target, before the attack.
        distance: From each image to what became of it, in the norm of the attack.

    Example:
        >>> images, distance = np.zeros((2, 8, 8, 3)), np.array([0.1, 0.0])
        >>> found = Adversarial(images, np.array([True, False]), np.array([False, True]), distance)
        >>> found, np.asarray(found).shape
        (Adversarial(2 images: 1 fooled, 1 already wrong), (2, 8, 8, 3))

    Reference:
        [Szegedy et al., 2013](https://arxiv.org/abs/1312.6199), who named them
    """

    images: np.ndarray
    success: np.ndarray
    already_wrong: np.ndarray
    distance: np.ndarray

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.images, dtype, copy=bool(copy)) if copy else np.asarray(self.images, dtype)

    def __repr__(self) -> str:
        return (
            f"Adversarial({len(self.images)} images: {int(self.success.sum())} fooled, "
            f"{int(self.already_wrong.sum())} already wrong)"
        )


def run_attack(
    body: Callable[..., tf.Tensor],
    model: keras.Model,
    images: Any,
    labels: Any,
    target: Any = None,
    *,
    bounds: tuple[float, float],
    batch_size: int,
    norm: str,
    numbers: tuple = (),
    counts: tuple = (),
    **options: Any,
) -> Any:
    """Checks the arguments, runs the attack over batches and reports; of a tensor it only attacks all images.

    The type decides and not whether a function is being compiled: a training step learns the same in both cases.

    Args:
        body: `body(model, images, classes, places, low, high, *numbers, *counts, targeted, **options)` returns images.
            `classes` are the labels, or the targets of a targeted attack; `places` are the images' places among all.
        model: Any Keras model of images.
        images: Arrays; or a tensor, as in training.
        labels: Class numbers or one-hot rows; None for what the model says.
        target: None, or the class to lead to, or one per image.
        bounds: Smallest and largest value of an image.
        batch_size: Images at once.
        norm: In which to report the distance, "linf" or "l2".
        numbers: What may differ from call to call without a new graph, of any type; it becomes float32.
        counts: The same for whole numbers, which become int32.
        options: What is built into the graph.
    """
    low, high = check_bounds(bounds)
    if callable(target):
        raise ValueError(
            "`target` of an attack must be None, a class number, or one per image. "
            f"Received: {target!r}, and a callable names no class."
        )
    values = (*(tf.cast(each, tf.float32) for each in numbers), *(tf.cast(each, tf.int32) for each in counts))
    targeted = target is not None
    if isinstance(images, tf.Tensor):
        images = _inside(tf.cast(images, "float32"), low, high)
        classes = _classes_of_tensor(model, images, target if targeted else labels)
        arguments = {"body": body, "targeted": targeted, **options}
        if tf.is_symbolic_tensor(images):
            return _attack_all(model, images, classes, low, high, *values, **arguments)
        run = compiled(model, _attack_all, **arguments)
        return run(images, classes, np.float32(low), np.float32(high), *values)
    images = check_images(model, images)
    check_inside(images, low, high)
    labels = check_labels(model, images, labels)
    goals = check_target(model, images, target)[0]
    run = compiled(model, _attack, body=body, targeted=targeted, norm=norm, **options)
    places = np.arange(len(images), dtype="int32")

    def batch(*arrays: np.ndarray) -> Any:
        return run(*arrays, np.float32(low), np.float32(high), *values)

    return Adversarial(*in_batches(batch, batch_size, images, labels, goals, places))


def _attack(
    model: keras.Model,
    images: tf.Tensor,
    labels: tf.Tensor,
    goals: tf.Tensor,
    places: tf.Tensor,
    low: tf.Tensor,
    high: tf.Tensor,
    *numbers: tf.Tensor,
    body: Callable[..., tf.Tensor],
    targeted: bool,
    norm: str,
    **options: Any,
) -> tuple[tf.Tensor, ...]:
    before = predict(model, images)
    labels = tf.where(labels == UNKNOWN, before, labels)
    wrong = (before != labels) | (before == goals)
    classes = goals if targeted else labels
    attacked = body(model, images, classes, places, low, high, *numbers, targeted=targeted, **options)
    attacked = tf.where(per_image(wrong, images), images, _take_back(attacked, images))
    success = is_fooled(scores_of(model, attacked), classes, targeted) & ~wrong
    change = attacked - images
    distance = tf.reduce_max(tf.abs(change), axis=axes_of(change)) if norm == "linf" else length(change)
    return attacked, success, wrong, distance


def _attack_all(
    model: keras.Model,
    images: tf.Tensor,
    classes: tf.Tensor,
    low: tf.Tensor,
    high: tf.Tensor,
    *numbers: tf.Tensor,
    body: Callable[..., tf.Tensor],
    targeted: bool,
    **options: Any,
) -> tf.Tensor:
    places = tf.range(tf.shape(images)[0])
    return _take_back(body(model, images, classes, places, low, high, *numbers, targeted=targeted, **options), images)


def _take_back(attacked: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """The images themselves where an attack went astray: no model can be fooled by NaN."""
    is_finite = tf.reduce_all(tf.math.is_finite(attacked), axis=axes_of(images))
    return tf.where(per_image(is_finite, images), attacked, images)


def check_labels(model: keras.Model, images: np.ndarray, labels: Any) -> np.ndarray:
    """One class number per image, `UNKNOWN` where there are none."""
    if labels is None:
        return np.full(len(images), UNKNOWN, "int32")
    given = np.asarray(labels)
    classes = given.argmax(axis=1) if given.ndim == 2 and given.shape[1] > 1 else given.reshape(-1)
    if given.ndim not in (1, 2) or len(given) != len(images) or not np.array_equal(classes, np.round(classes)):
        raise ValueError(
            f"`labels` must be None, one class number per image ({len(images)}), or one one-hot row per image. "
            f"Received: shape {given.shape}, {given.dtype}."
        )
    count = number_of_classes(model, images)
    outside = classes[(classes < 0) | (classes >= count)]
    if outside.size or (given.ndim == 2 and given.shape[1] not in (1, count)):
        what = f"{outside[0]:g}" if outside.size else f"rows of {given.shape[1]}"
        raise ValueError(f"`labels` must be classes from 0 to {count - 1} of model {model.name!r}. Received: {what}.")
    return classes.astype("int32")


def _classes_of_tensor(model: keras.Model, images: tf.Tensor, labels: Any) -> tf.Tensor:
    if labels is None:
        return predict(model, images)
    labels = tf.convert_to_tensor(labels)
    if labels.shape.rank == 2 and labels.shape[1] != 1:
        return tf.argmax(labels, axis=1, output_type=tf.int32)
    return tf.broadcast_to(tf.cast(tf.reshape(labels, [-1]), tf.int32), tf.shape(images)[:1])


def check_bounds(bounds: tuple[float, float]) -> tuple[float, float]:
    """The bounds as numbers, the lower one first."""
    try:
        low, high = (float(bound) for bound in bounds)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not low < high:
        raise ValueError(
            "`bounds` must be the smallest and the largest value of an image, (0.0, 1.0) or another. "
            f"Received: {bounds!r}."
        )
    return low, high


def check_finite_bounds(bounds: tuple[float, float]) -> tuple[float, float]:
    """The bounds, for what needs a range between them."""
    low, high = check_bounds(bounds)
    if not np.isfinite([low, high]).all():
        raise ValueError(f"`bounds` must be finite: changes are measured by their range. Received: {bounds!r}.")
    return low, high


def check_inside(images: np.ndarray, low: float, high: float) -> None:
    """Refuses images with values outside the bounds."""
    if images.min() < low or images.max() > high:
        raise ValueError(
            f"`images` must lie in `bounds`, {low:g} to {high:g}. Received: values from {images.min():g} to "
            f"{images.max():g}. Scale them, or give the bounds of the images that the model was trained on."
        )


def _inside(images: tf.Tensor, low: float, high: float) -> tf.Tensor:
    text = f"The images of an attack must lie in `bounds`, {low:g} to {high:g}. Scale them, or give other bounds."
    check = tf.debugging.Assert(tf.reduce_all((images >= low) & (images <= high)), [text])
    with tf.control_dependencies([check] if check is not None else []):
        return tf.identity(images)


def check_number(name: str, value: Any, least: float = 0.0) -> None:
    """Refuses what is not a finite number of at least `least`; a tensor is taken as it is."""
    if isinstance(value, tf.Tensor | tf.Variable):
        return
    if not isinstance(value, int | float | np.number) or not np.isfinite(value) or value < least:
        raise ValueError(f"`{name}` must be a number of at least {least:g}. Received: {value!r}.")


def check_norm(norm: str) -> None:
    """Refuses a norm that is not known."""
    if norm not in ("linf", "l2"):
        raise ValueError(f'`norm` must be "linf" or "l2". Received: {norm!r}.')
