"""What one of two workers does where they differ: `launch --workers 2 distributed_conduct.py FOLDER`, a file each."""

import json
import os
import sys
from pathlib import Path

import distributed_cases
import keras
import numpy as np
import tensorflow as tf

from kerasdl import training


class Record(keras.callbacks.Callback):
    def __init__(self, chief_only):
        super().__init__()
        self.chief_only = chief_only
        self.epochs = []

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(epoch)


class StopAt(keras.callbacks.Callback):
    """Stops one worker's training after some batches of the second epoch."""

    def __init__(self, batch):
        super().__init__()
        self.batch, self.epoch = batch, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1 and batch == self.batch:
            self.model.stop_training = True


class RateOf(keras.callbacks.Callback):
    """Sets the learning rate of one worker."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def on_epoch_begin(self, epoch, logs=None):
        self.model.optimizer.learning_rate = self.rate


def make(strategy):
    keras.utils.set_random_seed(3)
    with strategy.scope():
        return distributed_cases.classifier()


def error_of(function):
    try:
        function()
    except (ValueError, FloatingPointError) as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def main(folder):
    tf.config.threading.set_intra_op_parallelism_threads(1)
    strategy = training.strategy()
    worker = strategy.cluster_resolver.task_id
    own = folder / f"worker{worker}"
    own.mkdir()
    found = {}

    # Callbacks: those that write are the chief's.
    model, record, chief = make(strategy), Record(chief_only=False), Record(chief_only=True)
    callbacks = [
        record,
        chief,
        keras.callbacks.ModelCheckpoint(own / "model.keras"),
        keras.callbacks.ModelCheckpoint(own / "last.weights.h5", save_weights_only=True),
        keras.callbacks.CSVLogger(own / "log.csv"),
        keras.callbacks.TensorBoard(own / "logs", write_graph=False),
    ]
    arguments = {"validation_data": distributed_cases.images(25, 4, seed=1), "epochs": 2}
    history = training.fit(model, distributed_cases.images(), callbacks=callbacks, **arguments).history
    found["called"] = [record.epochs, chief.epochs]
    found["files"] = sorted(path.name for path in own.iterdir())
    found["history"] = history
    np.savez(folder / f"weights{worker}.npz", *model.get_weights())

    # One worker's callback stops both, at the same step.
    model = make(strategy)
    training.fit(model, distributed_cases.images(), epochs=9, verbose=0, callbacks=[StopAt(3 if worker else 99)])
    found["stopped"] = int(model.optimizer.iterations.numpy())

    # Different data.
    training_on = lambda data: training.fit(make(strategy), data, epochs=1, verbose=0)  # noqa: E731
    found["other_order"] = error_of(lambda: training_on(distributed_cases.images(seed=worker)))
    found["other_length"] = error_of(lambda: training_on(distributed_cases.images(50 - 20 * worker)))

    parting = distributed_cases.images(30).concatenate(distributed_cases.images(30, seed=worker))
    found["later_order"] = error_of(lambda: training_on(parting))

    uncounted = lambda count: distributed_cases.images(50).take(count).filter(lambda x, y: True)  # noqa: E731
    found["unknown_length"] = error_of(lambda: training_on(uncounted(5 - 2 * worker)))
    found["no_batch"] = error_of(lambda: training_on(uncounted(5 - 5 * worker)))

    # A learning rate of each worker's own.
    model, rates = make(strategy), RateOf(0.01 * (worker + 1))
    found["rates"] = error_of(
        lambda: training.fit(model, distributed_cases.images(), epochs=1, verbose=0, callbacks=rates)
    )

    # A value that one worker meets alone, in the last row of its share.
    model = make(strategy)
    parts = [
        np.concatenate(part) for part in zip(*distributed_cases.images(weights=True).as_numpy_iterator(), strict=True)
    ]
    parts[2][29] = np.nan
    spoiled = tf.data.Dataset.from_tensor_slices(tuple(parts)).batch(10)
    found["not_finite"] = error_of(lambda: training.fit(model, spoiled, epochs=1, verbose=0))
    found["weights_are_finite"] = all(np.isfinite(weight).all() for weight in model.get_weights())

    # Keras' own way to go on.
    backup = keras.callbacks.BackupAndRestore(own / "backup")
    found["keras_backup"] = error_of(
        lambda: training.fit(make(strategy), distributed_cases.images(), epochs=1, callbacks=backup)
    )

    # Ours: two epochs and then the third, beside three in one go.
    arguments = {"verbose": 0, "clip_norm": 1.0, "backup_dir": folder / "backup"}
    training.fit(make(strategy), distributed_cases.images(), epochs=2, **arguments)
    model, whole = make(strategy), make(strategy)
    resumed = training.fit(model, distributed_cases.images(), epochs=3, **arguments).history
    undisturbed = training.fit(whole, distributed_cases.images(), epochs=3, verbose=0, clip_norm=1.0).history
    found["resumed"] = resumed == undisturbed and all(
        np.array_equal(one, other) for one, other in zip(model.get_weights(), whole.get_weights(), strict=True)
    )

    # A compiled step of one's own takes the whole batch on every worker.
    step = training.make_train_step(make(strategy), clip_norm=1.0)
    found["step"] = {name: float(value) for name, value in step(parts[0][:7], parts[1][:7]).items()}
    (own / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main(Path(sys.argv[1]))
