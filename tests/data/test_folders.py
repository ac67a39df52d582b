"""One's own images: every layout, every kind of picture, fair splits and clear refusals."""

import collections
import os
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerasdl import data
from kerasdl.data import folders

# A different shade for every image tells which one it is.
CLASSES = {"cat": 20, "dog": 30, "eel": 50}


@pytest.fixture
def path(tmp_path):
    """100 images of 8x8 in three classes; the red channel is the class, the green one the number."""
    for label, (name, count) in enumerate(CLASSES.items()):
        (tmp_path / name).mkdir()
        for number in range(count):
            Image.new("RGB", (8, 8), (label, number, 7)).save(tmp_path / name / f"{number:02}.png")
    return tmp_path


def identities(dataset):
    """(label, class of the picture, number of the picture) of every example."""
    examples = [(np.rint(255 * image), label) for image, label in dataset.as_numpy_iterator()]
    assert all(image[0, 0, 2] == 7 for image, _ in examples)
    return [(int(label), int(image[0, 0, 0]), int(image[0, 0, 1])) for image, label in examples]


def test_every_image_comes_once_with_its_label(path):
    found = identities(data.from_folder(path))
    assert sorted(found) == [(label, label, number) for label, n in enumerate(CLASSES.values()) for number in range(n)]


def test_values_types_and_batches(path):
    dataset = data.from_folder(str(path), batch_size=32, image_size=8)
    assert len(dataset) == 4
    images, labels = next(iter(dataset))
    assert images.dtype == tf.float32
    assert labels.dtype == tf.int64
    assert images.shape == (32, 8, 8, 3)
    np.testing.assert_allclose(images[:, 3, 3, 0], labels / 255, atol=1e-7)


def test_parts_of_the_split_are_disjoint_complete_and_fair(path):
    whole = identities(data.from_folder(path))
    train, test = (identities(data.from_folder(path, split=split)) for split in ("train[:80%]", "train[80%:]"))
    assert train + test == whole
    assert (len(train), len(test)) == (80, 20)
    # 20, 30 and 50 in a hundred: in any part the same shares, within one image.
    counts = collections.Counter(label for label, _, _ in test)
    assert all(abs(counts[label] - 0.2 * count) <= 1 for label, count in enumerate(CLASSES.values()))
    # Not the last of each folder either.
    assert {number for label, _, number in test if label == 2} != set(range(40, 50))


def test_the_order_is_the_same_every_time_and_another_with_shuffle(path):
    whole = identities(data.from_folder(path))
    assert identities(data.from_folder(path)) == whole
    shuffled = data.from_folder(path, shuffle=True, seed=3)
    first, second = identities(shuffled), identities(shuffled)
    assert sorted(first) == sorted(second) == sorted(whole)
    assert first != second != whole
    assert identities(data.from_folder(path, shuffle=True, seed=3)) == first


def test_split_folders_are_splits(path, tmp_path_factory):
    above = tmp_path_factory.mktemp("above")
    path.rename(above / "train")
    (above / "test" / "dog").mkdir(parents=True)
    Image.new("RGB", (8, 8), (1, 99, 7)).save(above / "test" / "dog" / "x.PNG")
    # The class keeps its label, though the test split has no other.
    assert identities(data.from_folder(above, split="test")) == [(1, 1, 99)]
    assert len(data.from_folder(above, split="train+test")) == 101
    summary = data.info(above)
    assert summary.counts == {"test": 1, "train": 100}
    assert summary.classes == ("cat", "dog", "eel")
    with pytest.raises(ValueError, match=r'^`split` is not one that can be read. There are the splits "test" \(1\), '):
        data.from_folder(above, split="validation")


def picture(mode):
    """A picture in a mode, red on the left and blue on the right. JPEG blurs only the edge."""
    rgb = Image.new("RGB", (48, 32), (255, 0, 0))
    rgb.paste((0, 0, 255), (16, 0, 48, 32))
    return rgb.quantize(4) if mode == "P" else rgb.convert(mode)


@pytest.mark.parametrize(
    ("mode", "ending"),
    [
        *(("RGB", "png"), ("L", "png"), ("LA", "png"), ("P", "png"), ("RGBA", "png"), ("P", "gif"), ("L", "gif")),
        *(("RGB", "bmp"), ("L", "bmp"), ("P", "bmp"), ("RGB", "jpg"), ("L", "jpeg"), ("CMYK", "jpg")),
    ],
)
def test_every_kind_of_picture_becomes_rgb(tmp_path, mode, ending):
    (tmp_path / "class").mkdir()
    picture(mode).save(tmp_path / "class" / f"image.{ending}")
    image, _ = next(data.from_folder(tmp_path).as_numpy_iterator())
    assert image.shape == (32, 48, 3)
    # Red and blue, or in grey 0.299 and 0.114 of the light (ITU-R BT.601).
    left, right = ([0.299] * 3, [0.114] * 3) if mode.startswith("L") else ([1, 0, 0], [0, 0, 1])
    np.testing.assert_allclose(image[:, :15], np.broadcast_to(left, (32, 15, 3)), atol=0.01)
    np.testing.assert_allclose(image[:, 17:], np.broadcast_to(right, (32, 31, 3)), atol=0.01)


def test_sixteen_bits_are_scaled_and_not_cut(tmp_path):
    shades = np.array([[0, 256, 25600, 65535]], "uint16")
    Image.fromarray(shades).save(tmp_path / "deep.png")
    assert folders.read_image(tmp_path / "deep.png")[0, :, 0].tolist() == [0, 1, 100, 255]


