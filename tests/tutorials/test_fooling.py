"""What the lesson measures: how straight a line is, and how long a change must be."""

import keras
import numpy as np

from kerasdl.tutorials import fooling


def test_straightness_of_a_line_and_of_a_kink():
    x = np.linspace(-1, 1, 2001)
    straight = fooling.straightness(np.stack([3 - 2 * x, np.maximum(x, 0), np.abs(x)]), x)
    # For max(x, 0) on an even spread: covariance 1/6, variances 1/3 and 1/6 - 1/16.
    np.testing.assert_allclose(straight, [1, (1 / 36) / ((1 / 3) * (5 / 48)), 0], atol=1e-3)


def test_scores_along_the_sign_of_a_linear_model():
    layers = [keras.layers.Flatten(), keras.layers.Dense(3, name="logits"), keras.layers.Softmax()]
    model = keras.Sequential([keras.Input((2, 2, 1)), *layers])
    images = np.random.default_rng(0).uniform(size=(4, 2, 2, 1)).astype("float32")
    labels, epsilons = np.array([0, 1, 2, 0]), np.array([-0.1, 0.0, 0.3])
    kernel, bias = model.get_weights()
    before = images.reshape(4, 4) @ kernel + bias
    p = np.exp(before) / np.exp(before).sum(axis=1, keepdims=True)
    direction = np.sign((p - np.eye(3)[labels]) @ kernel.T)
    expected = before[:, None] + epsilons[:, None] * (direction @ kernel)[:, None]
    found = fooling.along_the_sign(model, images, labels, epsilons)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_noise_fools_a_linear_model_where_its_share_of_the_way_is_enough():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    images = np.random.default_rng(0).uniform(size=(20, 2, 2, 1)).astype("float32")
    noise = np.random.default_rng(3).normal(size=(20, 4))
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    model.layers[-1].bias.assign([3.0, 0.0])  # Far from the boundary.
    kernel, bias = model.get_weights()
    lead = np.diff(images.reshape(20, 4) @ kernel + bias, axis=1)[:, 0]
    gain = -np.sign(lead) * np.diff(noise @ kernel, axis=1)[:, 0]
    lengths = fooling.noise_that_fools(model, images, seed=3)
    exact = np.abs(lead) / np.where(gain > 0, gain, np.nan)
    reached = (exact < 50) & (exact > 1)
    assert reached.sum() >= 5
    ratio = lengths[reached] / exact[reached]
    assert ((ratio >= 1) & (ratio <= 2**0.25 + 1e-3)).all()
    # Where it leads away from the boundary, no length is enough: that must not pass for the longest one.
    assert np.isinf(lengths[gain <= 0]).all()
    assert np.isinf(lengths[exact > 64]).all()
