"""`photos` gives the pictures themselves, with who made them."""

import numpy as np
import pytest
import sklearn.datasets

from kerasdl import data
from kerasdl.data import catalog, photos


@pytest.mark.parametrize("file", ["china.jpg", "flower.jpg"])
def test_pictures_are_those_of_scikit_learn(file):
    label = data.info("photos").classes.index(file.removesuffix(".jpg"))
    pictures = {int(y): x for x, y in data.load("photos").as_numpy_iterator()}
    expected = sklearn.datasets.load_sample_image(file) / 255
    assert pictures[label].shape == expected.shape == (427, 640, 3)
    # Two JPEG decoders differ by rounding, in the colours of single pixels by more.
    assert np.abs(pictures[label] - expected).mean() < 0.01


def test_every_picture_has_a_title_and_a_credit():
    fields = data.load("photos", fields=("label", "title", "credit"))
    rows = [(int(row["label"]), row["title"].decode(), row["credit"].decode()) for row in fields.as_numpy_iterator()]
    assert [label for label, _, _ in rows] == list(range(9))
    for _, title, credit in rows:
        assert title
        assert any(terms in credit for terms in ("CC0 1.0", "CC BY 2.0", "public domain"))


def test_every_credit_stands_in_the_licence():
    text = (catalog.shipped_folder("photos").parent / "LICENSE.txt").read_text()
    for file, (_, credit) in photos.PHOTOS.items():
        assert file.removesuffix(".jpg") in text
        assert credit.split(",")[0] in text


def test_textures_are_grey_and_photographs_are_not():
    names = data.info("photos").classes
    for image, label in data.load("photos").as_numpy_iterator():
        colour = np.abs(image.max(-1) - image.min(-1)).mean()
        assert (colour < 0.01) == (names[label] in ("brick", "grass", "gravel"))


def test_a_size_makes_one_batch_of_all():
    images, labels = next(iter(data.load("photos", image_size=(32, 48), batch_size=16)))
    assert images.shape == (9, 32, 48, 3)
    assert labels.numpy().tolist() == list(range(9))
