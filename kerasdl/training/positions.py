"""Where a training is, and what a training that nobody saves does in the places where another is saved."""

import dataclasses
from types import TracebackType
from typing import Any, Self

import keras
import tensorflow as tf

from kerasdl.training.backup_files import BackupFolder
from kerasdl.training.keras_internals import first_epoch
from kerasdl.training.replicas import Replicas
from kerasdl.training.step_parts import Logs


@dataclasses.dataclass
class Position:
    """Where a training is.

    Attributes:
        epoch: The epoch, from 0.
        step: How many of its batches were trained on.
        is_trained: Whether that were all, so that the epoch's validation is next.
        is_last: Whether a callback has said that there shall be no more epochs.
        logs: What this epoch's batches gave where it is trained, and else what the epoch before gave.
    """

    epoch: int = 0
    step: int = 0
    is_trained: bool = False
    is_last: bool = False
    logs: Logs = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        if self.is_trained:
            return f"after all steps of epoch {self.epoch + 1}"
        if self.step:
            return f"after step {self.step} of epoch {self.epoch + 1}"
        return f"after epoch {self.epoch}"


def find_backup(folder: BackupFolder, epochs: int) -> tuple[dict[str, Any] | None, Position, bool]:
    """The backup from which a training goes on, its position, and whether that training was over.

    Args:
        folder: The backups.
        epochs: How many epochs are wanted.

    Returns:
        `(None, Position(), False)` where there is no backup.
    """
    content = folder.read("finished")
    saved = Position() if content is None else Position(**content["position"])
    is_over = content is not None and (saved.epoch >= epochs or saved.is_last)
    if not is_over:
        # What a training ended with is not what more epochs go on from: its averages or best weights were put in place.
        content = folder.newest()
        saved = Position() if content is None else Position(**content["position"])
    begun = saved.epoch + bool(saved.step or saved.is_trained)
    if begun > epochs:
        raise ValueError(
            f"`epochs` must be at least {begun}, as many as were begun before. Received: epochs={epochs}, and a "
            f"backup in {folder.path}."
        )
    return content, saved, is_over


class NoBackups:
    """A training that nobody saves: it begins at the beginning, and a signal ends it at once.

    Args:
        model: The compiled model.
        replicas: Who trains it.
    """

    is_over = False
    interrupted = False

    def __init__(self, model: keras.Model, replicas: Replicas) -> None:
        self._model = model
        self._replicas = replicas

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        pass

    def finished_history(self) -> keras.callbacks.History:
        """The history of a training that was over before."""
        return self._model.history

    def begin(self, data: tf.data.Dataset, validation_data: tf.data.Dataset | None) -> Position:
        """Where to begin; called when the callbacks know that the training begins."""
        return Position(first_epoch(self._model))

    def take_up(self, epoch: int) -> Position:
        """Where in this epoch to begin; called when the callbacks know that the epoch begins."""
        return Position(epoch)

    def before_call(self) -> None:
        """Called before each call of the compiled step, when what is to be skipped is skipped."""

    def after_call(self, position: Position) -> None:
        """Called after each call of the compiled step."""

    def after_training(self, position: Position, batches: int | None) -> None:
        """Called when the loop over an epoch's batches has ended, as does all that follows on every worker."""
        position.is_trained = True

    def after_validation(self, position: Position) -> None:
        """Called when the epoch was measured."""

    def after_epoch(self, position: Position) -> None:
        """Called when the callbacks know that the epoch is over."""

    def finish(self, position: Position) -> None:
        """Called when the callbacks know that the training is over."""
