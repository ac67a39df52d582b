"""What a map explains, and the checks that every function on a model and images begins with."""

import warnings
import weakref
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.visualization.layer_paths import all_layers, structure
from kerasdl.visualization.probing import compiled, execution, forward, layer_path

Target = int | np.integer | np.ndarray | list | tuple | Callable[[tf.Tensor], tf.Tensor] | None
Unit = tuple[str, tuple[int, ...]]

_counts: weakref.WeakKeyDictionary[keras.Model, dict] = weakref.WeakKeyDictionary()

PREDICTED = -1  # Stands for the class that the model finds likeliest.


def check_images(model: keras.Model, images: Any) -> np.ndarray:
    """The images as float32, if the model can take them."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a keras.Model. Received: {type(model).__name__}.")
    images = np.asarray(images, dtype="float32")
    if images.ndim != 4 or 0 in images.shape:
        hint = " Give one image as images[None]." if images.ndim == 3 else ""
        raise ValueError(
            f"`images` must have shape (N, height, width, channels). Received: shape {images.shape}.{hint}"
        )
    if model.built and isinstance(getattr(model, "input_shape", None), list | dict):
        raise ValueError(f"Expected a model with one input. Received: {model.name!r} with {len(model.inputs)}.")
    expected = tuple(getattr(model, "input_shape", None) or (None,) * 4) if model.built else (None,) * 4
    if len(expected) != 4 or any(e not in (None, r) for e, r in zip(expected[1:], images.shape[1:], strict=True)):
        raise ValueError(
            f"Model {model.name!r} takes images of shape {expected[1:]}. Received: images of shape {images.shape[1:]}."
        )
    if not np.isfinite(images).all():
        where = np.flatnonzero(~np.isfinite(images).all(axis=(1, 2, 3)))[0]
        raise ValueError(f"`images` must be finite. Received: nan or infinity in image {where}.")
    return images


def check_target(model: keras.Model, images: np.ndarray, target: Target) -> tuple[np.ndarray, Callable | None]:
    """The class of each image (`PREDICTED` where it is for the model to say), and the callable if `target` is one."""
    if callable(target):
        return np.full(len(images), PREDICTED, "int32"), target
    if target is None:
        return np.full(len(images), PREDICTED, "int32"), None
    classes = np.asarray(target)
    if classes.dtype.kind not in "iu" or classes.ndim > 1 or (classes.ndim and len(classes) != len(images)):
        raise ValueError(
            f"`target` must be None, a class number, one per image ({len(images)}), or a callable on the unnormalised "
            f"scores. Received: {target!r}."
        )
    count = number_of_classes(model, images)
    if classes.size and not (classes.min() >= 0 and classes.max() < count):
        wrong = classes.min() if classes.min() < 0 else classes.max()
        raise ValueError(f"`target` must be a class from 0 to {count - 1} of model {model.name!r}. Received: {wrong}.")
    return np.broadcast_to(classes.astype("int32"), (len(images),)).copy(), None


def check_arguments(
    model: keras.Model, images: Any, target: Target, unit: Unit | None
) -> tuple[np.ndarray, np.ndarray, Callable | None, Unit | None]:
    """Images, classes, callable and unit, checked: what every explanation of a score begins with."""
    images = check_images(model, images)
    classes, function = check_target(model, images, target)
    return images, classes, function, None if unit is None else check_unit(model, images, unit)


def number_of_classes(model: keras.Model, images: np.ndarray) -> int:
    """How many classes there are to choose from: two where the model has a single score."""
    known = _counts.setdefault(model, {})
    key = (images.shape[1:], structure(model))  # A Sequential may have got another head since.
    if key not in known:
        known[key] = max(2, compiled(model, forward)(images[:1]).shape[-1])
    return known[key]


def check_unit(model: keras.Model, images: np.ndarray, unit: Unit) -> Unit:
    """The unit with the path of its layer, if it is there."""
    try:
        name, place = unit
        place = tuple(int(index) for index in place)
    except (TypeError, ValueError):
        raise ValueError(
            f"`unit` must be a layer's name and a place in it, (layer, (row, column, channel)). Received: {unit!r}."
        ) from None
    path = layer_path(model, images.shape[1:], name)
    shape = execution(model, images.shape[1:])[path]
    if len(place) != len(shape) or any(not 0 <= index < size for index, size in zip(place, shape, strict=True)):
        raise ValueError(f"`unit` must lie in what {name!r} gives, shape {shape}. Received: {place}.")
    return path, place


def score(logits: tf.Tensor, classes: tf.Tensor, function: Callable | None = None) -> tf.Tensor:
    """One number per image: the score of its class, or what the callable makes of all scores.

    A model with a single score is for class 1 and against class 0.
    """
    if function is not None:
        values = tf.cast(function(logits), "float32")
        if values.shape.rank != 1:
            raise ValueError(
                "`target` as a callable gets the unnormalised scores, (N, classes), and must return one number per "
                f"image, shape (N,). It returned shape {values.shape}."
            )
        return values
    chosen = tf.where(classes < 0, likeliest(logits), classes)
    return tf.gather(_of_each_class(logits), chosen, axis=1, batch_dims=1)


def predicted_classes(model: keras.Model, images: tf.Tensor) -> tf.Tensor:
    """The class that the model finds likeliest, for each image."""
    return likeliest(forward(model, images))


def likeliest(logits: tf.Tensor) -> tf.Tensor:
    """The class of the largest score, for each image."""
    return tf.argmax(_of_each_class(logits), axis=1, output_type=tf.int32)


def _of_each_class(logits: tf.Tensor) -> tf.Tensor:
    if any(size != 1 for size in logits.shape[1:-1]):
        raise ValueError(
            f"Expected a model with one score per class. Received: scores of shape {tuple(logits.shape[1:])}, one for "
            "each of many places. Give `unit=(layer, place)`, or a callable on the scores as `target`."
        )
    logits = tf.reshape(logits, (-1, int(np.prod(logits.shape[1:]))))
    return tf.concat([-logits, logits], axis=1) if logits.shape[-1] == 1 else logits


def score_of(
    model: keras.Model,
    images: tf.Tensor,
    classes: tf.Tensor,
    *,
    function: Callable | None = None,
    unit: Unit | None = None,
    **options: Any,
) -> tf.Tensor:
    """One number per image: the value of a unit, or the score of a class; `options` are those of `forward`."""
    if unit is None:
        return score(forward(model, images, **options), classes, function)
    name, place = unit
    seen: list[tf.Tensor] = []

    def tap(y: tf.Tensor) -> tf.Tensor:
        seen.append(tf.cast(y[(slice(None), *place)], "float32"))
        return y

    forward(model, images, taps={**options.pop("taps", {}), name: tap}, **options)
    return seen[-1]


def check_gradient(model: keras.Model, gradient: tf.Tensor | None, images: tf.Tensor) -> tf.Tensor:
    """The gradient, or, where there is none, an error that names the layer through which none comes."""
    if gradient is not None:
        return gradient
    blocking = _blocking_layer(model, images)
    raise ValueError(
        f"The score of model {model.name!r} has no gradient with respect to what was asked for: none comes back "
        f"through layer {blocking!r}. Rounding, comparing, argmax and casting to whole numbers have none."
    )


def _blocking_layer(model: keras.Model, images: tf.Tensor) -> str:
    """The last layer to whose input no gradient comes back."""
    outputs: dict[str, tf.Tensor] = {}
    with tf.GradientTape() as tape:

        def note(path: str) -> Any:
            def tap(y: Any) -> Any:
                if isinstance(y, tf.Tensor) and y.dtype.is_floating:
                    tape.watch(y)
                    outputs.pop(path, None)
                    outputs[path] = y
                return y

            return tap

        total = tf.reduce_sum(forward(model, images, taps={path: note(path) for path, _ in all_layers(model)}))
    gradients = tape.gradient(total, list(outputs.values()))
    blocking = next(iter(outputs))
    for (_, gradient), (after, _) in pairwise(zip(outputs, gradients, strict=True)):
        if gradient is None:
            blocking = after
    return blocking


def warn_if_empty(maps: np.ndarray, reason: str) -> None:
    """Warns of maps that are zero everywhere, which a picture would show as a meaningful pattern of nothing."""
    empty = ~np.any(maps, axis=tuple(range(1, maps.ndim)))
    if empty.any():
        warnings.warn(f"{int(empty.sum())} of {len(maps)} maps are zero everywhere: {reason}", stacklevel=3)
