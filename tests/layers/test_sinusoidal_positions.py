"""Positions against the paper's formula."""

import numpy as np
import pytest
from helpers import check_layer

from kerasdl.layers import SinusoidalPositions


def test_they_are_the_waves_of_the_paper():
    layer = SinusoidalPositions()
    added = layer(np.zeros((1, 50, 6), "float32")).numpy()[0]
    for position, i in np.ndindex(50, 3):
        angle = position / 10000 ** (2 * i / 6)
        assert added[position, [i, 3 + i]] == pytest.approx([np.sin(angle), np.cos(angle)], abs=1e-4)
    later = layer(np.zeros((1, 3, 6), "float32"), start=7).numpy()[0]
    np.testing.assert_allclose(later, added[7:10], atol=1e-5)


def test_it_is_a_layer_like_all():
    check_layer(
        SinusoidalPositions,
        {},
        (2, 5, 4),
        lambda layer, inputs: 2 * inputs + layer(np.zeros_like(inputs)).numpy(),
    )


def test_an_odd_number_of_features_is_refused():
    with pytest.raises(ValueError, match="even number") as raised:
        SinusoidalPositions()(np.zeros((1, 2, 3), "float32"))
    assert str(raised.value) == (
        "SinusoidalPositions expects shape (batch, steps, features) with an even number of features. "
        "Received: (1, 2, 3)."
    )
