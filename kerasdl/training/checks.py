"""What the training loop asks of its arguments, said before the first step."""

from typing import Any

import keras
import tensorflow as tf


def check_can_train(model: keras.Model) -> None:
    """Refuses a model that has no optimizer, nothing to train, or several devices to train on."""
    check_is_compiled(model)
    if model.optimizer is None:
        raise ValueError(
            "`model` must be compiled with an optimizer: call model.compile(optimizer=..., loss=...). "
            f"Received: {model.name!r}."
        )
    if model.built and not model.trainable_weights:
        raise ValueError(f"`model` has no trainable weights: set trainable=True on a layer. Received: {model.name!r}.")
    if model.distribute_strategy.num_replicas_in_sync > 1:
        raise ValueError(
            "This step trains on one device. Use model.fit under a distribution strategy. "
            f"Received: a model made under {type(model.distribute_strategy).__name__}."
        )


def check_is_compiled(model: keras.Model) -> None:
    """Refuses what is no compiled model."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a keras.Model. Received: {type(model).__name__}.")
    if not model.compiled:
        raise ValueError(
            f"`model` must be compiled: call model.compile(optimizer=..., loss=...) first. Received: {model.name!r}."
        )


def check_count(name: str, value: Any) -> None:
    """Refuses what is no positive integer."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}.")


def count_batches(name: str, data: Any, model: keras.Model) -> int | None:
    """The number of batches, None where nobody knows; refuses what is no finite data set of batches."""
    if not isinstance(data, tf.data.Dataset):
        raise TypeError(
            f"`{name}` must be a tf.data.Dataset of batches (x, y). For arrays use "
            f"tf.data.Dataset.from_tensor_slices((x, y)).batch(32). Received: {type(data).__name__}."
        )
    spec = data.element_spec
    if not isinstance(spec, tuple) or len(spec) not in (2, 3):
        raise ValueError(f"`{name}` must give (x, y) or (x, y, sample_weight). Received: elements {spec}.")
    given = keras.tree.flatten(spec[0])[0].shape
    expected = model.inputs[0].shape if model.built and getattr(model, "inputs", None) else None
    if expected is not None and given.rank == len(expected) - 1:
        raise ValueError(
            f"`{name}` must give batches of shape {tuple(expected)}: call .batch(32) on it. "
            f"Received: single examples of shape {tuple(given)}."
        )
    count = int(data.cardinality())
    if count == tf.data.INFINITE_CARDINALITY:
        raise ValueError(f"`{name}` must end: leave .repeat() out, or add .take(steps). Received: an endless data set.")
    return None if count == tf.data.UNKNOWN_CARDINALITY else count
