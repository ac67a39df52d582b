"""The attacks that look for the smallest change: the exact distance on linear models, and what they share."""

import functools

import keras
import numpy as np
import pytest
from adversarial_helpers import (
    distance_to_boundary,
    linear,
    network,
    scores,
    shared_network,
    some_images,
)

from kerasdl import training
from kerasdl.adversarial import carlini_wagner, deep_fool, minimal_perturbation

IMAGES = some_images()
ALL = [deep_fool, minimal_perturbation, carlini_wagner]
# What they share is tested in a short time on one of them.
ONE_FAST = [
    deep_fool,
    pytest.param(minimal_perturbation, marks=pytest.mark.slow),
    pytest.param(carlini_wagner, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(
    ("classes", "scale", "activation"), [pytest.param(2, 50.0, "softmax", marks=pytest.mark.slow), (5, 0.05, None)]
)
@pytest.mark.parametrize("attack", ALL)
def test_on_a_linear_model_the_distance_is_the_one_to_the_boundary(attack, classes, scale, activation):
    model, weights, bias = linear(classes, scale=scale, activation=activation)
    labels = scores(weights, bias, IMAGES).argmax(axis=1)
    exact = distance_to_boundary(weights, bias, IMAGES)
    overshoot = {"overshoot": 0.005} if attack is deep_fool else {}
    attacked = attack(model, IMAGES, labels, **overshoot)
    assert attacked.success.all()
    assert (scores(weights, bias, attacked.images).argmax(axis=1) != labels).all()
    change = np.linalg.norm((attacked.images - IMAGES).reshape(6, -1), axis=1)
    np.testing.assert_allclose(attacked.distance, change, rtol=1e-4)
    assert (change > 0.999 * exact).all()
    if attack is carlini_wagner and classes > 2:
        # Its loss follows the best rival, who need not be the nearest one: not for every image.
        assert np.median(change / exact) < 1.02
    else:
        assert (change < 1.01 * exact).all()


@pytest.mark.parametrize("attack", ONE_FAST)
def test_a_single_score_stands_for_two_classes(attack):
    model, weights, bias = linear(1, activation="sigmoid")
    exact = np.abs(scores(weights, bias, IMAGES)[:, 0]) / np.linalg.norm(weights)
    overshoot = {"overshoot": 0.005} if attack is deep_fool else {}
    np.testing.assert_allclose(attack(model, IMAGES, **overshoot).distance, exact, rtol=0.01)


@pytest.mark.parametrize("attack", [minimal_perturbation, pytest.param(carlini_wagner, marks=pytest.mark.slow)])
def test_targets_are_reached_by_the_shortest_way(attack):
    model, weights, bias = linear(4)
    attacked = attack(model, IMAGES, target=2)
    said = scores(weights, bias, IMAGES).argmax(axis=1)
    assert (scores(weights, bias, attacked.images).argmax(axis=1) == 2).all()
    np.testing.assert_array_equal(attacked.already_wrong, said == 2)
    exact = distance_to_boundary(weights, bias, IMAGES, target=2)
    rest = said != 2
    assert rest.sum() >= 4
    np.testing.assert_allclose(attacked.distance[rest], exact[rest], rtol=0.01)


@pytest.mark.parametrize("attack", ONE_FAST)
def test_the_box_is_kept_even_where_the_boundary_is_far(attack):
    # A boundary that few pixels cannot reach: all of them are needed, up to their bounds.
    model, weights, _ = linear()
    images = some_images(spread=0.5)
    outputs = scores(weights, model.layers[-1].bias.numpy(), images)
    attacked = attack(model, images, outputs.argmax(axis=1), bounds=(0, 1))
    assert 0 <= attacked.images.min() <= attacked.images.max() <= 1
    assert attacked.success.all()
    # By the dual of: min |r| where d (x + r) + e = 0 and 0 <= x + r <= 1, one number to be found by halving.
    for image, row, distance in zip(images, outputs, attacked.distance, strict=True):
        said = row.argmax()
        d = (weights[1 - said] - weights[said]).ravel()
        least, most = 0.0, 1e3
        for _ in range(60):
            middle = (least + most) / 2
            r = np.clip(image.ravel() + middle * d, 0, 1) - image.ravel()
            least, most = (middle, most) if d @ r < row[said] - row[1 - said] else (least, middle)
        assert 0.999 * np.linalg.norm(r) < distance < 1.05 * np.linalg.norm(r)


@pytest.mark.slow
def test_kappa_asks_for_a_lead():
    model, weights, bias = linear()
    kappa = 3.0
    attacked = carlini_wagner(model, IMAGES, kappa=kappa)
    outputs = np.sort(scores(weights, bias, attacked.images), axis=1)
    lead = outputs[:, 1] - outputs[:, 0]
    assert (lead >= kappa - 1e-3).all()
    before = np.abs(np.diff(scores(weights, bias, IMAGES), axis=1))[:, 0]
    exact = (before + kappa) / np.linalg.norm(weights[1] - weights[0])
    np.testing.assert_allclose(attacked.distance, exact, rtol=0.02)


@pytest.mark.parametrize("attack", ONE_FAST)
def test_on_a_network_they_fool_and_batches_do_not_matter(attack):
    model = network()
    labels = model(IMAGES).numpy().argmax(axis=1)
    labels[0] = (labels[0] + 1) % 4
    attacked = attack(model, IMAGES, labels, steps=20)
    np.testing.assert_array_equal(attacked.already_wrong, [True, False, False, False, False, False])
    np.testing.assert_array_equal(attacked.images[0], IMAGES[0])
    assert attacked.success[1:].all()
    said = model(attacked.images).numpy().argmax(axis=1)
    assert (said[1:] != labels[1:]).all()
    calls = []
    layer = model.layers[0]
    call = layer.call
    layer.call = lambda x: calls.append(1) or call(x)
    again = attack(model, IMAGES, labels, steps=20, batch_size=4)
    assert calls == []  # nothing is traced again
    np.testing.assert_allclose(again.distance, attacked.distance, rtol=0.05, atol=1e-6)


@pytest.mark.slow
def test_three_ways_agree_on_a_network():
    # No closed form, but three independent upper bounds of one number; the two that minimise mostly find one place.
    model = network()
    nearest, least, wagner = (attack(model, IMAGES).distance for attack in ALL)
    assert np.median(least / wagner) == pytest.approx(1, abs=0.02)
    assert least.mean() < 0.97 * nearest.mean()
    assert (least < 1.06 * nearest).all()


@pytest.mark.parametrize("run_eagerly", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("attack", ONE_FAST)
def test_in_training_the_model_sees_the_attacked_images(attack, run_eagerly):
    model, weights, bias = linear()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.0), loss, run_eagerly=run_eagerly)
    labels = scores(weights, bias, IMAGES).argmax(axis=1)
    options = {"overshoot": 0.001} if attack is deep_fool else {}
    step = training.make_train_step(model, attack=functools.partial(attack, **options))
    # On the boundary both classes are equally likely: the cross-entropy is log 2.
    assert float(step(IMAGES, labels)["loss"]) == pytest.approx(np.log(2), abs=3e-3)


def deep_fool_by_hand(image, weights, bias, weights_after, bias_after, overshoot):
    """Algorithm 2 for one flat image and a network with one hidden layer of hyperbolic tangents, with its steps."""

    def scores_and_slopes(x):
        hidden = np.tanh(x @ weights + bias)
        return hidden @ weights_after + bias_after, weights_after.T * (1 - hidden**2) @ weights.T

    said = scores_and_slopes(image)[0].argmax()
    x, change, steps = image, np.zeros_like(image), 0
    while scores_and_slopes(x)[0].argmax() == said:
        outputs, slopes = scores_and_slopes(x)
        ways = []
        for k in range(len(outputs)):
            w, f = slopes[k] - slopes[said], outputs[k] - outputs[said]
            if k != said:
                ways.append((abs(f) / np.linalg.norm(w), abs(f) / np.linalg.norm(w) ** 2 * w))
        change = change + min(ways, key=lambda way: way[0])[1]
        x = np.clip(image + (1 + overshoot) * change, 0, 1)
        steps += 1
    return x, steps


@pytest.mark.slow
def test_the_steps_of_deep_fool_are_those_of_the_paper():
    random = np.random.default_rng(3)
    arrays = [random.normal(size=shape) for shape in ((48, 12), (12,), (12, 4), (4,))]
    arrays[1] -= 0.5 * arrays[0].sum(axis=0)
    hidden = keras.layers.Dense(12, activation="tanh")
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), hidden, keras.layers.Dense(4)])
    model.set_weights(arrays)
    found = [deep_fool_by_hand(image.ravel().astype("float64"), *arrays, 0.02) for image in IMAGES]
    steps = [number for _, number in found]
    assert max(steps) > 2
    attacked = deep_fool(model, IMAGES, overshoot=0.02)
    np.testing.assert_allclose(attacked.images.reshape(6, -1), [x for x, _ in found], atol=1e-4)
    # One step less than the last image takes is not enough for it.
    hurried = deep_fool(model, IMAGES, overshoot=0.02, steps=max(steps) - 1)
    np.testing.assert_array_equal(hurried.success, np.array(steps) < max(steps))


