"""Gradient ascent: closed forms on linear and quadratic models, in the image and in a generator's code."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.visualization import facets, maximize
from kerasdl.visualization.maximization import Ascent
from kerasdl.visualization.regularizers import Decay, Jitter, TotalVariation

RANDOM = np.random.default_rng(0)


def linear(shape=(4, 5, 3), classes=3):
    """A model whose score is `w . x`, and `w`, one image per class."""
    model = keras.Sequential([keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(classes, use_bias=False)])
    weights = RANDOM.normal(size=(classes, *shape)).astype("float32")
    model.layers[-1].set_weights([weights.reshape(classes, -1).T])
    return model, weights


def quadratic(center):
    """A convolutional model whose one map is `-(x - center)^2`."""

    @keras.saving.register_keras_serializable("test_maximization")
    class Parabola(keras.layers.Layer):
        def call(self, x):
            return -tf.square(x - center)

    layers = [Parabola(name="parabola"), keras.layers.GlobalAveragePooling2D()]
    return keras.Sequential([keras.Input((3, 3, 2)), *layers])


def test_plain_ascent_on_a_linear_score():
    model, w = linear()
    options = {"normalized": False, "learning_rate": 0.1, "bounds": None}
    images, scores, codes = maximize(model, [2, 0], steps=7, **options)
    assert codes is None
    np.testing.assert_allclose(images, 0.7 * w[[2, 0]], rtol=1e-4)
    # After t steps the score is t times 0.1 |w|^2.
    squares = np.square(w[[2, 0]]).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(scores, 0.1 * np.arange(8)[:, None] * squares, rtol=1e-4, atol=1e-5)


def test_a_nested_model_with_a_softmax_is_climbed_before_it():
    inner, w = linear()
    outer = keras.Sequential([keras.Input((4, 5, 3)), inner, keras.layers.Softmax()])
    options = {"normalized": False, "learning_rate": 0.1, "bounds": None, "steps": 3}
    np.testing.assert_allclose(maximize(outer, 1, **options).images[0], 0.3 * w[1], rtol=1e-4)
    neuron = (inner.layers[-1].name, (2,))
    np.testing.assert_allclose(maximize(outer, unit=neuron, **options).images[0], 0.3 * w[2], rtol=1e-4)


def test_bounds_and_normalisation():
    model, w = linear()
    images, _, _ = maximize(model, 1, steps=2, learning_rate=0.1)
    expected = np.clip(0.5 + 0.2 * w[1] / np.abs(w[1]).mean(), 0, 1)
    np.testing.assert_allclose(images[0], expected, atol=1e-5)
    images, _, _ = maximize(model, 1, steps=9, bounds=(-2, 3), learning_rate=1e4)
    np.testing.assert_allclose(images[0], np.where(w[1] > 0, 3, -2), atol=1e-6)


def test_decay_leads_to_a_fixed_point():
    # x = (1 - r)(x + a w) where x = w a (1 - r) / r, about the middle of the bounds.
    model, w = linear()
    found = maximize(
        model, 0, steps=200, learning_rate=0.01, normalized=False, regularizers=[Decay(0.1)], bounds=(-1, 3)
    )
    np.testing.assert_allclose(found.images[0], 1 + 0.09 * w[0], rtol=1e-4)


def test_a_quadratic_neuron_and_its_channel_have_their_maximum_where_it_is_known():
    center = np.linspace(0.1, 0.9, 18, dtype="float32").reshape(3, 3, 2)
    model = quadratic(center)
    found = maximize(model, [0, 1], layer="parabola", steps=100, learning_rate=2.0, normalized=False)
    assert isinstance(found, Ascent)
    for channel in (0, 1):
        np.testing.assert_allclose(found.images[channel, ..., channel], center[..., channel], atol=1e-4)
        np.testing.assert_allclose(found.images[channel, ..., 1 - channel], 0.5)
    np.testing.assert_allclose(found.scores[0], -np.square(0.5 - center).mean(axis=(0, 1)), rtol=1e-4)
    np.testing.assert_allclose(found.scores[-1], 0, atol=1e-6)
    neuron = maximize(model, unit=("parabola", (1, 2, 0)), steps=50, learning_rate=0.2, normalized=False).images[0]
    assert neuron[1, 2, 0] == pytest.approx(center[1, 2, 0], abs=1e-4)
    neuron[1, 2, 0] = 0.5
    np.testing.assert_array_equal(neuron, np.full((3, 3, 2), 0.5))


def test_a_callable_gets_the_scores_or_the_layer():
    model, w = linear()
    options = {"normalized": False, "learning_rate": 0.1, "bounds": None, "steps": 1}
    images = maximize(model, difference, **options).images
    np.testing.assert_allclose(images[0], 0.1 * (w[0] - w[1]), rtol=1e-4, atol=1e-6)
    images = maximize(model, seventh, layer=model.layers[0].name, **options).images
    np.testing.assert_allclose(images.flatten(), 0.1 * np.eye(60)[7], atol=1e-7)


def difference(scores):
    return scores[:, 0] - scores[:, 1]


def seventh(values):
    return values[:, 7]


def test_codes_of_a_linear_generator():
    # Score w . G z, so z = steps * rate * G' w, clipped; with decay after each step.
    model, w = linear()
    generator = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(60, use_bias=False), keras.layers.Reshape((4, 5, 3))]
    )
    matrix = generator.layers[0].get_weights()[0]
    options = {"generator": generator, "normalized": False, "learning_rate": 0.1}
    gradients = w.reshape(3, 60) @ matrix.T
    found = maximize(model, [0, 1, 2], steps=5, **options)
    np.testing.assert_allclose(found.codes, 0.5 * gradients, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.images.reshape(3, 60), found.codes @ matrix, rtol=1e-4, atol=1e-5)
    found = maximize(model, 1, steps=5, code_bounds=(-0.1, 0.2), **options)
    np.testing.assert_allclose(found.codes[0], np.clip(0.5 * gradients[1], -0.1, 0.2), rtol=1e-4, atol=1e-5)
    # What it shows and takes off concerns the images: a jitter of 0 and a weight of 0 leave them.
    found = maximize(model, 1, steps=1, regularizers=[Jitter(0), TotalVariation(0.0), Decay(0.5)], **options)
    np.testing.assert_allclose(found.codes[0], 0.05 * gradients[1], rtol=1e-4, atol=1e-5)
    # A plain function in the place of a model, from a code of one's own.
    found = maximize(model, 1, steps=1, **{**options, "generator": twice}, start=np.ones((1, 4, 5, 3)))
    np.testing.assert_allclose(found.codes[0], 1 + 0.2 * w[1], rtol=1e-4)
    np.testing.assert_allclose(found.images, 2 * found.codes)


def twice(codes):
    return 2 * codes


def test_starts():
    model, w = linear()
    noise = maximize(model, [0, 0], start="noise", steps=1, learning_rate=1e-5, seed=4, bounds=(-2, 2))
    np.testing.assert_allclose(noise.images, np.random.default_rng(4).normal(size=(2, 4, 5, 3)) * 0.4, atol=1e-4)
    mine = RANDOM.uniform(size=(3, 4, 5, 3)).astype("float32")
    options = {"steps": 1, "learning_rate": 0.01, "normalized": False, "bounds": None}
    found = maximize(model, 1, start=mine, batch_size=2, **options).images
    np.testing.assert_allclose(found, mine + 0.01 * w[1], rtol=1e-5)
    found = maximize(model, [0, 2], start=mine[0], **options).images
    np.testing.assert_allclose(found, mine[0] + 0.01 * w[[0, 2]], rtol=1e-5)


def test_compiles_once_whatever_the_numbers_are():
    traces = []

    class Counting(keras.layers.Layer):
        def call(self, x):
            traces.append(1)
            return x

    model = keras.Sequential([keras.Input((4, 4, 3)), Counting(), keras.layers.Flatten(), keras.layers.Dense(3)])
    maximize(model, 1, steps=3, regularizers=[Jitter(1)])
    count = len(traces)
    first = maximize(model, 2, steps=4, seed=1, learning_rate=0.1, regularizers=[Jitter(1)], bounds=(-1, 2))
    again = maximize(model, [2, 1], steps=4, seed=1, learning_rate=0.1, regularizers=[Jitter(1)], bounds=(-1, 2))
    assert len(traces) == count
    np.testing.assert_allclose(first.images[0], again.images[0], atol=1e-6)
    other = maximize(model, 2, steps=4, seed=2, learning_rate=0.1, regularizers=[Jitter(1)], bounds=(-1, 2))
    assert np.abs(other.images - first.images).max() > 1e-3


def test_what_does_not_move_is_told():
    model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.ReLU(name="relu"), keras.layers.Flatten()])
    with pytest.warns(UserWarning, match=r"1 of 1 starts have not moved: the score does not change there\."):
        maximize(model, 0, start=-np.ones((2, 2, 1)), bounds=None, steps=2)
    # The score of a full white image grows with its first pixel, which can get no larger; a grey one does move.
    with pytest.warns(UserWarning, match="1 of 2 starts have not moved: they lie on the bounds, and the score does"):
        maximize(model, 0, start=np.stack([np.ones((2, 2, 1)), np.full((2, 2, 1), 0.5)]), steps=2)


@pytest.mark.parametrize("embed", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_facets_are_the_means_of_clusters(embed):
    # Two heaps of images far apart in colour: seven red ones, five blue ones.
    images = RANDOM.uniform(0, 0.1, size=(12, 2, 2, 3))
    images[:7, ..., 0] += 0.8
    images[7:, ..., 2] += 0.8
    model = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Flatten(name="flat")])
    order = RANDOM.permutation(12)
    means = facets(model, images[order], 2, layer="flat", embed=embed)
    np.testing.assert_allclose(means, [images[:7].mean(axis=0), images[7:].mean(axis=0)], rtol=1e-5)
    if not embed:
        nearest = facets(model, images, 1, layer="flat", nearest=2)
        closest = np.argsort(np.square(images - images.mean(axis=0)).sum(axis=(1, 2, 3)))[:2]
        np.testing.assert_allclose(nearest[0], images[closest].mean(axis=0), rtol=1e-5)


def test_facets_of_a_single_feature_lie_in_the_plane_too():
    images = np.array([0.1, 0.9, 0.2, 0.8, 0.0, 1.0])[:, None, None, None] * np.ones((6, 2, 2, 1))
    model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.GlobalAveragePooling2D(name="mean")])
    means = facets(model, images, 2, layer="mean", embed=True)
    np.testing.assert_allclose(sorted(means.mean(axis=(1, 2, 3))), [0.1, 0.9], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"Give one thing to maximise: `target`, a class; .* Received: target=None, layer=None, unit=None\."),
        ({"target": 3}, r"`target` must be a class from 0 to 2 of model 'model'\. Received: 3\."),
        ({"target": 60, "layer": "flat"}, r"`target` must be channels of 'flat', 0 to 59\. Received: 60\."),
        ({"target": 0, "layer": "falt"}, r"must name a layer of model 'model'\. Received: 'falt'\. The closest .*flat"),
        ({"target": 0, "steps": 0}, r"`steps` must be a whole number of at least 1\. Received: 0\."),
        ({"target": 0, "seed": 2**31}, r"`seed` must be a whole number from 0 to 2\*\*31 - 1\. Received: 2147483648\."),
        ({"target": 0, "start": "ones"}, r"`start` must be \"zeros\", \"noise\" or an array\. Received: 'ones'\."),
        ({"target": 0, "start": np.full((4, 5, 3), 2.0)}, r"`start` must lie within the bounds, 0\.0 to 1\.0\."),
        ({"target": [0, 1, 2], "start": np.zeros((2, 4, 5, 3))}, r"Expected one start for each of 3 targets\..* 2 st"),
        ({"target": 0, "start": np.full((4, 5, 3), np.nan)}, r"`start` must be finite\."),
        ({"target": 0, "bounds": (1, 0)}, r"`bounds` must be a smaller and a larger number, or None\..*\(1, 0\)\."),
        ({"target": 0, "generator": twice}, r"The size of what .* is not known from the model\. Give codes as `start`"),
    ],
)
def test_refuses(arguments, message):
    flat = [keras.layers.Flatten(name="flat"), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((4, 5, 3)), *flat], name="model")
    with pytest.raises(ValueError, match=message):
        maximize(model, **arguments)


def test_a_callable_on_a_layer_must_give_one_number_per_image():
    model = quadratic(np.float32(0.5))
    message = r"^`target` as a callable gets what layer 'parabola' gives, .* It returned shape \(None, 3, 2\)\.$"
    with pytest.raises(ValueError, match=message):
        maximize(model, first_row, layer="parabola", steps=1)


def first_row(values):
    return values[:, 0]


def test_refuses_what_is_no_regulariser_and_too_many_clusters():
    model, _ = linear()
    with pytest.raises(TypeError, match=r"`regularizers` must hold objects such as Decay\(0\.01\)\. Received: 'decay'"):
        maximize(model, 0, regularizers=["decay"])
    with pytest.raises(ValueError, match=r"`k` must be .* at most the number of images, 2\. Received: k=3\."):
        facets(model, np.zeros((2, 4, 5, 3)), 3)
