"""`training.fit` against `model.fit`: the same seed and data must give the same numbers."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from training_helpers import assert_same_training, batches, network

from kerasdl import training


def test_gives_the_numbers_of_model_fit():
    assert_same_training(network, batches(), batches(4, seed=1))


def test_gives_the_numbers_of_model_fit_with_sample_weights_and_a_short_last_batch():
    data = batches(weights=True).unbatch().take(90).batch(8).apply(tf.data.experimental.assert_cardinality(12))
    assert_same_training(lambda: network(weighted_metrics=["accuracy"]), data, batches(3, weights=True))


def test_gives_the_numbers_of_model_fit_with_several_outputs():
    def make():
        keras.utils.set_random_seed(3)
        inputs = keras.Input((6, 6, 2))
        x = keras.layers.Flatten()(inputs)
        heads = {"big": keras.layers.Dense(2, name="big")(x), "small": keras.layers.Dense(2, name="small")(x)}
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model = keras.Model(inputs, heads)
        metrics = {"big": ["accuracy"]}
        model.compile("sgd", {"big": loss, "small": loss}, loss_weights={"big": 1, "small": 0.3}, metrics=metrics)
        return model

    data = batches().map(lambda x, y: (x, {"big": y, "small": 1 - y}))
    assert_same_training(make, data, data)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)])
def test_gives_the_numbers_of_model_fit_in_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    assert_same_training(network, batches(), batches(4, seed=1))


@pytest.mark.slow
def test_gives_the_numbers_of_model_fit_by_xla():
    assert_same_training(lambda: network(jit_compile=True), batches(), tolerance=1e-4)


@pytest.mark.slow
def test_gives_the_numbers_of_model_fit_eagerly():
    assert_same_training(lambda: network(run_eagerly=True), batches(4), batches(2, seed=1))


def test_builds_a_model_that_has_not_seen_its_input():
    def make():
        keras.utils.set_random_seed(3)
        model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    assert_same_training(make, batches())


@pytest.mark.parametrize(
    "steps_per_call", [5, pytest.param(1, marks=pytest.mark.slow), pytest.param(100, marks=pytest.mark.slow)]
)
def test_the_numbers_do_not_depend_on_the_steps_per_call(steps_per_call):
    expected, model = network(), network()
    training.fit(expected, batches(), epochs=2, verbose=0)
    training.fit(model, batches(), epochs=2, verbose=0, steps_per_call=steps_per_call)
    assert model.history.history == expected.history.history


def test_hooks_are_called_at_the_ends_of_the_calls():
    seen = []
    record = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: seen.append(("begin", batch)),
        on_train_batch_end=lambda batch, logs: seen.append(("end", batch)),
    )
    training.fit(network(), batches(12), epochs=1, verbose=0, callbacks=[record], steps_per_call=5)
    assert seen == [("begin", 0), ("end", 4), ("begin", 5), ("end", 9), ("begin", 10), ("end", 11)]


def test_a_callback_for_single_batches_gets_every_batch_as_in_model_fit():
    class Record(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seen = []

        def on_train_batch_end(self, batch, logs=None):
            self.seen.append((batch, *(float(logs[name]) for name in sorted(logs))))

        def on_test_batch_end(self, batch, logs=None):
            self.seen.append((batch, *(float(logs[name]) for name in sorted(logs))))

    ours, theirs = Record(), Record()
    training.fit(network(), batches(), epochs=2, verbose=0, validation_data=batches(3), callbacks=[ours])
    network().fit(batches(), epochs=2, verbose=0, validation_data=batches(3), callbacks=[theirs], shuffle=False)
    assert [row[0] for row in ours.seen] == [*range(12), *range(3)] * 2
    np.testing.assert_allclose(ours.seen, theirs.seen, rtol=1e-6)


@pytest.mark.parametrize("steps_per_call", [5, pytest.param(None, marks=pytest.mark.slow)])
def test_data_of_unknown_length_gives_the_same_numbers(steps_per_call):
    # Those of `model.fit` with the length known: without it, Keras' attempt to take one batch more draws a random
    # number.
    data = batches(12).filter(lambda x, y: True)
    assert data.cardinality() == tf.data.UNKNOWN_CARDINALITY
    expected = network().fit(batches(12), epochs=3, verbose=0, validation_data=batches(3), shuffle=False).history
    model = network()
    history = training.fit(
        model, data, epochs=3, verbose=0, validation_data=batches(3), steps_per_call=steps_per_call
    ).history
    assert int(model.optimizer.iterations) == 36
    for name, values in expected.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-6, err_msg=name)


def test_early_stopping_and_plateaus_work_as_in_model_fit():
    def callbacks():
        return [
            keras.callbacks.EarlyStopping("loss", patience=0, min_delta=10, restore_best_weights=True),
            keras.callbacks.ReduceLROnPlateau("loss", patience=0, min_delta=10, factor=0.5),
        ]

    ours, theirs = network(), network()
    training.fit(ours, batches(), epochs=5, verbose=0, callbacks=callbacks())
    theirs.fit(batches(), epochs=5, verbose=0, callbacks=callbacks(), shuffle=False)
    assert len(ours.history.history["loss"]) == len(theirs.history.history["loss"]) == 2
    assert float(ours.optimizer.learning_rate) == float(theirs.optimizer.learning_rate) == pytest.approx(0.005)


def test_stops_in_the_middle_of_an_epoch_when_a_callback_says_so():
    class StopAtThird(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 2

    model = network()
    training.fit(model, batches(), epochs=3, verbose=0, callbacks=[StopAtThird()])
    assert int(model.optimizer.iterations) == 3


def test_a_checkpoint_every_few_batches(tmp_path):
    checkpoint = keras.callbacks.ModelCheckpoint(str(tmp_path / "{batch:02d}.keras"), save_freq=5)
    training.fit(network(), batches(12), epochs=1, verbose=0, callbacks=[checkpoint])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["05.keras", "10.keras"]


def test_resumes_where_backup_and_restore_says(tmp_path):
    class Crash(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise RuntimeError("power cut")

    # An SGD without memory and a net without dropout: epochs depend on the weights alone.
    def make():
        keras.utils.set_random_seed(3)
        model = keras.Sequential([keras.Input((6, 6, 2)), keras.layers.Flatten(), keras.layers.Dense(2)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    whole, cut = make(), make()
    training.fit(whole, batches(), epochs=4, verbose=0)
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(RuntimeError, match="power cut"):
        training.fit(cut, batches(), epochs=4, verbose=0, callbacks=[backup, Crash()])
    resumed = make()
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    history = training.fit(resumed, batches(), epochs=4, verbose=0, callbacks=[backup])
    assert history.epoch == [2, 3]
    np.testing.assert_allclose(history.history["loss"], whole.history.history["loss"][2:], rtol=1e-5)


def test_keras_own_schedule_with_warm_up_is_followed():
    schedule = keras.optimizers.schedules.CosineDecay(0.0, 20, alpha=0.1, warmup_target=0.4, warmup_steps=4)
    model = network(optimizer=keras.optimizers.SGD(schedule))
    training.fit(model, batches(12), epochs=1, verbose=0)
    # 8 of the 20 steps after the warm-up: half a cosine from 0.4 down to a tenth of it.
    expected = 0.4 * (0.9 * 0.5 * (1 + np.cos(np.pi * 8 / 20)) + 0.1)
    assert float(model.optimizer.learning_rate) == pytest.approx(expected, rel=1e-5)


def test_the_history_has_the_mean_gradient_norm():
    model, single = network(), network()
    history = training.fit(model, batches(), epochs=1, verbose=0, clip_norm=0.5).history
    step = training.make_train_step(single, clip_norm=0.5)
    norms = [float(step(x, y)["gradient_norm"]) for x, y in batches()]
    assert min(norms) > 0.5, "the case is meant to be clipped"
    assert history["gradient_norm"] == [pytest.approx(np.mean(norms), rel=1e-5)]
    assert list(history) == ["accuracy", "gradient_norm", "loss"]


def spoiled(bad_batch, count=12):
    def spoil(index, batch):
        x, y = batch
        return tf.where(index == bad_batch, np.nan, x), y

    return batches(count).enumerate().map(spoil)


@pytest.mark.parametrize("steps_per_call", [None, 5])
def test_a_loss_that_is_not_finite_stops_with_the_step_and_unharmed_weights(steps_per_call):
    model, expected = network(), network()
    text = (
        "The loss must stay finite. It became NaN or infinite at step 8 of epoch 1, which did not touch the "
        "trainable weights. Try a smaller learning rate or clip_norm=1.0, and look for NaN in the data."
    )
    with pytest.raises(FloatingPointError, match=f"^{re.escape(text)}$"):
        training.fit(model, spoiled(7), epochs=2, verbose=0, steps_per_call=steps_per_call)
    training.fit(expected, batches().take(7), epochs=1, verbose=0)
    for weight, before in zip(model.trainable_weights, expected.trainable_weights, strict=True):
        np.testing.assert_allclose(weight, before, rtol=1e-6)


@pytest.mark.slow
def test_under_xla_the_step_is_known_to_within_a_call():
    with pytest.raises(FloatingPointError, match="NaN or infinite at or before step 10 of epoch 1"):
        training.fit(network(jit_compile=True), spoiled(7), epochs=1, verbose=0, steps_per_call=5)


def test_terminate_on_nan_ends_quietly_as_in_model_fit():
    model = network()
    training.fit(model, spoiled(7), epochs=3, verbose=0, callbacks=[keras.callbacks.TerminateOnNaN()])
    assert int(model.optimizer.iterations) == 8
    assert len(model.history.history["loss"]) == 1


def test_shows_keras_own_progress_bar(capsys):
    training.fit(network(), batches(), epochs=2, validation_data=batches(2))
    shown = capsys.readouterr().out
    assert "Epoch 2/2" in shown
    assert "12/12" in shown
    assert "val_accuracy" in shown
