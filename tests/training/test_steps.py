"""The compiled steps against the same step written out by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl import training


def linear(optimizer=None, **kwargs):
    """y = x w without bias, whose gradient is known: the mean of 2 (x w - y) x."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False, dtype="float32", **kwargs)])
    model.compile(optimizer or keras.optimizers.SGD(1.0), "mse", metrics=["mae"])
    return model


def batch():
    random = np.random.default_rng(0)
    return random.normal(size=(5, 3)).astype("float32"), random.normal(size=(5, 1)).astype("float32")


def gradient(weights, x, y):
    return (2 * x * (x @ weights - y)).mean(0)[:, None]


def test_a_step_goes_down_the_gradient():
    model, (x, y) = linear(), batch()
    before = model.get_weights()[0]
    logs = training.make_train_step(model)(x, y)
    np.testing.assert_allclose(model.get_weights()[0], before - gradient(before, x, y), rtol=1e-5)
    assert set(logs) == {"loss", "mae"}
    assert float(logs["loss"]) == pytest.approx(np.mean((x @ before - y) ** 2), rel=1e-5)
    assert float(logs["mae"]) == pytest.approx(np.mean(np.abs(x @ before - y)), rel=1e-5)


@pytest.mark.parametrize("clip_norm", [0.01, 1e6])
def test_clipping_scales_all_gradients_together_and_reports_the_norm_before(clip_norm):
    model, (x, y) = linear(), batch()
    before = model.get_weights()[0]
    full = gradient(before, x, y)
    norm = np.linalg.norm(full)
    logs = training.make_train_step(model, clip_norm=clip_norm)(x, y)
    assert float(logs["gradient_norm"]) == pytest.approx(norm, rel=1e-5)
    np.testing.assert_allclose(model.get_weights()[0], before - full * min(1, clip_norm / norm), rtol=1e-5, atol=1e-7)


def test_clipping_knows_the_loss_scale():
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1.0), initial_scale=2.0**10)
    model, (x, y) = linear(optimizer), batch()
    before = model.get_weights()[0]
    full = gradient(before, x, y)
    norm = np.linalg.norm(full)
    logs = training.make_train_step(model, clip_norm=0.1)(x, y)
    assert float(logs["gradient_norm"]) == pytest.approx(norm, rel=1e-4)
    np.testing.assert_allclose(model.get_weights()[0], before - full * 0.1 / norm, rtol=1e-4)


def test_regularisation_is_part_of_the_loss():
    model, (x, y) = linear(kernel_regularizer=keras.regularizers.L2(0.1)), batch()
    before = model.get_weights()[0]
    training.make_train_step(model)(x, y)
    expected = before - gradient(before, x, y) - 0.2 * before
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-5)


def test_sample_weights_count():
    model, (x, y) = linear(), batch()
    before = model.get_weights()[0]
    weights = np.array([1, 0, 2, 0, 0.5], "float32")
    training.make_train_step(model)(x, y, weights)
    per_example = 2 * x * (x @ before - y) * weights[:, None]
    np.testing.assert_allclose(model.get_weights()[0], before - per_example.sum(0)[:, None] / 5, rtol=1e-4)


def test_an_attack_changes_the_batch_first_and_is_no_part_of_the_gradient():
    def sign_attack(model, x, y):
        # The fast gradient sign method on this model: the sign of 2 (x w - y) w.
        weights = model.layers[-1].kernel
        return x + 0.1 * tf.sign((x @ weights - y) @ tf.transpose(weights))

    model, (x, y) = linear(), batch()
    before = model.get_weights()[0]
    logs = training.make_train_step(model, attack=sign_attack)(x, y)
    attacked = x + 0.1 * np.sign((x @ before - y) @ before.T)
    assert float(logs["loss"]) == pytest.approx(np.mean((attacked @ before - y) ** 2), rel=1e-5)
    np.testing.assert_allclose(model.get_weights()[0], before - gradient(before, attacked, y), rtol=1e-5)


def test_a_step_is_traced_once_for_batches_of_different_sizes():
    traces = []

    def counting(model, x, y):
        traces.append(1)
        return x

    model, (x, y) = linear(), batch()
    step = training.make_train_step(model, attack=counting)
    for size in (5, 4, 3, 5, 2):
        step(tf.constant(x[:size]), tf.constant(y[:size]))
    assert len(traces) <= 2  # once for the first shape, once for any batch size


def test_the_evaluation_step_gives_what_model_evaluate_gives():
    model, (x, y) = linear(), batch()
    expected = model.evaluate(x, y, batch_size=2, verbose=0, return_dict=True)
    step = training.make_eval_step(model)
    model.reset_metrics()
    for start in (0, 2, 4):
        logs = step(x[start : start + 2], y[start : start + 2])
    assert {name: float(value) for name, value in logs.items()} == pytest.approx(expected, rel=1e-6)


def test_a_step_refuses_a_loss_that_is_not_finite_and_leaves_the_weights():
    model, (x, y) = linear(), batch()
    before = model.get_weights()[0]
    text = "It became NaN or infinite in this step, which did not touch the trainable weights"
    with pytest.raises(FloatingPointError, match=text):
        training.make_train_step(model)(x * np.inf, y)
    np.testing.assert_array_equal(model.get_weights()[0], before)


def test_a_model_without_an_optimizer_is_refused():
    model = linear()
    model.compile(loss="mse", optimizer=None)
    with pytest.raises(ValueError, match=r"must be compiled with an optimizer: call model.compile\(optimizer="):
        training.make_train_step(model)
