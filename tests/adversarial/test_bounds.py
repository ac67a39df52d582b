"""Images of another range are the same images: every attack finds the same, in other units."""

import functools

import numpy as np
import pytest
from adversarial_helpers import linear, some_images

from kerasdl.adversarial import (
    carlini_wagner,
    deep_fool,
    fgsm,
    fooling_image,
    minimal_perturbation,
    pgd,
    universal_perturbation,
)

IMAGES = some_images(spread=0.5)
SCALE, LOW = 255.0, -100.0
OTHER = {"bounds": (LOW, LOW + SCALE)}


@pytest.fixture
def both():
    """Calls a function with a model of images from 0 to 1, and with the same model of images in the other units."""
    model, weights, bias = linear(3)
    kernel = weights.reshape(3, -1).T

    def call(function):
        model.layers[-1].set_weights([kernel, bias])
        first = function(model, IMAGES, 1.0, {})
        # Set and not made anew, for what is compiled for a model stays with it.
        model.layers[-1].set_weights([kernel / SCALE, bias - LOW * kernel.sum(axis=0) / SCALE])
        return first, function(model, SCALE * IMAGES + LOW, SCALE, OTHER)

    return call


@pytest.mark.parametrize(
    ("attack", "epsilon"),
    [
        (fgsm, 0.3),
        pytest.param(functools.partial(pgd, steps=5), 0.3, marks=pytest.mark.slow),
        (functools.partial(pgd, steps=5, norm="l2"), 3.0),
        (deep_fool, None),
        pytest.param(functools.partial(minimal_perturbation, steps=5, searches=3), None, marks=pytest.mark.slow),
        (functools.partial(carlini_wagner, steps=20, searches=3), None),
    ],
)
def test_attacks(both, attack, epsilon):
    here, there = both(
        lambda model, images, scale, bounds: attack(
            model, images, **bounds, **({} if epsilon is None else {"epsilon": epsilon * scale})
        )
    )
    assert here.success.any()
    np.testing.assert_array_equal(there.success, here.success)
    np.testing.assert_allclose(there.distance / SCALE, here.distance, rtol=2e-3)
    np.testing.assert_allclose((there.images - LOW) / SCALE, here.images, atol=1e-3)
    assert there.images.min() >= LOW
    assert there.images.max() <= LOW + SCALE
    if epsilon is not None:
        assert here.images.min() == 0  # the bounds were met


def test_fooling_images(both):
    here, there = both(
        lambda model, images, scale, bounds: fooling_image(model, [0, 1, 2], steps=50, step_size=0.1, **bounds)
    )
    assert here.success.any()
    np.testing.assert_array_equal(there.success, here.success)
    np.testing.assert_allclose((there.images - LOW) / SCALE, here.images, atol=1e-3)
    np.testing.assert_allclose(there.distance / SCALE, here.distance, rtol=1e-3)


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.2), pytest.param("l2", 1.0, marks=pytest.mark.slow)])
def test_universal_perturbations(both, norm, epsilon):
    here, there = both(
        lambda model, images, scale, bounds: universal_perturbation(
            model, images, epsilon=epsilon * scale, norm=norm, passes=3, fooling_rate=1.0, **bounds
        )
    )
    assert here.fooling_rate > 0
    assert there.fooling_rate == here.fooling_rate
    np.testing.assert_allclose(there.perturbation / SCALE, here.perturbation, atol=1e-4)
