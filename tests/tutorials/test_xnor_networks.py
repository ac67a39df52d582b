"""What the lesson on XNOR networks builds and measures by itself."""

import keras
import numpy as np

from kerasdl.architectures import binary_cnn
from kerasdl.layers import XnorDense
from kerasdl.tutorials.xnor_networks import share_of_ones, sign_before_maximum


def test_the_other_order_has_the_same_layers_with_the_same_weights():
    ours = sign_before_maximum(4, (12, 12, 3), 5)
    usual = binary_cnn("xnor", 4, input_shape=(12, 12, 3), classes=5)
    assert sorted(tuple(each.shape) for each in ours.weights) == sorted(tuple(each.shape) for each in usual.weights)
    assert ours.output_shape == usual.output_shape


def test_the_share_of_ones_counts_zero_as_one():
    model = keras.Sequential([keras.Input((4,)), XnorDense(2, name="first"), XnorDense(3, name="second")])
    model.layers[0].kernel.assign(np.ones((4, 2)))
    images = np.array([[0.0, 1.0, -2.0, -3.0], [1.0, -1.0, -1.0, -1.0]], "float32")
    # The sums are 0 and -2.
    assert share_of_ones(model, images) == {"first": 3 / 8, "second": 1 / 2}


def test_of_random_signs_the_maximum_is_nearly_always_one():
    model = sign_before_maximum(16, (32, 32, 1), 10)
    images = np.random.default_rng(0).normal(size=(16, 32, 32, 1)).astype("float32")
    # An identity as the first kernel, and no other filters: the signs of the pixels are independent.
    kernel = np.zeros(model.get_layer("stage1_conv1").kernel.shape, "float32")
    kernel[1, 1] = 1
    model.get_layer("stage1_conv1").kernel.assign(kernel)
    found = share_of_ones(model, images)
    assert abs(found["stage2_conv1"] - 15 / 16) < 0.02
    assert list(found) == ["stage2_conv1", "stage3_conv1", "stage3_conv2", "dense"]
