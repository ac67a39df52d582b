"""The learning rate: by the step as its schedule has it, and by the epoch."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.callbacks.summary import Summary

_POINTS = 50  # A chart shows no more of an epoch, and each point costs a schedule some tenths of a millisecond.


class LearningRateSummary(Summary):
    """Writes the learning rate with which the weights were changed.

    - `learning_rate/by_epoch`: that of the epoch's last step. What `ReduceLROnPlateau` or `LearningRateScheduler`
      change between two epochs is taken right, wherever they stand among the callbacks.
    - `learning_rate/by_step`: where the optimizer has a schedule, at up to 50 steps of each epoch, over the number of
      the step. It is computed from the schedule after the epoch, so that training is not disturbed.
    - `learning_rate/loss_scale`: by which a float16 loss is multiplied, by the epoch.

    Of a `MultiOptimizer` the rate of each part is written, as `learning_rate/by_epoch/<name>`.

    Args:
        log_dir: Folder of the logs; the one given to `keras.callbacks.TensorBoard` will do.
        every: Write after every so many epochs. The step is the epoch, counted from 0 as Keras' TensorBoard does.

    Example:
        >>> schedule = keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=1, decay_rate=0.5)
        >>> optimizer = keras.optimizers.SGD(schedule)
        >>> [round(rate_at(optimizer, step), 3) for step in range(3)]
        [0.1, 0.05, 0.025]
    """

    def __init__(self, log_dir: str | Path, *, every: int = 1) -> None:
        super().__init__(log_dir, every=every)
        self._begin: dict[str, int] = {}

    def prepare(self) -> None:
        """Looks up where the optimizer stands."""
        self._begin = {name: _steps_done(optimizer) for name, optimizer in _parts(self.model.optimizer).items()}

    def write(self, step: int, logs: dict[str, Any]) -> None:
        """Writes the rates, and those since the last time step by step."""
        for name, optimizer in _parts(self.model.optimizer).items():
            end = f"/{name}" if name else ""
            done, begin = _steps_done(optimizer), self._begin.get(name, 0)
            self._begin[name] = done
            # Whoever changes the rate between two epochs leaves the old one in the logs.
            reported = logs.get(f"learning_rate_{name}" if name else "learning_rate")
            if not _has_schedule(optimizer):
                rate = rate_at(optimizer, done) if reported is None else float(reported)
                tf.summary.scalar(f"learning_rate/by_epoch{end}", rate, step)
                continue
            if done == begin:
                continue  # No step since the last time.
            for number in np.unique(np.linspace(begin, done - 1, min(done - begin, _POINTS)).round().astype(int)):
                rate = rate_at(optimizer, number)
                tf.summary.scalar(f"learning_rate/by_step{end}", rate, number)
            tf.summary.scalar(f"learning_rate/by_epoch{end}", rate, step)
        scale = getattr(self.model.optimizer, "dynamic_scale", None)
        if scale is not None:
            tf.summary.scalar("learning_rate/loss_scale", float(scale.numpy()), step)

    def get_state(self) -> dict[str, Any]:
        """The step up to which the rate is written."""
        return {"begin": dict(self._begin)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on where a run was interrupted.

        Args:
            state: What `get_state` gave.
        """
        self._begin = {name: int(step) for name, step in state["begin"].items()}


def rate_at(optimizer: keras.optimizers.Optimizer, step: int) -> float:
    """The learning rate of the optimizer's step number `step`, from 0; without a schedule it is always the present one.

    Args:
        optimizer: An optimizer with one learning rate.
        step: How many steps it has made before.
    """
    # The optimizer itself asks its schedule, and reads there that it has made so many steps.
    with keras.StatelessScope([(_counter(optimizer), keras.ops.convert_to_tensor(int(step), "int64"))]):
        return float(keras.ops.convert_to_numpy(optimizer.learning_rate))


def _has_schedule(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether the rate is computed from the number of the step; without a schedule it is a variable or a number."""
    return isinstance(optimizer.learning_rate, tf.Tensor)


def _steps_done(optimizer: keras.optimizers.Optimizer) -> int:
    return int(_counter(optimizer).numpy())


def _counter(optimizer: keras.optimizers.Optimizer) -> keras.Variable:
    """What a schedule is asked with: `iterations` counts several steps that are added up to one update as one."""
    return next(variable for variable in optimizer.variables if variable.name == "iteration")


def _parts(optimizer: Any) -> dict[str, keras.optimizers.Optimizer]:
    """The optimizers that have a learning rate of their own, by their names; a single one has none."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if optimizer is None:
        return {}
    several = getattr(optimizer, "optimizers", None)
    return {"": optimizer} if several is None else {part.name: part for part in several}
