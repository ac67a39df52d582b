import io
import re
import sys

import keras
import numpy as np
import PIL.Image
import pytest

import kerasdl.visualization
from kerasdl.visualization import plots


def test_plots_are_imported_when_they_are_asked_for(monkeypatch):
    monkeypatch.delitem(sys.modules, "kerasdl.visualization.plots")
    monkeypatch.delattr(kerasdl.visualization, "plots")
    assert "plots" in dir(kerasdl.visualization)
    assert kerasdl.visualization.plots is sys.modules["kerasdl.visualization.plots"]
    with pytest.raises(AttributeError, match=r"^module 'kerasdl\.visualization' has no attribute 'plot'$"):
        _ = kerasdl.visualization.plot


def test_images_are_drawn_as_they_are_each_under_its_title():
    images = np.random.default_rng(0).random((5, 4, 6, 1))
    figure = plots.image_grid(images, list("abcde"), columns=3, title="letters")
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in shown] == list("abcde")
    for axes, image in zip(shown, images, strict=True):
        np.testing.assert_allclose(axes.images[0].get_array(), image[..., 0], rtol=1e-6)
        assert axes.images[0].get_clim() == (0, 1)  # not stretched: dark images stay dark
    assert figure.get_suptitle() == "letters"
    # Row by row: the fourth image begins the second row.
    assert shown[3].get_subplotspec().rowspan.start == 1
    assert shown[3].get_subplotspec().colspan.start == 0


def test_weights_are_drawn_around_grey_on_one_scale():
    figure = plots.image_grid(np.array([[[0.0, 2.0]], [[-4.0, 1.0]]]), symmetric=True)
    first, second = (axes.images[0].get_array() for axes in figure.axes)
    np.testing.assert_allclose(first, [[0.5, 0.75]])
    np.testing.assert_allclose(second, [[0.0, 0.625]])


def test_colour_images_keep_their_colours():
    images = np.random.default_rng(0).random((1, 4, 4, 3))
    figure = plots.image_grid(images)
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), images[0], rtol=1e-6)


def test_curves_are_the_history_counted_from_epoch_one():
    old = {"accuracy": [0.1, 0.2], "val_accuracy": [0.15, 0.25]}
    new = keras.callbacks.History()
    new.history = {"accuracy": [0.3, 0.4, 0.5]}
    figure = plots.training_curves({"old": old, "new": new})
    axes = figure.axes[0]
    drawn = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}
    assert drawn == {
        "old, validation": ([1, 2], [0.15, 0.25]),
        "old, training": ([1, 2], [0.1, 0.2]),
        "new, training": ([1, 2, 3], [0.3, 0.4, 0.5]),
    }
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["old", "new"]
    assert [line.get_color() for line in figure.legends[0].get_lines()] == list(plots.COLOURS[:2])
    assert axes.get_xlabel() == "epoch"
    assert axes.get_ylabel() == "accuracy"
    assert axes.yaxis.get_major_formatter()(0.85) == "85.0%"


def test_a_name_with_dollar_signs_is_no_formula():
    figure = plots.confusion_matrix(np.eye(2, dtype=int), ["$\\foo$", "two\nlines"])
    figure.savefig(io.BytesIO())
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["$\\foo$", "two lines"]
    plots.attention(np.eye(2), ["$\\foo$", "a"], ["$\\foo$", "b"]).savefig(io.BytesIO())


def test_the_confusion_matrix_writes_counts_and_shades_shares():
    matrix = [[8, 2, 0], [0, 5, 0], [1, 1, 2]]
    figure = plots.confusion_matrix(matrix, ["shirt", "bag", "boot"], title="who is who")
    axes = figure.axes[0]
    written = {tuple(int(place) for place in text.get_position()): text.get_text() for text in axes.texts}
    # Position is (column, row): one shirt in five is taken for a bag.
    assert written == {(0, 0): "8", (1, 0): "2", (1, 1): "5", (0, 2): "1", (1, 2): "1", (2, 2): "2"}
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.8, 0.2, 0], [0, 1, 0], [0.25, 0.25, 0.5]])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["shirt", "bag", "boot"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["shirt", "bag", "boot"]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("true class", "predicted class")


def test_a_class_without_images_leaves_its_row_white():
    figure = plots.confusion_matrix([[3, 0], [0, 0]], ["a", "b"])
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), [[1, 0], [0, 0]])


