import numpy as np
import pytest

from kerasdl.visualization import plots


def test_lines_stand_where_their_numbers_are():
    figure = plots.lines(
        {"plain": [1.0, 10.0], "residual": [2.0, 3.0]},
        {"plain": [5, 6], "residual": [7, 9]},
        x_label="depth",
        y_label="loss",
        errors={"residual": [0.5, 0.25]},
        log_y=True,
        title="who learns",
    )
    (axes,) = figure.axes
    plain, residual = axes.lines
    np.testing.assert_array_equal(plain.get_xydata(), [[5, 1], [6, 10]])
    np.testing.assert_array_equal(residual.get_xydata(), [[7, 2], [9, 3]])
    (band,) = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (1.5, 3.25)
    assert (axes.get_xscale(), axes.get_yscale(), axes.get_xlabel()) == ("linear", "log", "depth")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["plain", "residual"]


def test_one_line_alone_needs_no_legend_and_counts_from_one():
    figure = plots.lines({"norm": [3.0, 2.0, 1.0]}, x_label="layer", y_label="norm", markers=False)
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xdata(), [1, 2, 3])
    assert figure.legends == []


def test_logarithmic_axes_say_their_numbers_plainly():
    sizes = [1, 2, 4, 8, 16]
    figure = plots.lines({"time": [90, 50, 30, 25, 24]}, sizes, x_label="", y_label="", log_x=True, log_y=True)
    figure.canvas.draw()
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "4", "8", "16"]
    assert {"50", "100"} <= {label.get_text() for label in axes.get_yticklabels()}
    figure = plots.lines({"norm": 0.1 ** np.arange(30)}, x_label="", y_label="", log_y=True)
    figure.canvas.draw()
    assert all("10^" in label.get_text() for label in figure.axes[0].get_yticklabels())


def test_bars_of_several_groups_stand_side_by_side_with_their_numbers():
    figure = plots.bars({"now": [1.0, 2.0], "then": [3.0, 4.5]}, ["a", "b"], y_label="share", written="{:.1f}")
    (axes,) = figure.axes
    np.testing.assert_allclose([bar.get_height() for bar in axes.patches], [1, 2, 3, 4.5])
    left = np.array([bar.get_x() for bar in axes.patches])
    right = left + [bar.get_width() for bar in axes.patches]
    assert right[0] <= left[2] < right[2] <= left[1]
    assert [text.get_text() for text in axes.texts] == ["1.0", "2.0", "3.0", "4.5"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]


def test_the_area_of_a_ball_is_in_proportion():
    figure = plots.scatter(
        [1, 10], [0.5, 0.7], ["small", "large"], x_label="cost", y_label="accuracy", sizes=[1, 4], log_x=True
    )
    balls, dots = figure.axes[0].collections
    np.testing.assert_allclose((balls.get_sizes()[1] - 15) / (balls.get_sizes()[0] - 15), 4)
    np.testing.assert_array_equal(dots.get_offsets(), [[1, 0.5], [10, 0.7]])
    assert [text.get_text() for text in figure.axes[0].texts] == ["small", "large"]


@pytest.mark.parametrize(
    ("draw", "text"),
    [
        (
            lambda: plots.lines({}, x_label="", y_label=""),
            "`series` must hold 1 to 8 curves. Received: 0.",
        ),
        (
            lambda: plots.bars({str(i): [1] for i in range(9)}, ["a"], y_label=""),
            "`groups` must hold 1 to 8 groups. Received: 9.",
        ),
        (
            lambda: plots.scatter([1], [2], ["a", "b"], x_label="", y_label=""),
            "Expected as many names as points. Received: 2 names, 1 and 1 values.",
        ),
    ],
)
def test_wrong_numbers_are_explained(draw, text):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        draw()
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("places", "ticks"),
    [
        ((8, 16, 24, 32), [8, 16, 24, 32]),
        ((0, 0.05, 0.1), [0, 0.05, 0.1]),
        ((5,), [5]),
        ((1, 2, 3, 100), [0, 15, 30, 45, 60, 75, 90]),
    ],
)
def test_few_places_are_named_on_the_axis_unless_they_stand_too_near(places, ticks):
    figure = plots.lines({"a": np.arange(len(places))}, places, x_label="size", y_label="share")
    low, high = figure.axes[0].get_xlim()
    assert [tick for tick in figure.axes[0].get_xticks() if low <= tick <= high] == ticks


def test_many_bars_make_no_figure_too_wide_for_a_slide():
    narrow, wide = (
        plots.bars({name: [1.0] * 6 for name in "abcdefgh"[:count]}, list("uvwxyz"), y_label="share")
        for count in (2, 4)
    )
    assert (narrow.get_figwidth(), wide.get_figwidth()) == (12, 15)
    # Beside the bars the legend would take their room.
    wide.draw_without_rendering()
    assert wide.legends[0].get_window_extent().y1 < wide.axes[0].get_window_extent().y0
