"""Accuracy under attack, against the margins of a linear model."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from adversarial_helpers import distance_to_boundary, linear, scores, shared_network, some_images

from kerasdl.adversarial import deep_fool, fgsm, pgd, robust_accuracy

IMAGES = some_images(50)


@pytest.fixture(scope="module")
def known():
    model, weights, bias = linear()
    outputs = scores(weights, bias, IMAGES)
    labels = outputs.argmax(axis=1)
    labels[:5] = 1 - labels[:5]
    # With its sign: minus infinity for what is wrong without an attack.
    lead = np.where(np.arange(50) < 5, -np.inf, np.abs(np.diff(outputs, axis=1)[:, 0]))
    return model, weights, bias, labels, lead


@pytest.mark.parametrize("attack", [fgsm, functools.partial(pgd, steps=5)])
def test_of_a_linear_model_it_is_the_share_of_larger_margins(known, attack):
    model, weights, _, labels, lead = known
    reach = np.abs(weights[1] - weights[0]).sum()
    epsilons = np.quantile(lead[5:], [0.0, 0.3, 0.6, 1.0]) * np.array([0, 1.001, 1.001, 1.001]) / reach
    expected = [np.mean(lead > epsilon * reach) for epsilon in epsilons]
    assert expected[0] == 0.9
    assert expected[-1] == 0
    np.testing.assert_allclose(robust_accuracy(model, (IMAGES, labels), attack, epsilons), expected)
    data = tf.data.Dataset.from_tensor_slices((IMAGES, labels)).batch(16)
    np.testing.assert_allclose(robust_accuracy(model, data, attack, epsilons), expected)


def test_an_attack_that_finds_distances_is_asked_once(known):
    model, weights, bias, labels, lead = known
    calls = []

    def attack(model, images, labels):
        calls.append(len(images))
        return deep_fool(model, images, labels, overshoot=0.001)

    distance = np.where(np.isfinite(lead), distance_to_boundary(weights, bias, IMAGES), -1)
    epsilons = [0.0, *(np.quantile(distance[5:], [0.3, 0.6]) * 1.002), 10.0]
    found = robust_accuracy(model, (IMAGES, labels), attack, epsilons)
    np.testing.assert_allclose(found, [np.mean(distance > 1e-9), *(np.mean(distance > e) for e in epsilons[1:])])
    assert found[0] == 0.9
    assert calls == [32, 18]


def test_an_image_of_the_target_class_is_right_and_cannot_be_led_there(known):
    model, _, _, labels, lead = known
    says_target = labels == 1
    expected = np.mean(np.isfinite(lead) & says_target)
    assert 0.2 < expected < 0.8

    def attack(model, images, labels):
        return fgsm(model, images, labels, epsilon=0.4, target=1)

    np.testing.assert_allclose(robust_accuracy(model, (IMAGES, labels), attack, [0.0, 10.0]), [0.9, expected])


def test_the_attack_gets_the_size_of_the_batches_and_makes_them_itself(known):
    model, _, _, labels, _ = known
    calls, made = [], []

    def attack(model, images, labels, epsilon, batch_size=32):
        calls.append((len(images), batch_size))
        made.append(pgd(model, images, labels, epsilon=epsilon, steps=1, step_size=0.0, batch_size=batch_size))
        return made[-1]

    # Fifty times the same image: only the random starts can make them differ, and those of two batches do as well.
    images, classes = np.repeat(IMAGES[10:11], 50, axis=0), np.repeat(labels[10:11], 50)
    robust_accuracy(model, (images, classes), attack, [0.5], batch_size=5)
    assert calls == [(50, 5)]
    assert len(np.unique(made[0].images, axis=0)) == 50
    robust_accuracy(model, (images, classes), functools.partial(attack, batch_size=7), [0.5])
    assert calls[1:] == [(50, 7)]


def test_a_plain_function_is_an_attack_too(known):
    model, weights, _, labels, _ = known

    def brighter(model, images, labels, epsilon):
        return images + epsilon

    bias = model.layers[-1].bias.numpy()
    expected = [np.mean(scores(weights, bias, IMAGES + epsilon).argmax(axis=1) == labels) for epsilon in (0.0, 0.1)]
    assert expected[0] != expected[1]
    np.testing.assert_allclose(robust_accuracy(model, (IMAGES, labels), brighter, (0.0, 0.1)), expected)


@pytest.mark.parametrize(
    ("data", "attack", "epsilons", "message"),
    [
        (IMAGES, fgsm, [0.1], r"`data` must be images and labels, as a tuple or a data set of tuples\. Received: no"),
        ((IMAGES, [0]), fgsm, [0.1], r"`data` must have as many labels as images\. Received: 50 and 1\."),
        ((IMAGES[:2], [0, 9]), fgsm, [0.1], r"`labels` must be classes from 0 to 3 of model '.*'\. Received: 9\."),
        ((IMAGES[:2], [0, 1]), fgsm, [-0.1], r"`epsilons` must be a number of at least 0\. Received: -0\.1\."),
        (
            (IMAGES[:2], [0, 1]),
            lambda model, images, labels: images,
            [0.1],
            r"`attack` must take `epsilon`, or return an `Adversarial` with the distance.*Received: ndarray\.",
        ),
        ((IMAGES[:0], np.zeros(0, int)), fgsm, [0.1], r"`data` must hold at least one image\. Received: none\."),
    ],
)
def test_refuses(data, attack, epsilons, message):
    with pytest.raises(ValueError, match=message):
        robust_accuracy(shared_network(), data, attack, epsilons)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, None])
def test_refuses_batches_of_no_size(batch_size):
    message = r"`batch_size` must be a whole number of at least 1\. Received: "
    with pytest.raises(ValueError, match=message):
        robust_accuracy(shared_network(), (IMAGES[:2], [0, 1]), fgsm, [0.1], batch_size=batch_size)
