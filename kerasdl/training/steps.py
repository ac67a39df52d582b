"""One training step and one evaluation step, compiled, from a compiled Keras model."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kerasdl.training.building import build_for
from kerasdl.training.checks import check_can_measure
from kerasdl.training.maths import make_measurement, make_update
from kerasdl.training.replica_maths import average_moving_statistics
from kerasdl.training.replicas import Replicas, outside_scopes
from kerasdl.training.step_parts import LOSS_IS_NOT_FINITE, Attack, Logs


def make_train_step(
    model: keras.Model, *, clip_norm: float | None = None, attack: Attack | None = None
) -> Callable[..., Logs]:
    """A compiled function `step(x, y, sample_weight=None)` that trains `model` on one batch and returns its logs.

    The step does what `model.fit` does with a batch: the model's loss or losses with their weights and the
    regularisation, its optimizer (with loss scaling under `mixed_float16`) and its metrics. The logs are the metrics'
    running values and, with `clip_norm`, the `gradient_norm` of this batch before clipping. A loss that is not finite
    raises a `FloatingPointError` before the weights are touched; under XLA, which knows no checks, it is only logged.

    Under a distribution strategy every worker passes the whole global batch, whose rows the replicas share.

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
        [Pascanu et al., 2012](https://arxiv.org/abs/1211.5063), section 3.2, for clipping by the global norm
    """
    replicas = Replicas(model.distribute_strategy)
    update = make_update(model, clip_norm=clip_norm, attack=attack, replicas=replicas)
    return _step_on_arrays(model, update, replicas, lambda: average_moving_statistics(model, replicas))


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
    check_can_measure(model)
    replicas = Replicas(model.distribute_strategy)
    return _step_on_arrays(model, make_measurement(model, replicas=replicas), replicas)


def compiled(model: keras.Model, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` as the graph that `model.compile` asks for: eager with `run_eagerly`, by XLA with `jit_compile`."""
    if model.run_eagerly:
        return function
    return tf.function(function, reduce_retracing=True, autograph=False, jit_compile=bool(model.jit_compile))


def not_finite(what_is_known: str) -> FloatingPointError:
    """The error for a loss that is NaN or infinite."""
    return FloatingPointError(
        f"The loss must stay finite. It became NaN or infinite {what_is_known} "
        "Try a smaller learning rate or clip_norm=1.0, and look for NaN in the data."
    )


def _step_on_arrays(
    model: keras.Model,
    maths: Callable[[Any, Any, Any], tuple[Any, Logs]],
    replicas: Replicas,
    at_end: Callable[[], None] = lambda: None,
) -> Callable[..., Logs]:
    def logs_of(x: Any, y: Any, sample_weight: Any) -> Logs:
        _, logs = maths(x, y, sample_weight)
        if not replicas.are_distributed:
            return logs
        at_end()
        return {**model.get_metrics_result(), **logs}

    run = compiled(model, logs_of)
    # What runs eagerly makes its variables in the first step, and may do what cannot be traced.
    is_built = model.run_eagerly and not replicas.are_distributed

    @functools.wraps(maths)
    def step(x: Any, y: Any = None, sample_weight: Any = None) -> Logs:
        nonlocal is_built
        batch = keras.tree.map_structure(
            lambda part: None if part is None else tf.convert_to_tensor(part), (x, y, sample_weight)
        )
        if not is_built:
            build_for(model, batch, replicas=replicas)
            is_built = True
        try:
            return outside_scopes(lambda: run(*batch))
        except tf.errors.InvalidArgumentError as error:
            if LOSS_IS_NOT_FINITE not in str(error):
                raise
            raise not_finite("in this step, which did not touch the trainable weights.") from None

    return step
