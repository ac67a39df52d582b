import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorboard.plugins import projector

from kerasdl.callbacks import EmbeddingSummary
from kerasdl.callbacks.images import displayable
from kerasdl.callbacks.projector_files import write_pictures, write_points

POINTS = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
COLUMNS = {"class": ["cat", "dog", "a\tb\n c", "", "cow"], "number": range(5)}


def read_config(log_dir):
    config = text_format.Parse((log_dir / "projector_config.pbtxt").read_text(), projector.ProjectorConfig())
    return {entry.tensor_name: entry for entry in config.embeddings}


def test_points_are_read_back(tmp_path):
    write_points(tmp_path, "embeddings/one", POINTS, COLUMNS)
    entry = read_config(tmp_path)["embeddings/one"]
    assert list(entry.tensor_shape) == [5, 4]
    np.testing.assert_allclose(np.loadtxt(tmp_path / entry.tensor_path, delimiter="\t"), POINTS, rtol=1e-5)
    assert (tmp_path / entry.metadata_path).read_text().splitlines() == [
        *("class\tnumber", "cat\t0", "dog\t1", "a b c\t2", "(empty)\t3", "cow\t4")
    ]
    assert not entry.HasField("sprite")
    assert not list(tmp_path.rglob("*.unfinished"))


def test_a_single_column_has_no_heading(tmp_path):
    write_points(tmp_path, "one", POINTS, {"number": range(5)})
    assert (tmp_path / "projector/one/metadata.tsv").read_text().splitlines() == list("01234")


@pytest.mark.parametrize("dimensions", [1, 2])
def test_fewer_than_three_dimensions_are_filled_up(tmp_path, dimensions):
    write_points(tmp_path, "one", POINTS[:, :dimensions], COLUMNS)
    assert list(read_config(tmp_path)["one"].tensor_shape) == [5, 3]
    read = np.loadtxt(tmp_path / "projector/one/tensor.tsv", delimiter="\t")
    np.testing.assert_allclose(read, np.pad(POINTS[:, :dimensions], ((0, 0), (0, 3 - dimensions))), rtol=1e-5)


def test_other_points_stay_and_the_same_are_replaced(tmp_path):
    # Somebody else's entry, too.
    (tmp_path / "projector_config.pbtxt").write_text('embeddings { tensor_name: "words" tensor_path: "words.tsv" }')
    write_points(tmp_path, "one", POINTS, COLUMNS)
    write_points(tmp_path, "two", POINTS, COLUMNS, ("two/sprite.png", 7))
    write_points(tmp_path, "one", POINTS[:3], {"number": range(3)})
    entries = read_config(tmp_path)
    assert {name: list(entry.tensor_shape) for name, entry in entries.items()} == {
        "words": [],
        "two": [5, 4],
        "one": [3, 4],
    }
    assert entries["two"].sprite.image_path == "two/sprite.png"
    assert list(entries["two"].sprite.single_image_dim) == [7, 7]


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_stand_in_a_square_row_by_row(tmp_path, channels):
    images = np.random.default_rng(0).random((5, 6, 4, channels), dtype="float32")
    path, side = write_pictures(tmp_path, "one", images)
    assert (path, side) == ("projector/one/sprite.png", 6)
    sprite = tf.io.decode_png((tmp_path / path).read_bytes()).numpy()
    assert sprite.shape == (18, 18, 3)
    shown = displayable(images)
    for number in range(9):
        top, left = number // 3 * 6, number % 3 * 6
        tile = sprite[top : top + 6, left : left + 6]
        # Narrow images stand in the middle of a white square.
        assert (tile[:, [0, 5]] == 255).all()
        wanted = np.broadcast_to(shown[number], (6, 4, 3)) if number < 5 else np.full((6, 4, 3), 255)
        np.testing.assert_array_equal(tile[:, 1:5], wanted)


def test_large_pictures_are_made_small(tmp_path):
    image = np.zeros((2, 256, 128, 1))
    image[:, 128:] = 1
    path, side = write_pictures(tmp_path, "one", image)
    assert side == 64
    tile = tf.io.decode_png((tmp_path / path).read_bytes()).numpy()[:64, :64, 0]
    assert (tile[:32, 16:48] == 0).all()
    assert (tile[32:, 16:48] == 255).all()


def test_a_large_sheet_has_small_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr("kerasdl.callbacks.projector_files._LARGEST_SHEET", 64)
    path, side = write_pictures(tmp_path, "one", np.zeros((100, 28, 28, 1)))
    assert side == 6
    assert tf.io.decode_png((tmp_path / path).read_bytes()).shape == (60, 60, 3)


def test_a_config_that_cannot_be_read_says_where_it_is(tmp_path):
    path = tmp_path / "projector_config.pbtxt"
    path.write_text("nonsense")
    text = f"Expected {path} to be the projector's: mend or remove it. Received: "
    with pytest.raises(ValueError, match=f"^{re.escape(text)}.*nonsense"):
        write_points(tmp_path, "one", POINTS, COLUMNS)
    # The callback says so before the first epoch.
    callback = EmbeddingSummary(tmp_path, POINTS)
    callback.set_model(keras.Sequential([keras.layers.Dense(1)]))
    with pytest.raises(ValueError, match=f"^{re.escape(text)}"):
        callback.on_train_begin()
