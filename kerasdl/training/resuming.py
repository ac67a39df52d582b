"""A training that can be taken up again: when it is saved, what of it, and how it goes on."""

import dataclasses
import sys
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import keras
import tensorflow as tf

from kerasdl.training.backup_files import BackupFolder
from kerasdl.training.callback_states import check_callbacks, check_states, get_states, set_states
from kerasdl.training.event_files import EventFiles
from kerasdl.training.interrupts import Interrupts
from kerasdl.training.many_steps import ManySteps
from kerasdl.training.positions import NoBackups, Position, find_backup
from kerasdl.training.replaying import reads_ahead, replay, what_moves_on
from kerasdl.training.replicas import Replicas
from kerasdl.training.run_states import Variables, read_generators, same_generators, write_generators


class Backups(NoBackups):
    """Saves a training into a folder, and takes it up from there.

    Args:
        model: The compiled model, built.
        replicas: Who trains it: the first worker alone writes.
        folder: Where the backups are.
        every: Save after so many steps as well as after each epoch; None only after each epoch.
        epochs: How many epochs are wanted.
        batches: Batches in an epoch, None where nobody knows.
        training: The loop over them.
        more: Metrics beside those of the model.
        callbacks: The callbacks of this worker.
        is_silent: Whether to say nothing.
    """

    def __init__(
        self,
        model: keras.Model,
        replicas: Replicas,
        *,
        folder: str | Path,
        every: int | None,
        epochs: int,
        batches: int | None,
        training: ManySteps,
        more: list[keras.metrics.Metric],
        callbacks: Sequence[keras.callbacks.Callback],
        is_silent: bool,
    ) -> None:
        super().__init__(model, replicas)
        check_callbacks(callbacks)
        self._every = every
        self._epochs = epochs
        self._batches = batches
        self._training = training
        self._callbacks = callbacks
        self._speaks = replicas.is_chief and not is_silent
        self._variables = Variables(model, [*model.metrics, *more], lambda: training.variables)
        self._interrupts = Interrupts()
        self._folder = BackupFolder(folder, writes=replicas.is_chief)
        self._files = EventFiles(callbacks, self._folder.path / "attempts")
        self._content: dict[str, Any] | None = None
        self._saved = Position()
        self._is_ready = False
        self._before_validation: dict[str, Any] | None = None
        self._at_begin: dict[str, Any] = {}
        self._comes_the_same = False
        self._reads_ahead = False
        self._element_spec: Any = None
        self._measures = False

    @property
    def interrupted(self) -> bool:  # type: ignore[override]
        """Whether a signal came to this worker."""
        return self._interrupts.came

    def __enter__(self) -> Self:
        """Finds the newest backup, and puts model and files back to where they were then."""
        if self._replicas.is_chief:
            self._folder.lock()
        try:
            self._load()
            if not self.is_over:
                self._interrupts.__enter__()
                if self._replicas.is_chief:
                    self._files.cut(None if self._content is None else self._content["files"])
                    self._files.begin()
        except BaseException:
            self._interrupts.__exit__(None, None, None)
            self._folder.unlock()
            raise
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._interrupts.__exit__(kind, error, traceback)
        try:
            if self._replicas.is_chief and not self.is_over:
                self._files.end()
        finally:
            self._folder.unlock()

    def finished_history(self) -> keras.callbacks.History:
        """The weights and the history of a training that was over before."""
        if self._speaks:
            why = f" (a callback stopped it after epoch {self._saved.epoch})" if self._saved.is_last else ""
            told = f"weights and history are those in {self._folder.path}. Remove it to train anew."
            _say(f"This training was over before{why}: {told}")
        self._model.history = keras.callbacks.History()
        self._model.history.set_model(self._model)
        for callback in self._callbacks:
            if callable(getattr(callback, "set_state", None)):
                callback.set_model(self._model)
        self._restore()
        return self._model.history

    def begin(self, data: tf.data.Dataset, validation_data: tf.data.Dataset | None) -> Position:
        """Replays the order of the data, and gives model and callbacks what they had."""
        saved = self._saved
        self._element_spec = data.element_spec
        self._measures = validation_data is not None
        check_states(get_states(self._callbacks))
        if self._content is None:
            return saved
        if self._speaks:
            _say(f"Going on {saved}, as saved in {self._folder.path}.")
        if self._content["measures"] != self._measures:
            before, now = ("with", "without") if self._content["measures"] else ("without", "with")
            warnings.warn(
                f"This training was begun {before} `validation_data`, and goes on {now}: the lists in its history will "
                "not be of one length.",
                stacklevel=3,
            )
        self._comes_the_same = what_moves_on(data) == "nothing"
        self._reads_ahead = reads_ahead(data)
        first = replay(data, saved.epoch + saved.is_trained, validation_data, saved.epoch)
        if first is not None and (saved.is_trained or not saved.step):
            self._compare(first, "first")
        self._restore()
        return saved

    def take_up(self, epoch: int) -> Position:
        """Where in this epoch the training was saved: then everything is as it was there."""
        saved = self._saved
        if self._content is None or epoch != saved.epoch or not (saved.step or saved.is_trained):
            self._at_begin = read_generators()
            return Position(epoch)
        if saved.is_trained:
            # No batch of this epoch is left, but the validation asks for what only the compiled step knows.
            self._training.prepare(self._element_spec, self._batches)
            self._is_ready = True
        self._restore()  # A callback may have changed something when it heard that the epoch begins.
        self._at_begin = self._content["at_begin"]
        if saved.is_trained:
            self._model.stop_training = saved.is_last
            self._begin_validation()
        else:
            write_generators(self._at_begin)  # The batches to be skipped come as they came then.
        return saved

    def before_call(self) -> None:
        """Before the first call: what only the compiled step knows, and what reading the data has changed."""
        if self._is_ready:
            return
        self._is_ready = True
        self._interrupts.can_wait = True
        if self._content is not None:
            is_amid = bool(self._saved.step) and not self._saved.is_trained
            if is_amid:
                self._compare(self._training.fingerprint, "last")
            self._variables.write(self._content["variables"], only="step")
            # Who reads ahead has drawn for batches that are still to come: these numbers must not be drawn again.
            if not (is_amid and self._reads_ahead and not same_generators(self._at_begin, read_generators())):
                write_generators(self._content["generators"])

    def after_call(self, position: Position) -> None:
        """Saves where it is time to."""
        if self._comes_the_same:
            self._comes_the_same = False
            self._compare(self._training.first_fingerprint, "first")
        # Not where a callback ends the epoch here: from its middle it would go on.
        if self._every and position.step % self._every == 0 and not self._model.stop_training:
            self._save(position)

    def after_training(self, position: Position, batches: int | None) -> None:
        """Where a signal came: saves, says how to go on, and ends."""
        self.before_call()  # Where all batches were done before, there was none.
        interrupted = self._replicas.agree(self._interrupts.came)
        stopped = self._replicas.agree(self._model.stop_training)
        position.is_trained = stopped or not interrupted or position.step == batches
        position.is_last = stopped
        if interrupted:
            self._model.stop_training = stopped
            self._leave(position)
        self._begin_validation()

    def after_validation(self, position: Position) -> None:
        """Where a signal came: saves what was before the validation, which is then done again."""
        if self._replicas.agree(self._interrupts.came):
            self._leave(position, self._before_validation)

    def after_epoch(self, position: Position) -> None:
        """Saves, and ends where a signal came."""
        self._before_validation = None
        interrupted = self._replicas.agree(self._interrupts.came)
        if interrupted:
            self._leave(position)
        self._save(position)

    def finish(self, position: Position) -> None:
        """Saves what the training ended with, beside the last backup, from which more epochs would go on."""
        self._save(position, name="finished")
        if self._replicas.agree(self._interrupts.came):
            if self._replicas.is_chief:
                _say(f"\nInterrupted at the end. The result is in {self._folder.path}: the same command gives it.")
            self._interrupts.leave()

    def _load(self) -> None:
        self._content, self._saved, self.is_over = find_backup(self._folder, self._epochs)
        where = [self._saved.epoch, self._saved.step, self._saved.is_trained, self.is_over]
        self._replicas.check_same(
            zlib.crc32(repr(where).encode()),
            "Every worker must see the same backups: `backup_dir` must be a folder that all share. Received: "
            f"{self._folder.path}, in which they see different ones.",
        )
        if self._content is None:
            return
        if self._content["batches"] != self._batches:
            raise ValueError(
                f"`data` must hold {self._content['batches']} batches, as in the backup in {self._folder.path}. "
                f"Received: {self._batches}."
            )
        self._variables.write(self._content["variables"])

    def _begin_validation(self) -> None:
        """Keeps what the validation changes, so that a signal in its middle finds it as it was."""
        self._interrupts.can_wait = True
        self._before_validation = {**self._beside_variables(), "remembered": self._variables.remember()}

    def _restore(self) -> None:
        content: Any = self._content
        self._variables.write(content["variables"])
        write_generators(content["generators"])
        set_states(self._callbacks, content["callbacks"])
        history = self._model.history
        history.history = {name: list(values) for name, values in content["history"].items()}
        history.epoch = list(content["epochs"])

    def _beside_variables(self) -> dict[str, Any]:
        history = self._model.history
        return {
            "callbacks": get_states(self._callbacks),
            "history": {name: list(values) for name, values in history.history.items()},
            "epochs": list(history.epoch),
            "generators": read_generators(),
            "at_begin": self._at_begin,
            "files": self._files.sizes() if self._replicas.is_chief else {},
            "fingerprints": self._fingerprints(),
        }

    def _fingerprints(self) -> dict[str, int]:
        first = self._training.first_fingerprint
        if not first and self._content is not None:  # Since it was taken up no batch was taken.
            return self._content["fingerprints"]
        return {"first": first, "last": self._training.fingerprint}

    def _save(self, position: Position, beside: dict[str, Any] | None = None, *, name: str | None = None) -> None:
        # Every worker reads: to read a metric is something that they do together.
        beside = dict(beside or self._beside_variables())
        variables = self._variables.read(beside.pop("remembered", {}))
        if self._replicas.is_chief:
            where = {"position": dataclasses.asdict(position), "batches": self._batches, "measures": self._measures}
            self._folder.save({**where, "variables": variables, **beside}, name)

    def _leave(self, position: Position, beside: dict[str, Any] | None = None) -> None:
        self._save(position, beside)
        if self._replicas.is_chief:  # Also with verbose=0: it is an answer to what the user did.
            _say(f"\nInterrupted {position}. Saved in {self._folder.path}: the same command goes on from there.")
        self._replicas.agree(False)  # Who leaves before the backup is written may be the end of them all.
        self._interrupts.leave()

    def _compare(self, fingerprint: int, which: str) -> None:
        content: Any = self._content
        if fingerprint != content["fingerprints"][which]:
            warnings.warn(
                "`data` came in another order than before, so what goes on is not quite the training that was "
                "interrupted: give every shuffle a seed, and make the data anew before each call.",
                stacklevel=4,
            )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
