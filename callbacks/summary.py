"""What all summaries share: a writer under `log_dir` that is open while a network trains, and no longer."""

import contextlib
import functools
import numbers
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
    # Whether `prepare` looks at weights: a model that is a class of its own has none when `model.fit` begins, and what
    # needs them is prepared after the first epoch then.
    needs_weights = False

    def __init__(self, log_dir: str | Path, *, every: int = 1) -> None:
        super().__init__()
        self.log_dir = Path(log_dir)
        self.every = check_whole("every", every, "a whole number of epochs, at least 1")
        # Asked before the first epoch whether the model has what this one shows; nothing happens where it has not.
        # `monitor` asks, for it does not know the model yet; who chose a callback by hand is told that it does not fit.
        self.fits: Callable[[keras.Model], bool] | None = None
        self._writer: Any = None
        self._is_waiting = False

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
        self._is_waiting = not self.model.built and (self.needs_weights or self.fits is not None)
        if not self._is_waiting:
            self._prepare_and_open()

    def _prepare_and_open(self) -> None:
        if self.fits is not None and not self.fits(self.model):
            return
        with _same_random_numbers(self.model):
            self.prepare()
        self._writer = _open(self.log_dir)
        # After an error elsewhere `on_train_end` is never called. No `__del__`: where the whole program ends with that
        # error, it came when TensorFlow is half gone.
        self._close_at_the_end = weakref.finalize(self, _close, self._writer)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes where it is time to."""
        if self._is_waiting and self.model.built:
            self._prepare_and_open()
            self._is_waiting = False
        if (epoch + 1) % self.every or self._writer is None:
            return
        try:
            # Keras' TensorBoard with `update_freq` lets nobody record at most steps, whatever the writer.
            with self._writer.as_default(), tf.summary.record_if(True), _same_random_numbers(self.model):
                self.write(epoch, logs or {})
            self.flush()
        except BaseException:
            self.close()
            raise

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Closes the file."""
        self.close()


def check_whole(name: str, value: Any, kind: str = "a whole number of at least 1", least: int = 1) -> int:
    """The value, if it is such a number; NumPy's numbers are as good as Python's.

    Args:
        name: What the argument is called.
        value: What was given.
        kind: What is wanted, in words.
        least: The smallest that will do.

    Example:
        >>> check_whole("count", np.int64(3))
        3
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"`{name}` must be {kind}. Received: {name}={value!r}.")
    return int(value)


def function_name(function: Callable[..., Any], nameless: str = "function") -> str:
    """What a function is called, also where it is a partial of one.

    Args:
        function: Anything that can be called.
        nameless: What a lambda is called.

    Example:
        >>> function_name(functools.partial(print, end="")), function_name(lambda model: 1)
        ('print', 'function')
    """
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", type(function).__name__)
    return nameless if name == "<lambda>" else name


def _open(log_dir: Path) -> Any:
    try:
        return tf.summary.create_file_writer(str(log_dir))
    except tf.errors.OpError as error:
        # What TensorFlow says itself begins with its own functions: the cause stands before the last colon.
        cause = error.message.partition("}} ")[2].partition(" [Op:")[0] or error.message
        raise OSError(
            f"`log_dir` must be a folder into which one may write, or that can be made. Received: {str(log_dir)!r}: "
            f"{cause}."
        ) from None


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
