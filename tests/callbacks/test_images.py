import io
import re

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from picture_helpers import read_images

from kerasdl.callbacks.images import displayable, pixels, sheet, write_figure
from kerasdl.visualization import plots


def shades(values):
    """What becomes of some shades of grey in one image."""
    return displayable(np.asarray(values).reshape(1, 1, -1, 1))[0, 0, :, 0].tolist()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.2, 1.0], [0, 51, 255]),
        ([0.0, 0.2, 0.4], [0, 51, 102]),  # dark images stay dark
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([0.0, 2.0, 254.6], [0, 2, 255]),
        (np.array([0, 7, 200], "uint8"), [0, 7, 200]),
        (np.array([0, 7, 200], "int64"), [0, 7, 200]),
        ([False, True, True], [0, 255, 255]),
        ([-2.0, 0.0, 8.0], [0, 51, 255]),  # stretched
        ([100.0, 300.0, 1100.0], [0, 51, 255]),
        ([0.0, np.nan, 1.0], [0, 0, 255]),
        ([-3.0, np.inf, 2.0], [0, 0, 255]),
        ([np.nan, np.nan, np.nan], [0, 0, 0]),
        ([5000.0, 5000.0, 5000.0], [0, 0, 0]),
        (tf.constant([0.0, 0.5, 1.0], tf.bfloat16), [0, 128, 255]),
        (tf.constant([0.0, 0.5, 1.0], tf.float16), [0, 128, 255]),
    ],
)
def test_shades_become_what_they_mean(values, expected):
    assert shades(values) == expected


def test_standardised_images_get_their_colours_back():
    images = np.random.default_rng(0).random((4, 5, 6, 3))
    images[0, 0, 0], images[0, 0, 1] = 0, 1  # each channel has its darkest and its brightest shade
    standardised = (images - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.1]
    np.testing.assert_array_equal(displayable(standardised), np.rint(255 * images))


def test_any_number_of_channels_becomes_one_or_three():
    images = np.random.default_rng(0).random((2, 4, 4, 5))
    np.testing.assert_array_equal(displayable(images), displayable(images[..., :3]))
    np.testing.assert_array_equal(displayable(images[..., :2])[..., 0], np.rint(255 * images[..., :2].mean(-1)))
    np.testing.assert_array_equal(displayable(images[..., 0])[..., 0], np.rint(255 * images[..., 0]))


@pytest.mark.parametrize("images", [np.zeros((2, 3)), np.zeros((0, 4, 4, 1)), np.full((1, 2, 2, 1), "a")])
def test_what_is_no_image_is_refused(images):
    text = (
        "`images` must be numbers of shape (N, height, width) or (N, height, width, channels). Received: shape "
        f"{images.shape} of {images.dtype}."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        displayable(images)


@pytest.mark.parametrize("gap", [0, 1, 3])
def test_a_sheet_has_its_tiles_row_by_row(gap):
    tiles = np.random.default_rng(0).integers(0, 255, (5, 4, 6, 3), dtype="uint8")
    expected = np.full((2 * 4 + gap, 3 * 6 + 2 * gap, 3), 255)
    for index, tile in enumerate(tiles):
        top, left = (index // 3) * (4 + gap), (index % 3) * (6 + gap)
        expected[top : top + 4, left : left + 6] = tile
    np.testing.assert_array_equal(sheet(tiles, 3, gap=gap), expected)


def test_a_figure_becomes_the_pixels_that_it_is_saved_as(tmp_path):
    def draw():
        return plots.image_grid(np.random.default_rng(0).random((3, 4, 4, 3)), ["one", "two", "three"])

    file = io.BytesIO()
    draw().savefig(file, format="png", dpi=80)
    expected = np.asarray(PIL.Image.open(file))[..., :3]
    np.testing.assert_array_equal(pixels(draw()), expected)
    with tf.summary.create_file_writer(str(tmp_path)).as_default():
        write_figure("some/figure", draw(), 7)
    [(step, [written])] = read_images(tmp_path, "some/figure").items()
    assert step == 7
    np.testing.assert_array_equal(written, expected)
