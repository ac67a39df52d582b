"""The closed-form readout against scikit-learn and NumPy."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.linear_model import Ridge

from kerasdl.architectures import extreme_learning_machine, lenet5, random_feature_cnn, solve_readout

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.random((90, 6, 6, 1), dtype="float32")
LABELS = RANDOM.integers(0, 4, 90)
REAL = RANDOM.normal(size=(90, 4))


def batches(*parts, size=32):
    return tf.data.Dataset.from_tensor_slices(parts).batch(size)


def machine(use_bias=True, units=12, activation=None):
    """A machine with or without a bias in its last layer."""
    model = extreme_learning_machine(units, input_shape=(6, 6, 1), classes=4, seed=0)
    readout = keras.layers.Dense(4, use_bias=use_bias, activation=activation, name="logits")
    return keras.Model(model.input, readout(model.get_layer("stage1_out").output))


def features(model):
    return np.asarray(keras.Model(model.input, model.get_layer("logits").input)(IMAGES), dtype="float64")


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("l2", [0.01, 3.0])
@pytest.mark.parametrize("y", [LABELS, REAL], ids=["labels", "real"])
def test_is_scikit_learns_ridge(use_bias, l2, y):
    model = machine(use_bias)
    logs = solve_readout(model, batches(IMAGES, y), l2)
    targets = np.eye(4)[y] if y is LABELS else y
    ridge = Ridge(alpha=l2, fit_intercept=use_bias, solver="cholesky").fit(features(model), targets)
    np.testing.assert_allclose(model.get_layer("logits").kernel, ridge.coef_.T, rtol=1e-4, atol=1e-5)
    if use_bias:
        np.testing.assert_allclose(model.get_layer("logits").bias, ridge.intercept_, rtol=1e-4, atol=1e-5)
    error = np.mean((ridge.predict(features(model)) - targets) ** 2)
    assert logs == {"examples": 90, "mean_squared_error": pytest.approx(error, rel=1e-6)}


@pytest.mark.parametrize("use_bias", [True, False])
def test_without_a_penalty_it_is_least_squares(use_bias):
    model = machine(use_bias)
    solve_readout(model, batches(IMAGES, REAL), l2=0)
    x = features(model)
    x = np.concatenate([x, np.ones((90, 1))], axis=1) if use_bias else x
    expected = np.linalg.lstsq(x, REAL, rcond=None)[0]
    solved = np.concatenate([np.atleast_2d(weight) for weight in model.get_layer("logits").get_weights()])
    np.testing.assert_allclose(solved, expected, rtol=1e-3, atol=1e-4)


def test_of_many_solutions_without_a_penalty_it_takes_the_shortest():
    # More units than examples: the pseudo-inverse of Huang et al.
    model = machine(use_bias=False, units=200)
    solve_readout(model, batches(IMAGES, REAL), l2=0)
    expected = np.linalg.pinv(features(model)) @ REAL
    np.testing.assert_allclose(
        model.get_layer("logits").kernel, expected, rtol=0.01, atol=0.01 * np.abs(expected).max()
    )
    np.testing.assert_allclose(model(IMAGES), REAL, atol=0.01)


def test_the_batches_do_not_matter_and_nothing_else_changes():
    solved = []
    for size in (1, 7, 90):
        model = machine()
        before = model.get_weights()[:2]
        solve_readout(model, batches(IMAGES, LABELS, size=size), 0.1)
        assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights()[:2], strict=True))
        solved.append(model.get_weights()[2])
    np.testing.assert_allclose(solved[0], solved[2], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(solved[1], solved[2], rtol=1e-4, atol=1e-6)


def test_goes_through_the_data_once():
    seen = []

    def give():
        for start in range(0, 90, 30):
            seen.append(start)
            yield IMAGES[start : start + 30], LABELS[start : start + 30]

    signature = (tf.TensorSpec((None, 6, 6, 1)), tf.TensorSpec((None,), "int64"))
    solve_readout(machine(), tf.data.Dataset.from_generator(give, output_signature=signature), 0.1)
    assert seen == [0, 30, 60]


@pytest.mark.parametrize("use_bias", [True, False])
def test_sample_weights_are_those_of_scikit_learn(use_bias):
    weight = RANDOM.random(90)
    weight[:10] = 0
    model = machine(use_bias)
    logs = solve_readout(model, batches(IMAGES, REAL, weight), 0.5)
    ridge = Ridge(alpha=0.5, fit_intercept=use_bias).fit(features(model), REAL, weight)
    np.testing.assert_allclose(model.get_layer("logits").kernel, ridge.coef_.T, rtol=1e-3, atol=1e-5)
    assert logs["examples"] == pytest.approx(weight.sum())


@pytest.mark.parametrize("per_step", [pytest.param(False, marks=pytest.mark.slow), True])
def test_reads_sequences(per_step):
    # A random recurrent network whose last layer reads every step: an echo-state network.
    sequences, targets = RANDOM.normal(size=(10, 8, 3)).astype("float32"), RANDOM.normal(size=(10, 8, 2))
    inputs = keras.Input((8, 3))
    states = keras.layers.SimpleRNN(6, return_sequences=True, trainable=False)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, name="readout")(states))
    weight = np.ones((10, 8) if per_step else 10)
    if per_step:
        weight[:, :3] = 0
    solve_readout(model, batches(sequences, targets, weight, size=4), 0.1)
    known = np.asarray(keras.Model(inputs, states)(sequences))
    kept = slice(3, None) if per_step else slice(None)
    ridge = Ridge(alpha=0.1).fit(known[:, kept].reshape(-1, 6), targets[:, kept].reshape(-1, 2))
    np.testing.assert_allclose(model.get_layer("readout").kernel, ridge.coef_.T, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(model.get_layer("readout").bias, ridge.intercept_, rtol=1e-3, atol=1e-4)


def test_masked_steps_are_left_out():
    # Nothing but the true steps: scikit-learn on these alone, however far and with whatever the batch is padded.
    lengths = [5, 1, 8, 3]
    sequences, targets = RANDOM.normal(size=(4, 8, 3)).astype("float32"), RANDOM.normal(size=(4, 8, 2))
    true = np.arange(8) < np.array(lengths)[:, None]
    inputs = keras.Input((None, 3))
    masked = keras.layers.Masking(-9.0)(inputs)
    states = keras.layers.SimpleRNN(6, return_sequences=True, trainable=False)(masked)
    model = keras.Model(inputs, keras.layers.Dense(2, name="readout")(states))
    known = np.asarray(keras.Model(inputs, states)(sequences))[true]
    for more, weighted in ((3, False), (0, True)):
        weight = RANDOM.random((4, 8)) if weighted else np.ones((4, 8))
        ridge = Ridge(alpha=0.1).fit(known, targets[true], weight[true])
        padded = [
            np.pad(part, ((0, 0), (0, more), (0, 0))[: part.ndim], constant_values=-9)
            for part in (np.where(true[..., None], sequences, -9), np.where(true[..., None], targets, 50), weight)
        ]
        logs = solve_readout(model, batches(*padded[: 2 + weighted], size=3), 0.1)
        np.testing.assert_allclose(model.get_layer("readout").kernel, ridge.coef_.T, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(model.get_layer("readout").bias, ridge.intercept_, rtol=1e-3, atol=1e-4)
        assert logs["examples"] == pytest.approx(weight[true].sum())


def test_labels_of_every_step():
    sequences, labels = RANDOM.normal(size=(10, 8, 3)).astype("float32"), RANDOM.integers(0, 4, (10, 8))
    model = keras.Sequential([keras.Input((8, 3)), keras.layers.Dense(4, activation="softmax")])
    solve_readout(model, batches(sequences, labels), 0.1)
    ridge = Ridge(alpha=0.1).fit(sequences.reshape(-1, 3), np.eye(4)[labels.reshape(-1)])
    np.testing.assert_allclose(model.layers[-1].kernel, ridge.coef_.T, rtol=1e-3, atol=1e-5)


def test_the_most_likely_class_is_that_of_the_scores():
    model = random_feature_cnn(16, input_shape=(6, 6, 1), classes=4, grid=2, seed=0)
    solve_readout(model, batches(IMAGES, LABELS[:, None].astype("int32")), 0.01)
    ridge = Ridge(alpha=0.01).fit(features(model), np.eye(4)[LABELS])
    scores = ridge.predict(features(model))
    np.testing.assert_array_equal(model.predict(IMAGES, verbose=0).argmax(axis=1), scores.argmax(axis=1))
    assert (scores.argmax(axis=1) == LABELS).mean() > 0.6


def test_another_layer_can_be_named_and_one_unit_takes_plain_numbers():
    inputs = keras.Input((3,))
    model = keras.Model(
        inputs, [keras.layers.Dense(1, name="first")(inputs), keras.layers.Dense(2, name="second")(inputs)]
    )
    x, y = RANDOM.normal(size=(20, 3)).astype("float32"), RANDOM.integers(0, 5, 20)
    solve_readout(model, batches(x, y), 0.1, layer="first")
    ridge = Ridge(alpha=0.1).fit(x, y)
    np.testing.assert_allclose(model.get_layer("first").kernel[:, 0], ridge.coef_, rtol=1e-3)


def test_works_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = extreme_learning_machine(12, input_shape=(6, 6, 1), classes=4, seed=0)
    solve_readout(model, batches(IMAGES, LABELS), 1.0)
    keras.config.set_dtype_policy("float32")
    exact = extreme_learning_machine(12, input_shape=(6, 6, 1), classes=4, seed=0)
    solve_readout(exact, batches(IMAGES, LABELS), 1.0)
    np.testing.assert_allclose(model.get_weights()[2], exact.get_weights()[2], atol=0.02)


class Subclassed(keras.Model):
    def call(self, x):
        return x


@pytest.mark.parametrize(
    ("model", "data", "l2", "text"),
    [
        (lambda: machine(), (IMAGES, LABELS), -1, "`l2` must be a number of at least 0. Received: l2=-1."),
        (
            lambda: lenet5(),
            (IMAGES, LABELS),
            1,
            "solve_readout can solve a keras.layers.Dense only: let the model end in one, best named 'logits'. "
            "Received: 'rbf', a EuclideanRBF.",
        ),
        (
            lambda: machine(activation="relu"),
            (IMAGES, LABELS),
            1,
            "solve_readout needs a linear layer, with at most a softmax on it. "
            "Received: 'logits' with the activation 'relu'.",
        ),
        (
            lambda: Subclassed(name="own"),
            (IMAGES, LABELS),
            1,
            "solve_readout needs a functional or a built sequential model, whose graph shows what reaches the last "
            "layer. Received: <Subclassed name=own, built=False>.",
        ),
        (lambda: machine(), (IMAGES,), 1, "`data` must give batches (x, y) or (x, y, sample_weight)."),
        (
            lambda: machine(),
            (IMAGES, LABELS + 1),
            1,
            "Labels must be from 0 to 3, for a layer of 4 units. Received: 1 to 4.",
        ),
        (
            lambda: machine(),
            (IMAGES, REAL[:, :3]),
            1,
            "Targets must be integer labels of shape (32,) or numbers of shape (32, 4). "
            "Received: shape (32, 3), float64.",
        ),
        (
            lambda: machine(),
            (IMAGES, LABELS, -np.ones(90)),
            1,
            "Sample weights must be 0 or more, and have shape (32,). Received: shape (32,).",
        ),
        (
            lambda: machine(),
            (IMAGES, LABELS, np.zeros(90)),
            1,
            "`data` holds no example, or none with a weight above 0.",
        ),
    ],
)
def test_what_cannot_be_solved_is_explained(model, data, l2, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        solve_readout(model(), batches(*data), l2)


def test_a_layer_that_is_not_there_is_named():
    text = "`layer` must be one of 'hidden', 'logits'. Received: layer='dense'."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        solve_readout(machine(), batches(IMAGES, LABELS), 1.0, layer="dense")
