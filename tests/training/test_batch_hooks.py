"""Which of Keras' callbacks look at single batches: each of Keras' own, and a user's."""

import keras
import pytest

from kerasdl.training.batch_hooks import TEST_HOOKS, TRAIN_HOOKS, any_needs_batches


class Epochs(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        pass


class Batches(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        pass


class OldName(keras.callbacks.Callback):
    def on_batch_end(self, batch, logs=None):
        pass


class Inherits(Batches):
    pass


class CheckpointAndMore(keras.callbacks.ModelCheckpoint):
    def on_train_batch_end(self, batch, logs=None):
        pass


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (Epochs, False),
        (Batches, True),
        (OldName, True),
        (Inherits, True),
        (lambda: keras.callbacks.EarlyStopping(), False),
        (lambda: keras.callbacks.ReduceLROnPlateau(), False),
        (lambda: keras.callbacks.CSVLogger("log.csv"), False),
        (lambda: keras.callbacks.LearningRateScheduler(lambda epoch: 0.1), False),
        (lambda: keras.callbacks.ProgbarLogger(), False),
        (lambda: keras.callbacks.TerminateOnNaN(), True),
        (lambda: keras.callbacks.ModelCheckpoint("m.keras"), False),
        (lambda: keras.callbacks.ModelCheckpoint("m.keras", save_freq=10), True),
        (lambda: CheckpointAndMore("m.keras"), True),
        (lambda: keras.callbacks.BackupAndRestore("backup"), False),
        (lambda: keras.callbacks.BackupAndRestore("backup", save_freq=10), True),
        (lambda: keras.callbacks.TensorBoard("logs"), False),
        (lambda: keras.callbacks.TensorBoard("logs", update_freq="batch"), True),
        (lambda: keras.callbacks.TensorBoard("logs", profile_batch=(2, 3)), True),
        (lambda: keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None), False),
        (lambda: keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None), True),
    ],
)
def test_who_needs_single_batches(make, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert any_needs_batches([make()], TRAIN_HOOKS) is expected


def test_who_needs_single_batches_of_the_validation():
    assert any_needs_batches([keras.callbacks.TensorBoard("logs", update_freq="batch")], TEST_HOOKS)
    assert not any_needs_batches([Batches(), keras.callbacks.TensorBoard("logs")], TEST_HOOKS)
