"""Score-CAM against the algorithm map by map, whatever the batches."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.visualization import score_cam

IMAGES = np.random.default_rng(0).uniform(-1, 1, size=(3, 8, 8, 3)).astype("float32")


def network():
    layers = [
        keras.layers.Conv2D(7, 3, strides=2, padding="same", activation="relu", name="maps"),
        keras.layers.Flatten(),
        keras.layers.Dense(4, activation="softmax"),
    ]
    return keras.Sequential([keras.Input((8, 8, 3)), *layers])


def enlarged(small):
    """Bilinear with half-pixel centres, from 4 to 8: quarters of the neighbours on both sides."""
    places = np.clip((np.arange(8) + 0.5) / 2 - 0.5, 0, 3)
    low = np.floor(places).astype(int)
    share = np.zeros((8, 4))
    share[np.arange(8), low] += 1 - (places - low)
    share[np.arange(8), np.minimum(low + 1, 3)] += places - low
    return share @ small @ share.T


@pytest.mark.parametrize(("value", "size"), [(0.0, 2), (None, 32)])
def test_equals_the_algorithm_map_by_map(value, size):
    model = network()
    logits = keras.Model(model.inputs[0], model.layers[-1].output)
    logits.layers[-1].activation = None
    features = keras.Model(model.inputs[0], model.layers[0].output)(IMAGES).numpy()
    classes = logits(IMAGES).numpy().argmax(axis=1)
    expected = []
    for image, maps, target in zip(IMAGES, features, classes, strict=True):
        scores = []
        for channel in range(7):
            mask = enlarged(maps[..., channel])
            mask = (mask - mask.min()) / np.ptp(mask) if np.ptp(mask) else np.zeros_like(mask)
            cover = image.mean(axis=(0, 1)) if value is None else value
            scores.append(logits((cover + (image - cover) * mask[..., None])[None]).numpy()[0, target])
        weights = np.exp(scores) / np.exp(scores).sum()
        expected.append(enlarged(np.maximum(maps @ weights, 0)))
    logits.layers[-1].activation = keras.activations.softmax
    np.testing.assert_allclose(score_cam(model, IMAGES, value=value, batch_size=size), expected, atol=1e-5)


def test_only_a_batch_of_copies_exists_at_once():
    def watched(logits):
        with tf.control_dependencies([tf.debugging.assert_less_equal(tf.shape(logits)[0], 4)]):
            return tf.identity(logits[:, 1])

    model = network()
    maps = score_cam(model, IMAGES, watched, batch_size=4)
    np.testing.assert_allclose(maps, score_cam(model, IMAGES, 1), atol=1e-5)


def test_warns_of_maps_of_nothing():
    model = network()
    model.get_layer("maps").kernel.assign(tf.zeros((3, 3, 3, 7)))
    with pytest.warns(UserWarning, match="3 of 3 maps are zero everywhere: the maps that speak most"):
        score_cam(model, IMAGES)
