"""What happens to one batch, not yet compiled: a training step and a measurement."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kerasdl.training.checks import check_can_train, check_is_compiled
from kerasdl.training.replica_maths import measurement_on_replicas, update_on_replicas
from kerasdl.training.replicas import Replicas
from kerasdl.training.step_parts import LOSS_IS_NOT_FINITE, Attack, Logs, clip, compute_loss, record


def make_update(
    model: keras.Model,
    *,
    clip_norm: float | None = None,
    attack: Attack | None = None,
    check_loss: bool = True,
    replicas: Replicas | None = None,
) -> Callable[[Any, Any, Any], tuple[Any, Logs]]:
    """A function of `(x, y, sample_weight)` that trains on one batch and returns its loss and the logs.

    On several replicas each takes its share of the batch, and of the logs only those that are no metrics are returned:
    to read a metric there costs a message.
    """
    check_can_train(model)
    if clip_norm is not None and not (isinstance(clip_norm, int | float) and clip_norm > 0):
        raise ValueError(f"`clip_norm` must be positive, or None for no clipping. Received: clip_norm={clip_norm!r}.")
    if attack is not None and not callable(attack):
        raise TypeError(f"`attack` must be a callable attack(model, x, y) that returns inputs. Received: {attack!r}.")
    if replicas is not None and replicas.are_distributed:
        return update_on_replicas(model, replicas, clip_norm=clip_norm, attack=attack, check_loss=check_loss)
    optimizer = model.optimizer

    # The scopes are for who looks at the graph.
    def update(x: Any, y: Any, sample_weight: Any) -> tuple[Any, Logs]:
        if attack is not None:
            with tf.name_scope("attack"):
                x = keras.tree.map_structure(tf.stop_gradient, attack(model, x, y))
        with tf.GradientTape() as tape:
            predictions = model(x, training=True)
            with tf.name_scope("loss"):
                loss = compute_loss(model, x, y, predictions, sample_weight, training=True)
                scaled_loss = optimizer.scale_loss(loss)
        weights = model.trainable_weights
        if check_loss:
            loss = tf.debugging.check_numerics(loss, LOSS_IS_NOT_FINITE, name="loss/check")
        # The way back begins after the check. Nothing else would wait for it, and the weights could be spoiled before
        # it raises. One edge is enough: a control dependency of the whole step costs a small network some percent.
        with tf.name_scope("gradients"):
            with tf.control_dependencies([loss]):
                seed = tf.ones_like(scaled_loss)
            gradients = tape.gradient(scaled_loss, weights, output_gradients=seed)
        norm = {}
        if clip_norm is not None:
            with tf.name_scope("clipping"):
                gradients, norm["gradient_norm"] = clip(gradients, clip_norm, optimizer.scale_loss(tf.ones(())))
        with tf.name_scope("optimizer"):
            optimizer.apply_gradients(zip(gradients, weights, strict=True))
        with tf.name_scope("metrics"):
            return loss, {**record(model, x, y, predictions, sample_weight, loss), **norm}

    return update


def make_measurement(
    model: keras.Model, *, replicas: Replicas | None = None
) -> Callable[[Any, Any, Any], tuple[Any, Logs]]:
    """A function of `(x, y, sample_weight)` that adds one batch to the metrics and returns its loss and the logs."""
    check_is_compiled(model)
    if replicas is not None and replicas.are_distributed:
        return measurement_on_replicas(model, replicas)

    def measure(x: Any, y: Any, sample_weight: Any) -> tuple[Any, Logs]:
        predictions = model(x, training=False)
        loss = compute_loss(model, x, y, predictions, sample_weight, training=False)
        return loss, record(model, x, y, predictions, sample_weight, loss)

    return measure
