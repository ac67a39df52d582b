"""Makes beforehand what a step would otherwise make while it is traced."""

from contextlib import nullcontext
from typing import Any

import keras
import tensorflow as tf

from kerasdl.training.replicas import Replicas
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
    distributed = replicas is not None and replicas.are_distributed

    @tf.function(autograph=False)
    def trace(x: Any, y: Any, sample_weight: Any) -> None:
        predictions = model(x, training=False)
        compute_loss(model, x, y, predictions, sample_weight, training=False)
        model.compute_metrics(x, y, predictions, sample_weight)

    def specify(part: Any) -> Any:
        if part is None or isinstance(part, tf.NoneTensorSpec):
            return None
        return part if isinstance(part, tf.TypeSpec) else tf.TensorSpec(part.shape, part.dtype)

    with replicas.scope() if replicas is not None else nullcontext():
        # A variable with copies takes its first value from the first copy, which no graph can do. In Keras' stateless
        # scope the variables are made when it ends, and that is behind the graph.
        with keras.StatelessScope() if distributed else nullcontext():
            trace.get_concrete_function(*keras.tree.map_structure(specify, keras.utils.unpack_x_y_sample_weight(batch)))
        if model.optimizer is not None and not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
