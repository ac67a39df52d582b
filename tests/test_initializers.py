"""Delta-orthogonal kernels: orthogonal in the centre, and a convolution with one keeps every length."""

import re
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.initializers import DeltaOrthogonal


@pytest.mark.parametrize(
    ("shape", "centre"),
    [
        ((5, 4, 6), (2,)),
        ((3, 3, 4, 4), (1, 1)),
        ((2, 3, 4, 6), (0, 1)),
        ((7, 3, 3, 4, 6), (slice(None), 1, 1)),
        ((2, 1, 5, 3, 3), (slice(None), 0, 2)),
    ],
)
def test_the_centre_is_orthogonal_and_the_rest_is_zero(shape, centre):
    kernel = np.array(DeltaOrthogonal(gain=1.5, seed=1)(shape))
    assert kernel.shape == shape
    matrices = kernel[centre].reshape(-1, *shape[-2:]) / 1.5
    for matrix in matrices:
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(shape[-2]), atol=1e-6)
    kernel[centre] = 0
    assert not kernel.any()


def test_each_kernel_of_a_stack_gets_its_own_matrix():
    matrices = np.asarray(DeltaOrthogonal(seed=1)((50, 3, 3, 4, 4)))[:, 1, 1].reshape(50, -1)
    distances = np.linalg.norm(matrices[:, None] - matrices, axis=-1)
    assert distances[~np.eye(50, dtype=bool)].min() > 0.5


def test_all_orthogonal_matrices_are_equally_likely():
    # Under the uniform (Haar) measure of O(n), the trace has mean 0 and variance 1, and half of the determinants are
    # -1; the entries of plain QR have a bias that shows in the trace.
    matrices = np.asarray(DeltaOrthogonal(seed=2)((20_000, 1, 1, 3, 3)), dtype="float64")[:, 0, 0]
    traces = np.trace(matrices, axis1=1, axis2=2)
    assert abs(traces.mean()) < 4 / np.sqrt(20_000)
    assert abs(traces.var() - 1) < 0.05
    assert abs((np.linalg.det(matrices) > 0).mean() - 0.5) < 4 * 0.5 / np.sqrt(20_000)


def test_a_circular_convolution_keeps_the_norm_forward_and_backward():
    kernel = DeltaOrthogonal(seed=3)((3, 3, 8, 8))
    x = tf.random.normal((2, 5, 6, 8), seed=0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        # Three times as large in both directions, of which the middle is cut out: circular padding.
        around = tf.tile(x, (1, 3, 3, 1))[:, 4:-4, 5:-5]
        y = tf.nn.conv2d(around, kernel, 1, "VALID")
    assert y.shape == x.shape
    arriving = tf.random.normal(y.shape, seed=1)
    gradient = tape.gradient(y, x, arriving)
    np.testing.assert_allclose(np.linalg.norm(y, axis=-1), np.linalg.norm(x, axis=-1), rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(gradient, axis=-1), np.linalg.norm(arriving, axis=-1), rtol=1e-5)


def test_more_outputs_than_inputs_keep_the_norm_too():
    layer = keras.layers.Conv2D(12, 3, padding="same", kernel_initializer=DeltaOrthogonal(2.0))
    x = np.random.default_rng(0).normal(size=(2, 5, 5, 3)).astype("float32")
    np.testing.assert_allclose(np.linalg.norm(layer(x)), 2 * np.linalg.norm(x), rtol=1e-5)


def test_the_seed_decides_and_the_configuration_makes_it_again():
    initializer = DeltaOrthogonal(gain=1.5, seed=4)
    again = keras.initializers.deserialize(keras.initializers.serialize(initializer))
    assert type(again) is DeltaOrthogonal
    assert again.get_config() == {"gain": 1.5, "seed": 4}
    np.testing.assert_array_equal(initializer((3, 3, 4, 4)), again((3, 3, 4, 4)))
    assert not np.array_equal(initializer((3, 3, 4, 4)), DeltaOrthogonal(1.5, seed=5)((3, 3, 4, 4)))
    assert not np.array_equal(DeltaOrthogonal()((3, 3, 4, 4)), DeltaOrthogonal()((3, 3, 4, 4)))
    assert DeltaOrthogonal()((3, 3, 4, 4), dtype="bfloat16").dtype == "bfloat16"


def test_ten_thousand_matrices_are_drawn_in_one_batch():
    DeltaOrthogonal()((2, 3, 3, 16, 16))
    begin = time.perf_counter()
    DeltaOrthogonal()((10_000, 3, 3, 16, 16))
    # About 0.2 seconds alone on a core; one by one they would take 10.
    assert time.perf_counter() - begin < 4


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (
            (4, 4),
            "DeltaOrthogonal makes kernels of shape (size, inputs, outputs) or (height, width, inputs, outputs), "
            "or stacks (depth, height, width, inputs, outputs). Received: shape=(4, 4).",
        ),
        (
            (3, 3, 8, 4),
            "DeltaOrthogonal needs at least as many outputs as inputs: fewer numbers cannot keep the length of "
            "every vector. Received: inputs=8, outputs=4.",
        ),
    ],
)
def test_shapes_that_cannot_be_orthogonal_are_refused(shape, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        DeltaOrthogonal()(shape)
