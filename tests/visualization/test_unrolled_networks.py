import numpy as np
import pytest
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from kerasdl.visualization import plots


def _parts(axes):
    boxes = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    return boxes, arrows


def test_every_box_and_every_arrow_is_there():
    figure = plots.unrolled(
        {"many to one\n99 %": (["a", "b", "c"], [None, None, "y"]), "one to one": (["x"], ["y"])}, title="wiring"
    )
    many, one = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["many to one\n99 %", "one to one"]
    # Three inputs, three states and an output; three arrows in, two in time, one out.
    assert [len(parts) for parts in _parts(many)] == [7, 6]
    assert [len(parts) for parts in _parts(one)] == [3, 2]
    assert [text.get_text() for text in many.texts if text.get_text()] == ["a", "b", "c", "y"]
    # Its only output stands above the last state, above the last input, and is of its own colour.
    places = {text.get_text(): text.get_position() for text in many.texts}
    assert places["y"][0] == places["c"][0] > places["b"][0] > places["a"][0]
    assert places["y"][1] > places["c"][1] == places["a"][1]
    colours = {box.get_facecolor() for box in _parts(many)[0]}
    assert len(colours) == 3
    # Rows are named at the left alone.
    assert [label.get_text() for label in many.get_yticklabels()] == ["input", "state", "output"]
    assert one.get_yticklabels() == []
    # No arrow runs backwards in time, nor down.
    for arrow in _parts(many)[1]:
        (x, y), (to_x, to_y) = arrow._posA_posB
        assert to_x > x or to_y > y
        assert np.isclose(x, to_x) or np.isclose(y, to_y)


def test_diagrams_that_cannot_be_drawn_are_refused():
    with pytest.raises(ValueError, match=r"`diagrams` must hold at least one diagram. Received: none."):
        plots.unrolled({})
    with pytest.raises(ValueError) as error:  # noqa: PT011
        plots.unrolled({"odd": (["a", "b"], ["c"])})
    assert str(error.value) == (
        "Each diagram needs as many inputs as outputs, at least one; None where there is nothing. "
        "Received: 2 inputs and 1 outputs of 'odd'."
    )
