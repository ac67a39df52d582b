"""Augmentation changes what it should, image by image, and the same way for the same seed."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl import data
from kerasdl.data import augmentation


def batches(augment, seed=0, batch_size=50, split="train[:200]", **options):
    dataset = data.load("fashion_sample", split=split, batch_size=batch_size, augment=augment, seed=seed, **options)
    return [tuple(np.asarray(part) for part in batch) for batch in dataset]


def images(*args, **kwargs):
    return np.concatenate([x for x, _ in batches(*args, **kwargs)])


@pytest.fixture
def plain():
    return images(None)


@pytest.mark.parametrize(
    "augment",
    [
        "flip",
        "crop",
        "flip_crop",
        pytest.param("rand_augment", marks=pytest.mark.slow),
        "mixup",
        "cutmix",
        "flip_crop_mixup",
    ],
)
def test_the_same_seed_gives_the_same_batches(augment, plain):
    one, two, other = (batches(augment, seed=seed, shuffle=True, split="train[:100]") for seed in (5, 5, 6))
    for (x, y), (again_x, again_y) in zip(one, two, strict=True):
        np.testing.assert_array_equal(x, again_x)
        np.testing.assert_array_equal(y, again_y)
    assert not np.array_equal(one[0][0], other[0][0])
    assert one[0][0].dtype == np.float32
    assert min(x.min() for x, _ in one) >= 0
    assert max(x.max() for x, _ in one) <= 1 + 1e-6


def test_every_epoch_is_another():
    dataset = data.load("fashion_sample", split="train[:50]", batch_size=50, augment="flip_crop")
    first, second = (next(iter(dataset))[0] for _ in range(2))
    assert not np.array_equal(first, second)


def test_flip_mirrors_about_half_of_the_images(plain):
    flipped = images("flip")
    same = (np.abs(flipped - plain) < 1e-6).all((1, 2, 3))
    mirrored = (np.abs(flipped - plain[:, :, ::-1]) < 1e-6).all((1, 2, 3))
    assert (same | mirrored).all()
    # 200 tosses of a coin: four deviations.
    assert abs(mirrored.sum() - 100) < 4 * np.sqrt(50)


def test_crop_shifts_every_image_by_whole_pixels_and_fills_with_black(plain):
    cropped = images("crop")
    padded = np.pad(plain, ((0, 0), (4, 4), (4, 4), (0, 0)))
    shifts = []
    for image, frame in zip(cropped, padded, strict=True):
        found = [
            (down - 4, right - 4)
            for down in range(9)
            for right in range(9)
            if np.allclose(frame[down : down + 28, right : right + 28], image, atol=1e-6)
        ]
        assert found
        shifts.append(found[0])
    # An eighth of 28 is 3.5 pixels: up to 4 either way, and not one shift for all of a batch.
    assert {abs(shift) for pair in shifts for shift in pair} <= {0, 1, 2, 3, 4}
    assert len(set(shifts[:50])) > 20


def test_color_changes_colours_and_keeps_the_range(tmp_path, monkeypatch):
    photos = data.load("photos", image_size=32, batch_size=9)
    changed = data.load("photos", image_size=32, batch_size=9, augment="color")
    before, after = next(iter(photos))[0], next(iter(changed))[0]
    difference = np.abs(before - after).mean((1, 2, 3))
    assert (difference > 0.005).all()
    assert (difference < 0.3).all()
    assert 0 <= np.min(after) <= np.max(after) <= 1


def test_mixup_mixes_images_and_labels_alike(plain):
    (mixed, labels), (_, classes) = batches("mixup", batch_size=200)[0], batches(None, batch_size=200)[0]
    assert labels.shape == (200, 10)
    assert labels.dtype == np.float32
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-5)
    checked = 0
    for image, label, own, original in zip(mixed, labels, classes, plain, strict=True):
        share = label[own]
        if not 0.05 < share < 0.95:
            continue
        # What is left after taking the image's own share out is one of the others, of the class that has the rest.
        rest = (image - share * original) / (1 - share)
        distances = np.abs(plain - rest).max((1, 2, 3))
        partner = int(np.argmin(distances))
        assert distances[partner] < 1e-3
        np.testing.assert_allclose(label[classes[partner]], 1 - share, atol=1e-5)
        checked += 1
    assert checked > 20


def test_cutmix_takes_a_box_of_another_image_and_its_share_of_the_label(plain):
    (mixed, labels), (_, classes) = batches("cutmix", batch_size=200)[0], batches(None, batch_size=200)[0]
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-5)
    checked = 0
    for image, label, own, original in zip(mixed, labels, classes, plain, strict=True):
        changed = np.abs(image - original)[..., 0] > 1e-6
        if not changed.any() or label[own] > 0.999:
            continue
        # Pixels that both have alike hide some of the box, and its sides are whole pixels of 28.
        assert changed.mean() <= 1 - label[own] + 2 / 28
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        box = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1) / 784
        assert box <= 1 - label[own] + 2 / 28
        checked += 1
    assert checked > 20


def test_a_keras_layer_trains_and_any_callable_is_called(plain):
    layer = keras.layers.RandomBrightness((0.25, 0.25), value_range=(0, 1), seed=0)
    np.testing.assert_allclose(images(layer), np.minimum(plain + 0.25, 1), atol=1e-6)
    np.testing.assert_allclose(images(lambda x: x * 0.5), plain / 2, atol=1e-6)


def test_single_images_can_be_augmented(plain):
    dataset = data.load("fashion_sample", split="train[:20]", augment="flip_crop")
    assert {image.shape for image, _ in dataset.as_numpy_iterator()} == {(28, 28, 1)}


@pytest.mark.parametrize("name", ["blur", "", "crop_flip", "flip_", "flip crop"])
def test_unknown_names_are_refused(name):
    message = (
        "`augment` must be a keras layer, a callable on images, or a name: one or several of flip, crop, color, "
        'rand_augment, mixup, cutmix, joined in this order as in "flip_crop_mixup". '
        f"Received: augment={name!r}."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        data.load("shapes/one", augment=name)  # Before anything is drawn.


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        (
            "fashion_sample",
            {"augment": 3},
            TypeError,
            "`augment` must be a name, a keras layer or a callable on images. Received: augment=3 of type int.",
        ),
        (
            "fashion_sample",
            {"augment": "mixup"},
            ValueError,
            "augment='mixup' mixes the images of a batch: give `batch_size` too.",
        ),
        (
            "fashion_sample",
            {"augment": "color", "batch_size": 8},
            ValueError,
            "augment='color' needs images of 3 channels. Received: images of 1.",
        ),
        ("photos", {"augment": "crop"}, ValueError, "augment='crop' needs images of one size: give `image_size` too."),
        (
            "messages",
            {"augment": "flip"},
            ValueError,
            "`augment` is for images, and x of 'messages' is no image. Received: augment='flip'.",
        ),
        (
            "fashion_sample",
            {"augment": "flip", "fields": ("image",)},
            ValueError,
            "`augment` changes images alone, not the masks and boxes of `fields`: give one or the other.",
        ),
    ],
)
def test_what_cannot_be_augmented_is_refused(name, options, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        data.load(name, **options)


def test_labels_that_are_no_classes_cannot_be_mixed():
    message = "augment='cutmix' mixes labels and needs a data set with one class label for each image."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        augmentation.make_augmentation("cutmix", 0, tf.TensorSpec((None, 8, 8, 3), tf.float32), None)
