"""Fooling images: the class asked for, as surely as asked for, by steps worked out by hand."""

import keras
import numpy as np
import pytest
from adversarial_helpers import linear, network, scores, shared_network, some_images

from kerasdl.adversarial import fooling_image


def test_every_class_becomes_certain_and_noise_is_seeded():
    model = network()
    model.layers[-1].kernel.assign(10 * model.layers[-1].kernel)  # One without training is certain of nothing.
    made = fooling_image(model, range(4), seed=1)
    probabilities = model(made.images).numpy()
    assert (probabilities[range(4), range(4)] >= 0.99 - 1e-4).all()
    assert made.success.all()
    assert 0 <= made.images.min() <= made.images.max() <= 1
    np.testing.assert_array_equal(fooling_image(model, range(4), seed=1).images, made.images)
    assert np.abs(fooling_image(model, range(4), seed=2).images - made.images).max() > 0.1
    start = np.random.default_rng(1).uniform(size=(4, 4, 4, 3))
    np.testing.assert_allclose(made.distance, np.linalg.norm((made.images - start).reshape(4, -1), axis=1), rtol=1e-4)


def test_on_a_linear_model_the_steps_are_counted():
    # Two classes: the way is straight along the difference of the weights, and each step has a known length.
    model, weights, bias = linear(1, activation="sigmoid")
    image = some_images(1)[0]
    w, score = weights[0], scores(weights, bias, image[None])[0, 0]
    pace = 0.005 * np.sqrt(48)
    steps = np.ceil((np.log(0.9 / 0.1) - score) / (pace * np.linalg.norm(w)))
    assert steps > 3
    made = fooling_image(model, 1, start=image, confidence=0.9)
    np.testing.assert_allclose(made.images[0], image + steps * pace * w / np.linalg.norm(w), atol=1e-5)
    # One step less does not do.
    assert fooling_image(model, 1, start=image, confidence=0.9, steps=int(steps)).success.all()
    assert not fooling_image(model, 1, start=image, confidence=0.9, steps=int(steps) - 1).success.any()
    # And where the start is certain already, nothing is done.
    again = fooling_image(model, 1, start=made.images[0], confidence=0.9)
    assert again.already_wrong.all()
    np.testing.assert_array_equal(again.images, made.images)


@pytest.mark.parametrize(
    ("target", "arguments", "message"),
    [
        (4, {}, r"`target` must be a class from 0 to 3 of model '.*'\. Received: 4\."),
        (0, {"seed": -1}, r"`seed` must be a whole number from 0 to 2\*\*31 - 1\. Received: -1\."),
        (0, {"confidence": 1.0}, r"`confidence` must lie between 0 and 1\. Received: 1\.0\."),
        (
            0,
            {"start": np.full((4, 4, 3), 2.0)},
            r"`images` must lie in `bounds`, 0 to 1\. Received: values from 2 to 2",
        ),
        (
            0,
            {"start": np.zeros((4, 4, 3)), "bounds": (-np.inf, np.inf)},
            r"`bounds` must be finite: changes are measured by their range\. Received: \(-inf, inf\)\.",
        ),
        (
            [0, 1, 2],
            {"start": np.zeros((2, 4, 4, 3))},
            r"`start` must be one image, \(height, width, channels\), or one per target \(3\)\. Received: shape \(2,",
        ),
    ],
)
def test_refuses(target, arguments, message):
    with pytest.raises(ValueError, match=message):
        fooling_image(shared_network(), target, **arguments)


def test_a_model_of_any_size_needs_a_start():
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.GlobalAveragePooling2D()])
    with pytest.raises(ValueError, match=r"`start` must be an image, for model '.*' takes images of any size\."):
        fooling_image(model, 0)
