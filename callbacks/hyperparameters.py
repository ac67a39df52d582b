"""The settings of a run beside what came of it, for TensorBoard's HParams page."""

import math
import os
import socket
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kerasdl.callbacks.summary import Summary

_START, _END = ".session_start", ".session_end"


class HyperparameterSummary(Summary):
    """Writes a run's settings and its metrics for TensorBoard's HParams page, which compares runs in a table.

    They go into a run of their own, `<log_dir>/hyperparameters`, under the metrics' plain names (`loss`,
    `val_accuracy`), so that the table's columns are the settings and the metrics and not every scalar that is written
    elsewhere into `log_dir`. The table shows a metric's newest value, also of a run that goes on.

    The page says how each run ended. A run that ends in an error, is interrupted, or whose loss is no longer finite,
    has failed. Of one that is under way nothing is known, nor of one that was killed. Where a run goes on in the same
    folder, or is made again, it is under way.

    Args:
        log_dir: Folder of the logs; the one given to `keras.callbacks.TensorBoard` will do. Each run needs its own.
        values: Name and value of each setting: numbers, strings, booleans, or None. Anything else, such as a list, is
            written as its text.
        name: What the run is called in the table. Runs of one name are shown as one row with their mean, such as
            repetitions with other seeds. Without it the name is the folder's, below the current one.
        every: Write the metrics after every so many epochs. The step is the epoch, counted from 0.

    Example:
        >>> callback = HyperparameterSummary("runs/one", {"learning_rate": 0.1, "units": (64, 64), "cell": "lstm"})
        >>> callback.values
        {'learning_rate': 0.1, 'units': '(64, 64)', 'cell': 'lstm'}
    """

    def __init__(
        self, log_dir: str | Path, values: Mapping[str, Any], *, name: str | None = None, every: int = 1
    ) -> None:
        super().__init__(Path(log_dir) / "hyperparameters", every=every)
        if not isinstance(values, Mapping) or not values or not all(isinstance(key, str) for key in values):
            raise ValueError(
                "`values` must be a dictionary with the name and the value of each setting, and have at least one. "
                f"Received: {values!r}."
            )
        self.values = {key: _plain(value) for key, value in values.items()}
        self.name = _run_name(Path(log_dir)) if name is None else str(name)
        self._failed: Any = None
        self._healthy = True

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Writes the settings, and takes back that an earlier training in this folder has ended."""
        self._end(success=False)
        super().on_train_begin(logs)
        # TensorBoard believes the first it reads. In files of their own, these two can be replaced.
        for old in [*self.log_dir.glob(f"*{_START}"), *self.log_dir.glob(f"*{_END}")]:
            old.unlink()
        from tensorboard.plugins.hparams import api

        _write_alone(self.log_dir, api.hparams_pb(self.values, trial_id=self.name), _START)
        self._healthy = True
        # Of an error `model.fit` tells no callback. But soon nobody holds it any longer, or the program ends.
        self._failed = weakref.finalize(self, _write_end, self.log_dir, False)

    def write(self, step: int, logs: dict[str, Any]) -> None:
        """Writes the metrics."""
        for key, value in logs.items():
            if np.ndim(value) == 0 and np.asarray(value).dtype.kind in "biuf":  # A callback may have put a text there.
                tf.summary.scalar(key, value, step)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes where it is time to, and looks whether the loss is still a number."""
        self._healthy = math.isfinite((logs or {}).get("loss", 0.0))
        super().on_epoch_end(epoch, logs)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Writes how it ended."""
        super().on_train_end(logs)
        self._end(success=self._healthy)

    def _end(self, *, success: bool) -> None:
        """Writes the end of the training that is under way, if there is one."""
        if self._failed is not None and self._failed.detach():
            _write_end(self.log_dir, success)
        self._failed = None


def _write_end(log_dir: Path, success: bool) -> None:
    from tensorboard.plugins.hparams import api_pb2, summary

    _write_alone(log_dir, summary.session_end_pb(api_pb2.STATUS_SUCCESS if success else api_pb2.STATUS_FAILURE), _END)


def _write_alone(log_dir: Path, message: Any, suffix: str) -> None:
    """Writes one message into an event file of its own.

    By hand, since this may happen at any moment, such as while TensorFlow traces the step of the next training: what
    `tf.summary` writes then becomes a part of that step.
    """
    now = time.time()
    parts = {"file_version": "brain.Event:2"}, {"summary": tf.compat.v1.Summary.FromString(message.SerializeToString())}
    name = f"events.out.tfevents.{now:.0f}.{socket.gethostname()}.{os.getpid()}{suffix}"
    with tf.io.TFRecordWriter(str(log_dir / name)) as file:
        for part in parts:
            file.write(tf.compat.v1.Event(wall_time=now, **part).SerializeToString())


def _plain(value: Any) -> bool | int | float | str:
    """The value as the page can show it."""
    if isinstance(value, np.generic):
        value = value.item()
    # The page cannot read a setting that is infinite: it shows no run at all then.
    is_shown = isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))
    return value if is_shown else str(value)


def _run_name(log_dir: Path) -> str:
    """The folder as one would write it here."""
    try:
        return log_dir.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return log_dir.as_posix()
