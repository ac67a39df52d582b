"""Thresholds: against fractions where all numbers are exact, and against the layers themselves elsewhere."""

from fractions import Fraction

import keras
import numpy as np
import pytest

from kerasdl.layers import FusedBatchNormalization, sign_ste
from kerasdl.xnor.graph import Node, read_graph
from kerasdl.xnor.thresholds import NotAStepError, run_layers, steps_of_sums, thresholds_of_floats

# With a variance of 1 - epsilon every number below is a fraction that float32 holds, and so is every result.
EPSILON = 2.0**-10


def path_of(shape: tuple[int, ...], *layers: keras.layers.Layer) -> list[Node]:
    """The layers as the nodes of a chain."""
    x = inputs = keras.Input(shape)
    for layer in layers:
        x = layer(x)
    return read_graph(keras.Model(inputs, x)).nodes


def exact_norm(kind: type, gamma: np.ndarray, beta: np.ndarray, mean: np.ndarray, shape: tuple[int, ...]):
    """A batch normalisation `gamma (x - mean) + beta`."""
    layer = kind(epsilon=EPSILON)
    layer.build((None, *shape))
    layer.set_weights([gamma, beta, mean, np.full(len(gamma), 1 - EPSILON)])
    return layer


def decided(steps, mismatches: np.ndarray) -> np.ndarray:
    """The comparison of sums, written out."""
    return (mismatches[:, None] <= steps.limits) ^ steps.flips[0]


@pytest.mark.parametrize("kind", [FusedBatchNormalization, keras.layers.BatchNormalization])
@pytest.mark.parametrize("shape", [(3, 2, 60), (60,)])
def test_ties_of_sums_are_decided_as_fractions_say(kind, shape) -> None:
    """The mean is a sum that occurs, times alpha: there the result is 0 or beta, whose sign is exact."""
    length, generator = 27, np.random.default_rng(0)
    gamma = generator.choice([-2.0, -0.5, 0.0, 0.25, 4.0], 60)
    beta = generator.choice([0.0, 0.0, 0.25, -0.25], 60)
    scale = generator.choice([0.25, 0.5, 2.0], 60).astype("float32")
    offset = generator.choice([0.0, 0.5, -1.5], 60).astype("float32")
    tied = length - 2 * generator.integers(0, length + 1, 60)
    norm = exact_norm(kind, gamma, beta, tied * scale + offset, shape)
    steps = steps_of_sums(path_of(shape, norm), scale, offset, length, 60)

    mismatches = np.arange(length + 1)
    for channel, (g, b, a, o, t) in enumerate(zip(gamma, beta, scale, offset, tied, strict=True)):
        a, o = Fraction(float(a)), Fraction(float(o))
        mean = int(t) * a + o
        expected = [
            Fraction(float(g)) * ((length - 2 * int(m)) * a + o - mean) + Fraction(float(b)) >= 0 for m in mismatches
        ]
        np.testing.assert_array_equal(decided(steps, mismatches)[:, channel], expected, err_msg=f"{g=} {b=} {t=}")


@pytest.mark.parametrize("kind", [FusedBatchNormalization, keras.layers.BatchNormalization])
def test_every_sum_is_decided_as_the_layers_do(kind) -> None:
    """Numbers that round: the layers' own signs for all sums, beside those of the comparison."""
    length, channels, generator = 45, 40, np.random.default_rng(1)
    scale = generator.uniform(0.01, 0.3, channels).astype("float32")
    offset = generator.normal(size=channels).astype("float32")
    norm = kind()
    norm.build((None, 4, 4, channels))
    tied = (length - 2 * generator.integers(0, length + 1, channels)).astype("float32")
    gamma = generator.normal(size=channels).astype("float32")
    norm.set_weights([gamma, np.zeros(channels), tied * scale + offset, generator.uniform(0.1, 3, channels)])
    steps = steps_of_sums(path_of((4, 4, channels), norm), scale, offset, length, channels)

    sums = (length - 2 * np.arange(length + 1)).astype("float32")
    numbers = np.asarray(norm((sums[:, None] * scale + offset)[:, None, None]))[:, 0, 0]
    np.testing.assert_array_equal(decided(steps, np.arange(length + 1)), numbers >= 0)


def test_sums_without_layers_have_the_sign_of_the_sum() -> None:
    steps = steps_of_sums([], None, None, 8, 3)
    np.testing.assert_array_equal(steps.limits, [4, 4, 4])  # 8 - 2 * 4 = 0, whose sign is +1
    np.testing.assert_array_equal(decided(steps, np.arange(9))[:, 0], np.arange(8, -9, -2) >= 0)
    assert steps.limits.dtype == np.int32


def test_a_constant_sign_is_a_comparison_that_always_holds_or_never() -> None:
    norm = exact_norm(FusedBatchNormalization, np.zeros(2), np.array([0.0, -1.0]), np.zeros(2), (2, 2, 2))
    steps = steps_of_sums(path_of((2, 2, 2), norm), None, None, 5, 2)
    np.testing.assert_array_equal(decided(steps, np.arange(6)), [[True, False]] * 6)
    numbers = thresholds_of_floats(path_of((2, 2, 2), norm), 2)
    x = np.array([-1e30, -1.0, 0.0, 2.0])[:, None]
    np.testing.assert_array_equal((x >= numbers.limits) ^ numbers.flips[0], [[True, False]] * 4)


