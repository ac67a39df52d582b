"""Occlusion against drops worked out patch by patch, whatever the batches."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.visualization import occlusion
from kerasdl.visualization.probing import _compiled

IMAGES = np.random.default_rng(0).uniform(-1, 1, size=(3, 7, 10, 2)).astype("float32")
COLOUR = np.array([0.3, -0.2], "float32")


def network():
    layers = [keras.layers.Flatten(), keras.layers.Dense(4), keras.layers.Softmax()]
    return keras.Sequential([keras.Input((7, 10, 2)), *layers])


def drops(score, image, patch, stride, value):
    """Patch by patch, and the mean over the patches that cover each pixel."""
    total, count = np.zeros(image.shape[:2]), np.zeros(image.shape[:2])
    tops, lefts = (
        sorted({*range(0, side - p, s), side - p}) for side, p, s in zip(image.shape[:2], patch, stride, strict=True)
    )
    for top in tops:
        for left in lefts:
            covered = image.copy()
            covered[top : top + patch[0], left : left + patch[1]] = value
            total[top : top + patch[0], left : left + patch[1]] += score(image) - score(covered)
            count[top : top + patch[0], left : left + patch[1]] += 1
    assert count.min() >= 1
    return total / count


@pytest.mark.parametrize(
    ("patch", "stride", "value"),
    [(3, 2, 0.5), ((2, 4), (2, 3), COLOUR), ((7, 10), 1, -IMAGES[0]), (None, None, None)],
)
def test_equals_a_loop_over_the_patches(patch, stride, value):
    model = network()
    kernel = model.layers[1].kernel.numpy()
    maps = occlusion(model, IMAGES, [2, 0, 3], patch=patch, stride=stride, value=value, batch_size=5)
    sides = (patch or 1,) * 2 if np.ndim(patch) == 0 else patch
    steps = tuple(max(1, side // 2) for side in sides) if stride is None else np.broadcast_to(stride, 2)
    for image, target, found in zip(IMAGES, [2, 0, 3], maps, strict=True):
        cover = image.mean(axis=(0, 1)) if value is None else value
        expected = drops(lambda x, target=target: x.reshape(-1) @ kernel[:, target], image, sides, steps, cover)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert maps.dtype == "float32"


def test_the_class_is_that_of_the_whole_image():
    model = network()
    likeliest = model(IMAGES).numpy().argmax(axis=1)
    # Large patches change the class of what is left.
    maps = occlusion(model, IMAGES, patch=5, value=9.0)
    np.testing.assert_allclose(maps, occlusion(model, IMAGES, likeliest, patch=5, value=9.0, batch_size=2), atol=1e-5)
    assert np.abs(maps - occlusion(model, IMAGES, (likeliest + 1) % 4, patch=5, value=9.0)).max() > 0.1


def test_a_neuron_falls_only_where_it_sees():
    # One pixel of a 1x1 convolution: the drop is the kernel times what was there, on this pixel and nowhere else.
    layers = [keras.layers.Conv2D(3, 1, name="maps"), keras.layers.Flatten(), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((7, 10, 2)), *layers])
    expected = np.zeros((3, 7, 10))
    expected[:, 4, 6] = IMAGES[:, 4, 6] @ model.layers[0].kernel.numpy()[0, 0, :, 1]
    maps = occlusion(model, IMAGES, unit=("maps", (4, 6, 1)), patch=1, stride=1, value=0)
    np.testing.assert_allclose(maps, expected, atol=1e-6)


def test_only_a_batch_of_copies_exists_at_once_and_nothing_is_traced_twice():
    model = network()

    def watched(logits):
        with tf.control_dependencies([tf.debugging.assert_less_equal(tf.shape(logits)[0], 6)]):
            return tf.identity(logits[:, 1])

    maps = occlusion(model, IMAGES, watched, patch=2, stride=1, batch_size=6)
    count = len(_compiled[model])
    again = occlusion(model, IMAGES[:2], watched, patch=2, stride=1, value=0.1, batch_size=6)
    assert len(_compiled[model]) == count
    assert np.abs(again - maps[:2]).max() > 1e-3


def test_warns_where_nothing_changes():
    with pytest.warns(UserWarning, match="3 of 3 maps are zero everywhere: no patch changes the score"):
        occlusion(network(), np.ones_like(IMAGES), 1, patch=3, value=1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patch": 8}, r"`patch` must be a whole number .* the size of the image, \(7, 10\)\. Received: 8\."),
        ({"patch": (2, 2, 2)}, r"`patch` must be a whole number .*Received: \(2, 2, 2\)\."),
        ({"patch": 2.5}, r"`patch` must be a whole number .*Received: 2\.5\."),
        ({"patch": 3, "stride": 4}, r"`stride` must be .* the size of the patch, \(3, 3\)\. Received: 4\."),
        ({"stride": 0}, r"`stride` must be .*Received: 0\."),
        ({"value": np.zeros(3)}, r"`value` must be finite: .* fits one image, \(7, 10, 2\)\. .* shape \(3,\)\."),
        ({"value": np.inf}, r"`value` must be finite: .*Received: float64 of shape \(\)\."),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        occlusion(network(), IMAGES, **arguments)
