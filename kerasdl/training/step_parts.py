"""What the steps of one replica and of many have in common."""

import inspect
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

Attack = Callable[[keras.Model, Any, Any], Any]
Logs = dict[str, Any]

# How the check of the loss is recognised among TensorFlow's errors.
LOSS_IS_NOT_FINITE = "The loss of this step is not finite"


def compute_loss(model: keras.Model, x: Any, y: Any, predictions: Any, sample_weight: Any, *, training: bool) -> Any:
    """The model's loss; as in Keras an overridden `compute_loss` may do without the argument `training`."""
    parameters = inspect.signature(model.compute_loss).parameters
    takes_training = "training" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    mode = {"training": training} if takes_training else {}
    return model.compute_loss(x=x, y=y, y_pred=predictions, sample_weight=sample_weight, **mode)


def clip(gradients: list[Any], clip_norm: float, scale: Any) -> tuple[list[Any], Any]:
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


def record(model: keras.Model, x: Any, y: Any, predictions: Any, sample_weight: Any, loss: Any) -> Logs:
    """Updates the loss' running mean, weighted by the batch's size as in Keras, and the model's metrics."""
    loss_metric(model).update_state(loss, sample_weight=tf.shape(keras.tree.flatten(x)[0])[0])
    return model.compute_metrics(x, y, predictions, sample_weight)


def loss_metric(model: keras.Model) -> keras.metrics.Metric:
    """The metric that holds the mean loss."""
    return next(metric for metric in model.metrics if metric.name == "loss")
