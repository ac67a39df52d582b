"""Backups for whoever trains with `model.fit`: as much as Keras gives a callback to hold."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from kerasdl.training.backup_files import BackupFolder
from kerasdl.training.callback_states import check_callbacks, get_states, set_states
from kerasdl.training.keras_internals import begin_with
from kerasdl.training.positions import Position, find_backup
from kerasdl.training.run_states import Variables, read_generators, write_generators


class Backup(keras.callbacks.Callback):
    """Saves a training by `model.fit` after each epoch, and takes it up from there when the same command runs again.

    Kept are the weights, the optimizer with all it remembers, the random numbers of layers, of Python and of NumPy, the
    history, and the state of the callbacks named here. A backup is on the disk whole or not at all, its checksum is
    tested before it is trusted, and where the newest is damaged the one before it is taken. After the end the same
    command gives the same result without training.

    Keras gives a callback no hold on more. So, unlike with `kerasdl.training.fit(backup_dir=...)`:

    - An epoch that was interrupted begins anew, also after Ctrl-C.
    - A shuffle begins anew: the order of the next epoch is that of the first, or a new one where Keras shuffles arrays.
    - A model that makes its variables in the first step is refused.
    - Callbacks that are not named here begin anew. What callbacks write about single batches shows the batches of the
      interrupted epoch twice; give `keras.callbacks.CSVLogger` its `append=True`.

    Args:
        backup_dir: Folder of the backups.
        callbacks: The other callbacks whose state is kept. Put this callback after them.

    Example:
        >>> early = keras.callbacks.EarlyStopping("loss", patience=5)
        >>> callbacks = [early, Backup("runs/mine/backup", callbacks=[early])]
    """

    chief_only = True
    takes_trainings_up = True

    def __init__(self, backup_dir: str | Path, callbacks: Sequence[keras.callbacks.Callback] = ()) -> None:
        super().__init__()
        self.backup_dir = Path(backup_dir).absolute()
        self.callbacks = list(callbacks)
        self._content: dict[str, Any] | None = None
        self._is_over = False
        self._is_last = False

    def set_model(self, model: keras.Model) -> None:
        """Looks whether the callbacks whose state is kept come before this one."""
        super().set_model(model)
        behind = [type(callback).__name__ for callback in self.callbacks if callback.model is not model]
        if behind:
            raise ValueError(
                "Backup must come after the callbacks whose state it keeps, which else would be saved before they know "
                f"that an epoch is over. Received: {', '.join(behind)} behind it, or not among the callbacks."
            )

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Puts everything back to where it was saved."""
        check_callbacks(self.callbacks)
        if not self.model.built:
            raise ValueError(
                "Backup needs a model that has its variables when `fit` begins: start it with a keras.Input, or call "
                f"it on a batch before. Received: model {self.model.name!r}, which is not built."
            )
        self._folder = BackupFolder(self.backup_dir)
        self._folder.lock()
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        self._variables = Variables(self.model, [], lambda: [])
        self._content, saved, self._is_over = find_backup(self._folder, self.params["epochs"])
        self._is_last = saved.is_last
        begin_with(self.model, self.params["epochs"] if self._is_over or saved.is_last else saved.epoch)
        if self._content is None:
            return
        self._restore()
        if self.params.get("verbose"):
            print(f"Going on {saved}, as saved in {self.backup_dir}.", file=sys.stderr, flush=True)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Gives the history back, which Keras empties after the other callbacks have begun."""
        begin_with(self.model, None)  # It was read: a training after a crash must not read it again.
        self._is_last = False
        if self._content is not None:
            self._restore_history()
            self._content = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves."""
        self._save(Position(epoch + 1, is_last=self.model.stop_training, logs=dict(logs or {})))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Saves what the training ended with, or gives it back where it had ended before."""
        begin_with(self.model, None)
        if self._content is not None:  # No epoch was left to train.
            self._restore_history()
        if self._is_over:
            self._restore()
        else:
            history = self.model.history
            last = history.epoch[-1] + 1 if history.epoch else 0
            is_last = self.model.stop_training or self._is_last
            self._save(Position(last, is_last=is_last, logs=dict(logs or {})), name="finished")
        self._content = None
        self._folder.unlock()

    def _save(self, position: Position, name: str | None = None) -> None:
        history = self.model.history
        values = {key: list(of_epochs) for key, of_epochs in history.history.items()}
        epochs = list(history.epoch)
        if not epochs or epochs[-1] < position.epoch - 1:  # Keras writes the history after its callbacks are done.
            epochs.append(position.epoch - 1)
            for key, value in position.logs.items():
                values.setdefault(key, []).append(value)
        content = {
            "position": dataclasses.asdict(position),
            "variables": self._variables.read(),
            "callbacks": get_states(self.callbacks),
            "history": values,
            "epochs": epochs,
            "generators": read_generators(),
        }
        self._folder.save(content, name)

    def _restore(self) -> None:
        content: Any = self._content
        self._variables.write(content["variables"])
        write_generators(content["generators"])
        set_states(self.callbacks, content["callbacks"])

    def _restore_history(self) -> None:
        content: Any = self._content
        self.model.history.history = {name: list(values) for name, values in content["history"].items()}
        self.model.history.epoch = list(content["epochs"])
