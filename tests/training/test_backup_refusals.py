"""Backups that do not belong to the training that is started, and what cannot be kept."""

import re

import keras
import pytest
from backup_helpers import At, crash, fit, shuffled
from training_helpers import batches, network

from kerasdl import training
from kerasdl.callbacks import Backup


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The backup of a training that was cut off in its second epoch."""
    folder = tmp_path_factory.mktemp("backup")
    keras.utils.clear_session(free_memory=False)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(At(1, 3, crash), backup_dir=folder, backup_every=2)
    return folder


def larger():
    keras.utils.set_random_seed(3)
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Flatten()(keras.layers.Conv2D(5, 3)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize(
    ("make", "difference"),
    [
        (
            larger,
            "variable 1 of the model: conv2d/kernel (3, 3, 2, 4) float32 in the backup, conv2d/kernel (3, 3, 2, 5) "
            "float32 here",
        ),
        (
            lambda: network(optimizer="sgd"),
            "variable 1 of the optimizer: adam/iteration () int64 in the backup, sgd/iteration () int64 here",
        ),
        (
            lambda: network(metrics=[]),
            "variable 3 of the metrics: accuracy/total () float32 in the backup, gradient_norm/total () float32 here",
        ),
    ],
)
def test_another_model_is_refused_with_the_first_difference(folder, make, difference):
    keras.utils.clear_session(free_memory=False)
    files = sorted(folder.iterdir())
    text = (
        "What is trained must be what the backup was made of, with the same optimizer and metrics. The first "
        f"difference is {difference}. Train the same model, or give another `backup_dir`."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        fit(make=make, backup_dir=folder)
    assert sorted(folder.iterdir()) == files


def test_other_names_by_which_keras_counts_are_the_same_model(folder, tmp_path):
    keras.layers.Conv2D(1, 1)
    keras.layers.Dense(1)
    model = network()
    assert model.layers[1].name == "conv2d_1"
    (tmp_path / "backup-000001").write_bytes(max(folder.glob("backup-*")).read_bytes())
    training.fit(model, shuffled(), epochs=3, validation_data=batches(2, seed=1), backup_dir=tmp_path, verbose=0)
    assert int(model.optimizer.iterations) == 18


def test_data_of_another_length_are_refused(folder):
    text = f"`data` must hold 6 batches, as in the backup in {folder}. Received: 5."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        fit(data=lambda: shuffled(5), backup_dir=folder)


def test_fewer_epochs_than_were_begun_are_refused(folder):
    text = f"`epochs` must be at least 2, as many as were begun before. Received: epochs=1, and a backup in {folder}."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        fit(epochs=1, backup_dir=folder)


@pytest.mark.parametrize("callback", [keras.callbacks.BackupAndRestore, Backup])
def test_two_who_take_a_training_up_are_one_too_many(tmp_path, callback):
    text = (
        "With `backup_dir` a training is taken up once, and not twice: leave out the callback. Received: "
        f"{callback.__name__} among the callbacks."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        fit(callback(tmp_path / "other"), backup_dir=tmp_path)


def test_a_number_of_steps_needs_a_folder(tmp_path):
    text = "`backup_every` needs a `backup_dir`. Received: backup_every=3 alone."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        fit(backup_every=3)
    with pytest.raises(ValueError, match=r"^`backup_every` must be a positive integer. Received: backup_every=0.$"):
        fit(backup_dir=tmp_path, backup_every=0)


@pytest.mark.parametrize("backup_every", [None, 2])
def test_data_in_another_order_are_told_in_one_sentence(tmp_path, backup_every):
    def ordered(seed):
        return lambda: batches(6).unbatch().shuffle(48, seed).batch(8)

    with pytest.raises(RuntimeError, match="power cut"):
        fit(At(1, 3, crash), data=ordered(1), backup_dir=tmp_path, backup_every=backup_every)
    text = (
        "`data` came in another order than before, so what goes on is not quite the training that was interrupted: "
        "give every shuffle a seed, and make the data anew before each call."
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(text)}$"):
        fit(data=ordered(2), backup_dir=tmp_path)


def test_callbacks_that_nobody_can_ask_are_named_once(tmp_path):
    class Diary(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.pages = []

    class Silent(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            pass

    text = (
        "What Diary, LambdaCallback remembers is not in the backup, and begins anew where the training is taken up "
        "again. A callback that has get_state() -> dict and set_state(dict) is asked for it."
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(text)}$") as told:
        fit(
            Diary(),
            Silent(),
            Diary(),
            keras.callbacks.LambdaCallback(on_train_end=print),
            backup_dir=tmp_path,
            epochs=1,
        )
    assert len(told) == 1