def test_thresholds_of_floats_are_the_mean_where_all_is_exact() -> None:
    """`gamma (x - mean)` changes its sign at the mean: at it for a rising one, just above for a falling one."""
    mean = np.array([0.375, 0.375, -2.5, -2.5, 4.0], "float32")
    gamma = np.array([2.0, -2.0, 0.5, -0.5, 1.0], "float32")
    norm = exact_norm(keras.layers.BatchNormalization, gamma, np.zeros(5), mean, (5,))
    steps = thresholds_of_floats(path_of((5,), norm), 5)
    above = np.nextafter(mean, np.float32(np.inf))
    np.testing.assert_array_equal(np.where(gamma > 0, mean, above), steps.limits)
    np.testing.assert_array_equal(steps.flips[0], gamma < 0)


def test_thresholds_of_floats_are_exact_where_layers_round() -> None:
    """The threshold and its two neighbours among the float32 numbers, run through the layers."""
    generator, channels = np.random.default_rng(2), 48
    norm = FusedBatchNormalization()
    norm.build((None, 5, 5, channels))
    weights = [generator.normal(size=channels) for _ in range(3)]
    norm.set_weights([*weights, generator.uniform(0.1, 3, channels)])
    path = path_of((5, 5, channels), norm, keras.layers.LeakyReLU(0.3), keras.layers.Rescaling(0.5, -0.25))
    steps = thresholds_of_floats(path, channels)
    infinity = np.float32(np.inf)
    near = [np.nextafter(steps.limits, -infinity), steps.limits, np.nextafter(steps.limits, infinity)]
    numbers = np.stack([*near, *generator.normal(size=(50, channels)).astype("float32")])
    expected = np.asarray(path[2].layer(path[1].layer(norm(numbers[:, None, None])))) >= 0
    np.testing.assert_array_equal((numbers >= steps.limits) ^ steps.flips[0], expected[:, 0, 0])
    np.testing.assert_array_equal(steps.flips[0], weights[0] < 0)


def test_numbers_that_are_almost_zero_have_the_sign_that_tensorflow_gives_them() -> None:
    """It takes denormal numbers for 0."""
    numbers = np.array([-1e-37, -1.2e-38, -1.17e-38, -1e-40, -0.0, 1e-40], "float32")
    steps = thresholds_of_floats([], 1)
    expected = np.asarray(sign_ste(numbers)) >= 0
    np.testing.assert_array_equal((numbers >= steps.limits) ^ steps.flips[0], expected)
    np.testing.assert_array_equal(expected, [False, False, True, True, True, True])


def test_maxima_of_falling_functions_are_ands() -> None:
    """`sign(norm(max x))` for a negative gamma is +1 only where it is for all of the window: turned, OR, turned."""
    gamma = np.array([1.0, -1.0])
    norm = exact_norm(FusedBatchNormalization, gamma, np.zeros(2), np.array([1.0, 1.0]), (2, 2, 2))
    path = path_of((4, 4, 2), keras.layers.MaxPooling2D(2), norm)
    steps = steps_of_sums(path, None, None, 7, 2)
    generator = np.random.default_rng(3)
    mismatches = generator.integers(0, 8, (20, 4, 4, 2))
    pictures = (7 - 2 * mismatches).astype("float32")
    bits = (mismatches <= steps.limits) ^ steps.flips[0]
    pooled = bits.reshape(20, 2, 2, 2, 2, 2).any((2, 4)) ^ steps.flips[1]
    expected = np.asarray(norm(path[0].layer(pictures))) >= 0
    np.testing.assert_array_equal(pooled, expected)
    np.testing.assert_array_equal(steps.flips[1], gamma < 0)


def test_a_function_that_turns_is_no_step() -> None:
    """An ELU that rises to the left as well, less 0.7: +1 far from 0 on both sides, -1 at the sum -1."""
    path = path_of((3,), keras.layers.ELU(-1.0), keras.layers.Rescaling(1.0, -0.7))
    with pytest.raises(NotAStepError, match=r"^the sign changes more than once as the sum grows$"):
        steps_of_sums(path, None, None, 9, 3)
    with pytest.raises(NotAStepError, match=r"^a function between rises and falls$"):
        thresholds_of_floats(path, 3)
    pooled = path_of((4, 4, 3), keras.layers.MaxPooling2D(2), *[node.layer for node in path])
    with pytest.raises(NotAStepError, match=r"changes more than once as"):
        steps_of_sums(pooled, None, None, 9, 3)


def test_functions_that_fall_a_little_are_tried_on_every_sum() -> None:
    """SiLU falls left of -1.28 but keeps its sign: fine for sums, which are all tried, and refused for real numbers."""
    path = path_of((3,), keras.layers.Activation("silu"))
    np.testing.assert_array_equal(steps_of_sums(path, None, None, 9, 3).limits, [4, 4, 4])
    with pytest.raises(NotAStepError, match=r"^a function between rises and falls$"):
        thresholds_of_floats(path, 3)


def test_nan_is_no_step() -> None:
    norm = keras.layers.BatchNormalization()
    norm.build((None, 2))
    norm.set_weights([np.ones(2), np.zeros(2), np.zeros(2), np.array([1.0, -1.0])])
    with pytest.raises(NotAStepError, match=r"^a layer between makes NaN of it$"):
        steps_of_sums(path_of((2,), norm), None, None, 4, 2)


def test_layers_see_pictures_of_the_models_size() -> None:
    """Rows of numbers are laid out as pictures of 5x3 pixels, and come back in their order."""
    numbers = np.random.default_rng(4).normal(size=(31, 6)).astype("float32")
    signs, levels = run_layers(path_of((5, 3, 6), keras.layers.Rescaling(-1.0), keras.layers.MaxPooling2D(2)), numbers)
    np.testing.assert_array_equal(signs, numbers <= 0)
    np.testing.assert_array_equal(levels[0], -numbers)
