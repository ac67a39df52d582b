"""The very deep vanilla network: the critical line by another quadrature, and norms through ten thousand layers."""

import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.integrate import quad

from kerasdl.architectures import vanilla_cnn
from kerasdl.architectures.very_deep import critical_variances


def mean(function, q):
    """E[function(h)] for h ~ N(0, q), by adaptive integration."""

    def integrand(z):
        return function(np.sqrt(q) * z) * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)

    return quad(integrand, -12, 12, epsabs=1e-14, epsrel=1e-12, limit=200)[0]


@pytest.mark.parametrize("q", [1e-4, 0.01, 0.1, 1.0])
def test_the_variances_lie_on_the_critical_line(q):
    weight_variance, bias_variance = critical_variances(q)
    assert weight_variance * mean(lambda h: (1 - np.tanh(h) ** 2) ** 2, q) == pytest.approx(1, rel=1e-9)
    assert weight_variance * mean(lambda h: np.tanh(h) ** 2, q) + bias_variance == pytest.approx(q, rel=1e-9)
    assert bias_variance > 0


def test_near_zero_the_line_is_a_power_series():
    # tanh(h) = h - h^3 / 3 + ...: 1 / E[tanh'^2] = 1 + 2 q + O(q^2), and of the biases 4 / 3 q^3 is left.
    weight_variance, bias_variance = critical_variances(1e-4)
    assert weight_variance == pytest.approx(1 + 2e-4, abs=1e-7)
    assert bias_variance == pytest.approx(4 / 3 * 1e-12, rel=2e-3)


def test_q_outside_the_quadrature_is_refused():
    with pytest.raises(ValueError, match=r"^`q` must be positive and at most 1. Received: q=0.$"):
        critical_variances(0)


def test_a_wide_random_network_has_the_variance_that_theory_says():
    # One layer of many units, from signals of variance q: their weighted sums have variance q again, and the squared
    # length of a gradient stays as it is.
    q, units, random = 0.5, 1000, np.random.default_rng(0)
    weight_variance, bias_variance = critical_variances(q)
    before = random.normal(0, q**0.5, (200, units))
    weights = random.normal(0, (weight_variance / units) ** 0.5, (units, units))
    after = np.tanh(before) @ weights + random.normal(0, bias_variance**0.5, units)
    assert after.var() == pytest.approx(q, rel=0.03)
    gradient = random.normal(size=(200, units))
    behind = gradient @ weights.T * (1 - np.tanh(before) ** 2)
    assert (behind**2).mean() == pytest.approx(1, rel=0.03)


@pytest.fixture(scope="module")
def deep():
    return vanilla_cnn(10_000, channels=16, input_shape=(16, 16, 3), seed=0)


@pytest.mark.slow
def test_norms_survive_ten_thousand_layers_both_ways(deep):
    stack = deep.get_layer("stage2_out")
    images = np.random.default_rng(0).random((4, 16, 16, 3), dtype="float32")
    x = keras.Model(deep.input, deep.get_layer("stage1_out").output)(images)
    arriving = tf.random.normal(x.shape, seed=1)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = stack(x)
    gradient = tape.gradient(y, x, arriving)
    ratios = np.sqrt(np.sum(np.square(y), axis=(1, 2, 3)) / np.sum(np.square(x), axis=(1, 2, 3)))
    assert np.all((ratios > 0.5) & (ratios < 2)), ratios
    ratios = np.sqrt(np.sum(np.square(gradient), axis=(1, 2, 3)) / np.sum(np.square(arriving), axis=(1, 2, 3)))
    assert np.all((ratios > 0.5) & (ratios < 2.5)), ratios


def test_glorot_does_not_survive_a_thousand():
    stack = vanilla_cnn(1000, seed=0).get_layer("stage2_out")
    glorot = type(stack)(1000, kernel_initializer="glorot_uniform")
    x = tf.random.normal((2, 4, 4, 16), stddev=1000**-0.5, seed=0)
    assert np.linalg.norm(stack(x)) > 0.3 * np.linalg.norm(x)
    assert np.linalg.norm(glorot(x)) < 1e-2 * np.linalg.norm(x)


def test_has_the_weights_that_it_says(deep):
    assert vanilla_cnn().count_params() == 237_258
    assert deep.count_params() == 23_205_258
    stack = deep.get_layer("stage2_out")
    assert stack.kernel.shape == (10_000, 3, 3, 16, 16)
    weight_variance, bias_variance = critical_variances(1e-4)
    centres = stack.kernel.numpy()[:, 1, 1].astype("float64")
    squares = centres @ centres.transpose(0, 2, 1)
    np.testing.assert_allclose(squares, np.broadcast_to(weight_variance * np.eye(16), squares.shape), atol=1e-5)
    assert stack.bias.numpy().std() == pytest.approx(bias_variance**0.5, rel=0.01)


def test_the_seed_decides():
    first, second, third = (vanilla_cnn(5, seed=seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    assert not any(np.array_equal(one, other) for one, other in zip(first, third, strict=True) if one.any())


def test_ten_thousand_layers_are_built_soon():
    vanilla_cnn(2)
    begin = time.perf_counter()
    vanilla_cnn(10_000)
    # 0.3 seconds alone on a core.
    assert time.perf_counter() - begin < 5


def test_a_depth_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"^`depth` must be a positive integer. Received: depth=0.$"):
        vanilla_cnn(0)
