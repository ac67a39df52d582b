"""Projected gradient descent: written out in NumPy, inside its ball, seeded, and in training."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from adversarial_helpers import linear, network, scores, shared_network, some_images

from kerasdl import training
from kerasdl.adversarial import fgsm, pgd

IMAGES = some_images()


def by_hand(weights, bias, labels, epsilon, norm, steps, step_size):
    """Descent on a linear model of three classes, from the image, within [0, 1]."""
    x = IMAGES.copy()
    for _ in range(steps):
        others = np.exp(scores(weights, bias, x))
        others[np.arange(len(x)), labels] = 0
        share = others / others.sum(axis=1, keepdims=True)
        gradient = np.einsum("nk,khwc->nhwc", share, weights) - weights[labels]
        if norm == "linf":
            x = x + step_size * np.sign(gradient)
            x = IMAGES + np.clip(x - IMAGES, -epsilon, epsilon)
        else:
            x = x + step_size * gradient / np.linalg.norm(gradient.reshape(6, -1), axis=1)[:, None, None, None]
            far = np.linalg.norm((x - IMAGES).reshape(6, -1), axis=1)[:, None, None, None]
            x = IMAGES + (x - IMAGES) * np.minimum(1, epsilon / far)
        x = np.clip(x, 0, 1)
    return x


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.45), ("l2", 3.0)])
def test_every_step_is_that_of_the_paper(norm, epsilon):
    model, weights, bias = linear(3)
    labels = scores(weights, bias, IMAGES).argmax(axis=1)
    arguments = {"epsilon": epsilon, "norm": norm, "steps": 7, "step_size": epsilon / 4}
    attacked = pgd(model, IMAGES, labels, random_start=False, **arguments)
    expected = by_hand(weights, bias, labels, **arguments)
    np.testing.assert_allclose(attacked.images, expected, atol=1e-5)
    change = (expected - IMAGES).reshape(6, -1)
    distance = np.abs(change).max(axis=1) if norm == "linf" else np.linalg.norm(change, axis=1)
    np.testing.assert_allclose(attacked.distance, distance, rtol=1e-5)
    assert attacked.success.all()


@pytest.mark.slow
def test_one_long_step_from_the_image_is_the_fast_gradient_sign():
    model = network()
    ours = pgd(model, IMAGES, epsilon=0.1, steps=1, step_size=0.3, random_start=False)
    np.testing.assert_allclose(ours.images, fgsm(model, IMAGES, epsilon=0.1).images, atol=1e-6)


@pytest.mark.parametrize("norm", [pytest.param("linf", marks=pytest.mark.slow), "l2"])
def test_never_leaves_the_ball_or_the_bounds(norm):
    model = network()
    images = some_images(spread=0.5)
    for steps in (1, 5):
        attacked = pgd(model, images, epsilon=0.3, norm=norm, steps=steps, step_size=0.2, target=1, seed=steps)
        change = (attacked.images - images).reshape(6, -1)
        distance = np.abs(change).max(axis=1) if norm == "linf" else np.linalg.norm(change, axis=1)
        assert (distance <= 0.3 + 1e-6).all()
        assert distance.max() > 0.2
        np.testing.assert_allclose(attacked.distance, distance, rtol=1e-5)
        assert 0 <= attacked.images.min() <= attacked.images.max() <= 1


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_random_starts_fill_the_ball_evenly(norm):
    model, *_ = linear()
    images = np.full((200, 4, 4, 3), 0.5, "float32")
    starts = pgd(model, images, epsilon=0.2, norm=norm, steps=1, step_size=0.0, target=0)
    change = (starts.images - images)[~starts.already_wrong].reshape(-1, 48)
    assert len(change) in (0, 200)
    if not len(change):
        starts = pgd(model, images, epsilon=0.2, norm=norm, steps=1, step_size=0.0, target=1)
        change = (starts.images - images).reshape(-1, 48)
    if norm == "linf":
        assert abs(change.mean()) < 4 * 0.2 / np.sqrt(3 * change.size)
        assert change.std() == pytest.approx(0.2 / np.sqrt(3), rel=0.02)
    else:
        # A share r^48 of the ball lies within r of its radius, so the mean of the distance is 48 / 49 of it.
        distance = np.linalg.norm(change, axis=1)
        assert distance.mean() / 0.2 == pytest.approx(48 / 49, abs=4 * 0.02 / np.sqrt(200))
        np.testing.assert_allclose(change.mean(axis=0), 0, atol=5 * 0.2 / np.sqrt(48 * 200))


def test_seeds_decide_and_batches_do_not():
    model = network()
    arguments = {"epsilon": 0.1, "steps": 3, "step_size": 0.01}
    whole = pgd(model, IMAGES, seed=3, **arguments).images
    np.testing.assert_allclose(pgd(model, IMAGES, seed=3, batch_size=4, **arguments).images, whole, atol=1e-6)
    assert np.abs(pgd(model, IMAGES, seed=4, **arguments).images - whole).max() > 0.01


@pytest.mark.slow
def test_targets_are_reached():
    model, weights, bias = linear(3)
    targets = (scores(weights, bias, IMAGES).argmax(axis=1) + 1) % 3
    attacked = pgd(model, IMAGES, epsilon=0.1, steps=10, target=targets)
    np.testing.assert_array_equal(scores(weights, bias, attacked.images).argmax(axis=1), targets)
    assert attacked.success.all()


def test_restarts_keep_the_worst():
    # Without steps the random start is all there is, and more of them can only find more harm.
    model, weights, bias = linear(3, scale=0.05)
    labels = scores(weights, bias, IMAGES).argmax(axis=1)

    def harm(images):
        p = np.exp(scores(weights, bias, images))
        return -np.log(p[np.arange(6), labels] / p.sum(axis=1))

    arguments = {"epsilon": 0.02, "steps": 1, "step_size": 0.0}
    single = pgd(model, IMAGES, labels, **arguments)
    several = pgd(model, IMAGES, labels, restarts=8, **arguments)
    # The first of the starts is the same one.
    better = (several.success & ~single.success) | (harm(several.images) >= harm(single.images))
    assert better.all()
    assert (harm(several.images) > harm(single.images) + 1e-4).any()
    # And the restarts end as soon as all are fooled: a thousand million would take for ever.
    assert pgd(model, IMAGES, labels, restarts=2**30, epsilon=0.4, steps=5).success.all()


@pytest.mark.parametrize("kind", [np.int32, lambda value: tf.constant(value, "float64"), tf.Variable])
def test_numbers_may_be_of_any_type(kind):
    model = shared_network()
    expected = pgd(model, 255 * IMAGES, epsilon=8.0, steps=np.int64(2), bounds=(0, 255))
    attacked = pgd(model, 255 * IMAGES, epsilon=kind(8), steps=2, bounds=(0, 255))
    np.testing.assert_array_equal(attacked.images, expected.images)
    assert attacked.distance.max() == pytest.approx(8, abs=1e-4)


def test_another_number_traces_nothing():
    model = network()
    pgd(model, IMAGES, epsilon=0.1, steps=2)
    calls = []
    layer = model.layers[0]
    call = layer.call
    layer.call = lambda x: calls.append(1) or call(x)
    pgd(model, IMAGES[:4], epsilon=0.2, steps=3, step_size=0.1, seed=5)
    assert calls == []
    pgd(model, IMAGES, epsilon=0.1, steps=2, restarts=2)
    assert calls  # the counter counts


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_in_training_the_random_start_changes_from_step_to_step(run_eagerly):
    model = network()
    model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy", run_eagerly=run_eagerly)
    seen = []

    def attack(model, x, y):
        attacked = pgd(model, x, y, epsilon=0.1, steps=1, step_size=0.0)
        tf.py_function(lambda images: seen.append(images.numpy()), [attacked], [])
        return attacked

    step = training.make_train_step(model, attack=attack)
    for _ in range(2):
        step(IMAGES, np.zeros(6, "int32"))
    for images in seen:
        assert 0.05 < np.abs(images - IMAGES).max() <= 0.1 + 1e-6
    assert len(seen) == 2
    assert np.abs(seen[0] - seen[1]).max() > 0.05


@pytest.mark.slow
def test_training_learns_from_the_attacked_images():
    model, weights, bias = linear(3)
    model.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    labels = scores(weights, bias, IMAGES).argmax(axis=1)
    arguments = {"epsilon": 0.05, "norm": "linf", "steps": 3, "step_size": 0.02}
    attack = functools.partial(pgd, random_start=False, **arguments)
    data = tf.data.Dataset.from_tensor_slices((IMAGES, labels)).batch(6)
    training.fit(model, data, epochs=1, verbose=0, attack=attack)
    attacked = by_hand(weights, bias, labels, **arguments)
    p = np.exp(scores(weights, bias, attacked))
    slope = (p / p.sum(axis=1, keepdims=True) - np.eye(3)[labels]) / 6
    expected = weights - 0.1 * np.einsum("nk,nhwc->khwc", slope, attacked)
    np.testing.assert_allclose(model.get_weights()[0], expected.reshape(3, -1).T, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epsilon": -1}, r"`epsilon` must be a number of at least 0\. Received: -1\."),
        ({"norm": "l1"}, r"`norm` must be \"linf\" or \"l2\"\. Received: 'l1'\."),
        ({"steps": 0}, r"`steps` must be a whole number of at least 1\. Received: 0\."),
        ({"restarts": 1.5}, r"`restarts` must be a whole number of at least 1\. Received: 1\.5\."),
        ({"restarts": 2, "random_start": False}, r"`restarts` need `random_start=True`: from the image itself all"),
        ({"seed": None}, r"`seed` must be a whole number from 0 to 2\*\*31 - 1\. Received: None\."),
        ({"seed": 2**31}, r"`seed` must be a whole number from 0 to 2\*\*31 - 1\. Received: 2147483648\."),
        ({"step_size": -2}, r"`step_size` must be a number of at least 0\. Received: -2\."),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        pgd(shared_network(), IMAGES, **{"epsilon": 0.1, **arguments})
