"""The learning rate that is written is the one with which the weights were changed."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from event_helpers import read_scalars

from kerasdl import training
from kerasdl.callbacks import LearningRateSummary
from kerasdl.callbacks.learning_rates import rate_at

SCHEDULES = keras.optimizers.schedules


def ones(steps=8):
    return tf.data.Dataset.from_tensors((tf.ones((4, 1)), tf.ones((4, 1)))).repeat(steps)


def network(optimizer):
    """Its loss is its weight, so that each step of plain descent takes off just the learning rate."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile(optimizer, lambda y, y_pred: y_pred, metrics=["mae"])
    return model


class Weights(keras.callbacks.Callback):
    """Keeps the weight before and after each step."""

    def on_train_begin(self, logs=None):
        self.seen = [float(self.model.weights[0][0, 0])]

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(float(self.model.weights[0][0, 0]))

    @property
    def rates(self):
        return -np.diff(self.seen)


@pytest.mark.parametrize(
    "schedule",
    [
        SCHEDULES.CosineDecay(0.01, 10, warmup_steps=4, warmup_target=0.05),
        SCHEDULES.PiecewiseConstantDecay([3, 12], [0.1, 0.05, 0.02]),
    ],
    ids=["cosine", "constant"],
)
def test_a_schedule_is_written_as_the_weights_saw_it(schedule, tmp_path):
    weights, model = Weights(), network(keras.optimizers.SGD(schedule))
    training.fit(model, ones(), epochs=2, callbacks=[LearningRateSummary(tmp_path), weights], verbose=0)
    scalars = read_scalars(tmp_path)
    assert sorted(scalars["learning_rate/by_step"]) == [*range(16)]
    np.testing.assert_allclose([*scalars["learning_rate/by_step"].values()], weights.rates, atol=1e-6)
    assert scalars["learning_rate/by_epoch"] == pytest.approx({0: weights.rates[7], 1: weights.rates[15]}, abs=1e-6)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("who", ["scheduler", "plateau"])
def test_what_changes_between_epochs_is_taken_right_in_any_order(who, first, tmp_path):
    changes = {
        "scheduler": keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.1 / (epoch + 1)),
        # The measure never falls below zero, so that it is time after each epoch but the first.
        "plateau": keras.callbacks.ReduceLROnPlateau("loss", mode="max", factor=0.5, patience=1, min_delta=100),
    }
    pair = [changes[who], LearningRateSummary(tmp_path)]
    weights, model = Weights(), network(keras.optimizers.SGD(0.1))
    training.fit(model, ones(2), epochs=4, callbacks=[*(pair if first else pair[::-1]), weights], verbose=0)
    scalars = read_scalars(tmp_path)
    assert len({round(rate, 4) for rate in weights.rates}) >= 3
    np.testing.assert_allclose([*scalars["learning_rate/by_epoch"].values()], weights.rates[1::2], atol=1e-6)
    assert set(scalars) == {"learning_rate/by_epoch"}


def test_steps_that_are_added_up_count_each(tmp_path):
    schedule = SCHEDULES.PolynomialDecay(0.1, 12, 0.0)
    model = network(keras.optimizers.SGD(schedule, gradient_accumulation_steps=2))
    training.fit(model, ones(6), epochs=2, callbacks=LearningRateSummary(tmp_path), verbose=0)
    expected = {step: 0.1 * (1 - step / 12) for step in range(12)}
    assert read_scalars(tmp_path)["learning_rate/by_step"] == pytest.approx(expected, abs=1e-7)


def test_a_long_epoch_has_fifty_points_from_its_first_step_to_its_last(tmp_path):
    model = network(keras.optimizers.SGD(SCHEDULES.ExponentialDecay(0.1, 100, 0.5)))
    model.optimizer.build(model.trainable_variables)
    callback = LearningRateSummary(tmp_path, every=2)
    callback.set_model(model)
    callback.on_train_begin()
    for epoch in range(4):
        model.optimizer.iterations.assign_add(1000)
        callback.on_epoch_end(epoch)
    callback.on_train_end()
    found = read_scalars(tmp_path)["learning_rate/by_step"]
    assert len(found) == 100
    assert {0, 1999, 2000, 3999} <= set(found)
    assert found == pytest.approx({step: 0.1 * 0.5 ** (step / 100) for step in found}, rel=1e-5)
    assert int(model.optimizer.iterations) == 4000


def test_a_scaled_loss_has_a_scale(tmp_path):
    inner = keras.optimizers.SGD(SCHEDULES.ExponentialDecay(0.1, 1, 0.5))
    optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=8.0, dynamic_growth_steps=2)
    training.fit(network(optimizer), ones(4), epochs=2, callbacks=LearningRateSummary(tmp_path), verbose=0)
    scalars = read_scalars(tmp_path)
    assert scalars["learning_rate/loss_scale"] == {0: 32.0, 1: 128.0}  # Twice as large after every second step.
    assert scalars["learning_rate/by_step"] == pytest.approx({step: 0.1 * 0.5**step for step in range(8)}, rel=1e-5)


def test_each_of_several_optimizers_has_its_rate(tmp_path):
    parts = keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.25, name="slow"))
    parts["other"] = keras.optimizers.Adam(SCHEDULES.ExponentialDecay(0.5, 1, 0.5), name="quick")
    model = network(keras.optimizers.MultiOptimizer(parts))
    model.fit(ones(2), epochs=2, callbacks=[LearningRateSummary(tmp_path)], verbose=0, shuffle=False)
    # The quick one has no weights, and makes no step.
    assert read_scalars(tmp_path) == {"learning_rate/by_epoch/slow": {0: 0.25, 1: 0.25}}


def test_a_run_goes_on_where_it_was_interrupted(tmp_path):
    optimizer = keras.optimizers.SGD(SCHEDULES.ExponentialDecay(0.5, 1, 0.5))
    callback = LearningRateSummary(tmp_path)
    callback.set_model(network(optimizer))
    optimizer.iterations.assign(3)  # In the middle of an epoch that began at step 1.
    callback.on_train_begin()
    callback.set_state({"begin": {"": 1}})
    optimizer.iterations.assign(5)
    callback.on_epoch_end(0)
    assert callback.get_state() == {"begin": {"": 5}}
    callback.on_train_end()
    assert sorted(read_scalars(tmp_path)["learning_rate/by_step"]) == [1, 2, 3, 4]


def test_rates_of_a_plain_optimizer_are_the_present_one():
    optimizer = keras.optimizers.Adam(0.5)
    assert rate_at(optimizer, 0) == rate_at(optimizer, 1000) == 0.5
    optimizer.learning_rate = 0.25
    assert rate_at(optimizer, 3) == 0.25