def test_photographs_stand_upright(tmp_path):
    """Telephones store a picture as the sensor saw it, and in the EXIF data how to turn it."""
    picture("RGB").save(tmp_path / "turned.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # To be turned by 90 degrees clockwise.
    picture("RGB").save(tmp_path / "turned.png", exif=exif)
    image = folders.read_image(tmp_path / "turned.png")
    np.testing.assert_array_equal(image, np.rot90(np.asarray(picture("RGB")), -1))


def test_images_of_different_sizes_need_a_size_for_batches(path):
    Image.new("RGB", (5, 9), (0, 0, 7)).save(path / "cat" / "other.png")
    message = f"The images of '{path}' may differ in size and cannot be batched as they are: give `image_size`, or"
    with pytest.raises(ValueError, match=f"^{re.escape(message)} batch_size=None.$"):
        data.from_folder(path, batch_size=4)
    shapes = {image.shape for image, _ in data.from_folder(path).as_numpy_iterator()}
    assert shapes == {(8, 8, 3), (9, 5, 3)}
    sized = data.from_folder(path, image_size=(6, 4))
    assert {image.shape for image, _ in sized.as_numpy_iterator()} == {(6, 4, 3)}


def test_hidden_files_and_other_files_are_passed_over(path):
    (path / ".cache").mkdir()
    (path / "cat" / "._00.png").write_text("left by another system")
    (path / "cat" / "notes.txt").write_text("")
    assert data.info(path).counts == {"train": 100}


def test_pictures_of_other_kinds_are_named(path, recwarn):
    assert "left out" not in str(data.info(path))
    data.from_folder(path)
    assert recwarn.list == []
    for name in ("cat/w.webp", "eel/IMG_1.HEIC", ".cache/x.webp", "cat/._w.webp"):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text("")
    summary = data.info(path)
    assert summary.left_out == ("cat/w.webp", "eel/IMG_1.HEIC")
    assert summary.counts == {"train": 100}
    said = "2 pictures, cat/w.webp, eel/IMG_1.HEIC; what is read is .bmp, .gif, .jpeg, .jpg and .png"
    assert f"\nleft out: {said}\n" in str(summary)
    with pytest.warns(UserWarning, match=f"^{re.escape(f'{path} is read without {said}.')}$") as warned:
        data.from_folder(path)
    assert warned[0].filename == __file__
    for name in ("3.tif", "4.tif"):
        (path / "eel" / name).write_text("")
    assert "left out: 4 pictures, cat/w.webp, eel/3.tif, eel/4.tif, ...; what is" in str(data.info(path))


def test_augmentation_as_in_load(path):
    dataset = data.from_folder(path, image_size=8, batch_size=50, augment="mixup")
    assert next(iter(dataset))[1].shape == (50, 3)


def test_errors_say_what_is_wrong_and_where(tmp_path):
    layout = "Images are looked for as path/<class>/*.jpg or path/<split>/<class>/*.jpg (or .jpeg, .png, .gif, .bmp)."

    def says(message, error=ValueError):
        return pytest.raises(error, match=f"^{re.escape(message)}")

    with says(f"`path` must be a folder. {layout} Received: {tmp_path}/no.", FileNotFoundError):
        data.from_folder(tmp_path / "no")
    with says(f"There must be class folders. {layout} Received: none in {tmp_path}."):
        data.from_folder(tmp_path)
    (tmp_path / "cat").mkdir()
    with says(f"Every class needs images. {layout} Received: none in {tmp_path}/cat."):
        data.from_folder(tmp_path)
    (tmp_path / "cat" / "page.jpg").write_text("<html>not found</html>")
    with says(f"The image {tmp_path}/cat/page.jpg cannot be read: cannot identify image file"):
        data.from_folder(tmp_path)


def test_a_truncated_image_is_named(tmp_path):
    (tmp_path / "cat").mkdir()
    Image.effect_noise((64, 64), 50).save(tmp_path / "cat" / "cut.png")
    with open(tmp_path / "cat" / "cut.png", "r+b") as file:
        file.truncate(os.path.getsize(tmp_path / "cat" / "cut.png") // 2)
    with pytest.raises(ValueError, match=f"^The image {tmp_path}/cat/cut.png cannot be read: .*Mend it or remove it"):
        list(data.from_folder(tmp_path, image_size=8))


def test_strings_and_paths_alike(path, monkeypatch):
    assert str(data.info(str(path))) == str(data.info(pathlib.Path(path)))
    assert data.info(str(path)).name == str(path)
    monkeypatch.setenv("HOME", str(path.parent))
    assert data.info(f"~/{path.name}").classes == ("cat", "dog", "eel")


def test_what_is_a_name_and_a_folder_is_the_name_unless_it_is_a_path(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    path.rename("messages")
    assert data.info("messages").classes == ("ham", "spam")
    assert data.info(pathlib.Path("messages")).classes == ("cat", "dog", "eel")
    assert data.info("./messages").classes == ("cat", "dog", "eel")


def test_a_picture_among_the_class_folders_does_not_hide_them(tmp_path):
    for place in ("train/cat/1.png", "train/dog/1.png", "train/thumb.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / place)
    with pytest.raises(
        ValueError, match=f"must hold images or folders of images, not both.*Received: {tmp_path}/train"
    ):
        data.from_folder(tmp_path)


@pytest.mark.parametrize("split", ["all", "tr ain-1"])
def test_a_split_that_tfds_has_no_word_for_is_refused(tmp_path, split):
    (tmp_path / split / "cat").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / split / "cat" / "1.png")
    with pytest.raises(ValueError, match=r'must have a name of letters, digits and "_" that is not "all"'):
        data.from_folder(tmp_path)
