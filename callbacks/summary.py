"""What all summaries share: a writer under `log_dir` that is open while a network trains, and no longer."""

import contextlib
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf


class Summary(keras.callbacks.Callback):
    """Writes something into TensorBoard after every so many epochs; what, says `write` of each subclass.

    The step is the epoch, counted from 0 as Keras' TensorBoard does. What is written is on disk before the next epoch
    begins, so that an error in training loses nothing.

    Args:
        log_dir: Folder of the logs; the one given to `keras.callbacks.TensorBoard` will do.
        every: Write after every so many epochs.

    Example:
        >>> class Greeting(Summary):
        ...     def write(self, step, logs):
        ...         tf.summary.text("greeting", "Hello", step)
        >>> Greeting("runs/mine/logs", every=5).every
        5
    """

    # Where several workers train one model, the first alone calls such a callback.
    chief_only = True

    def __init__(self, log_dir: str | Path, *, every: int = 1) -> None:
        super().__init__()
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"`every` must be a whole number of epochs, at least 1. Received: every={every!r}.")
        self.log_dir = Path(log_dir)
        self.every = every
        # Asked before the first epoch whether the model has what this one shows; nothing happens where it has not.
        # `monitor` asks, for it does not know the model yet; who chose a callback by hand is told that it does not fit.
        self.fits: Callable[[keras.Model], bool] | None = None
        self._writer: Any = None

    def prepare(self) -> None:
        """What is found out before the first epoch: whatever is wrong is told here, and not an epoch later."""

    def write(self, step: int, logs: dict[str, Any]) -> None:
        """Writes with `tf.summary`, whose default writer is this one's.

        Args:
            step: The epoch, from 0.
            logs: What the epoch measured.
        """
        raise NotImplementedError(f"{type(self).__name__} must say in `write` what it writes.")

    def flush(self) -> None:
        """Puts on disk what was written."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Closes the file; a later training opens one of its own."""
        if self._writer is not None:
            self._close_at_the_end.detach()
            self._writer.close()
            self._writer = None

    def get_state(self) -> dict[str, Any]:
        """What the next epoch needs of the epochs before, for a training that is taken up again: here nothing.

        Returns:
            Numbers, strings, NumPy arrays, and lists and dictionaries of such.
        """
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Called after `on_train_begin` where a training is taken up again.

        Args:
            state: What `get_state` returned when it was saved.
        """

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Prepares, and opens the file."""
        self.close()
        if self.fits is not None and not self.fits(self.model):
            return
        with _same_random_numbers(self.model):
            self.prepare()
        self._writer = tf.summary.create_file_writer(str(self.log_dir))
        # After an error elsewhere `on_train_end` is never called. No `__del__`: where the whole program ends with that
        # error, it came when TensorFlow is half gone.
        self._close_at_the_end = weakref.finalize(self, _close, self._writer)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes where it is time to."""
        if (epoch + 1) % self.every or self._writer is None:
            return
        try:
            with self._writer.as_default(), _same_random_numbers(self.model):
                self.write(epoch, logs or {})
            self.flush()
        except BaseException:
            self.close()
            raise

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Closes the file."""
        self.close()


def _close(writer: Any) -> None:
    # Whenever Python comes to it: in the midst of another training's tracing this would become a part of its step.
    with tf.init_scope():
        writer.close()


@contextlib.contextmanager
def _same_random_numbers(model: keras.Model) -> Iterator[None]:
    """Puts the model's generators of random numbers back: who looks at a network may draw, and training must not care.

    Keras' recurrent layers, for one, draw what to drop also where nothing is dropped.
    """
    weights = {id(weight) for weight in model.weights}
    metrics = {id(variable) for metric in model.metrics for variable in metric.variables}
    others = [variable for variable in model.variables if id(variable) not in weights | metrics]
    values = [variable.value + 0 for variable in others]  # A sum, for a variable's own value may be the variable.
    try:
        yield
    finally:
        for variable, value in zip(others, values, strict=True):
            variable.assign(value)
