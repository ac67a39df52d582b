"""`training.fit` on models and data of every make, against `model.fit`."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from training_helpers import assert_same_training, batches, network

from kerasdl import training


class Subclassed(keras.Model):
    """Makes its layers' weights when it is first called, takes a dictionary, and adds a loss."""

    def __init__(self):
        super().__init__()
        self.flatten, self.dense = keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")

    def call(self, inputs):
        x = self.flatten(inputs["image"]) * inputs["weight"]
        self.add_loss(0.01 * keras.ops.mean(x**2))
        return self.dense(x)


@pytest.mark.parametrize(
    "arguments", [{}, pytest.param({"jit_compile": True}, marks=pytest.mark.slow), {"run_eagerly": True}]
)
def test_a_subclassed_model_and_dictionaries(arguments):
    def make():
        keras.utils.set_random_seed(3)
        model = Subclassed()
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], **arguments)
        return model

    data = batches(4).map(lambda x, y: ({"weight": tf.ones((tf.shape(x)[0], 1)), "image": x}, y))
    assert_same_training(make, data, data, tolerance=1e-5)


class Autoencoder(keras.Model):
    """Learns from images alone, keeps something between its call and its loss, and adds logs of its own."""

    def __init__(self):
        super().__init__()
        self.small, self.large = keras.layers.Dense(3), keras.layers.Dense(2)

    def call(self, inputs):
        self.code = self.small(inputs)
        return self.large(self.code)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
        return keras.ops.mean((y_pred - x) ** 2) + 0.1 * keras.ops.mean(self.code**2)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        logs = super().compute_metrics(x, y, y_pred, sample_weight)
        return {**logs, "largest": keras.ops.max(y_pred)}


@pytest.mark.parametrize("form", [lambda x, y: x, lambda x, y: (x,), lambda x, y: (x, None)])
def test_data_without_targets_and_logs_of_the_models_own(form):
    def make():
        keras.utils.set_random_seed(3)
        model = Autoencoder()
        model.compile("adam")
        return model

    assert_same_training(make, batches(4).map(form), tolerance=1e-5)


def test_several_inputs_in_any_order():
    def make():
        keras.utils.set_random_seed(3)
        image, extra = keras.Input((6, 6, 2), name="zimage"), keras.Input((3, 4), name="extra")
        x = keras.layers.Concatenate()([keras.layers.Flatten()(image), keras.layers.Flatten()(extra)])
        model = keras.Model({"zimage": image, "extra": extra}, keras.layers.Dense(2, activation="softmax")(x))
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    assert_same_training(
        make, batches(4).map(lambda x, y: ({"zimage": x, "extra": tf.ones((tf.shape(x)[0], 3, 4))}, y))
    )


