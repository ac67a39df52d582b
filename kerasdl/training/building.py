"""Makes beforehand what a step would otherwise make while it is traced."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import tensorflow as tf

from kerasdl.training.checks import check_made_in_scope
from kerasdl.training.replicas import Replicas
from kerasdl.training.shares import checked_losses
from kerasdl.training.step_parts import compute_loss


def build_for(model: keras.Model, batch: Any, *, replicas: Replicas | None = None) -> None:
    """Makes the variables of the model, its losses, metrics and optimizer for batches of this kind.

    A graph in which variables are made is traced twice, and XLA refuses it. So one is traced here that makes them all
    and is never run: nothing is computed, nothing drawn, no metric changed.

    Args:
        model: A compiled model.
        batch: `x`, `(x, y)` or `(x, y, sample_weight)`, as tensors or as their specifications.
        replicas: Where the variables live; None is without a distribution strategy.
    """
    replicas = Replicas() if replicas is None else replicas

    def trace(x: Any, y: Any, sample_weight: Any) -> None:
        predictions = model(x, training=False)
        compute_loss(model, x, y, predictions, sample_weight, training=False)
        model.compute_metrics(x, y, predictions, sample_weight)
        if replicas.are_distributed:
            with checked_losses(model, len(keras.tree.flatten(predictions)), sample_weight):
                compute_loss(model, x, y, predictions, sample_weight, training=False)

    def run_traced(function: Any) -> None:
        tf.function(function, autograph=False).get_concrete_function(*specified)

    def specify(part: Any) -> Any:
        if part is None or isinstance(part, tf.NoneTensorSpec):
            return None
        return part if isinstance(part, tf.TypeSpec) else tf.TensorSpec(part.shape, part.dtype)

    specified = keras.tree.map_structure(specify, keras.utils.unpack_x_y_sample_weight(batch))
    with replicas.scope():
        if replicas.are_distributed and not model.built:
            with _variables_made_behind([]):
                run_traced(lambda x, y, sample_weight: model(x, training=False))
        with _variables_made_behind(model.trainable_variables) if replicas.are_distributed else nullcontext():
            run_traced(trace)
        if model.optimizer is not None and not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
    if replicas.are_distributed:  # Metrics that `compile` was given are the model's only now.
        check_made_in_scope(model)


def _variables_made_behind(weights: list[keras.Variable]) -> AbstractContextManager:
    """A context behind which the variables are made that a graph in it asks for; regularisers find `weights` there.

    The copies of a variable take their first value from one of them, and that no graph can do.
    """
    return keras.StatelessScope(state_mapping=[(weight, weight.value) for weight in weights])
