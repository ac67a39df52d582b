import re
import subprocess
import sys

import keras
import pytest
from backup_helpers import assert_same
from training_helpers import batches, network

from kerasdl.callbacks import Backup


def fit(folder=None, *, epochs=5, crash=None):
    """Trains, and crashes in the middle of an epoch where one is given."""

    class Crash(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

        def on_train_batch_end(self, batch, logs=None):
            if (self.epoch, batch) == (crash, 2):
                raise RuntimeError("power cut")

    model = network(optimizer=keras.optimizers.Adam(0.01, use_ema=True))
    early = keras.callbacks.EarlyStopping("loss", min_delta=10, patience=3, restore_best_weights=True)
    plateau = keras.callbacks.ReduceLROnPlateau("loss", min_delta=10, patience=2, factor=0.5)
    callbacks = [early, plateau, Crash()]
    if folder is not None:
        callbacks.append(Backup(folder, callbacks=callbacks[:2]))
    model.fit(batches(6), epochs=epochs, verbose=0, callbacks=callbacks, shuffle=False)
    return model, early


def test_a_training_that_crashed_ends_as_one_that_did_not(tmp_path):
    # The loss never falls by 10: the learning rate is halved after three epochs, and the fourth is the last.
    whole, early = fit(epochs=9)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(tmp_path, epochs=9, crash=2)
    resumed, resumed_early = fit(tmp_path, epochs=9)
    assert_same(resumed, whole)
    assert resumed.history.epoch == [0, 1, 2, 3]
    assert resumed.history.history["learning_rate"][-1] == pytest.approx(0.005)
    assert (resumed_early.stopped_epoch, resumed_early.best_epoch) == (early.stopped_epoch, early.best_epoch) == (3, 0)
    # It was over: nothing is trained.
    again, _ = fit(tmp_path, epochs=9, crash=0)
    assert_same(again, whole)


@pytest.mark.slow
@pytest.mark.slow
def test_more_epochs_go_on_from_the_last(tmp_path):
    whole, _ = fit(epochs=3)
    fit(tmp_path, epochs=2)
    more, _ = fit(tmp_path, epochs=3)
    assert_same(more, whole)


def test_says_what_it_does_not_know(tmp_path):
    class Diary(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.pages = []

    model, diary = network(), Diary()
    with pytest.warns(UserWarning, match="^What Diary remembers is not in the backup, and begins anew"):
        model.fit(batches(2), verbose=0, shuffle=False, callbacks=[diary, Backup(tmp_path, callbacks=[diary])])


@pytest.mark.slow
def test_what_a_callback_stopped_stays_stopped_where_the_end_was_cut_off(tmp_path):
    class Crash(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            raise RuntimeError("power cut")

    def train(*more):
        model, early = network(), keras.callbacks.EarlyStopping("loss", min_delta=10, patience=1)
        callbacks = [*more, early, Backup(tmp_path, callbacks=[early])]
        model.fit(batches(3), epochs=9, verbose=0, callbacks=callbacks, shuffle=False)
        return model.history.epoch

    with pytest.raises(RuntimeError, match="power cut"):
        train(Crash())
    assert [train(), train()] == [[0, 1]] * 2


@pytest.mark.slow
def test_epochs_that_begin_later_are_counted_once_and_leave_nothing_on_the_model(tmp_path):
    def train(model, **arguments):
        model.fit(batches(3), verbose=0, shuffle=False, **arguments)
        return model.history.epoch

    for _ in range(2):
        assert train(network(), initial_epoch=3, epochs=5, callbacks=[Backup(tmp_path / "later")]) == [3, 4]

    def crash(epoch, logs):
        if epoch:
            raise RuntimeError("power cut")

    model = network()
    for _ in range(2):
        cut = keras.callbacks.LambdaCallback(on_epoch_begin=crash)
        with pytest.raises(RuntimeError, match="power cut"):
            train(model, epochs=3, callbacks=[Backup(tmp_path / "cut"), cut])
    assert train(model, epochs=1) == [0]


def test_a_callback_behind_it_is_refused(tmp_path):
    early = keras.callbacks.EarlyStopping("loss")
    text = "^Backup must come after the callbacks whose state it keeps, .*Received: EarlyStopping behind it, or"
    with pytest.raises(ValueError, match=text):
        network().fit(batches(2), verbose=0, shuffle=False, callbacks=[Backup(tmp_path, callbacks=[early]), early])


def test_a_model_without_variables_is_refused_before_anything_is_locked(tmp_path):
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")], name="late")
    model.compile("adam", "sparse_categorical_crossentropy")
    text = (
        "Backup needs a model that has its variables when `fit` begins: start it with a keras.Input, or call it on a "
        "batch before. Received: model 'late', which is not built."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        model.fit(batches(2), verbose=0, shuffle=False, callbacks=[Backup(tmp_path / "backup")])
    assert not (tmp_path / "backup").exists()


def test_after_an_error_and_a_good_end_others_may_write(tmp_path):
    class Crash(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            raise RuntimeError("power cut")

    backup, arguments = Backup(tmp_path), {"verbose": 0, "shuffle": False}
    with pytest.raises(RuntimeError, match="power cut"):
        network().fit(batches(2), callbacks=[backup, Crash()], **arguments)
    network().fit(batches(2), callbacks=[backup], **arguments)
    script = "import sys; from filelock import FileLock; FileLock(sys.argv[1]).acquire(timeout=0)"
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "lock")], check=True)
