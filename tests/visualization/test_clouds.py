"""Clouds of points, read back from the figure."""

import numpy as np
import pytest

from kerasdl.visualization import plots


def test_every_point_stands_in_its_place_in_the_colour_of_its_class():
    random = np.random.default_rng(0)
    labels = np.array([0, 2, 1, 0, 2])
    points = {name: random.normal(size=(5, 2)) for name in ("pixels", "features")}
    figure = plots.clouds(points, labels, ["circle", "star", "ring"], title="Near and far")
    assert [axes.get_title() for axes in figure.axes] == ["pixels", "features"]
    assert figure.get_suptitle() == "Near and far"
    colours = []
    for axes, values in zip(figure.axes, points.values(), strict=True):
        for number, drawn in enumerate(axes.collections):
            np.testing.assert_allclose(drawn.get_offsets(), values[labels == number])
        colours.append([tuple(drawn.get_facecolor()[0]) for drawn in axes.collections])
    assert colours[0] == colours[1]
    assert len(set(colours[0])) == 3
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["circle", "star", "ring"]


def test_wrong_points_are_refused():
    with pytest.raises(ValueError) as error:  # noqa: PT011
        plots.clouds({"a": np.zeros((4, 2))}, [0, 1], ["x", "y"])
    assert str(error.value) == "`points` must have shape (2, 2), one per label. Received: {'a': (4, 2)}."
