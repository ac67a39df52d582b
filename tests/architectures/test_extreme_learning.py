"""Random networks: their features in NumPy, and what is frozen."""

import keras
import numpy as np
import pytest
from helpers import numbers_in
from scipy.signal import correlate

from kerasdl.architectures import extreme_learning_machine, random_feature_cnn


@pytest.mark.parametrize(
    ("builder", "all_weights", "learnt"),
    [(extreme_learning_machine, 784 * 1000 + 1000 + 10_010, 10_010), (random_feature_cnn, 128 * 26 + 20_490, 20_490)],
)
def test_only_the_last_layer_can_learn(builder, all_weights, learnt):
    model = builder()
    assert model.count_params() == all_weights
    assert [weight.path for weight in model.trainable_weights] == ["logits/kernel", "logits/bias"]
    assert numbers_in(model.trainable_weights) == learnt


def test_the_hidden_units_in_numpy():
    model = extreme_learning_machine(7, input_shape=(4, 5, 2), seed=0)
    images = np.random.default_rng(0).random((3, 4, 5, 2), dtype="float32")
    weights, bias = model.get_layer("hidden").get_weights()
    expected = 1 / (1 + np.exp(-((2 * images - 1).reshape(3, -1) @ weights + bias)))
    hidden = keras.Model(model.input, model.get_layer("stage1_out").output)(images)
    np.testing.assert_allclose(hidden, expected, rtol=1e-5)


def test_the_random_filters_in_scipy():
    model = random_feature_cnn(6, kernel_size=3, grid=2, input_shape=(8, 6, 2), seed=0)
    image = np.random.default_rng(0).random((8, 6, 2))
    kernel, bias = model.get_layer("filters").get_weights()
    padded = np.pad(2 * image - 1, ((1, 1), (1, 1), (0, 0)))
    maps = np.stack([correlate(padded, kernel[..., k], "valid")[..., 0] + bias[k] for k in range(6)], axis=-1)
    expected = np.maximum(maps, 0).reshape(2, 4, 2, 3, 6).mean(axis=(1, 3))
    pooled = keras.Model(model.input, model.get_layer("stage1_out").output)(image[None].astype("float32"))
    np.testing.assert_allclose(pooled[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("side", "wanted"), [(28, 4), (32, 4), (30, 4), (224, 4), (5, 3), (4, 4)])
def test_the_grid_does_not_depend_on_the_images_size(side, wanted):
    model = random_feature_cnn(8, input_shape=(side, side, 3))
    assert model.get_layer("stage1_out").output.shape == (None, wanted, wanted, 8)


@pytest.mark.parametrize("builder", [extreme_learning_machine, random_feature_cnn])
def test_the_seed_decides(builder):
    first, second, third = (builder(5, seed=seed).get_weights()[:2] for seed in (1, 1, 3))
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    assert not any(np.array_equal(one, other) for one, other in zip(first, third, strict=True))


def test_weighted_sums_have_unit_variance():
    model = extreme_learning_machine(2000, seed=0)
    images = np.random.default_rng(0).choice([0.0, 1.0], (20, 28, 28, 1)).astype("float32")
    sums = keras.Model(model.input, model.get_layer("hidden").output)(images)
    # The weights give 1, the biases from -1 to 1 another third.
    assert np.asarray(sums).var() == pytest.approx(4 / 3, rel=0.05)


def test_wrong_arguments_are_explained():
    with pytest.raises(ValueError, match=r"^`units` must be a positive integer. Received: units=0.$"):
        extreme_learning_machine(0)
    with pytest.raises(ValueError, match="at least 4x4 here"):
        random_feature_cnn(input_shape=(3, 8, 1))
