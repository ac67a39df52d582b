"""How fast training goes, and whether it waits for its data."""

import time
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from kerasdl.callbacks.summary import Summary


class ThroughputSummary(Summary):
    """Writes how fast an epoch went, without its validation.

    - `throughput/examples_per_second` and `throughput/steps_per_second`
    - `throughput/step_milliseconds`: from one batch to the next
    - `throughput/waiting_share`: how much of that time passed before the batch was there, from 0 to 1. Above a tenth it
      pays to make the data faster (`cache`, `prefetch`, `num_parallel_calls`); near 0 only a faster model helps.

    The times are taken in the data: `training.fit` puts taps there by itself, and for `model.fit` it is one call,
    `model.fit(callback.watch(data), callbacks=[callback])`. Neither other callbacks nor the compiling of the step count
    then. Without it the times are those between the hooks of this callback, so that it should come first among the
    callbacks; the first epoch then has in it how long the step took to compile, and nobody knows the share of waiting,
    or how many examples several workers had.

    What remains of an epoch that was interrupted is not measured.

    Args:
        log_dir: Folder of the logs; the one given to `keras.callbacks.TensorBoard` will do.
        every: Write after every so many epochs. The step is the epoch, counted from 0 as Keras' TensorBoard does.

    Example:
        >>> callback = ThroughputSummary("runs/mine/logs")
        >>> data = callback.watch(tf.data.Dataset.range(10).batch(4))
        >>> [len(batch) for batch in data.as_numpy_iterator()]
        [4, 4, 2]
    """

    def __init__(self, log_dir: str | Path, *, every: int = 1) -> None:
        super().__init__(log_dir, every=every)
        self._taps: Taps | None = None
        self._is_in_epoch = self._is_running = False
        self._is_whole = True

    def watch(self, data: tf.data.Dataset) -> tf.data.Dataset:
        """The same data with taps before and after it; after them should come nothing, such as `prefetch`.

        Args:
            data: The batches on which the model is about to train.
        """
        if not isinstance(data, tf.data.Dataset):
            raise TypeError(
                "`data` must be a tf.data.Dataset of batches. For arrays use "
                f"tf.data.Dataset.from_tensor_slices((x, y)).batch(32). Received: {type(data).__name__}."
            )
        self._taps = Taps()
        return self._taps.put_on(data)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Begins to measure."""
        self._is_in_epoch = self._is_running = True
        self._steps_before = self._steps()
        if self._taps is not None:
            self._taps.reset()
        self._begin = time.time()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Ends the measuring: what follows is the validation."""
        self._stop()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes where it is time to."""
        self._stop()
        self._is_in_epoch = False
        super().on_epoch_end(epoch, logs)
        self._is_whole = True

    def write(self, step: int, logs: dict[str, Any]) -> None:
        """Writes what was measured."""
        if self._is_whole:
            for name, value in self._measured.items():
                tf.summary.scalar(f"throughput/{name}", value, step)

    def get_state(self) -> dict[str, Any]:
        """Whether an epoch is under way."""
        return {"is_in_epoch": self._is_in_epoch}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on where a run was interrupted.

        Args:
            state: What `get_state` gave.
        """
        self._is_whole = not state["is_in_epoch"]

    def _stop(self) -> None:
        if not self._is_running:
            return
        self._is_running = False
        taken = None if self._taps is None else self._taps.read(until=time.time())
        if taken is None:  # Nobody called `watch`, or training is on other data.
            taken = {
                "seconds": time.time() - self._begin,
                "steps": self._steps() - self._steps_before,
                "examples": self._examples(),
            }
        self._measured = _rates(**taken)

    def _steps(self) -> int:
        """How many steps the optimizer has made."""
        optimizer = self.model.optimizer
        if optimizer is None:
            return 0
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        # The optimizer counts what it adds up to one update as one.
        return int(optimizer.iterations.numpy()) * (getattr(inner, "gradient_accumulation_steps", None) or 1)

    def _examples(self) -> float:
        """How many examples were trained on in this epoch: the weights of which the loss is the mean."""
        if isinstance(self.model.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return 0.0  # To read a metric all workers would have to take part, and the first alone is here.
        loss = next((metric for metric in self.model.metrics if metric.name == "loss"), None)
        return float(loss.count) if isinstance(loss, keras.metrics.Mean) else 0.0


class Taps:
    """A clock before a data set, which is read when somebody asks for a batch, and one after it.

    What happens between the two is waiting; what happens from the second to the first again is training.
    """

    def __init__(self) -> None:
        # Beside the data, which TensorFlow prepares on the CPU. One variable costs less than seven: batches, examples
        # before the last batch, first and last question, waited before the last batch, and that batch's own two.
        with tf.device("CPU"):
            self._seen = tf.Variable(tf.zeros(7, tf.float64), trainable=False)

    def put_on(self, data: tf.data.Dataset) -> tf.data.Dataset:
        """The same batches, seen by the clocks.

        Args:
            data: Any data set of batches.
        """
        clock = tf.data.Dataset.counter().map(lambda _: tf.timestamp())
        return tf.data.Dataset.zip((clock, data)).map(self._see)

    def _see(self, asked: Any, batch: Any) -> Any:
        batches, examples, first, _, waited, size, wait = tf.unstack(self._seen.read_value())
        now = [
            batches + 1,
            examples + size,
            tf.where(batches > 0, first, asked),
            asked,
            waited + wait,
            tf.cast(_size_of(batch), tf.float64),
            tf.timestamp() - asked,
        ]
        self._seen.assign(tf.stack(now))
        return batch

    def reset(self) -> None:
        """Forgets what was seen."""
        self._seen.assign(tf.zeros_like(self._seen))

    def read(self, until: float) -> dict[str, float] | None:
        """What was seen, from the first question for a batch to the last; None if no batch was taken.

        Args:
            until: The time now, which counts where there was one batch only.
        """
        batches, examples, first, last, waited, size, wait = self._seen.numpy()
        if batches == 0:
            return None
        if batches == 1:
            return {"seconds": until - first, "steps": 1, "examples": size, "waited": wait}
        return {"seconds": last - first, "steps": batches - 1, "examples": examples, "waited": waited}


def _size_of(batch: Any) -> Any:
    """How many examples a batch holds."""
    part = next(part for part in tf.nest.flatten(batch) if part is not None)
    if isinstance(part, tf.RaggedTensor):
        return part.nrows()
    return part.dense_shape[0] if isinstance(part, tf.SparseTensor) else tf.shape(part)[0]


def _rates(seconds: float, steps: float, examples: float, waited: float | None = None) -> dict[str, float]:
    """What is written: nothing of what nobody counted."""
    if seconds <= 0 or steps <= 0:
        return {}
    rates = {"steps_per_second": steps / seconds, "step_milliseconds": 1000 * seconds / steps}
    if examples > 0:
        rates["examples_per_second"] = examples / seconds
    if waited is not None:
        rates["waiting_share"] = waited / seconds
    return rates
