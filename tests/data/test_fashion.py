"""`fashion_sample` is what it says: real images of Fashion-MNIST, balanced in every part."""

import numpy as np
import pytest

from kerasdl import data
from kerasdl.data import fashion


@pytest.mark.parametrize(("split", "per_class"), [("train", 600), ("test", 100)])
def test_classes_are_balanced_in_every_ten_images(split, per_class):
    labels = next(iter(data.load("fashion_sample", split=split, batch_size=6000)))[1].numpy()
    assert np.bincount(labels).tolist() == [per_class] * 10
    assert (np.sort(labels.reshape(-1, 10)) == np.arange(10)).all()
    # Mixed: not the same order in every ten.
    assert len({tuple(ten) for ten in labels.reshape(-1, 10)}) > 0.9 * per_class


def test_images_look_like_fashion_mnist():
    images, labels = next(iter(data.load("fashion_sample", batch_size=6000)))
    assert images.shape == (6000, 28, 28, 1)
    # Mean and deviation of the shades of all 60,000 training images, as published: 0.2860 and 0.3530.
    assert abs(float(np.mean(images)) - 0.2860) < 0.005
    assert abs(float(np.std(images)) - 0.3530) < 0.005
    assert float(np.min(images)) == 0
    assert float(np.max(images)) == 1
    # Labels and pictures belong together: an ankle boot has a shaft where a sneaker has nothing, and only the trousers
    # of all clothes are dark between the legs.
    mean = [np.mean(images[labels == label], axis=0)[..., 0] for label in range(10)]
    sneaker, boot = (mean[fashion.CLASSES.index(name)] for name in ("Sneaker", "Ankle boot"))
    assert sneaker[:8].mean() < 0.1 * boot[:8].mean()
    between_the_legs = [mean[fashion.CLASSES.index(name)][20:26, 13:15].mean() for name in fashion.CLASSES[:5]]
    assert np.argmin(between_the_legs) == fashion.CLASSES.index("Trouser")


def test_no_image_stands_twice():
    images = np.concatenate(
        [next(iter(data.load("fashion_sample", split=s, batch_size=6000)))[0] for s in ("train", "test")]
    )
    assert len({image.tobytes() for image in images}) == 7000


def test_it_is_the_first_of_every_class_of_the_whole(extra_data):
    whole = data.load("fashion_mnist", split="test", data_dir=extra_data / "tfds")
    first = {label: [] for label in range(10)}
    for image, label in whole.take(2000).as_numpy_iterator():
        first[int(label)].append(image)
    found = {label: [] for label in range(10)}
    for image, label in data.load("fashion_sample", split="test").as_numpy_iterator():
        found[int(label)].append(image)
    for label in range(10):
        np.testing.assert_array_equal(found[label], first[label][:100])
    assert data.info("fashion_mnist", data_dir=extra_data / "tfds").classes == fashion.CLASSES