def test_saving_makes_the_folder_and_leaves_nothing_global(tmp_path):
    figure = plots.image_grid(np.ones((1, 2, 2)))
    path = plots.save(figure, tmp_path / "new" / "white.png")
    with PIL.Image.open(path) as picture:
        width, height = picture.size
        assert (width, height) == pytest.approx(120 * figure.get_size_inches(), abs=1)
        # The middle of the picture is the middle of the image: white.
        assert picture.convert("L").getpixel((width // 2, height // 2)) == 255
    with PIL.Image.open(plots.save(figure, path, dpi=60)) as picture:
        assert picture.size == pytest.approx(60 * figure.get_size_inches(), abs=1)


def test_a_picture_says_its_title(tmp_path):
    images = np.zeros((3, 4, 4))
    for name, figure, expected in (
        ("title", plots.image_grid(images, ["a", "b", "c"], title="Three → black"), {"Title": "Three → black"}),
        ("parts", plots.image_grid(images, ["a", "a\nyear", "a"]), {"Title": "a, a year"}),
        ("left", plots.passages({"Hamlet": "To be", "Ophelia": "My lord"}), {"Title": "Hamlet, Ophelia"}),
        ("none", plots.image_grid(images), {}),
    ):
        with PIL.Image.open(plots.save(figure, tmp_path / f"{name}.png")) as picture:
            assert {key: text for key, text in picture.text.items() if key == "Title"} == expected
    figure = plots.image_grid(images, title="Three → black")
    assert b"Three" in plots.save(figure, tmp_path / "title.svg").read_bytes()
    assert b"/Title" in plots.save(figure, tmp_path / "title.pdf").read_bytes()


@pytest.mark.parametrize("ending", ["jpg", "JPEG", "webp", "tif", "gif"])
def test_formats_that_hold_no_title_are_written_without(ending, tmp_path):
    figure = plots.image_grid(np.zeros((1, 4, 4)), title="black")
    with PIL.Image.open(plots.save(figure, tmp_path / f"black.{ending}")) as picture:
        assert picture.convert("L").getpixel((picture.width // 2, picture.height // 2)) < 3


@pytest.mark.parametrize(
    ("draw", "text"),
    [
        (
            lambda: plots.image_grid(np.ones((2, 4, 4, 2))),
            "`images` must have shape (N, height, width), or (N, height, width, channels) with 1 or 3 channels. "
            "Received: shape (2, 4, 4, 2).",
        ),
        (
            lambda: plots.image_grid(np.ones((2, 4, 4)), ["a"]),
            "Expected one title per image. Received: 1 titles for 2 images.",
        ),
        (
            lambda: plots.confusion_matrix(np.ones((3, 3)), ["a", "b"]),
            "`matrix` must have shape (2, 2), for 2 class names. Received: shape (3, 3).",
        ),
        (
            lambda: plots.training_curves({"run": {"loss": [1.0]}}, "accuracy"),
            "`metric` must be one of ['loss'] in the run 'run'. Received: metric='accuracy'.",
        ),
        (lambda: plots.training_curves({}), "`histories` must hold 1 to 8 runs. Received: 0."),
    ],
)
def test_the_errors_say_what_was_expected_and_received(draw, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        draw()


def test_long_titles_are_broken_so_that_they_keep_clear_of_each_other():
    titles = ["a yellow arrow left of a white hourglass", "short\n→ and two lines"]
    figure = plots.image_grid(np.zeros((2, 4, 4)), titles)
    shown = [axes.get_title() for axes in figure.axes]
    assert shown == ["a yellow arrow left\nof a white\nhourglass", "short\n→ and two lines"]
    figure.canvas.draw()
    left, right = (axes.title.get_window_extent() for axes in figure.axes)
    assert left.x1 < right.x0


def test_a_title_with_dollar_signs_is_no_formula(tmp_path):
    figure = plots.image_grid(np.zeros((1, 4, 4)), [r"$5 to \$ 10$"])
    plots.save(figure, tmp_path / "prices.png")
    assert not figure.axes[0].title.get_parse_math()


def test_many_images_in_a_row_are_smaller_and_not_the_letters():
    figure = plots.image_grid(np.zeros((12, 4, 4)), ["an ankle boot, or a shoe"] * 12, columns=12)
    # On a slide of 10 inches, the width of a figure is what its letters shrink by: 13 points to 8.
    assert 13 * 10 / figure.get_figwidth() > 8
    assert max(len(line) for line in figure.axes[0].get_title().split("\n")) <= 13
