"""What the training loop asks of its arguments, said before the first step."""

from numbers import Integral
from typing import Any

import keras
import tensorflow as tf

from kerasdl.training.cluster import find_cluster
from kerasdl.training.replicas import Replicas


def check_can_train(model: keras.Model) -> None:
    """Refuses a model without an optimizer, with nothing to train, a step of its own, or a strategy that cannot."""
    check_is_compiled(model)
    if model.optimizer is None:
        raise ValueError(
            "`model` must be compiled with an optimizer: call model.compile(optimizer=..., loss=...). "
            f"Received: {model.name!r}."
        )
    if model.built and not model.trainable_weights:
        raise ValueError(f"`model` has no trainable weights: set trainable=True on a layer. Received: {model.name!r}.")
    _check_step_is_keras_own(model, "train_step", "model.fit")
    _check_strategy(model)


def check_can_measure(model: keras.Model) -> None:
    """Refuses a model that is not compiled or measures itself in its own way."""
    check_is_compiled(model)
    _check_step_is_keras_own(model, "test_step", "model.evaluate")


def check_is_compiled(model: keras.Model) -> None:
    """Refuses what is no compiled model."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a keras.Model. Received: {type(model).__name__}.")
    if not model.compiled:
        raise ValueError(
            f"`model` must be compiled: call model.compile(optimizer=..., loss=...) first. Received: {model.name!r}."
        )
    if not any(metric.name == "loss" for metric in model.metrics):
        raise ValueError(
            "`model.metrics` must hold the metric of the loss: let a property of your own add to super().metrics, or "
            f"use model.fit. Received: {[metric.name for metric in model.metrics]}."
        )


def _check_step_is_keras_own(model: keras.Model, step: str, instead: str) -> None:
    if getattr(type(model), step) is not getattr(keras.Model, step):
        raise ValueError(
            f"`model` has a {step} of its own, which is not called here: use {instead}. "
            f"Received: {type(model).__name__}."
        )


def _check_strategy(model: keras.Model) -> None:
    strategy = model.distribute_strategy
    cluster = find_cluster()
    if (
        cluster is not None
        and cluster.workers > 1
        and not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    ):
        raise ValueError(
            f"This process is one of {cluster.workers} workers, and each would train `model` by itself: build and "
            "compile it in training.strategy().scope(). "
            f"Received: a model made under {type(strategy).__name__}."
        )
    if tf.distribute.has_strategy() and tf.distribute.get_strategy() is not strategy:
        raise ValueError(
            "`model` must be trained in the scope of its own strategy, or outside of any. Received: a model made under "
            f"{type(strategy).__name__} in the scope of {type(tf.distribute.get_strategy()).__name__}."
        )
    if not Replicas(strategy).are_distributed:
        return
    check_made_in_scope(model)
    if model.jit_compile:
        raise ValueError(
            "Under a distribution strategy XLA does not find the variables of the other devices: leave jit_compile "
            'out, or at "auto". Received: jit_compile=True.'
        )
    if type(model).compute_loss is not keras.Model.compute_loss:
        raise ValueError(
            "Under a distribution strategy nobody knows whether a compute_loss of the model's own is to be divided by "
            "the number of replicas: give the losses to `compile` and to `add_loss`. "
            f"Received: {type(model).__name__}."
        )
    fixed = [tuple(part.shape) for part in getattr(model, "inputs", None) or [] if part.shape[0] is not None]
    if fixed:
        raise ValueError(
            "Under a distribution strategy each replica takes a part of a batch, so that no input may have a batch "
            f"size of its own. Received: inputs of shape {fixed}."
        )


def check_made_in_scope(model: keras.Model) -> None:
    """Refuses variables of a model, its metrics or its optimizer that are not kept on each replica."""
    of_optimizer = [] if model.optimizer is None else model.optimizer.variables
    of_metrics = [variable for metric in model.metrics for variable in metric.variables]
    for variable in (*model.variables, *of_optimizer, *of_metrics):
        if not isinstance(variable.value, tf.distribute.DistributedValues):
            raise ValueError(
                "`model` must be built and compiled in the scope of the strategy that trains it, with an optimizer and "
                f"metrics made there. Received: {variable.path!r} made outside of it."
            )


def check_count(name: str, value: Any) -> int:
    """Refuses what is no positive integer."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}.")
    return int(value)


def count_batches(name: str, data: Any, model: keras.Model) -> int | None:
    """The number of batches, None where nobody knows; refuses what is no finite data set of batches."""
    if not isinstance(data, tf.data.Dataset):
        raise TypeError(
            f"`{name}` must be a tf.data.Dataset of batches (x, y). For arrays use "
            f"tf.data.Dataset.from_tensor_slices((x, y)).batch(32). Received: {type(data).__name__}."
        )
    x = keras.utils.unpack_x_y_sample_weight(data.element_spec)[0]
    inputs = getattr(model, "inputs", None) or []
    # With several inputs the order may differ, and a last axis of one is Keras' to add.
    if isinstance(x, tf.TensorSpec) and len(inputs) == 1 and inputs[0].shape[-1] != 1:
        expected = tuple(inputs[0].shape)
        if x.shape.rank == len(expected) - 1:
            raise ValueError(
                f"`{name}` must give batches of shape {expected}: call .batch(32) on it. "
                f"Received: single examples of shape {tuple(x.shape)}."
            )
    count = int(data.cardinality())
    if count == tf.data.INFINITE_CARDINALITY:
        raise ValueError(f"`{name}` must end: leave .repeat() out, or add .take(steps). Received: an endless data set.")
    return None if count == tf.data.UNKNOWN_CARDINALITY else count
