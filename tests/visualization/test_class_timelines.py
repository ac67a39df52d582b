"""Timelines step where the classes change, and mark what differs from the truth."""

import re

import numpy as np
import pytest

from kerasdl.visualization import plots

NAMES = ("deep", "light", "awake")


def test_each_row_steps_from_class_to_class_and_its_mistakes_are_marked(tmp_path):
    truth, guess = [2, 2, 1, 0], [2, 1, 1, 1]
    figure = plots.timelines(
        {"truth": truth, "network": guess}, NAMES, [0, 0.5, 1, 1.5], x_label="hours", title="A night"
    )
    first, second = figure.axes
    for axes, row in ((first, truth), (second, guess)):
        heights, edges, _ = axes.patches[0].get_data()
        np.testing.assert_array_equal(heights, row)
        np.testing.assert_allclose(edges, [0, 0.5, 1, 1.5, 2])
        assert [label.get_text() for label in axes.get_yticklabels()] == list(NAMES)
    assert not first.lines
    np.testing.assert_allclose(second.lines[0].get_xydata(), [[0.75, 1], [1.75, 1]])
    assert first.get_title(loc="left") == "truth"
    assert second.get_title(loc="left") == "network: 50% of the steps wrong"
    assert second.get_xlabel() == "hours"
    assert plots.save(figure, tmp_path / "night.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({}, "`rows` must hold 1 to 6 rows of equally many steps, two at least. Received: []."),
        (
            {"a": [0, 1], "b": [0]},
            "`rows` must hold 1 to 6 rows of equally many steps, two at least. Received: [(2,), (1,)].",
        ),
        ({"a": [0, 3]}, "`rows` must hold whole numbers of classes, in range(3), as many as `names`."),
        ({"a": [0.0, 1.0]}, "`rows` must hold whole numbers of classes, in range(3), as many as `names`."),
    ],
)
def test_rows_that_do_not_fit_are_refused(rows, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        plots.timelines(rows, NAMES, x_label="x")
