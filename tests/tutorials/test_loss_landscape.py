"""What the lesson on loss landscapes computes by itself."""

import numpy as np
import pytest

from kerasdl.tutorials.loss_landscape import radius


def test_radius_is_where_the_height_is_first_reached_on_either_side():
    places = np.linspace(-2, 2, 401)
    # x^2 is 1 at a distance of 1; the other half rises twice as fast.
    assert radius(places**2, places, 1.0) == pytest.approx(1.0)
    assert radius(np.where(places > 0, 2, 1) * np.abs(places), places, 1.0) == pytest.approx((1 + 0.5) / 2)
    # It may come down again behind a hill: 1 - cos is 1 at a quarter of its period, 1.25 periods away as well.
    assert radius(1 - np.cos(4 * places), places, 1.0) == pytest.approx(np.pi / 8, abs=1e-3)
    # Never reached: the end of the line.
    assert radius(places**2, places, 9.0) == 2.0
