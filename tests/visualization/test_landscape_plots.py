"""Surfaces, lines of equal height, and shaded words: what is drawn is what was given."""

import numpy as np
import pytest

from kerasdl.visualization import plots

COORDINATES = np.linspace(-1, 1, 5)
ROWS, COLUMNS = np.meshgrid(COORDINATES, COORDINATES, indexing="ij")
STEEP = 1 + 99 * (3 * ROWS**2 + COLUMNS**2) / 4  # 1 in the middle, 100 in the corners


def test_surfaces_share_one_scale():
    low = np.full((5, 5), 10.0)
    figure = plots.surfaces({"steep": STEEP, "flat": low}, COORDINATES, title="two")
    steep, flat, bar = figure.axes
    assert (steep.get_title(), flat.get_title(), bar.get_ylabel()) == ("steep", "flat", "loss")
    assert steep.get_zlim() == flat.get_zlim() == (0, 2)  # the logarithms of 1 and 100
    assert [label.get_text() for label in bar.get_yticklabels()] == ["1", "2", "5", "10", "20", "50", "100"]
    # The same height has the same colour: 10 is in the middle of the scale.
    (surface,) = flat.collections
    np.testing.assert_allclose(surface.get_array(), 1.0)
    assert surface.get_clim() == steep.collections[0].get_clim() == (0, 2)
    corners = np.asarray(steep.collections[0].get_array())
    assert corners.size == 16
    # The mean height of the four corners of the first patch.
    assert corners.max() == pytest.approx(np.log10(STEEP[:2, :2]).mean())


def test_lines_of_equal_height_lie_where_the_heights_are():
    figure = plots.contours({"bowl": STEEP}, COORDINATES, levels=2, log=False, labels=("a", "b"))
    axes, bar = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel(), bar.get_ylabel()) == ("a", "b", "loss")
    filled, lines = axes.collections
    np.testing.assert_allclose(filled.levels, [1, 50.5, 100])
    # The first coordinate goes to the right, and there the bowl is steep. From 0.5 to 1 along it the height goes from
    # 1 + 99 * 3 / 16 to 1 + 99 * 3 / 4, so 50.5 lies at 0.5 + 0.5 * (50.5 - 19.5625) / 55.6875.
    points = np.concatenate([path.vertices for path in lines.get_paths()])
    on_axis = points[(np.abs(points[:, 1]) < 1e-9) & (np.abs(points[:, 0]) > 0.1)]  # not the lowest place itself
    np.testing.assert_allclose(np.abs(on_axis[:, 0]), 0.5 + 0.5 * (50.5 - 19.5625) / 55.6875)
    (cross,) = axes.lines
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (0, 0)


def test_what_is_too_high_or_no_number_is_drawn_at_the_top():
    heights = STEEP.copy()
    heights[0, 0], heights[4, 4] = np.nan, np.inf
    figure = plots.surfaces({"cut": heights}, COORDINATES, highest=10, log=False)
    assert figure.axes[0].get_zlim() == (1, 10)
    assert figure.axes[0].collections[0].get_array().max() == 10


def test_attention_shades_each_word_by_its_weight():
    weights = np.array([[0.0, 0.5, 1.0], [0.25, 0.0, 0.0]])
    figure = plots.attention(weights, ["red", "is", "beautiful"], ["rot", "ist"], title="words")
    axes, bar = figure.axes
    assert [text.get_text() for text in axes.texts] == [
        "rot",
        "red",
        "is",
        "beautiful",
        "ist",
        "red",
        "is",
        "beautiful",
    ]
    assert (bar.get_ylabel(), figure.get_suptitle()) == ("attention", "words")
    blue = np.array([0x56, 0xAE, 0xE6]) / 255
    for box, weight in zip(axes.patches, weights.ravel(), strict=True):
        np.testing.assert_allclose(box.get_facecolor()[:3], 1 - weight * (1 - blue), atol=0.005)
    # The same word stands at the same place in both rows, and nothing overlaps.
    lefts = [box.get_x() for box in axes.patches]
    assert lefts[:3] == lefts[3:]
    assert all(a.get_x() + a.get_width() < b.get_x() for a, b in zip(axes.patches[:2], axes.patches[1:3], strict=True))
    # Every word fits into its box, as drawn.
    figure.draw_without_rendering()
    for text, box in zip((text for text in axes.texts if text.get_weight() != "bold"), axes.patches, strict=True):
        inner, outer = text.get_window_extent(), box.get_window_extent()
        assert outer.x0 < inner.x0 < inner.x1 < outer.x1
        assert outer.y0 < inner.y0 < inner.y1 < outer.y1


def test_long_sentences_go_on_in_the_next_line():
    words = ["reading"] * 30
    figure = plots.attention(np.full((2, 32), 0.1), [words, words[:2]], width=8)
    boxes = figure.axes[0].patches
    assert len(boxes) == 32  # what lies behind a sentence's end is not drawn
    heights = [box.get_y() for box in boxes]
    assert heights == sorted(heights)
    assert len(set(heights[:30])) > 1
    assert heights[30] == heights[31] > heights[29]
    assert figure.get_figwidth() <= 8


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (plots.surfaces, ({}, COORDINATES), r"`heights` must be tables of shape \(5, 5\), .*Received: \[\]\."),
        (plots.contours, ({"a": STEEP[:4]}, COORDINATES), r"Received: \[\(4, 5\)\]\."),
        (
            plots.surfaces,
            ({"a": STEEP - 2}, COORDINATES),
            r"where `log` is true, as it is by default, only numbers above 0\. Received: a smallest of -1\.",
        ),
        (plots.contours, ({"a": STEEP * np.nan}, COORDINATES), r"Received: none that is finite\."),
        (
            plots.attention,
            ([[0.5, 0.5]], []),
            r"each row a sentence of at least one word\. Received: shape \(1, 2\) and sentences of \[0\] words\.",
        ),
        (plots.attention, ([0.5], ["a", "b"]), r"Expected a weight for each word\. Received: 1 for 2 words\."),
        (plots.attention, ([0.5], ["a"], ["b", "c"]), r"one target per row of weights\. Received: 2 for 1 rows\."),
        (plots.attention, ([-1.0], ["a"]), r"must be finite and at least 0\. Received: a smallest of -1\."),
    ],
)
def test_refuses(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)
