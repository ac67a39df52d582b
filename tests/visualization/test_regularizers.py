"""Each regulariser against NumPy, SciPy or a closed form on a linear score."""

import keras
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from kerasdl.visualization import maximize
from kerasdl.visualization.regularizers import (
    Blur,
    CenterBias,
    ClipContributions,
    ClipValues,
    Decay,
    Jitter,
    TotalVariation,
)

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(2, 8, 10, 3)).astype("float32")
GRADIENT = RANDOM.normal(size=(2, 8, 10, 3)).astype("float32")


@pytest.mark.parametrize("sigma", [0.6, 1.5, 4.0])  # The last reaches further than the image.
def test_blur_is_that_of_scipy_when_it_is_its_turn(sigma):
    blur = Blur(sigma=sigma, every=3)
    expected = scipy.ndimage.gaussian_filter(IMAGES, (0, sigma, sigma, 0))
    for step in range(7):
        mended = blur.mend(tf.constant(IMAGES), None, tf.constant(step))
        np.testing.assert_allclose(mended, expected if step in (2, 5) else IMAGES, atol=1e-5)


def test_clipping_takes_the_smallest_pixels():
    for regularizer, sizes in (
        (ClipValues(0.3), np.linalg.norm(IMAGES, axis=-1)),
        (ClipContributions(0.3), np.abs((IMAGES * GRADIENT).sum(axis=-1))),
    ):
        expected = IMAGES.copy()
        for image, size in zip(expected, sizes, strict=True):
            image.reshape(80, 3)[np.argsort(size.flatten())[:24]] = 0
        mended = regularizer.mend(tf.constant(IMAGES), tf.constant(GRADIENT), tf.constant(0))
        np.testing.assert_array_equal(mended, expected)
        assert (expected == 0).all(axis=-1).sum() == 48


def test_center_bias_is_a_gaussian_that_widens():
    bias = CenterBias(start=0.1, end=0.5)
    ones = tf.ones((1, 9, 9, 1))
    first, last = (bias.weigh(ones, tf.constant(progress))[0, ..., 0].numpy() for progress in (0.0, 1.0))
    assert first[4, 4] == last[4, 4] == 1
    # Four pixels of nine from the middle are 4/9 of the side.
    assert first[4, 8] == pytest.approx(np.exp(-0.5 * (4 / 9 / 0.1) ** 2))
    assert last[0, 4] == pytest.approx(np.exp(-0.5 * (4 / 9 / 0.5) ** 2))
    assert last[0, 0] == pytest.approx(last[0, 4] ** 2)
    half = bias.weigh(ones, tf.constant(0.5))[0, 4, 8, 0]
    assert float(half) == pytest.approx(np.exp(-0.5 * (4 / 9 / 0.3) ** 2))


def test_jitter_rolls_and_comes_back():
    jitter = Jitter(2)
    seen = set()
    for seed in range(60):
        view = jitter.view(tf.constant(IMAGES), tf.constant([0, seed])).numpy()
        rolls = [
            (rows, columns)
            for rows in range(-2, 3)
            for columns in range(-2, 3)
            if np.array_equal(np.roll(IMAGES, (rows, columns), axis=(1, 2)), view)
        ]
        assert len(rolls) == 1
        seen.add(rolls[0])
    assert len(seen) > 15  # of 25 possible ones

    # A score that is the sum over places of `w . x` does not care for shifts: the image is not shifted.
    model = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.GlobalAveragePooling2D()])
    start = RANDOM.uniform(size=(6, 6, 1))
    found = maximize(model, 1, start=start, steps=9, normalized=False, regularizers=[Jitter(3)], learning_rate=0.36)
    # A model with a single score is for class 1; the mean of 36 pixels has the gradient 1 / 36.
    np.testing.assert_allclose(found.images[0], np.clip(start + 0.09, 0, 1), atol=1e-5)


def test_total_variation_is_taken_off_the_score():
    model = keras.Sequential([keras.Input((4, 5, 2)), keras.layers.Flatten(), keras.layers.Dense(1, use_bias=False)])
    weights = RANDOM.normal(size=(4, 5, 2)).astype("float32")
    model.layers[-1].set_weights([weights.reshape(-1, 1)])
    start = RANDOM.normal(size=(4, 5, 2)).astype("float32")
    found = maximize(
        model,
        1,
        start=start,
        steps=1,
        learning_rate=0.5,
        normalized=False,
        bounds=None,
        regularizers=[TotalVariation(0.3)],
    )
    slope = np.zeros_like(start)
    for axis in (0, 1):
        sign = np.sign(np.diff(start, axis=axis))
        later = [slice(1, None) if each == axis else slice(None) for each in range(3)]
        earlier = [slice(None, -1) if each == axis else slice(None) for each in range(3)]
        slope[tuple(later)] += sign
        slope[tuple(earlier)] -= sign
    np.testing.assert_allclose(found.images[0], start + 0.5 * (weights - 0.3 * slope), atol=1e-5)
    # The scores are those of the model alone.
    np.testing.assert_allclose(found.scores[:, 0], [(weights * x).sum() for x in (start, found.images[0])], rtol=1e-4)


def test_they_are_applied_in_order_around_the_middle_of_the_bounds():
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(1, use_bias=False)])
    weights = RANDOM.normal(size=(4, 4, 1)).astype("float32")
    model.layers[-1].set_weights([weights.reshape(-1, 1)])
    rules = [Decay(0.5), Blur(1.0, every=1), ClipValues(0.5)]
    found = maximize(model, 1, steps=2, learning_rate=0.01, normalized=False, regularizers=rules, bounds=(2, 4)).images
    x = np.zeros((4, 4))
    for _ in range(2):
        x = scipy.ndimage.gaussian_filter(0.5 * (x + 0.01 * weights[..., 0]), 1.0)
        x[np.abs(x) < np.sort(np.abs(x).flatten())[8]] = 0
    np.testing.assert_allclose(found[0, ..., 0], 3 + x, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Decay(1.5), r"`rate` must be a number from 0 to 1\. Received: rate=1\.5\."),
        (lambda: Blur(sigma=0), r"`sigma` must be a number above 0\. Received: sigma=0\."),
        (lambda: Blur(every=0), r"`every` must be a whole number of at least 1\. Received: every=0\."),
        (lambda: ClipValues(1.0), r"`share` must be a number from 0 to below 1\. Received: share=1\.0\."),
        (lambda: ClipContributions(-1), r"`share` must be a number from 0 to below 1\. Received: share=-1\."),
        (lambda: CenterBias(start=0), r"`start` must be a number above 0\. Received: start=0\."),
        (lambda: CenterBias(end=-1), r"`end` must be a number above 0\. Received: end=-1\."),
        (lambda: Jitter(-2), r"`pixels` must be a whole number of at least 0\. Received: pixels=-2\."),
        (lambda: TotalVariation(float("nan")), r"`weight` must be a number of at least 0\. Received: weight=nan\."),
        (
            lambda: Blur().mend(tf.zeros((2, 7)), None, tf.constant(0)),
            r"Blur needs images, \(N, height, width, channels\)\. Received: shape \(2, 7\)\. .* take Decay\.",
        ),
    ],
)
def test_refuses(make, message):
    with pytest.raises(ValueError, match=message):
        make()
