"""The copies of a model that train together, as one distribution strategy keeps them."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import keras
import numpy as np
import tensorflow as tf

from kerasdl.training.cluster import Cluster

Result = TypeVar("Result")

_TRAINED_WITH = (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)
# Their variables live elsewhere, or are written in another way, also with one replica.
_REFUSED = (
    tf.distribute.ParameterServerStrategy,
    tf.distribute.TPUStrategy,
    tf.distribute.experimental.CentralStorageStrategy,
    tf.distribute.experimental.ParameterServerStrategy,
)
# What writes files or to the screen is the chief's, also where it does not say so by `chief_only`.
_CHIEF_ONLY = (
    keras.callbacks.CSVLogger,
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.OrbaxCheckpoint,
    keras.callbacks.ProgbarLogger,
    keras.callbacks.RemoteMonitor,
    keras.callbacks.TensorBoard,
)
# Many small gradients are sent as few large messages.
_PACKED = tf.distribute.experimental.CommunicationOptions(bytes_per_pack=32 * 2**20)


class Replicas:
    """The replicas of a model: one per device of each worker, and one alone without a strategy.

    Args:
        strategy: A `tf.distribute.MirroredStrategy` or `MultiWorkerMirroredStrategy`, or what
            `tf.distribute.get_strategy()` gives without any; None is the same.

    Example:
        >>> replicas = Replicas(tf.distribute.get_strategy())
        >>> replicas.count, replicas.workers, replicas.is_chief, replicas.agree(True)
        (1, 1, True, True)
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None) -> None:
        self.strategy = strategy if strategy is not None else tf.distribute.get_strategy()
        # A strategy of one device counts as well: its variables are as particular as those of many.
        self.are_distributed = isinstance(self.strategy, _TRAINED_WITH)
        others = not self.are_distributed and self.strategy.num_replicas_in_sync > 1
        if others or isinstance(self.strategy, _REFUSED):
            raise ValueError(
                "The strategy must be a MirroredStrategy (the devices of one machine) or a MultiWorkerMirroredStrategy "
                f"(several machines). Received: a model made under {type(self.strategy).__name__}."
            )
        self.count: int = self.strategy.num_replicas_in_sync
        self.workers: int = self.count // len(self.strategy.extended.worker_devices) if self.are_distributed else 1
        self.is_chief: bool = self.workers == 1 or _is_chief(self.strategy.cluster_resolver)
        self._sum: Callable[[Any], Any] | None = None

    def scope(self) -> AbstractContextManager:
        """Where the variables of the model, its optimizer and its metrics are made."""
        # The scope of no strategy cannot be entered inside that of another.
        return self.strategy.scope() if self.are_distributed else nullcontext()

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What `function` returns on this worker's first replica, while it runs on all replicas of all workers."""
        results = self.strategy.run(function, args=arguments)
        return tf.nest.map_structure(lambda value: self.strategy.experimental_local_results(value)[0], results)

    @property
    def index(self) -> Any:
        """Inside `run`: which replica this is, an int32 scalar."""
        return tf.cast(_replica().replica_id_in_sync_group, tf.int32)

    def add_up(self, values: Any) -> Any:
        """Inside `run`: the sums over all replicas of all workers, for a structure of tensors in few messages."""
        # What comes straight from outside is on no device yet, and TensorFlow asks where it is.
        flat = [tf.identity(value) for value in tf.nest.flatten(values)]
        sums: list[Any] = [None] * len(flat)
        for dtype in dict.fromkeys(value.dtype for value in flat):  # A message has one type.
            places = [place for place, value in enumerate(flat) if value.dtype == dtype]
            of_type = [flat[place] for place in places]
            found = _replica().all_reduce(tf.distribute.ReduceOp.SUM, of_type, options=_PACKED)
            for place, total in zip(places, found, strict=True):
                sums[place] = total
        return tf.nest.pack_sequence_as(values, sums)

    def totals(self, values: Sequence[float]) -> list[float]:
        """The sums of a few numbers over all workers, each of which must ask at the same moment."""
        if self.workers == 1:
            return list(values)
        if self._sum is None:
            add_up = tf.function(lambda numbers: self.run(self.add_up, numbers), autograph=False).get_concrete_function
            signature = tf.TensorSpec((None,), tf.float64)
            self._sum = outside_scopes(lambda: add_up(signature))
        per_worker = self.count // self.workers  # Each replica of a worker adds the worker's numbers once.
        return [float(total) / per_worker for total in self._sum(tf.constant(values, tf.float64))]

    def agree(self, flag: bool) -> bool:
        """Whether any worker says so. All must ask at the same moment: who asks alone waits for the others."""
        return self.totals([float(flag)])[0] > 0

    def check_same(self, number: int, complaint: str) -> None:
        """Refuses a number that is not the same on every worker, on all of them alike."""
        # In three parts that a double holds exactly, with their squares: all equal where the variance is zero.
        parts = [float(number >> shift & 0x1FFFFF) for shift in (0, 21, 42)]
        totals = self.totals([*parts, *(part * part for part in parts)])
        if any(squares * self.workers != total * total for total, squares in zip(totals[:3], totals[3:], strict=True)):
            raise ValueError(complaint)

    def check_same_weights(self, model: keras.Model) -> None:
        """Refuses weights that have parted from those of another worker by more than machines round otherwise."""
        if self.workers == 1:
            return
        size = sum(float(np.abs(weight.numpy()).sum(dtype=np.float64)) for weight in model.trainable_weights)
        total, squares = self.totals([size, size * size])
        mean = total / self.workers
        if squares / self.workers - mean * mean > (1e-4 * mean) ** 2:
            raise ValueError(
                "The weights must stay the same on all workers: let a callback that changes the learning rate or the "
                "weights do so on each of them, by what all know. "
                f"Received: weights of the absolute sum {size:.6g} here, and {mean:.6g} in the mean."
            )

    def callbacks_here(self, callbacks: Sequence[keras.callbacks.Callback]) -> list[keras.callbacks.Callback]:
        """The callbacks to call on this worker: those that write are the chief's, all others everybody's."""
        if self.workers == 1:
            return list(callbacks)
        if any(isinstance(callback, keras.callbacks.BackupAndRestore) for callback in callbacks):
            raise ValueError(
                "Several workers must begin with the same epoch, and BackupAndRestore tells it to one of them: "
                "use `backup_dir` instead. Received: a BackupAndRestore among the callbacks."
            )
        return [
            callback
            for callback in callbacks
            if self.is_chief or not (isinstance(callback, _CHIEF_ONLY) or getattr(callback, "chief_only", False))
        ]


def outside_scopes(function: Callable[[], Result]) -> Result:
    """Calls `function` outside any strategy's scope, also where the caller is inside one.

    The compiled step enters the scope by itself where it must, and its optimizer works on all copies of a variable only
    from outside. A scope belongs to the thread that opened it, so another thread is outside.
    """
    if not tf.distribute.has_strategy():
        return function()
    results: list[Result] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            results.append(function())
        except BaseException as error:  # Handed on to the caller, whatever it is.
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _replica() -> tf.distribute.ReplicaContext:
    return tf.distribute.get_replica_context()


def _is_chief(resolver: tf.distribute.cluster_resolver.ClusterResolver) -> bool:
    return Cluster(resolver.cluster_spec().as_dict(), resolver.task_type, resolver.task_id).is_chief
