"""`training.fit(backup_dir=...)`: what was cut off goes on as if it had not been."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from backup_helpers import At, assert_same, crash, fit, shuffled
from training_helpers import network


def assert_goes_on(folder, places, backup_every=4, callbacks=tuple, **arguments):
    """Cuts a training off at each of the places, and compares what comes of it with one that is never cut off."""
    whole = fit(*callbacks(), **arguments)
    for place in places:
        with pytest.raises(RuntimeError, match="power cut"):
            fit(*callbacks(), At(*place, crash), backup_dir=folder, backup_every=backup_every, **arguments)
    ended = fit(*callbacks(), backup_dir=folder, backup_every=backup_every, **arguments)
    assert_same(ended, whole)
    return whole, ended


class Counter(keras.callbacks.Callback):
    """Remembers something, and says so."""

    count = 0

    def on_epoch_end(self, epoch, logs=None):
        self.count += 1
        logs["count"] = float(self.count)

    def get_state(self):
        return {"count": self.count}

    def set_state(self, state):
        self.count = state["count"]


def with_averages():
    return network(optimizer=keras.optimizers.Adam(0.01, use_ema=True))


def test_a_training_that_crashes_ends_as_one_that_does_not(tmp_path, capsys):
    # In the middle of an epoch after a backup.
    places = [(1, 5)]
    whole, _ = assert_goes_on(tmp_path, places, make=with_averages, clip_norm=0.5)
    assert capsys.readouterr().err == ""
    # The same command once more: nothing is trained, and the result is the same.
    again = fit(At(0, 0, crash), make=with_averages, clip_norm=0.5, backup_dir=tmp_path, verbose=2)
    assert_same(again, whole)
    shown = capsys.readouterr()
    text = f"This training was over before: weights and history are those in {tmp_path}. Remove it to train anew.\n"
    assert (shown.out, shown.err) == ("", text)


@pytest.mark.slow
def test_more_epochs_go_on_from_the_last_and_not_from_the_averages_of_the_end(tmp_path, capsys):
    fit(make=with_averages, clip_norm=0.5, backup_dir=tmp_path)
    more = fit(make=with_averages, clip_norm=0.5, backup_dir=tmp_path, epochs=4, verbose=2)
    assert capsys.readouterr().err == f"Going on after epoch 3, as saved in {tmp_path}.\n"
    assert_same(more, fit(make=with_averages, clip_norm=0.5, epochs=4))


@pytest.mark.slow
def test_goes_on_where_the_number_of_batches_is_not_known(tmp_path):
    assert_goes_on(
        tmp_path, [(0, 1), (0, 5), (1, 5)], data=lambda: shuffled().filter(lambda x, y: True), backup_every=3
    )


@pytest.mark.slow
def test_callbacks_go_on_as_well(tmp_path):
    def callbacks():
        # The loss never falls by 10: the rate is halved after three epochs, and the fourth is the last.
        return (
            keras.callbacks.EarlyStopping("loss", min_delta=10, patience=3, restore_best_weights=True),
            keras.callbacks.ReduceLROnPlateau("loss", min_delta=10, patience=2, factor=0.5),
            keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
            Counter(),
        )

    whole, ended = assert_goes_on(tmp_path, [(1, 4), (2, 4), (3, 1)], callbacks=callbacks, epochs=6)
    assert ended.history.epoch == [0, 1, 2, 3]
    rates = ended.history.history["learning_rate"]
    np.testing.assert_allclose(rates, [0.009, 0.0081, 0.00729 / 2, 0.006561 / 2], rtol=1e-6)
    assert ended.history.history["count"] == [1, 2, 3, 4]
    # It was stopped: more epochs are not wanted by the callback either.
    assert_same(fit(*callbacks(), epochs=9, backup_dir=tmp_path), whole)


def stateful():
    """Variables that belong to no layer's weights: the states of a recurrent layer, and Keras' own random numbers."""

    class Noise(keras.layers.Layer):
        def call(self, x):
            return x + 0.1 * keras.random.normal(keras.ops.shape(x))

    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)
    inputs = keras.Input((6, 6, 2), batch_size=8)
    x = Noise()(keras.layers.Reshape((6, 12))(inputs))
    x = keras.layers.SimpleRNN(3, stateful=True)(x)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


@pytest.mark.slow
def test_variables_that_only_the_step_knows_are_kept(tmp_path):
    assert_goes_on(tmp_path, [(0, 5), (1, 5)], make=stateful, validation_data=None)


@pytest.mark.slow
def test_random_numbers_of_python_and_numpy_go_on(tmp_path):
    def examples():
        for _ in range(48):
            yield np.random.normal(size=(6, 6, 2)), np.random.randint(2)  # noqa: NPY002

    def drawn():
        np.random.seed(4)  # noqa: NPY002
        signature = tf.TensorSpec((6, 6, 2)), tf.TensorSpec((), tf.int64)
        return tf.data.Dataset.from_generator(examples, output_signature=signature).batch(8)

    assert_goes_on(tmp_path, [(1, 3)], data=drawn, validation_data=None)


@pytest.mark.slow
def test_augmentation_in_the_data_goes_on(tmp_path):
    def augmented():
        flip = keras.layers.RandomFlip(seed=2)
        return shuffled().map(lambda x, y: (flip(x, training=True), y)).prefetch(2)

    assert_goes_on(tmp_path, [(2, 1), (2, 4)], data=augmented, validation_data=None)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_goes_on_in_other_types(tmp_path, policy):
    keras.config.set_dtype_policy(policy)
    assert_goes_on(tmp_path, [(1, 1), (2, 4)])


@pytest.mark.slow
def test_goes_on_eagerly_and_by_xla(tmp_path):
    assert_goes_on(tmp_path / "eager", [(1, 1)], make=lambda: network(run_eagerly=True))
    assert_goes_on(tmp_path / "xla", [(1, 1)], make=lambda: network(jit_compile=True))


@pytest.mark.slow
def test_goes_on_with_several_outputs_and_weights(tmp_path):
    def make():
        keras.utils.set_random_seed(3)
        inputs = keras.Input((6, 6, 2))
        x = keras.layers.Dropout(0.2)(keras.layers.Flatten()(inputs))
        heads = {"big": keras.layers.Dense(2, name="big")(x), "small": keras.layers.Dense(2, name="small")(x)}
        model = keras.Model(inputs, heads)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        metrics = {"big": ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(1)]}
        model.compile(keras.optimizers.Nadam(), {"big": loss, "small": loss}, {"big": 1, "small": 0.3}, metrics)
        return model

    def data():
        return shuffled(weights=True).map(lambda x, y, w: (x, {"big": y, "small": 1 - y}, {"big": w, "small": w}))

    assert_goes_on(tmp_path, [(0, 5), (1, 4)], make=make, data=data, validation_data=None)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [lambda data: data[:-7], lambda data: data[:9] + b"?" + data[10:]])
def test_goes_on_from_the_backup_before_a_damaged_one(tmp_path, damage):
    with pytest.raises(RuntimeError, match="power cut"):
        fit(At(1, 4, crash), backup_dir=tmp_path, backup_every=2)
    newest = max(tmp_path.glob("backup-*"))
    newest.write_bytes(damage(newest.read_bytes()))
    with pytest.warns(UserWarning, match=f"^The backup {newest} is damaged and not used"):
        ended = fit(backup_dir=tmp_path)
    assert_same(ended, fit())


@pytest.mark.slow
def test_saving_changes_nothing(tmp_path):
    assert_same(fit(backup_dir=tmp_path, backup_every=1), fit())
