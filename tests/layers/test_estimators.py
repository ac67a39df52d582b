"""Signs: +1 at 0, and backwards the slope that each formula says."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.layers import approx_sign, sign_ste, swish_sign, ternary_ste

SIGNS = [sign_ste, approx_sign, swish_sign]


def parabolas(x):
    """Liu et al., 2018, equation 6: the function whose slope `approx_sign` has."""
    inner = np.where(x < 0, 2 * x + x**2, 2 * x - x**2)
    return np.where(x < -1, -1, np.where(x < 1, inner, 1))


def swish(x, beta=5.0):
    """Darabi et al., 2018, equation 4: the function whose slope `swish_sign` has."""
    sigmoid = 1 / (1 + np.exp(-beta * x))
    return 2 * sigmoid * (1 + beta * x * (1 - sigmoid)) - 1


def swish_slope(x, beta=5.0):
    """Darabi et al., 2018, equation 5."""
    return beta * (2 - beta * x * np.tanh(beta * x / 2)) / (1 + np.cosh(beta * x))


SLOPES = [
    (sign_ste, lambda x: (np.abs(x) <= 1).astype(float)),
    (approx_sign, lambda x: np.maximum(2 - 2 * np.abs(x), 0)),
    (swish_sign, swish_slope),
    (lambda x: swish_sign(x, beta=2.0), lambda x: swish_slope(x, 2.0)),
    (lambda x: ternary_ste(x, 0.3), lambda x: (np.abs(x) <= 1).astype(float)),
]


def gradient(function, x, upstream):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x, output_gradients=tf.constant(upstream, x.dtype)).numpy()


@pytest.mark.parametrize("function", SIGNS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_there_is_no_sign_0(function, dtype):
    x = tf.cast([-3.0, -1e-7, -0.0, 0.0, 1e-7, 3.0, -np.inf, np.inf], dtype)
    for run in (function, tf.function(function, jit_compile=True)):
        assert run(x).dtype == x.dtype
        signs = np.asarray(tf.cast(run(x), tf.float32))
        np.testing.assert_array_equal(signs, [-1, -1, 1, 1, 1, 1, -1, 1])


@pytest.mark.parametrize("function", [*SIGNS, ternary_ste])
def test_a_number_that_is_none_stays_one(function):
    assert np.isnan(function(tf.constant([[np.nan], [1.0]]))).tolist() == [[True], [False]]


@pytest.mark.parametrize("function", SIGNS)
def test_whole_numbers_and_lists_have_signs_too(function):
    for x in ([-2, 0, 3], np.array([-2, 0, 3]), keras.ops.array([-2.0, 0.0, 3.0])):
        y = function(x)
        assert y.dtype == tf.float32
        np.testing.assert_array_equal(y, [-1, 1, 1])


@pytest.mark.parametrize(("function", "slope"), SLOPES)
@pytest.mark.parametrize("compiled", [False, True])
def test_the_gradient_is_the_formula(function, slope, compiled):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=500), [-1.0, 1.0, 0.0, -0.0, -1.001, 1.001]])
    upstream = rng.normal(size=x.size)
    run = tf.function(function, jit_compile=True) if compiled else function
    np.testing.assert_allclose(gradient(run, x, upstream), upstream * slope(x), rtol=1e-9, atol=1e-12)
    single = gradient(run, x.astype("float32"), upstream)
    np.testing.assert_allclose(single, upstream * slope(x.astype("float32")), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("function", "approached"), [(approx_sign, parabolas), (swish_sign, swish)])
def test_the_slope_is_that_of_a_function_that_approaches_the_sign(function, approached):
    x, step = np.linspace(-2, 2, 401), 1e-5
    difference = (approached(x + step) - approached(x - step)) / (2 * step)
    np.testing.assert_allclose(gradient(function, x, np.ones_like(x)), difference, atol=2e-5)
    np.testing.assert_array_equal(np.sign(approached(x[x != 0])), np.sign(x[x != 0]))
    np.testing.assert_allclose(approached(np.array([-9.0, 9.0])), [-1, 1])


def test_the_slope_of_a_swish_crosses_0_where_it_is_said_to():
    low, high = gradient(swish_sign, np.array([2.39 / 5, 2.41 / 5]), np.ones(2))
    assert low > 0 > high


def test_nothing_overflows_far_out():
    x = np.array([-1e4, -1e2, 1e2, 1e4], "float32")
    for function in SIGNS:
        np.testing.assert_array_equal(gradient(function, x, np.ones(4)), 0)


def test_ternary_signs_are_those_over_the_threshold():
    x = np.random.default_rng(0).normal(size=(3, 3, 4, 5)).astype("float32")
    limit = np.float32(0.7) * np.abs(x).mean((0, 1, 2))
    expected = np.where(np.abs(x) > limit, np.sign(x), 0)
    assert set(np.unique(expected)) == {-1, 0, 1}
    np.testing.assert_array_equal(ternary_ste(x), expected)
    np.testing.assert_array_equal(ternary_ste(x, limit), expected)
    # Just as large as the threshold is 0.
    np.testing.assert_array_equal(ternary_ste([-0.5, -0.25, 0.0, 0.25, 0.5], 0.25), [-1, 0, 0, 0, 1])


@pytest.mark.parametrize("wrong", [-0.1, np.array([0.3, -0.3]), float("nan")])
def test_refuses_thresholds_below_0(wrong):
    text = f"`threshold` must be at least 0. Received: threshold={wrong!r}."
    for run in (ternary_ste, tf.function(lambda x, threshold: ternary_ste(x, wrong))):
        with pytest.raises(ValueError, match=re.escape(text)):
            run(tf.constant([[0.1, -2.0]]), wrong)


def test_a_threshold_may_be_known_only_later_and_may_be_0():
    x = tf.constant([-0.5, 0.0, 0.25])
    run = tf.function(ternary_ste)
    np.testing.assert_array_equal(run(x, tf.constant(0.3)), [-1, 0, 0])
    np.testing.assert_array_equal(ternary_ste(x, 0), [-1, 0, 1])


@pytest.mark.parametrize("x", [0.5, [0.1, -2.0, 0.5]])
def test_refuses_to_take_single_numbers_for_filters(x):
    text = (
        "Without a `threshold` ternary_ste takes the mean size of each filter, and so a kernel of at least two axes, "
        f"the last of which are the filters. Give a threshold. Received: x of shape {np.shape(x)}."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        ternary_ste(x)
    assert ternary_ste(x, 0.3).shape == np.shape(x)


def test_no_gradient_flows_into_the_threshold():
    limit = tf.constant(0.3)
    with tf.GradientTape() as tape:
        tape.watch(limit)
        y = ternary_ste(tf.constant([0.1, 0.5]), limit)
    assert tape.gradient(y, limit) is None


@pytest.mark.parametrize("function", [*SIGNS, ternary_ste])
def test_a_saved_model_finds_it_again(function, tmp_path):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Activation(function)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert loaded.layers[-1].activation is function
