"""Stacked bars, read back from the figure."""

import numpy as np
import pytest

from kerasdl.visualization import plots


def test_parts_lie_on_each_other_and_the_sum_is_written():
    parts = {"convolutions": [1.0, 2.0, 3.0], "dense": [10.0, 0.5, 4.0]}
    figure = plots.stacked_bars(parts, ["A", "B", "C"], y_label="parameters", title="Where they are")
    (axes,) = figure.axes
    lower, upper = axes.containers
    assert [bar.get_height() for bar in lower] == [1, 2, 3]
    assert [bar.get_height() for bar in upper] == [10, 0.5, 4]
    np.testing.assert_allclose([bar.get_y() for bar in upper], [1, 2, 3])
    assert [text.get_text() for text in axes.texts] == ["11", "2.5", "7"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["A", "B", "C"]
    # The legend reads from top to bottom as the bars do.
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["dense", "convolutions"]


def test_wrong_parts_are_refused():
    with pytest.raises(ValueError) as error:  # noqa: PT011
        plots.stacked_bars({}, ["A"], y_label="y")
    assert str(error.value) == "`parts` must hold 1 to 8 parts. Received: 0."
    with pytest.raises(ValueError) as error:  # noqa: PT011
        plots.stacked_bars({"a": [1], "b": [1, 2]}, ["A"], y_label="y")
    assert str(error.value) == "Expected one value per name, 1, in each part. Received: {'b': 2}."
