"""A training with a little of everything, which kills itself at a given moment; `test_backup_kills.py` starts it.

    python killed_training.py FOLDER KIND COUNT

The moment is the COUNT-th time that something of a KIND happens: a `batch`, a batch of the validation (`measured`), a
piece of a backup handed to the disk (`piece`), a backup synchronised (`synchronised`) or renamed (`renamed`); or COUNT
thousandths of a second after the training began (`clock`, whatever is under way then).
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasdl import training
from kerasdl.callbacks import WeightSummary
from kerasdl.training import backup_files

sys.path.insert(0, str(Path(__file__).parents[1]))
from training_helpers import batches, network


class Killer(keras.callbacks.Callback):
    """Kills the process, so that no handler and no `finally` of Python's is run."""

    def __init__(self, kind, count):
        super().__init__()
        self.kind, self.left = kind, count

    def happened(self, kind):
        if kind == self.kind:
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)

    def get_state(self):
        return {}

    def set_state(self, state):
        pass

    def on_train_begin(self, logs=None):
        if self.kind == "clock":
            threading.Timer(self.left / 1000, os.kill, (os.getpid(), signal.SIGKILL)).start()

    def on_train_batch_end(self, batch, logs=None):
        self.happened("batch")

    def on_test_batch_end(self, batch, logs=None):
        self.happened("measured")


def watch_the_disk(killer):
    encode, fsync, replace = backup_files.encode, os.fsync, os.replace

    def slow_encode(content):
        for piece in encode(content):
            yield piece
            killer.happened("piece")

    def killing_fsync(file):
        fsync(file)
        killer.happened("synchronised")

    def killing_replace(source, target):
        replace(source, target)
        killer.happened("renamed")

    backup_files.encode, os.fsync, os.replace = slow_encode, killing_fsync, killing_replace


def main(folder, kind, count):
    killer = Killer(kind, int(count))
    watch_the_disk(killer)
    folder = Path(folder)
    model = network(optimizer=keras.optimizers.Adam(0.01, use_ema=True))
    data = batches(10).unbatch().shuffle(80, seed=1).batch(8).apply(tf.data.experimental.assert_cardinality(10))
    callbacks = [
        keras.callbacks.EarlyStopping("val_loss", patience=50, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau("val_loss", patience=2, factor=0.5),
        keras.callbacks.ModelCheckpoint(str(folder / "best.weights.h5"), save_best_only=True, save_weights_only=True),
        keras.callbacks.CSVLogger(folder / "table.csv"),
        keras.callbacks.TensorBoard(folder / "logs", update_freq=1),
        WeightSummary(folder / "logs"),
        killer,
    ]
    validation = batches(4, seed=1)
    history = training.fit(
        model,
        data,
        epochs=20,
        validation_data=validation,
        callbacks=callbacks,
        verbose=0,
        backup_dir=folder / "backup",
        backup_every=4,
    )
    (folder / "history.json").write_text(json.dumps([history.epoch, history.history]))
    np.savez(folder / "weights.npz", *(variable.numpy() for variable in [*model.variables, *model.optimizer.variables]))


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    main(*sys.argv[1:])
