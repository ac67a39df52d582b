"""What happens to one batch, not yet compiled: a training step and a measurement."""

import inspect
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kerasdl.training.checks import check_can_train, check_is_compiled

Attack = Callable[[keras.Model, Any, Any], Any]
Logs = dict[str, Any]

# How the check of the loss is recognised among TensorFlow's errors.
LOSS_IS_NOT_FINITE = "The loss of this step is not finite"


def make_update(
    model: keras.Model,
    *,
    clip_norm: float | None = None,
    attack: Attack | None = None,
    check_loss: bool = True,
) -> Callable[[Any, Any, Any], tuple[Any, Logs]]:
    """A function of `(x, y, sample_weight)` that trains on one batch and returns its loss and the logs."""
    check_can_train(model)
    if clip_norm is not None and not (isinstance(clip_norm, int | float) and clip_norm > 0):
        raise ValueError(f"`clip_norm` must be positive, or None for no clipping. Received: clip_norm={clip_norm!r}.")
    if attack is not None and not callable(attack):
        raise TypeError(f"`attack` must be a callable attack(model, x, y) that returns inputs. Received: {attack!r}.")
    optimizer = model.optimizer

    def update(x: Any, y: Any, sample_weight: Any) -> tuple[Any, Logs]:
        if attack is not None:
            x = keras.tree.map_structure(tf.stop_gradient, attack(model, x, y))
        with tf.GradientTape() as tape:
            predictions = model(x, training=True)
            loss = compute_loss(model, x, y, predictions, sample_weight, training=True)
            scaled_loss = optimizer.scale_loss(loss)
        weights = model.trainable_weights
        if check_loss:
            loss = tf.debugging.check_numerics(loss, LOSS_IS_NOT_FINITE)
        # The way back begins after the check. Nothing else would wait for it, and the weights could be spoiled before
        # it raises. One edge is enough: a control dependency of the whole step costs a small network some percent.
        with tf.control_dependencies([loss]):
            seed = tf.ones_like(scaled_loss)
        gradients = tape.gradient(scaled_loss, weights, output_gradients=seed)
        norm = {}
        if clip_norm is not None:
            gradients, norm["gradient_norm"] = _clip(gradients, clip_norm, optimizer.scale_loss(tf.ones(())))
        optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return loss, {**_record(model, x, y, predictions, sample_weight, loss), **norm}

    return update


def make_measurement(model: keras.Model) -> Callable[[Any, Any, Any], tuple[Any, Logs]]:
    """A function of `(x, y, sample_weight)` that adds one batch to the metrics and returns its loss and the logs."""
    check_is_compiled(model)

    def measure(x: Any, y: Any, sample_weight: Any) -> tuple[Any, Logs]:
        predictions = model(x, training=False)
        loss = compute_loss(model, x, y, predictions, sample_weight, training=False)
        return loss, _record(model, x, y, predictions, sample_weight, loss)

    return measure


def compute_loss(model: keras.Model, x: Any, y: Any, predictions: Any, sample_weight: Any, *, training: bool) -> Any:
    """The model's loss; as in Keras an overridden `compute_loss` may do without the argument `training`."""
    parameters = inspect.signature(model.compute_loss).parameters
    takes_training = "training" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    mode = {"training": training} if takes_training else {}
    return model.compute_loss(x=x, y=y, y_pred=predictions, sample_weight=sample_weight, **mode)


def _clip(gradients: list[Any], clip_norm: float, scale: Any) -> tuple[list[Any], Any]:
    """Clips the gradients of a loss times `scale`, which the optimizer undoes later, and gives their norm.

    Not by `tf.clip_by_global_norm`: it wants one type for all, and takes the rows of an embedding that occur twice in a
    batch for two weights.
    """
    # An embedding's gradient comes as rows and becomes a whole matrix here, in which equal rows are added up.
    dense = [None if gradient is None else tf.convert_to_tensor(gradient) for gradient in gradients]
    squares = [tf.reduce_sum(tf.square(tf.cast(gradient, tf.float32))) for gradient in dense if gradient is not None]
    norm = tf.sqrt(tf.add_n(squares)) / scale
    factor = clip_norm / tf.maximum(norm, clip_norm)
    return [None if gradient is None else gradient * tf.cast(factor, gradient.dtype) for gradient in dense], norm


def _record(model: keras.Model, x: Any, y: Any, predictions: Any, sample_weight: Any, loss: Any) -> Logs:
    """Updates the loss' running mean, weighted by the batch's size as in Keras, and the model's metrics."""
    tracker = next(metric for metric in model.metrics if metric.name == "loss")
    tracker.update_state(loss, sample_weight=tf.shape(keras.tree.flatten(x)[0])[0])
    return model.compute_metrics(x, y, predictions, sample_weight)
