"""What the lesson compares: trainings that differ in the attack alone, and shares of the images they are about."""

import numpy as np
import pytest
import tensorflow as tf

from kerasdl import training
from kerasdl.adversarial import Adversarial
from kerasdl.tutorials import adversarial_training


class Answers:
    """Says what is given to it."""

    def predict(self, images, verbose):
        return np.eye(3)[images]


def test_all_trainings_begin_alike_and_see_the_same_batches(monkeypatch, tmp_path):
    seen = []

    def load(name, *, split, batch_size, shuffle=False, seed=0):
        examples = tf.data.Dataset.from_tensor_slices((np.zeros((100, 13, 13, 1), "float32"), np.arange(100) % 10))
        return (examples.shuffle(100, seed) if shuffle else examples).batch(batch_size)

    def fit(model, data, **arguments):
        seen.append((model.layers[0].kernel.numpy(), next(data.as_numpy_iterator())[1]))

    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "fit", fit)
    monkeypatch.setattr(adversarial_training, "load", load)
    monkeypatch.setattr(adversarial_training, "readouts_by_distance", stop)
    with pytest.raises(KeyboardInterrupt):
        adversarial_training.main(quick=True, out=tmp_path)
    assert len(seen) == 3
    for kernel, labels in seen[1:]:
        np.testing.assert_array_equal(kernel, seen[0][0])
        np.testing.assert_array_equal(labels, seen[0][1])


def test_only_what_an_attack_fooled_counts():
    # The first two fool the other network, the third was wrong before, and the fourth could not be changed.
    success, already_wrong = np.array([True, True, False, False]), np.array([False, False, True, False])
    attacked = Adversarial(np.array([0, 1, 2, 1]), success, already_wrong, np.zeros(4))
    labels = np.array([0, 2, 0, 1])
    assert adversarial_training.right_where_another_fails(Answers(), attacked, labels) == 0.5
    nobody = Adversarial(attacked.images, np.zeros(4, bool), already_wrong, np.zeros(4))
    assert adversarial_training.right_where_another_fails(Answers(), nobody, labels) == 1


def test_the_error_of_a_gain_is_that_of_seeds_and_images():
    random = np.random.default_rng(0)

    def run(seeds, images):
        # A gain of 0.3: 0.1 more or less by the seed, and three kinds of images.
        shares = 0.5 + 0.1 * random.choice([-1, 1], (seeds, 1)) + random.choice([-0.3, 0, 0.3], images)
        return random.uniform(size=(seeds, images)) < shares, np.broadcast_to(
            random.uniform(size=images) < 0.2, shares.shape
        )

    found = np.array([adversarial_training.gain_and_error(*run(5, 50)) for _ in range(400)])
    assert found[:, 0].mean() == pytest.approx(0.3, abs=0.02)
    # As far as the gains of many repetitions lie from each other, and at most a little more.
    assert 1 < np.sqrt((found[:, 1] ** 2).mean()) / found[:, 0].std() < 1.3
    # Seeds that all find the same leave the images' error: of 10 gains, 4 are one and the others none.
    same = np.repeat([[1, 1, 1, 1, 0, 0, 0, 0, 0, 0]], 3, axis=0)
    gain, error = adversarial_training.gain_and_error(same, np.zeros((3, 10)))
    assert (gain, error) == pytest.approx((0.4, np.sqrt(0.4 * 0.6 / 9)))
