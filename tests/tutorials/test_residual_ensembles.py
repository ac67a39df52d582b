"""What the lesson on residual ensembles computes: gradients along paths, Kendall's tau, blocks of a plain network."""

import itertools

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from kerasdl.architectures import plain_cifar, resnet_cifar
from kerasdl.tutorials.residual_ensembles import kendall_tau, path_gradients, plain_blocks


@pytest.mark.slow
def test_all_paths_together_give_the_gradient():
    model = resnet_cifar(8, input_shape=(8, 8, 1))
    random = np.random.default_rng(0)
    images, labels = random.normal(size=(3, 8, 8, 1)).astype("float32"), np.array([1, 5, 0])
    parts = path_gradients(model, images, labels, np.array(list(itertools.product([False, True], repeat=3))))
    variable = tf.Variable(images)
    with tf.GradientTape() as tape:
        chances = model(variable)
        loss = -tf.reduce_sum(tf.math.log(tf.gather(chances, labels, axis=1, batch_dims=1)))
    expected = tape.gradient(loss, variable).numpy()
    np.testing.assert_allclose(parts.sum(axis=0), expected, atol=1e-5 * np.abs(expected).max())
    assert all(np.abs(part).max() > 1e-3 * np.abs(expected).max() for part in parts)


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [0, 3, 1, 2, 5, 4]])
def test_kendall_tau(order):
    assert kendall_tau(np.array(order)) == pytest.approx(scipy.stats.kendalltau(range(len(order)), order).statistic)


def test_blocks_of_a_plain_network_leave_the_shape():
    model = plain_cifar(20, input_shape=(8, 8, 1))
    pairs = plain_blocks(20)
    assert len(pairs) == 3 + 2 + 2
    for before, last in pairs:
        assert model.get_layer(before).output.shape == model.get_layer(last).output.shape