def test_without_any_slope_nothing_is_changed():
    # All rectifiers of the hidden layer are shut for every image.
    hidden = keras.layers.Dense(8, activation="relu")
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), hidden, keras.layers.Dense(3)])
    weights, _, weights_after, _ = model.get_weights()
    model.set_weights([weights, np.full(8, -100.0), weights_after, np.array([1.0, 0.0, 0.5])])
    attacked = deep_fool(model, IMAGES, [0] * 6)
    assert not (attacked.success | attacked.already_wrong).any()
    np.testing.assert_array_equal(attacked.images, IMAGES)
    np.testing.assert_array_equal(attacked.distance, 0)


def test_steps_that_cannot_reach_report_so():
    model, *_ = linear()
    attacked = carlini_wagner(model, IMAGES, steps=1, searches=1, learning_rate=1e-4)
    assert not attacked.success.any()
    np.testing.assert_array_equal(attacked.images, IMAGES)


@pytest.mark.parametrize(
    ("attack", "arguments", "message"),
    [
        (deep_fool, {"candidates": 0}, r"`candidates` must be a whole number of at least 1\. Received: 0\."),
        (deep_fool, {"overshoot": -1}, r"`overshoot` must be a number of at least 0\. Received: -1\."),
        (minimal_perturbation, {"steps": 0}, r"`steps` must be a whole number of at least 1\. Received: 0\."),
        (minimal_perturbation, {"searches": 0}, r"`searches` must be a whole number of at least 1\. Received: 0\."),
        (minimal_perturbation, {"target": 7}, r"`target` must be a class from 0 to 3 of model '.*'\. Received: 7\."),
        (carlini_wagner, {"kappa": -1}, r"`kappa` must be a number of at least 0\. Received: -1\."),
        (
            carlini_wagner,
            {"learning_rate": np.inf},
            r"`learning_rate` must be a number of at least 0\. Received: inf\.",
        ),
        (carlini_wagner, {"bounds": 1}, r"`bounds` must be the smallest and the largest value .*Received: 1\."),
        (carlini_wagner, {"bounds": (-np.inf, np.inf)}, r"`bounds` must be finite: .* Received: \(-inf, inf\)\."),
    ],
)
def test_refuses(attack, arguments, message):
    with pytest.raises(ValueError, match=message):
        attack(shared_network(), IMAGES, **arguments)