def test_the_loss_sees_only_real_batches():
    seen = []

    class Watching(keras.losses.Loss):
        def call(self, y_true, y_pred):
            tf.py_function(lambda targets: seen.append(targets.numpy().min()), [y_true], [])
            return keras.ops.mean((y_true - y_pred) ** 2, axis=-1)

    model = keras.Sequential([keras.Input((6, 6, 2)), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", Watching())
    training.fit(model, batches(4).map(lambda x, y: (x, tf.ones((tf.shape(x)[0], 1)))), epochs=2, verbose=0)
    assert seen == [1.0] * 8


def test_clipping_adds_up_the_rows_of_an_embedding_that_occur_twice():
    def make():
        keras.utils.set_random_seed(3)
        model = keras.Sequential(
            [keras.Input((4,)), keras.layers.Embedding(5, 3), keras.layers.GlobalAveragePooling1D()]
        )
        model.add(keras.layers.Dense(1))
        model.compile(keras.optimizers.SGD(1.0), "mse")
        return model

    words, targets = np.array([[1, 1, 2, 1], [1, 0, 1, 2]]), np.array([[3.0], [-2.0]], "float32")
    model, before = make(), [weight.copy() for weight in make().get_weights()]
    table, kernel, _ = before
    means = table[words].mean(1)
    error = 2 * (means @ kernel + before[2] - targets) / len(words)
    rows = np.zeros_like(table)
    for sentence, wrong in zip(words, error, strict=True):
        for word in sentence:
            rows[word] += wrong * kernel[:, 0] / 4
    gradients = [rows, means.T @ error, error.sum(0)]
    norm = np.sqrt(sum(np.sum(gradient**2) for gradient in gradients))
    logs = training.make_train_step(model, clip_norm=0.1)(words, targets)
    assert float(logs["gradient_norm"]) == pytest.approx(norm, rel=1e-5)
    for after, old, gradient in zip(model.get_weights(), before, gradients, strict=True):
        np.testing.assert_allclose(after, old - gradient * 0.1 / norm, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("policy", ["bfloat16", "float64"])
def test_clipping_with_gradients_of_several_types(policy):
    keras.config.set_dtype_policy(policy)
    model = keras.Sequential([keras.Input((6, 6, 2)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(4, activation="tanh"))
    model.add(keras.layers.Dense(2, activation="softmax", dtype="float32"))
    model.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy")
    before = [weight.astype("float64") for weight in model.get_weights()]
    x, y = next(iter(batches(1)))
    logs = training.make_train_step(model, clip_norm=0.1)(x, y)
    assert float(logs["gradient_norm"]) > 0.1
    moved = [
        np.sum((weight.astype("float64") - old) ** 2) for weight, old in zip(model.get_weights(), before, strict=True)
    ]
    assert np.sqrt(sum(moved)) == pytest.approx(0.1, rel=0.02)


def test_a_model_with_a_step_of_its_own_is_sent_to_keras():
    class OwnStep(keras.Model):
        def train_step(self, data):
            return {}

    class OwnTest(keras.Model):
        def test_step(self, data):
            return {}

    inputs = keras.Input((6, 6, 2))
    outputs = keras.layers.Dense(1)(inputs)
    for own, text in (
        (OwnStep, "`model` has a train_step of its own, which is not called here: use model.fit. Received: OwnStep."),
        (
            OwnTest,
            "`model` has a test_step of its own, which is not called here: use model.evaluate. Received: OwnTest.",
        ),
    ):
        model = own(inputs, outputs)
        model.compile("sgd", "mse")
        with pytest.raises(ValueError, match=re.escape(text)):
            training.fit(model, batches(), epochs=1, validation_data=batches())


def test_arguments_in_the_forms_that_model_fit_takes():
    model = network()
    stop = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=10)
    assert len(training.fit(model, batches(2), epochs=np.int64(3), callbacks=stop, verbose=0).epoch) == 2
    assert len(training.fit(model, batches(2), epochs=1, callbacks=None, verbose=0).epoch) == 1


@pytest.mark.slow
def test_many_short_trainings_do_not_alarm_tensorflow(caplog):
    for _ in range(8):
        training.fit(network(), batches(2), epochs=1, validation_data=batches(1), verbose=0)
    assert "retracing" not in caplog.text


def test_short_data_of_unknown_length_for_many_epochs():
    """Each call to an epoch's end must not be taken for a quick one, after which twice as many steps are tried."""
    data = batches(3).filter(lambda x, y: True)
    calls = []

    class Count(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            calls.append(epoch)

    history = training.fit(network(), data, epochs=40, verbose=0, validation_data=data, callbacks=[Count()])
    assert calls == list(range(40))
    assert len(history.history["val_loss"]) == 40


class CountsByNumPy(keras.metrics.Metric):
    """A metric that no graph can compute."""

    def __init__(self):
        super().__init__(name="counted")
        self.total = self.add_variable((), "zeros", name="total")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign_add(float((np.argmax(y_pred.numpy(), 1) == y_true.numpy().ravel()).sum()))

    def result(self):
        return 1.0 * self.total


class OnlyEager(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(2, activation="softmax")

    def call(self, inputs):
        return self.dense(tf.constant(inputs.numpy().mean((1, 2))))


@pytest.mark.parametrize("is_built", [False, True])
def test_what_runs_eagerly_need_not_be_traceable(is_built):
    def make():
        keras.utils.set_random_seed(3)
        model = OnlyEager()
        if is_built:
            model(tf.zeros((1, 6, 6, 2)))
        loss = "sparse_categorical_crossentropy"
        model.compile("adam", loss, metrics=["accuracy", CountsByNumPy()], run_eagerly=True)
        return model

    assert_same_training(make, batches(3), batches(2, seed=1))
    x, y = next(iter(batches(1)))
    assert 0 <= float(training.make_train_step(make())(x, y)["counted"]) <= 8


def test_a_model_may_leave_the_loss_out_of_its_logs():
    class Silent(keras.Model):
        def compute_metrics(self, x, y, y_pred, sample_weight=None):
            super().compute_metrics(x, y, y_pred, sample_weight)
            return {"largest": keras.ops.max(y_pred)}

    def make(bias):
        inputs = keras.Input((6, 6, 2))
        outputs = keras.layers.Dense(2, bias_initializer=keras.initializers.Constant(bias))(
            keras.layers.Flatten()(inputs)
        )
        model = Silent(inputs, outputs)
        model.compile("sgd", "mse", jit_compile=True)
        return model

    data = batches(2).map(lambda x, y: (x, tf.zeros((8, 2))))
    assert list(training.fit(make(0.0), data, epochs=1, verbose=0).history) == ["largest"]
    with pytest.raises(FloatingPointError, match=r"^The loss must stay finite\."):
        training.fit(make(float("inf")), data, epochs=1, verbose=0)


def test_steps_that_a_loss_scale_refuses_do_not_count_for_the_mean_norm():
    keras.config.set_dtype_policy("mixed_float16")
    sgd = keras.optimizers.SGD(0.0)
    model = network(optimizer=keras.optimizers.LossScaleOptimizer(sgd, initial_scale=2.0**19))
    norms = training.fit(model, batches(), epochs=2, verbose=0, clip_norm=1.0).history["gradient_norm"]
    assert np.isfinite(norms).all()
    # The weights stay where they are, so that the second epoch, in which all steps count, has about the same mean.
    assert norms[0] == pytest.approx(norms[1], rel=0.2)
