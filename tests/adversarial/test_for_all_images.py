"""The universal perturbation of a linear model, where its best direction and its reach are known."""

import numpy as np
import pytest
import tensorflow as tf
from adversarial_helpers import linear, network, scores, shared_network, some_images

from kerasdl.adversarial import universal_perturbation


def one_sided(count=40):
    """Images that a linear model all takes for class 0, with the model's weights and their leads."""
    model, weights, bias = linear()
    images = some_images(4 * count)
    outputs = scores(weights, bias, images)
    images = images[outputs[:, 0] > outputs[:, 1]][:count]
    return model, weights, images, -np.diff(scores(weights, bias, images), axis=1)[:, 0]


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_on_a_linear_model_it_is_the_best_direction_and_fools_as_many_as_can_be(norm):
    model, weights, images, lead = one_sided()
    d = weights[1] - weights[0]
    # Of all changes in the ball this one moves the scores most, by epsilon times the dual norm of d.
    best, reach = (np.sign(d), np.abs(d).sum()) if norm == "linf" else (d / np.linalg.norm(d), np.linalg.norm(d))
    epsilon = 0.7 * lead.max() / reach
    found = universal_perturbation(model, images, epsilon=epsilon, norm=norm, fooling_rate=1.0, passes=15)
    np.testing.assert_allclose(found.perturbation, epsilon * best, atol=1e-3 * epsilon)
    assert found.fooling_rate == pytest.approx(np.mean(lead < epsilon * reach))
    assert 0.5 < found.fooling_rate < 1


def test_it_stops_at_the_rate_that_was_asked_for():
    model, weights, images, lead = one_sided()
    d = weights[1] - weights[0]
    epsilon = 2 * lead.max() / np.abs(d).sum()
    found = universal_perturbation(model, images, epsilon=epsilon, fooling_rate=0.2, step_size=epsilon / 50)
    assert 0.2 <= found.fooling_rate < 1
    assert np.abs(found.perturbation).max() < epsilon / 2
    assert universal_perturbation(model, images, epsilon=epsilon, fooling_rate=1.0).fooling_rate == 1


def test_data_sets_and_arrays_give_the_same_within_the_ball():
    model = network()
    images = some_images(20, spread=0.5)
    arguments = {"epsilon": 0.2, "passes": 2}
    whole = universal_perturbation(model, images, batch_size=8, **arguments)
    data = tf.data.Dataset.from_tensor_slices((images, np.zeros(20))).batch(8)
    again = universal_perturbation(model, data, **arguments)
    np.testing.assert_allclose(again.perturbation, whole.perturbation, atol=1e-6)
    assert np.abs(whole.perturbation).max() <= 0.2 + 1e-6
    said = model(images).numpy().argmax(axis=1)
    moved = model(np.clip(images + whole.perturbation, 0, 1)).numpy().argmax(axis=1)
    assert whole.fooling_rate == pytest.approx(np.mean(said != moved))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epsilon": -1}, r"`epsilon` must be a number of at least 0\. Received: -1\."),
        ({"norm": "l1"}, r"`norm` must be \"linf\" or \"l2\"\. Received: 'l1'\."),
        ({"fooling_rate": 0}, r"`fooling_rate` must be a share above 0, at most 1\. Received: 0\."),
        ({"passes": 0}, r"`passes` must be a whole number of at least 1\. Received: 0\."),
        ({"batch_size": 0}, r"`batch_size` must be a whole number of at least 1\. Received: 0\."),
        ({"bounds": (0, 0.5)}, r"`images` must lie in `bounds`, 0 to 0\.5\. Received: values from"),
        ({"data": np.zeros((0, 4, 4, 3))}, r"`data` must hold at least one image\. Received: none\."),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        universal_perturbation(shared_network(), **{"data": some_images(), "epsilon": 0.1, **arguments})
