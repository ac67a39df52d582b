"""Makes beforehand what a step would otherwise make while it is traced."""

from typing import Any

import keras
import tensorflow as tf


def build_for(model: keras.Model, batch: tuple[Any, ...]) -> None:
    """Makes the variables of the model, its optimizer, losses and metrics for batches of this kind.

    A graph in which variables are made is traced twice, and XLA refuses it.

    Args:
        model: A compiled model.
        batch: `(x, y)` or `(x, y, sample_weight)`, as tensors or as their specifications.
    """
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    if not model.built:
        model.build(keras.tree.map_structure(lambda part: tuple(part.shape), x))
    if model.optimizer is not None and not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    outputs = model.compute_output_spec(keras.tree.map_structure(_symbol, x))
    predictions = keras.tree.map_structure(_zeros, outputs)
    x, y, sample_weight = keras.tree.map_structure(_zeros, (x, y, sample_weight))
    model.compute_loss(x, y, predictions, sample_weight, training=False)
    model.compute_metrics(x, y, predictions, sample_weight)
    model.reset_metrics()


def _symbol(part: Any) -> keras.KerasTensor:
    return keras.KerasTensor(tuple(part.shape), dtype=keras.backend.standardize_dtype(part.dtype))


def _zeros(part: Any) -> Any:
    if part is None:
        return None
    return tf.zeros([1 if side is None else side for side in part.shape], part.dtype)
