"""Texts side by side."""

import itertools

import pytest

from kerasdl.visualization import plots


def test_lines_are_kept_wrapped_and_cut():
    figure = plots.passages({"cold": "one\n\ntwo three four", "hot": "a\nb\nc\nd\ne"}, width=9, lines=4, title="Drawn")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["cold", "hot"]
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["one\n\ntwo three\nfour", "a\nb\nc\n..."]
    assert figure.get_suptitle() == "Drawn"


def test_columns_and_dollars_stay_inside():
    figure = plots.passages(dict.fromkeys("abcd", "$5 ^ W$ " * 40), width=30)
    figure.draw_without_rendering()
    boxes = [axes.texts[0].get_window_extent() for axes in figure.axes]
    assert all(one.x1 <= two.x0 for one, two in itertools.pairwise(boxes))
    assert boxes[-1].x1 <= figure.bbox.x1
    assert boxes[0].y0 >= 0


def test_too_many_columns_are_refused():
    with pytest.raises(ValueError, match=r"`texts` must hold 1 to 4 texts. Received: 5."):
        plots.passages(dict.fromkeys("abcde", ""))
