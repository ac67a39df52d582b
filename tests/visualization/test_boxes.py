"""Boxes on images: where they stand, and what is refused."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from kerasdl.visualization import plots


def test_boxes_go_around_the_pixels_they_name_in_their_order():
    images = np.zeros((2, 10, 20, 1))
    figure = plots.box_grid(images, [[(0.1, 0.5, 0.4, 0.75), (0, 0, 1, 1)], np.zeros((0, 4))], ["a", "b"], title="all")
    first, second = figure.axes
    boxes = [patch for patch in first.patches if isinstance(patch, Rectangle)]
    # Rows 1 to 3 and columns 10 to 14, whose centres are whole numbers.
    assert boxes[0].get_bbox().extents == pytest.approx([9.5, 0.5, 14.5, 3.5])
    assert boxes[1].get_bbox().extents == pytest.approx([-0.5, -0.5, 19.5, 9.5])
    assert [text.get_text() for text in first.texts] == ["1", "2"]
    # The later, the brighter.
    assert sum(boxes[0].get_edgecolor()[:3]) < sum(boxes[1].get_edgecolor()[:3])
    assert not second.patches
    assert (first.get_title(), figure.get_suptitle()) == ("a", "all")
    assert not plots.box_grid(images[:1], [[(0, 0, 1, 1)]], numbered=False).axes[0].texts


def test_what_are_no_boxes_is_refused():
    with pytest.raises(ValueError, match="`boxes` must hold") as told:
        plots.box_grid(np.zeros((2, 8, 8, 1)), np.zeros((2, 4)))
    assert str(told.value) == (
        "`boxes` must hold (top, left, bottom, right) for each box of each image, (N, boxes, 4). "
        "Received: 2 images and boxes of shapes [(4,), (4,)]."
    )
