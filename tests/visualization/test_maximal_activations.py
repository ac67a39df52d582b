"""The patches that excite a unit most: what a filter makes of its patch is the unit's value."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.visualization import maximally_activating_patches

IMAGES = np.random.default_rng(0).normal(size=(40, 9, 11, 3)).astype("float32")


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_a_patch_alone_gives_the_unit_its_score_and_no_other_image_gives_more(padding):
    layers = [keras.layers.Conv2D(4, 3, padding=padding, name="maps"), keras.layers.Flatten(), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((9, 11, 3)), *layers])
    kernel, bias = model.layers[0].get_weights()
    found = maximally_activating_patches(model, IMAGES, "maps", [2, 0], k=6, batch_size=7)
    assert found.patches.shape == (2, 6, 3, 3, 3)
    scores = np.einsum("ukhwc,hwcu->uk", found.patches, kernel[..., [2, 0]]) + bias[[2, 0], None]
    np.testing.assert_allclose(found.scores, scores, atol=1e-5)
    # All windows of all images, by NumPy.
    edge = 1 if padding == "same" else 0
    padded = np.pad(IMAGES, [(0, 0), (edge, edge), (edge, edge), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    values = np.einsum("nyxchw,hwcu->unyx", windows, kernel[..., [2, 0]]) + bias[[2, 0], None, None, None]
    of_images = values.max(axis=(2, 3))
    order = np.argsort(-of_images, axis=1)[:, :6]
    np.testing.assert_array_equal(found.images, order)
    for unit in range(2):
        for rank, image in enumerate(order[unit]):
            row, column = np.unravel_index(values[unit, image].argmax(), values.shape[2:])
            assert found.boxes[unit, rank].tolist() == [row - edge, column - edge, row - edge + 3, column - edge + 3]


def test_a_data_set_gives_what_the_array_gives_and_its_end_is_waited_for():
    model = keras.Sequential([keras.Input((9, 11, 3)), keras.layers.Conv2D(2, 3, strides=2, name="maps")])
    whole = maximally_activating_patches(model, IMAGES, "maps", k=3)
    data = tf.data.Dataset.from_tensor_slices((IMAGES, np.arange(40))).batch(16)
    for expected, part in zip(whole, maximally_activating_patches(model, data, "maps", k=3), strict=True):
        np.testing.assert_allclose(part, expected, atol=1e-6)
    with pytest.raises(ValueError, match=r"^`data` must come to an end: call data\.take\(batches\)"):
        maximally_activating_patches(model, data.repeat(), "maps")


def test_a_patch_that_leaves_the_image_is_filled():
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(1, 3, padding="same", name="maps")])
    # The corner counts most for the place that sees it at the centre, and the padding there is not of the image.
    kernel = np.full((3, 3, 1, 1), 0.1)
    kernel[1, 1] = 1
    model.layers[0].set_weights([kernel, np.zeros(1)])
    image = np.zeros((1, 4, 4, 1))
    image[0, 0, 0] = 2
    found = maximally_activating_patches(model, image, "maps", k=1, fill=0.5)
    assert found.boxes.tolist() == [[[-1, -1, 2, 2]]]
    np.testing.assert_array_equal(found.patches[0, 0, ..., 0], [[0.5, 0.5, 0.5], [0.5, 2, 0], [0.5, 0, 0]])


def test_the_units_of_a_vector_see_the_whole_image():
    model = keras.Sequential([keras.Input((9, 11, 3)), keras.layers.Flatten(), keras.layers.Dense(2, name="scores")])
    found = maximally_activating_patches(model, IMAGES, "scores", k=2)
    np.testing.assert_array_equal(found.patches, IMAGES[found.images])
    np.testing.assert_array_equal(found.images, np.argsort(-model(IMAGES).numpy().T, axis=1)[:, :2])


def test_refuses_images_of_several_sizes():
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 3, name="maps")])
    sizes = tf.data.Dataset.from_tensors(IMAGES[:3]).concatenate(tf.data.Dataset.from_tensors(IMAGES[:3, :, :7]))
    message = r"^`data` must give images of one size: .* of shape \(9, 11, 3\), and then of shape \(9, 7, 3\)\.$"
    with pytest.raises(ValueError, match=message):
        maximally_activating_patches(model, sizes, "maps", k=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": [2]}, r"^`units` must be from 0 to 1 for layer 'maps'\. Received: 2\.$"),
        ({"units": 1}, r"^`units` must be a list of channel numbers\. Received: 1\.$"),
        ({"k": 0}, r"^`k` must be a whole number of at least 1\. Received: 0\.$"),
        ({"k": 41}, r"^`data` must hold at least k=41 images\. Received: 40\.$"),
        ({"layer": "map"}, r"^`layer` must name a layer of model"),
    ],
)
def test_refuses(arguments, message):
    model = keras.Sequential([keras.Input((9, 11, 3)), keras.layers.Conv2D(2, 3, name="maps")])
    with pytest.raises(ValueError, match=message):
        maximally_activating_patches(model, IMAGES, **{"layer": "maps", **arguments})
