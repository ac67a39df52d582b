"""Images made again from features: where the answer is known, and where the paper says how near one comes."""

import keras
import numpy as np
import pytest

from kerasdl.architectures import pretrained
from kerasdl.data import load
from kerasdl.visualization import invert_features, pixels

IMAGES = np.random.default_rng(0).uniform(size=(3, 4, 6, 3)).astype("float32")


def linear(kernel):
    """A layer of 1x1 convolutions without a bias, behind which a rectifier and a head stand."""
    conv = keras.layers.Conv2D(kernel.shape[1], 1, use_bias=False, name="mix")
    head = [keras.layers.ReLU(name="relu"), keras.layers.Flatten(), keras.layers.Dense(2, name="head")]
    model = keras.Sequential([keras.Input((4, 6, 3)), conv, *head])
    conv.kernel.assign(kernel[None, None])
    return model


def test_an_invertible_layer_gives_the_images_back_whatever_the_batches_and_the_model_stays():
    model = linear(np.array([[2.0, 0.3, 0.0], [0.0, 1.0, -0.4], [0.5, 0.0, 1.0]]))
    before = model.get_weights()
    made, losses = invert_features(model, IMAGES, "mix", total_variation=0.0, return_losses=True)
    np.testing.assert_allclose(made, IMAGES, atol=1e-3)
    again = invert_features(model, IMAGES, "mix", total_variation=0.0, batch_size=2)
    np.testing.assert_allclose(again, made, atol=1e-4)
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), before, strict=True))
    # What was reported first is the noise's distance: here computed by hand, before any step.
    noise = pixels.noise(IMAGES.shape, (0, 1), seed=0)
    kernel = model.get_layer("mix").kernel.numpy()[0, 0]
    expected = (((noise - IMAGES) @ kernel) ** 2).sum((1, 2, 3)) / ((IMAGES @ kernel) ** 2).sum((1, 2, 3))
    np.testing.assert_allclose(losses["features"][:, 0], expected, rtol=1e-5)
    assert losses["features"].shape == (3, 201)


def test_the_prior_draws_to_the_solution_of_its_linear_equations():
    # With the image itself as features, |x - a|^2 / |a|^2 + w |D x|^2 / n is smallest at (1 / |a|^2 + w D'D / n) x =
    # a / |a|^2, with a row of D for every two neighbours. Here in a range of 10, where D counts tenths.
    bounds = (-2.0, 8.0)
    images = 10 * IMAGES[:1] - 2
    rows = []
    for index in np.ndindex(4, 6, 3):
        for axis in (0, 1):
            other = (index[0] + 1, index[1], index[2]) if axis == 0 else (index[0], index[1] + 1, index[2])
            if other[axis] < (4, 6)[axis]:
                row = np.zeros((4, 6, 3))
                row[index], row[other] = -0.1, 0.1
                rows.append(row.ravel())
    neighbours = np.array(rows).T @ np.array(rows)
    wanted = images.ravel()
    square = wanted @ wanted
    expected = np.linalg.solve(np.eye(72) / square + 0.5 * neighbours / 72, wanted / square)
    made, losses = invert_features(
        linear(np.eye(3)), images, "mix", total_variation=0.5, bounds=bounds, steps=400, return_losses=True
    )
    np.testing.assert_allclose(made.ravel(), expected, atol=0.02)
    assert np.abs(made - images).max() > 1  # The prior did something.
    np.testing.assert_allclose(losses["total_variation"][0, -1], expected @ neighbours @ expected / 72, rtol=0.01)


@pytest.mark.slow
def test_an_early_layer_of_squeezenet_is_matched_to_under_five_per_cent():
    image = next(load("photos", split="train[1:2]", image_size=48).as_numpy_iterator())[0]
    model = pretrained("squeezenet1_1", input_shape=(48, 48, 3))
    _, losses = invert_features(model, image[None], "conv1", steps=100, return_losses=True)
    distances = np.sqrt(losses["features"][0])
    assert distances[-1] < 0.05 * distances[0]
    features = keras.Model(model.inputs[0], model.get_layer("conv1").output)
    noise = pixels.noise((1, 48, 48, 3), (0, 1), seed=0)
    wanted = features.predict(image[None], verbose=0)
    expected = np.linalg.norm(features.predict(noise, verbose=0) - wanted) / np.linalg.norm(wanted)
    assert distances[0] == pytest.approx(expected, rel=1e-4)


def test_other_numbers_trace_nothing_new_and_other_seeds_end_elsewhere(monkeypatch):
    traces = []
    descend = pixels.descend
    monkeypatch.setattr(pixels, "descend", lambda *arguments: traces.append(1) or descend(*arguments))
    # One number is left of three: the other two are where they were.
    model = linear(np.ones((3, 1)))
    first = invert_features(model, IMAGES, "mix", steps=3)
    other = invert_features(
        model, IMAGES[:2], "mix", steps=4, total_variation=0.3, learning_rate=0.1, bounds=(-1, 2), seed=1
    )
    assert len(traces) == 1
    assert np.abs(first[:2] - other).max() > 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "mixx"}, r"`layer` must name a layer of model .* Received: 'mixx'\. The closest are: mix"),
        ({"steps": 0}, r"`steps` must be a whole number of at least 1\. Received: 0\."),
        ({"learning_rate": 0}, r"`learning_rate` must be a number above 0\. Received: 0\."),
        ({"total_variation": -1}, r"`total_variation` must be a number of at least 0\. Received: -1\."),
        ({"seed": 0.5}, r"`seed` must be a whole number from 0 to 2\*\*31 - 1\. Received: 0\.5\."),
        ({"bounds": (1, 0)}, r"`bounds` must be two finite numbers, the smaller first\. Received: \(1, 0\)\."),
        ({"bounds": 1}, r"`bounds` must be two finite numbers, the smaller first\. Received: 1\."),
        (
            {"bounds": (0, 0.5)},
            r"`images` must lie within `bounds`, 0 to 0\.5\. Received: values from 0\.\d+ to 0\.\d+\.",
        ),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        invert_features(linear(np.eye(3)), IMAGES, **arguments)


def test_says_that_there_is_nothing_to_match():
    with pytest.raises(
        ValueError, match=r"The loss 'features' of image 0 is not a number\. Most likely the layer gives"
    ):
        invert_features(linear(-np.eye(3)), IMAGES, "relu", steps=1)
