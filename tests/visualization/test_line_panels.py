"""Curves side by side."""

import numpy as np
import pytest

from kerasdl.visualization import plots


def test_each_panel_holds_its_own_numbers_and_all_the_same_axis():
    figure = plots.line_panels(
        {"one": {"a": [0.5, 1.0], "b": [0.5, 1.0]}, "two": {"a": [0.0, 0.25], "b": [1.0, 0.75]}},
        [10, 20],
        x_label="length",
        y_label="share",
        errors={"two": {"b": [0.1, 0.2]}},
        y_limits=(-0.05, 1.05),
        marks=[15],
        title="what breaks",
    )
    one, two = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["one", "two"]
    assert one.get_ylim() == two.get_ylim() == (-0.05, 1.05)
    (a, *_), (b, _, bars) = two.containers
    np.testing.assert_array_equal(a.get_xydata(), [[10, 0], [20, 0.25]])
    np.testing.assert_array_equal(b.get_xydata(), [[10, 1], [20, 0.75]])
    np.testing.assert_allclose(bars[0].get_segments(), [[[10, 0.9], [10, 1.1]], [[20, 0.55], [20, 0.95]]])
    # Two curves with the same values: neither hides the other.
    hidden, above = (container[0] for container in one.containers)
    assert above.get_linestyle() == "--"
    assert above.get_linewidth() < hidden.get_linewidth()
    assert above.get_marker() != hidden.get_marker()
    np.testing.assert_array_equal(one.lines[-1].get_xdata(), [15, 15])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_curves_of_different_lengths_count_from_one():
    figure = plots.line_panels({"only": {"short": [1.0], "long": [3.0, 2.0]}}, x_label="step", y_label="value")
    np.testing.assert_array_equal(figure.axes[0].containers[1][0].get_xydata(), [[1, 3], [2, 2]])


@pytest.mark.parametrize("panels", [{}, {"one": {}}, {"one": {name: [1.0] for name in "abcde"}}])
def test_no_curves_or_too_many_are_refused(panels):
    with pytest.raises(ValueError, match="1 to 4 curves"):
        plots.line_panels(panels, x_label="x", y_label="y")
