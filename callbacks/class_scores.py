"""What a classifier says about examples, as probabilities of classes with names, whatever its last layer gives."""

import collections
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kerasdl.visualization.outputs import one_output

CLOSE_TO_ONE = 0.02  # Half precision's probabilities add up to one no better.


def class_count(model: keras.Model) -> int | None:
    """How many classes the model tells apart, one sigmoid being two; None for a model that is a class of its own.

    Args:
        model: Any Keras model.

    Example:
        >>> class_count(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]))
        2
    """
    if not getattr(model, "outputs", None):
        return None
    shape = tuple(one_output(getattr(model, "output", model.outputs), model).shape)
    if len(shape) != 2 or shape[1] is None:
        raise ValueError(_wrong_shape(model, shape))
    return max(shape[1], 2)


def has_one_unit(model: keras.Model | None) -> bool:
    """Whether the model is known to give one number for each example.

    Args:
        model: Any Keras model, or None.
    """
    outputs = getattr(model, "outputs", None)
    return bool(outputs) and one_output(getattr(model, "output", outputs), model).shape[-1] == 1


def probabilities(model: keras.Model, outputs: Any, *, several: bool = False) -> np.ndarray | None:
    """The probability of each class, `(N, classes)` float64; of one sigmoid unit those of both its answers.

    Softmax or sigmoid is applied where the model leaves it to its loss (`from_logits=True`), or where its numbers are
    no probabilities. None where a number is not finite: such a network has said nothing.

    Args:
        model: The model, whose loss is asked.
        outputs: What it gave, as NumPy arrays. Of several outputs the one called "predictions", or the first.
        several: Whether an example may be of several classes, each with a probability of its own.

    Example:
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
        >>> model.compile(loss=keras.losses.CategoricalCrossentropy(from_logits=True))
        >>> probabilities(model, np.log([[1.0, 3.0]])).round(6).tolist()
        [[0.25, 0.75]]
        >>> probabilities(model, np.array([[np.nan, 0.0]])) is None
        True
    """
    values = np.asarray(one_output(outputs, model)).astype("float64")
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2:
        raise ValueError(_wrong_shape(model, (None, *values.shape[1:])))
    if not np.isfinite(values).all():
        return None
    alone = values.shape[1] == 1
    if _are_logits(model, values):
        if alone or several or _is_binary(one_output(model.loss, model)):
            # The exponential of a large number would overflow; the hyperbolic tangent does not.
            values = 0.5 * (1 + np.tanh(values / 2))
        else:
            values = np.exp(values - values.max(axis=1, keepdims=True))
            values /= values.sum(axis=1, keepdims=True)
    values = values.clip(0, 1)
    return np.hstack([1 - values, values]) if alone else values


def check_class_names(class_names: Sequence[str] | None, classes: int) -> list[str]:
    """A name for each class: those given, or the classes' numbers. Those of one name get their numbers besides.

    Args:
        class_names: The names, or None.
        classes: How many there are.

    Example:
        >>> check_class_names(None, 3), check_class_names(["crane", "cow", "crane"], 3)
        (['0', '1', '2'], ['crane (0)', 'cow', 'crane (2)'])
    """
    if class_names is None:
        return [str(number) for number in range(classes)]
    names = [class_names] if isinstance(class_names, str) else [str(name) for name in class_names]
    if len(names) != classes:
        raise ValueError(
            f"`class_names` must have one name for each of the {classes} classes. Received: {len(names)} names."
        )
    # ImageNet has two cranes, a bird and a machine: their curves must not become one.
    while max((counts := collections.Counter(names)).values(), default=1) > 1:
        names = [f"{name} ({number})" if counts[name] > 1 else name for number, name in enumerate(names)]
    return names


def check_labels(labels: np.ndarray, classes: int) -> np.ndarray:
    """The labels, if each is one of the model's classes.

    Args:
        labels: Whole numbers, `(N,)`, as `Examples.labels` are.
        classes: How many classes the model tells apart.
    """
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"The labels of `data` must be classes from 0 to {classes - 1}, as many as the model gives. Received: "
            f"labels from {labels.min()} to {labels.max()}."
        )
    return labels


def _are_logits(model: keras.Model, values: np.ndarray) -> bool:
    """Whether softmax or sigmoid is still to come."""
    within = not len(values) or bool(values.min() >= 0 and values.max() <= 1)
    if values.shape[1] > 1 and within and np.allclose(values.sum(axis=1), 1, atol=CLOSE_TO_ONE):
        return False
    loss = getattr(model, "loss", None)
    said = getattr(one_output(loss, model), "from_logits", None) if loss else None
    return not within if said is None else bool(said)


def _is_binary(loss: Any) -> bool:
    """Whether the loss asks of each class by itself: such units have sigmoids, also where one class is right."""
    kinds = (keras.losses.BinaryCrossentropy, keras.losses.BinaryFocalCrossentropy)
    return isinstance(loss, kinds) or (isinstance(loss, str) and loss.startswith(("binary_", "bce")))


def _wrong_shape(model: keras.Model, shape: tuple) -> str:
    sizes = ", ".join(["batch", *(str(size) for size in shape[1:])])
    return f"Expected a classifier, which gives (batch, classes). Received: {model.name!r}, which gives ({sizes})."
