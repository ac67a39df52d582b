"""Cut off in the validation, by a batch's callback, or where data are drawn: the places that are easily forgotten."""

import os
import signal
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from backup_helpers import At, assert_same, crash, fit, shuffled
from training_helpers import batches, network


def stop():
    os.kill(os.getpid(), signal.SIGTERM)


def with_states():
    """The states of a stateful layer are among no layer's weights, and there are two of one name."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)
    inputs = keras.Input((6, 6, 2), batch_size=8)
    x = keras.layers.LSTM(3, stateful=True)(keras.layers.Reshape((6, 12))(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


class Stop(keras.callbacks.Callback):
    """Ends the training at a batch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (1, 3):
            self.model.stop_training = True

    def get_state(self):
        return {}

    def set_state(self, state):
        pass


def of_python():
    """The commonest generator: NumPy's own random numbers say in which order the examples come."""
    x = np.random.default_rng(0).normal(size=(48, 6, 6, 2)).astype("float32")
    keras.utils.set_random_seed(3)

    def examples():
        for index in np.random.permutation(48):  # noqa: NPY002
            yield x[index], index % 2

    signature = tf.TensorSpec((6, 6, 2)), tf.TensorSpec((), tf.int64)
    return tf.data.Dataset.from_generator(examples, output_signature=signature).batch(8)


def cut(folder, places, callbacks=tuple, action=crash, in_validation=False, **arguments):
    """What comes of a training that is cut off, without a word on the data, beside one that is not."""
    whole = fit(*callbacks(), **{name: value for name, value in arguments.items() if name != "backup_every"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for place in places:
            with pytest.raises((RuntimeError, SystemExit)):
                fit(*callbacks(), At(*place, action, in_validation=in_validation), backup_dir=folder, **arguments)
        assert_same(fit(*callbacks(), backup_dir=folder, **arguments), whole)


@pytest.mark.parametrize(
    ("place", "action", "every"),
    [
        ((1, 0), crash, 3),
        pytest.param((2, 0), crash, 3, marks=pytest.mark.slow),
        pytest.param((1, 0), stop, None, marks=pytest.mark.slow),
        pytest.param((1, 0), crash, 4, marks=pytest.mark.slow),
    ],
)
def test_states_in_front_of_a_validation_are_those_of_then(tmp_path, place, action, every):
    cut(tmp_path, [place], make=with_states, action=action, in_validation=True, backup_every=every)


@pytest.mark.slow
@pytest.mark.parametrize(("place", "in_validation"), [((1, 0), True), ((1, 3), False)])
def test_a_training_that_a_callback_stopped_stays_stopped(tmp_path, place, in_validation):
    cut(tmp_path, [place], callbacks=lambda: [Stop()], action=stop, in_validation=in_validation, epochs=4)


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [False, True])
def test_an_order_that_numpy_draws_comes_again_in_the_middle_of_an_epoch(tmp_path, ahead):
    def data():
        return of_python().prefetch(2) if ahead else of_python()

    cut(tmp_path, [(1, 3)], data=data, backup_every=2, validation_data=None)


@pytest.mark.slow
def test_a_shuffle_that_a_cache_keeps_comes_again(tmp_path):
    cut(tmp_path, [(2, 1)], data=lambda: shuffled().cache())


@pytest.mark.slow
def test_nothing_is_said_where_training_and_validation_share_a_shuffle(tmp_path):
    def of_one():
        keras.utils.set_random_seed(3)  # As a script does: the seed of a shuffle counts together with it.
        return batches(8).unbatch().shuffle(64, seed=1)

    def run(*callbacks, **arguments):
        data = of_one()
        count = tf.data.experimental.assert_cardinality(6)
        return fit(
            *callbacks,
            data=lambda: data.skip(16).batch(8).apply(count),
            validation_data=data.take(16).batch(8),
            **arguments,
        )

    with pytest.raises(RuntimeError, match="power cut"):
        run(At(2, 1, crash), backup_dir=tmp_path)
    assert_same(run(backup_dir=tmp_path), run())


@pytest.mark.slow
def test_other_data_are_told_where_nothing_is_shuffled(tmp_path):
    with pytest.raises(RuntimeError, match="power cut"):
        fit(At(1, 1, crash), data=lambda: batches(6), backup_dir=tmp_path)
    with pytest.warns(UserWarning, match="^`data` came in another order than before"):
        fit(data=lambda: batches(6, seed=77), backup_dir=tmp_path)


@pytest.mark.slow
def test_validation_data_that_were_not_there_before_are_told(tmp_path):
    with pytest.raises(RuntimeError, match="power cut"):
        fit(At(1, 1, crash), validation_data=None, backup_dir=tmp_path)
    text = "^This training was begun without `validation_data`, and goes on with: the lists in its history will not be"
    with pytest.warns(UserWarning, match=text):
        fit(backup_dir=tmp_path)


@pytest.mark.slow
def test_says_what_ended_a_training_that_was_over(tmp_path, capsys):
    fit(Stop(), epochs=4, backup_dir=tmp_path)
    fit(Stop(), epochs=9, backup_dir=tmp_path, verbose=2)
    text = "This training was over before (a callback stopped it after epoch 2): weights and history are those in "
    assert capsys.readouterr().err == f"{text}{tmp_path}. Remove it to train anew.\n"


class Rate(keras.callbacks.Callback):
    """Puts a variable and a tensor among the logs, as Keras allows, and asks for the model when it is given a state."""

    def on_epoch_end(self, epoch, logs=None):
        logs["rate"] = self.model.optimizer.learning_rate
        logs["one"] = tf.constant(1.0)

    def get_state(self):
        return {}

    def set_state(self, state):
        self.iterations = int(self.model.optimizer.iterations)


def test_variables_among_the_logs_are_kept_as_numbers(tmp_path, monkeypatch):
    # A callback may also go to another folder than the one in which the training began.
    monkeypatch.chdir(tmp_path)
    go = keras.callbacks.LambdaCallback(on_train_end=lambda logs: os.chdir("/"))
    go.get_state, go.set_state = dict, lambda state: None
    fit(Rate(), go, epochs=1, data=lambda: batches(2), validation_data=None, backup_dir="runs")
    monkeypatch.chdir(tmp_path)
    rate = Rate()
    again = fit(rate, epochs=1, data=lambda: batches(2), validation_data=None, backup_dir="runs")
    history = again.history.history
    assert (history["rate"], history["one"]) == ([pytest.approx(0.01)], [1.0])
    assert rate.iterations == 2


def test_what_cannot_be_written_is_told_before_the_first_epoch(tmp_path):
    class Seen(keras.callbacks.Callback):
        epoch = None

        def on_epoch_begin(self, epoch, logs=None):
            Seen.epoch = epoch

        def get_state(self):
            return {"seen": {1, 2}}

        def set_state(self, state):
            pass

    with pytest.raises(TypeError, match=r"Received: set in get_state\(\) of Seen/seen\.$"):
        fit(Seen(), make=network, backup_dir=tmp_path)
    assert Seen.epoch is None


def test_only_a_path_is_taken_for_a_folder():
    with pytest.raises(ValueError, match=r"^`backup_dir` must be the path of a folder\. Received: backup_dir=''\.$"):
        fit(backup_dir="")
