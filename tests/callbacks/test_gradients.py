import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from event_helpers import read_scalars, read_steps
from histogram_helpers import assert_histogram_of, read_histograms

from kerasdl import layers, training
from kerasdl.callbacks import Examples, GradientSummary

RNG = np.random.default_rng(0)


def written(folder, model, data, **options):
    """What the callback writes for a model as it is: the norms without their kind, and the histograms."""
    callback = GradientSummary(folder, data, **options)
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_end(0)
    callback.on_train_end()
    norms = {tag.removeprefix("gradient_norms/"): steps[0] for tag, steps in read_scalars(folder).items()}
    tables = {tag.removeprefix("gradients/"): steps[0] for tag, steps in read_histograms(folder).items()}
    return norms, tables


def compiled(*stack, loss="mse", optimizer="sgd", **options):
    model = keras.Sequential(list(stack))
    model.compile(optimizer, loss, **options)
    return model


def by_tape(model, x, y, scale=1.0):
    """The gradients of each layer that has some, by hand, where no layer has others inside."""
    with tf.GradientTape() as tape:
        loss = model.compute_loss(x, y, model(x, training=True), training=True) * scale
    gradients = tape.gradient(loss, model.trainable_weights)
    flat = [np.ravel(tf.convert_to_tensor(gradient)) for gradient in gradients]
    by_weight = dict(zip(map(id, model.trainable_weights), flat, strict=True))
    return [
        np.concatenate([by_weight[id(weight)] for weight in layer.trainable_weights]) / scale
        for layer in model.layers
        if layer.trainable_weights
    ]


def test_linear_regression_in_closed_form(tmp_path):
    x, y = RNG.normal(size=(40, 5)), RNG.normal(size=(40, 3))
    model = compiled(keras.Input((5,)), keras.layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.1)))
    weights, weight_of = model.layers[0].kernel.numpy(), RNG.random(40)
    error = x @ weights - y
    # The mean over examples and outputs, each example with its weight; and 0.1 |W|^2.
    rows = 2 * weight_of[:, None] * error / 120
    gradient = np.concatenate([(x.T @ rows + 0.2 * weights).ravel(), rows.sum(0)])
    norms, tables = written(tmp_path, model, (x, y, weight_of))
    assert norms == {"dense": pytest.approx(np.linalg.norm(gradient), 1e-5), "gradient_norm": norms["dense"]}
    assert_histogram_of(tables["dense"], gradient)


def residual():
    inputs = keras.Input((8, 8, 3))
    x = layers.FusedBatchNormalization()(keras.layers.Conv2D(4, 3, padding="same")(inputs))
    x = keras.layers.Add()([x, layers.XnorConv2D(4, 3, padding="same")(x)])
    x = keras.layers.BatchNormalization()(layers.HighwayConv2D(3)(x))
    return inputs, keras.layers.Dense(3)(keras.layers.Flatten()(x)), RNG.normal(size=(16, 8, 8, 3))


def reading():
    inputs = keras.Input((6,), dtype="int32")
    x = layers.ElmanRNN(5, return_sequences=True)(keras.layers.Embedding(7, 4, mask_zero=True)(inputs))
    x = keras.layers.Dense(3)(keras.layers.LSTM(4)(x))
    return inputs, x, RNG.integers(0, 7, (16, 6))  # Words stand there several times.


@pytest.mark.parametrize("build", [residual, pytest.param(reading, marks=pytest.mark.slow)])
def test_is_what_a_tape_gives(tmp_path, build):
    inputs, outputs, x = build()
    model = keras.Model(inputs, outputs)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    y = RNG.integers(0, 3, 16)
    expected = by_tape(model, x, y)
    norms, tables = written(tmp_path, model, (x, y))
    np.testing.assert_allclose([*norms.values()][:-1], [np.linalg.norm(each) for each in expected], rtol=1e-4)
    assert norms["gradient_norm"] == pytest.approx(np.linalg.norm(np.concatenate(expected)), 1e-5)
    for table, gradient in zip(tables.values(), expected, strict=True):
        assert_histogram_of(table, gradient)


