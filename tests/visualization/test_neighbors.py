"""Nearest neighbours against scikit-learn's brute force."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.neighbors import NearestNeighbors

from kerasdl.visualization import activations, nearest_neighbors

random = np.random.default_rng(0)
GALLERY = random.uniform(size=(50, 8, 8, 3)).astype("float32")
QUERIES = random.uniform(size=(7, 8, 8, 3)).astype("float32")


def network():
    layers = [keras.layers.Conv2D(4, 3, activation="relu", name="maps"), keras.layers.Flatten(name="vector")]
    # Features far from zero, as those of some layers are.
    return keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Rescaling(1, 50), *layers])


@pytest.mark.parametrize(("layer", "pool"), [("maps", False), (None, True), ("vector", False)])
def test_are_those_of_a_brute_force_search(layer, pool):
    model = network()
    numbers, distances = nearest_neighbors(model, QUERIES, GALLERY, layer, k=4, pool=pool, batch_size=16)
    gallery, queries = (activations(model, images, layer or "maps").astype("float64") for images in (GALLERY, QUERIES))
    if pool:
        gallery, queries = gallery.mean(axis=(1, 2)), queries.mean(axis=(1, 2))
    search = NearestNeighbors(n_neighbors=4, algorithm="brute").fit(gallery.reshape(50, -1))
    expected_distances, expected = search.kneighbors(queries.reshape(7, -1))
    np.testing.assert_array_equal(numbers, expected)
    np.testing.assert_allclose(distances, expected_distances, rtol=1e-3)


def test_a_data_set_gives_the_same_and_an_image_is_its_own_neighbour():
    model = network()
    data = tf.data.Dataset.from_tensor_slices((GALLERY, np.zeros(50))).batch(20)
    numbers, distances = nearest_neighbors(model, GALLERY[[3, 40]], data, k=3)
    assert numbers[:, 0].tolist() == [3, 40]
    np.testing.assert_array_equal(numbers, nearest_neighbors(model, GALLERY[[3, 40]], GALLERY, k=3)[0])
    assert distances[:, 0].max() < 0.01 * distances[:, 1].min()


def test_an_image_is_nearer_to_itself_than_to_one_that_is_almost_the_same():
    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten(name="pixels")])
    images = np.random.default_rng(0).uniform(0, 255, size=(4, 32, 32, 3)).astype("float32")
    numbers, distances = nearest_neighbors(model, images, np.concatenate([images + 0.02, images]), "pixels", k=2)
    assert numbers.tolist() == [[4 + image, image] for image in range(4)]
    np.testing.assert_allclose(distances, [[0, 0.02 * 3072**0.5]] * 4, rtol=1e-3, atol=1e-3)
    assert distances.dtype == np.float32


def test_refuses():
    with pytest.raises(ValueError, match=r"^`gallery` must hold at least k=51 images\. Received: 50\.$"):
        nearest_neighbors(network(), QUERIES, GALLERY, k=51)
    with pytest.raises(ValueError, match=r"^`k` must be a whole number of at least 1\. Received: 0\.$"):
        nearest_neighbors(network(), QUERIES, GALLERY, k=0)
    with pytest.raises(ValueError, match=r"takes images of shape \(8, 8, 3\)\. Received: images of shape \(4, 4, 3\)"):
        nearest_neighbors(network(), QUERIES, GALLERY[:, :4, :4])
