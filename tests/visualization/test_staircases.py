"""The staircase says the numbers that it was given."""

import re

import numpy as np
import pytest

from kerasdl.visualization import plots


def test_each_bar_ends_at_its_value_and_says_it(tmp_path):
    figure = plots.staircase(
        [2.0, 1.5, 1.75],
        ["ResNet", "patches", "larger kernels"],
        x_label="loss",
        errors=[0.1, 0.2, 0.0],
        notes=["1 M", "2 M", "3 M"],
        title="Steps",
    )
    axes = figure.axes[0]
    np.testing.assert_allclose([bar.get_x() + bar.get_width() for bar in axes.patches], [2.0, 1.5, 1.75])
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["2", "1.5", "1.75", "1 M", "2 M", "3 M"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ResNet", "patches", "larger kernels"]
    # The first step stands at the top.
    assert axes.yaxis_inverted()
    assert plots.save(figure, tmp_path / "steps.png").stat().st_size > 5000


def test_only_small_steps_are_drawn_on_an_axis_that_begins_near_them():
    small = plots.staircase([78.8, 82.0], ["a", "b"], x_label="accuracy, %")
    for large in ([10.0, 40.0], [22.0, 41.0], [0.75, 1.0]):
        assert plots.staircase(large, ["a", "b"], x_label="milliseconds").axes[0].get_xlim()[0] == 0
    assert 75 < small.axes[0].get_xlim()[0] < 78.8


def test_equal_values_can_be_drawn(tmp_path):
    assert plots.save(plots.staircase([1.0, 1.0], ["a", "b"], x_label="x"), tmp_path / "equal.png").exists()


def test_names_that_do_not_fit_are_refused():
    text = "Expected one name, and one note, per value. Received: 2 values, 1 names."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        plots.staircase([1.0, 2.0], ["a"], x_label="x")
    text = "Expected one name, and one note, per value. Received: 1 values, 1 names, 2 notes."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        plots.staircase([1.0], ["a"], x_label="x", notes=["b", "c"])
