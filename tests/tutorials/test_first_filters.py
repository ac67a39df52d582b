"""What the lessons on filters and patches measure, on filters and classes made for it."""

import numpy as np
import pytest

from kerasdl.tutorials.first_filters import measure
from kerasdl.tutorials.maximal_patches import purity


@pytest.mark.parametrize("side", [5, 6])
def test_a_wave_in_one_colour_is_all_of_one_wave_in_one_colour(side):
    rows, columns = np.mgrid[:side, :side]
    wave = np.cos(2 * np.pi * (rows + 2 * columns) / side + 0.3)
    measured = measure(np.stack([wave[..., None] * np.array(colour) for colour in ([1, 1, 1], [1, -1, 0])]))
    np.testing.assert_allclose(measured["one_colour"], 1)
    np.testing.assert_allclose(measured["one_wave"], 1)
    np.testing.assert_allclose(measured["greyness"], [1, 0], atol=1e-12)
    np.testing.assert_allclose(measured["frequency"], 5**0.5 / side)


def test_two_equal_waves_and_two_equal_colours_are_half():
    rows, columns = np.mgrid[:6, :6]
    # The fastest wave of an even side is its own opposite.
    first, second = np.cos(np.pi * rows), np.cos(2 * np.pi * columns / 6) * 2**0.5
    both = (first + second)[..., None] * np.array([0.6, 0.8, 0])
    apart = np.stack([first, second, 0 * first], axis=-1)
    measured = measure(np.stack([both, apart]))
    np.testing.assert_allclose(measured["one_wave"][0], 0.5)
    np.testing.assert_allclose(measured["one_colour"], [1, 0.5])


def test_purity_is_the_share_of_the_most_frequent():
    np.testing.assert_allclose(purity(np.array([[0, 0, 0, 0], [1, 2, 1, 0], [3, 2, 1, 0]]), 5), [1, 0.5, 0.25])