def test_an_added_loss_counts(tmp_path):
    def build(strength):
        stack = [keras.layers.Dense(3, kernel_initializer="ones"), keras.layers.ActivityRegularization(l2=strength)]
        return compiled(keras.Input((2,)), *stack, loss=None)

    x = RNG.normal(size=(4, 2))
    sums = x.sum(1, keepdims=True) * np.ones(3)
    for strength in (1.0, 0.5):
        # The sum of squares over the batch, whose size Keras divides by.
        gradient = [2 * strength * (x.T @ sums) / 4, 2 * strength * sums.sum(0) / 4]
        norms, _ = written(tmp_path / str(strength), build(strength), x)
        assert norms["gradient_norm"] == pytest.approx(np.linalg.norm([np.linalg.norm(g) for g in gradient]), 1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_gives_the_gradients_of_float32(tmp_path, policy):
    x, y = RNG.normal(size=(16, 6)).astype("float32"), 1e-4 * RNG.normal(size=(16, 2)).astype("float32")
    exact = compiled(keras.Input((6,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(2))
    keras.config.set_dtype_policy(policy)
    model = compiled(keras.Input((6,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(2))
    for mixed, full in zip(model.weights, exact.weights, strict=True):
        full.assign(mixed * 1e-3 if mixed.path.endswith("kernel") else mixed)
        mixed.assign(full)
    expected = by_tape(exact, x, y)
    norms, _ = written(tmp_path, model, (x, y))
    # These are around 1e-7, where float16 has next to nothing without a scale.
    tolerance = 0.02 if policy == "mixed_float16" else 0.05
    np.testing.assert_allclose([*norms.values()][:-1], [np.linalg.norm(e) for e in expected], rtol=tolerance)


def test_a_loss_scale_that_is_too_large_is_halved(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    x, y = 30 * RNG.normal(size=(16, 6)).astype("float32"), RNG.normal(size=(16, 2)).astype("float32")
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(), initial_scale=2.0**24)
    model = compiled(keras.Input((6,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(2), optimizer=optimizer)
    scaled = by_tape(model, x, y, scale=2.0**24)
    assert not np.isfinite(np.concatenate(scaled)).all()
    expected = by_tape(model, x, y, scale=2.0**8)
    norms, tables = written(tmp_path, model, (x, y))
    np.testing.assert_allclose([*norms.values()][:-1], [np.linalg.norm(e) for e in expected], rtol=0.01)
    assert_histogram_of(tables["dense"], expected[0], rtol=0.02)
    assert float(optimizer.scale_loss(1.0)) == 2.0**24


def test_gradients_that_are_no_numbers_end_nothing(tmp_path):
    model = compiled(keras.Input((2,)), keras.layers.Dense(2), keras.layers.Dense(1))
    model.layers[1].kernel.assign(np.full((2, 1), np.nan))
    norms, tables = written(tmp_path, model, (np.ones((4, 2)), np.ones(4)))
    assert all(np.isnan(norm) for norm in norms.values())
    assert tables == {}


def test_a_weight_that_nothing_depends_on_has_a_norm_of_0(tmp_path):
    inputs = keras.Input((2,))
    model = keras.Model(
        inputs, [keras.layers.Dense(1, name="used")(inputs), keras.layers.Dense(1, name="other")(inputs)]
    )
    model.compile("sgd", ["mse", None])
    norms, _ = written(tmp_path, model, (np.ones((4, 2)), [np.ones((4, 1)), np.ones((4, 1))]))
    assert norms["other"] == 0
    assert norms["used"] == norms["gradient_norm"] > 0


@pytest.mark.slow
def test_nothing_of_the_model_changes(tmp_path):
    """Neither dropout's generators and the moving averages, nor the running means of two losses."""
    inputs = keras.Input((4,))
    x = keras.layers.BatchNormalization()(keras.layers.Dropout(0.5)(inputs))
    model = keras.Model(inputs, {"a": keras.layers.Dense(1, name="a")(x), "b": keras.layers.Dense(1, name="b")(x)})
    model.compile("adam", {"a": "mse", "b": "mae"}, metrics={"a": "mae", "b": "mse"})
    x, y = RNG.normal(size=(8, 4)), {"a": np.ones((8, 1)), "b": np.zeros((8, 1))}
    model.fit(x, y, verbose=0)
    everything = [*model.variables, *model.metrics_variables, *model.optimizer.variables]
    before = [variable.numpy() for variable in everything]
    written(tmp_path, model, (x, y))
    for variable, value in zip(everything, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_dropout_drops_as_in_the_next_step_of_training(tmp_path):
    model = compiled(keras.Input((50,)), keras.layers.Dropout(0.5, seed=3), keras.layers.Dense(1, use_bias=False))
    x, y = RNG.normal(size=(8, 50)), RNG.normal(size=(8, 1))
    norms, _ = written(tmp_path, model, (x, y))
    [expected] = by_tape(model, x, y)
    assert norms["dense"] == pytest.approx(np.linalg.norm(expected), 1e-5)


def test_takes_the_first_examples_of_what_others_share(tmp_path):
    x, y = RNG.normal(size=(40, 5)), RNG.normal(size=(40, 1))
    shared = Examples(tf.data.Dataset.from_tensor_slices((x, y)).batch(16))
    model = compiled(keras.Input((5,)), keras.layers.Dense(1))
    norms, _ = written(tmp_path, model, shared, count=10)
    [expected] = by_tape(model, x[:10], y[:10])
    assert norms["dense"] == pytest.approx(np.linalg.norm(expected), 1e-5)


def test_a_fixed_batch_size_is_kept_and_so_are_states(tmp_path):
    model = compiled(keras.Input((3, 2), batch_size=4), keras.layers.SimpleRNN(2, stateful=True))
    x, y = RNG.normal(size=(8, 3, 2)), RNG.normal(size=(8, 2))
    norms, _ = written(tmp_path, model, (x, y))
    np.testing.assert_array_equal(model.layers[0].states[0], np.zeros((4, 2)))
    with tf.GradientTape() as tape:
        loss = model.compute_loss(x[:4], y[:4], model(x[:4], training=True))
    expected = tf.linalg.global_norm(tape.gradient(loss, model.trainable_weights))
    assert norms["gradient_norm"] == pytest.approx(float(expected), 1e-5)


class _LooksAtNumbers(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def call(self, x):
        x = self.dense(x)
        return x * 2.0 if float(tf.reduce_sum(x)) < 1e9 else x


def test_a_model_that_must_run_eagerly_does(tmp_path):
    x, y = np.ones((4, 2)), np.ones((4, 1))
    model = _LooksAtNumbers()
    model(x)
    model.compile("sgd", "mse", run_eagerly=True)
    [expected] = by_tape(model, x, y)
    norms, _ = written(tmp_path, model, (x, y))
    assert norms["dense"] == pytest.approx(np.linalg.norm(expected), 1e-5)


def test_training_writes_every_so_many_epochs(tmp_path):
    x, y = RNG.normal(size=(8, 5)), RNG.normal(size=(8, 1))
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    model = compiled(keras.Input((5,)), keras.layers.Dense(1), optimizer=keras.optimizers.SGD(0.0))
    training.fit(model, data, epochs=4, verbose=0, callbacks=[GradientSummary(tmp_path, data, every=2)])
    assert read_steps(tmp_path) == {tag: [1, 3] for tag in ("gradient_norm", "gradient_norms/dense", "gradients/dense")}


def test_a_frozen_layer_has_no_gradient(tmp_path):
    stack = [keras.layers.Dense(2, name="frozen"), keras.layers.Dense(1, name="trained")]
    stack[0].trainable = False
    norms, _ = written(tmp_path, compiled(keras.Input((2,)), *stack), (np.ones((4, 2)), np.ones(4)))
    assert [*norms] == ["trained", "gradient_norm"]


@pytest.mark.parametrize(
    ("trainable", "data", "options", "text"),
    [
        (True, np.ones((4, 2)), {}, "data with targets, (x, y), for the model has a loss. Received: data without y."),
        (
            False,
            (np.ones((4, 2)), np.ones(4)),
            {},
            "GradientSummary expects a model with weights to train. Received: model 'mine', which has none.",
        ),
        (True, (np.ones((4, 2)), np.ones(4)), {"count": 0}, "at least 1. Received: count=0."),
        (True, (np.ones((4, 2)), np.ones(4)), {"count": True}, "at least 1. Received: count=True."),
    ],
)
def test_what_does_not_fit_is_told_before_the_first_epoch(tmp_path, trainable, data, options, text):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, trainable=trainable)], name="mine")
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=re.escape(text) + "$"):
        model.fit(np.ones((4, 2)), np.ones(4), callbacks=[GradientSummary(tmp_path, data, **options)], verbose=0)
    assert list(tmp_path.iterdir()) == []
