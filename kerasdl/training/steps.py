"""One training step and one evaluation step, compiled, from a compiled Keras model."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kerasdl.training.building import build_for
from kerasdl.training.checks import check_can_train, check_is_compiled

Attack = Callable[[keras.Model, Any, Any], Any]
Logs = dict[str, Any]

# How the check of the loss is recognised among TensorFlow's errors.
LOSS_IS_NOT_FINITE = "The loss of this step is not finite"


def make_train_step(
    model: keras.Model, *, clip_norm: float | None = None, attack: Attack | None = None
) -> Callable[..., Logs]:
    """A compiled function `step(x, y, sample_weight=None)` that trains `model` on one batch and returns its logs.

    The step does what `model.fit` does with a batch: the model's loss or losses with their weights and the
    regularisation, its optimizer (with loss scaling under `mixed_float16`) and its metrics. The logs are the metrics'
    running values and, with `clip_norm`, the `gradient_norm` of this batch before clipping.

    Args:
        model: A compiled model.
        clip_norm: The gradients of all weights together are scaled down to this global norm where they exceed it.
        attack: A callable `attack(model, x, y)` that returns the inputs to train on instead of `x`: adversarial
            training.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> step = make_train_step(model, clip_norm=1.0)
        >>> sorted(step(keras.ops.ones((4, 2)), keras.ops.ones((4, 1))))
        ['gradient_norm', 'loss']

    Reference:
        [Pascanu et al., 2013](https://arxiv.org/abs/1211.5063), section 3.2, for clipping by the global norm
    """
    update = make_update(model, clip_norm=clip_norm, attack=attack)

    def train_step(x: Any, y: Any = None, sample_weight: Any = None) -> Logs:
        _, norm = update(x, y, sample_weight)
        return {**model.get_metrics_result(), **({} if norm is None else {"gradient_norm": norm})}

    return _built_at_first_call(model, compiled(model, train_step))


def make_eval_step(model: keras.Model) -> Callable[..., Logs]:
    """A compiled function `step(x, y, sample_weight=None)` that adds one batch to the metrics and returns their values.

    The metrics run on from call to call: begin with `model.reset_metrics()`, as `model.evaluate` does.

    Args:
        model: A compiled model.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="zeros")])
        >>> model.compile(loss="mse")
        >>> float(make_eval_step(model)(keras.ops.ones((4, 2)), keras.ops.ones((4, 1)))["loss"])
        1.0
    """
    measure = make_measurement(model)

    def eval_step(x: Any, y: Any = None, sample_weight: Any = None) -> Logs:
        measure(x, y, sample_weight)
        return model.get_metrics_result()

    return _built_at_first_call(model, compiled(model, eval_step))


def make_update(
    model: keras.Model,
    *,
    clip_norm: float | None = None,
    attack: Attack | None = None,
    check_loss: bool = True,
) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """The step's maths, not yet compiled: trains on one batch, returns the loss and the gradients' norm or None."""
    check_can_train(model)
    if clip_norm is not None and not clip_norm > 0:
        raise ValueError(f"`clip_norm` must be positive, or None for no clipping. Received: clip_norm={clip_norm!r}.")
    if attack is not None and not callable(attack):
        raise TypeError(f"`attack` must be a callable attack(model, x, y) that returns inputs. Received: {attack!r}.")
    optimizer = model.optimizer

    def update(x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any]:
        if attack is not None:
            x = keras.tree.map_structure(tf.stop_gradient, attack(model, x, y))
        with tf.GradientTape() as tape:
            predictions = model(x, training=True)
            loss = model.compute_loss(x, y, predictions, sample_weight, training=True)
            scaled_loss = optimizer.scale_loss(loss)
        weights = model.trainable_weights
        gradients = tape.gradient(scaled_loss, weights)
        if check_loss:
            loss = tf.debugging.check_numerics(loss, LOSS_IS_NOT_FINITE)
        # Nothing waits for the check by itself: without this the weights could be spoiled before it raises.
        with tf.control_dependencies([loss]):
            norm = None
            if clip_norm is not None:
                gradients, norm = _clip(gradients, clip_norm, scale=optimizer.scale_loss(tf.ones(())))
            optimizer.apply_gradients(zip(gradients, weights, strict=True))
            _record(model, x, y, predictions, sample_weight, loss)
        return loss, norm

    return update


def make_measurement(model: keras.Model) -> Callable[[Any, Any, Any], Any]:
    """The evaluation's maths, not yet compiled: adds one batch to the model's metrics, returns its loss."""
    check_is_compiled(model)

    def measure(x: Any, y: Any, sample_weight: Any) -> Any:
        predictions = model(x, training=False)
        loss = model.compute_loss(x, y, predictions, sample_weight, training=False)
        _record(model, x, y, predictions, sample_weight, loss)
        return loss

    return measure


def compiled(model: keras.Model, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` as the graph that `model.compile` asks for: eager with `run_eagerly`, by XLA with `jit_compile`."""
    if model.run_eagerly:
        return function
    return tf.function(function, reduce_retracing=True, autograph=False, jit_compile=bool(model.jit_compile))


def _built_at_first_call(model: keras.Model, step: Callable[..., Logs]) -> Callable[..., Logs]:
    is_built = False

    @functools.wraps(step)
    def step_on_arrays(x: Any, y: Any = None, sample_weight: Any = None) -> Logs:
        nonlocal is_built
        batch = [
            None if part is None else keras.tree.map_structure(tf.convert_to_tensor, part)
            for part in (x, y, sample_weight)
        ]
        if not is_built:
            build_for(model, tuple(batch))
            is_built = True
        return step(*batch)

    return step_on_arrays


def _clip(gradients: list[Any], clip_norm: float, scale: Any) -> tuple[list[Any], Any]:
    """Clips the gradients of a loss times `scale`, which the optimizer undoes later, and gives their norm."""
    scaled_norm = tf.linalg.global_norm(gradients)
    clipped, _ = tf.clip_by_global_norm(gradients, clip_norm * scale, use_norm=scaled_norm)
    return clipped, scaled_norm / scale


def _record(model: keras.Model, x: Any, y: Any, predictions: Any, sample_weight: Any, loss: Any) -> None:
    """Updates the loss' running mean, weighted by the batch's size as in Keras, and the model's metrics."""
    tracker = next(metric for metric in model.metrics if metric.name == "loss")
    tracker.update_state(loss, sample_weight=tf.shape(keras.tree.flatten(x)[0])[0])
    model.compute_metrics(x, y, predictions, sample_weight)
