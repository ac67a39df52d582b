"""A figure in the page looks as it does on paper, and is no larger than a page can hold."""

import base64
import io

import numpy as np
import PIL.Image

from kerasdl.tutorials import gallery


def _pixels(picture):
    return np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(picture.data.partition(",")[2]))))


def test_what_is_transparent_is_white(tmp_path):
    image = PIL.Image.new("RGBA", (30, 20), (0, 0, 0, 0))
    image.putpixel((3, 4), (0, 0, 0, 255))
    image.putpixel((5, 6), (0, 0, 0, 51))
    image.save(tmp_path / "clear.png")
    expected = np.full((20, 30, 3), 255)
    expected[4, 3], expected[6, 5] = 0, 255 - 51
    np.testing.assert_array_equal(_pixels(gallery.picture_of(tmp_path / "clear.png")), expected)


def test_what_is_too_wide_for_the_format_becomes_smaller(tmp_path):
    PIL.Image.new("1", (20_000, 10)).save(tmp_path / "long.png")
    picture = gallery.picture_of(tmp_path / "long.png")
    assert (picture.width, picture.height) == (16383, 8)
    assert _pixels(picture).shape == (8, 16383, 3)


def test_what_would_fill_the_memory_is_no_picture(tmp_path, monkeypatch):
    PIL.Image.new("1", (1000, 1000)).save(tmp_path / "bomb.png")
    assert gallery.picture_of(tmp_path / "bomb.png") is not None
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 300_000)
    assert gallery.picture_of(tmp_path / "bomb.png") is None
