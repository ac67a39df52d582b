"""Averages of gradients: completeness, a closed form, and the same numbers whatever the batches."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.visualization import integrated_gradients, saliency, smooth_grad
from kerasdl.visualization.probing import forward

IMAGES = np.random.default_rng(0).uniform(-1, 1, size=(5, 8, 8, 3)).astype("float32")


def network(activation="relu", pooling=keras.layers.MaxPooling2D):
    layers = [
        keras.layers.Conv2D(6, 3, activation=activation),
        pooling(2),
        keras.layers.Conv2D(8, 3, activation=activation),
        keras.layers.Flatten(),
        keras.layers.Dense(4, activation="softmax"),
    ]
    return keras.Sequential([keras.Input((8, 8, 3)), *layers])


@pytest.mark.parametrize("baseline", [0.0, 0.5, np.random.default_rng(1).uniform(size=(8, 8, 3))])
def test_integrated_gradients_add_up_to_the_difference_of_the_scores(baseline):
    # A score that bends smoothly: at the kinks of rectifiers and maxima many more steps would be needed.
    model = network("tanh", keras.layers.AveragePooling2D)
    start = np.broadcast_to(np.asarray(baseline, "float32"), IMAGES.shape)
    for target in (None, 1, [0, 1, 2, 3, 0]):
        classes = model(IMAGES).numpy().argmax(axis=1) if target is None else np.broadcast_to(target, 5)
        rows = np.arange(5)
        expected = (forward(model, tf.constant(IMAGES)) - forward(model, tf.constant(start))).numpy()[rows, classes]
        parts = integrated_gradients(model, IMAGES, target, baseline=baseline, steps=64)
        np.testing.assert_allclose(parts.sum(axis=(1, 2, 3)), expected, rtol=0.01, atol=1e-4)


def test_integrated_gradients_of_squares():
    # Score sum x^2 from b to x: (x - b) times the mean of 2 x on the way is x^2 - b^2, and two steps are exact.
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])

    def squares(logits):
        return tf.reduce_sum(tf.square(logits), axis=1)

    parts = integrated_gradients(model, IMAGES, squares, baseline=0.3, steps=2)
    np.testing.assert_allclose(parts, IMAGES**2 - 0.3**2, atol=1e-6)


def test_without_noise_smooth_grad_is_saliency():
    model = network()
    np.testing.assert_allclose(
        smooth_grad(model, IMAGES, 2, noise=0.0, samples=3), saliency(model, IMAGES, 2), atol=1e-6
    )


def test_smooth_grad_smooths_a_rectifier_into_the_normal_distribution():
    # Score relu(x) at x = 0.2 with noise of deviation s: the mean gradient is the share of copies above zero.
    model = keras.Sequential([keras.Input((1, 2, 1)), keras.layers.Flatten(), keras.layers.ReLU()])

    def first(logits):
        return logits[:, 0]

    image = np.array([0.2, 1.2]).reshape(1, 1, 2, 1)  # a range of 1
    smooth = smooth_grad(model, image, first, noise=0.4, samples=4000)
    # Phi(0.5) is 0.6915; four deviations of a share out of 4,000.
    assert smooth[0, 0, 0] == pytest.approx(0.6915, abs=4 * np.sqrt(0.6915 * 0.3085 / 4000))
    assert smooth[0, 0, 1] == 0


def test_smooth_grad_is_seeded_and_does_not_depend_on_batches():
    model = network()
    whole = smooth_grad(model, IMAGES, samples=4, seed=3)
    np.testing.assert_allclose(smooth_grad(model, IMAGES, samples=4, seed=3, batch_size=2), whole, atol=1e-6)
    assert np.abs(smooth_grad(model, IMAGES, samples=4, seed=4) - whole).max() > 1e-3


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (smooth_grad, {"samples": 0}, r"`samples` must be a whole number of at least 1\. Received: 0\."),
        (smooth_grad, {"noise": -1}, r"`noise` must be a number of at least 0\. Received: -1\."),
        (
            integrated_gradients,
            {"baseline": np.zeros((4, 4, 3))},
            r"`baseline` must be a number, or an array of shape \(8, 8, 3\), .*Received: shape \(4, 4, 3\)\.",
        ),
    ],
)
def test_refuses(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(network(), IMAGES, **arguments)


@pytest.mark.parametrize("seed", [-1, 2**31, 0.5, None])
def test_a_seed_out_of_range_is_explained(seed):
    text = r"`seed` must be a whole number from 0 to 2\*\*31 - 1\. Received: "
    with pytest.raises(ValueError, match=text + re.escape(repr(seed))):
        smooth_grad(network(), IMAGES, seed=seed)
