import re

import keras
import numpy as np
import pytest
from helpers import check_layer

from kerasdl.layers import SAFPooling


def strongest(layer, inputs):
    """The maximum of every window, one window after the other."""
    step, size = layer.strides, layer.pool_size
    rows = range(0, inputs.shape[1] - size + 1, step)
    columns = range(0, inputs.shape[2] - size + 1, step)
    windows = [[inputs[:, row : row + size, column : column + size].max((1, 2)) for column in columns] for row in rows]
    return np.moveaxis(np.array(windows), 2, 0)


@pytest.mark.parametrize(
    ("kwargs", "shape"),
    [({}, (4, 6, 6, 3)), ({"pool_size": 3, "strides": 2, "rate": 0.5, "seed": 1}, (2, 8, 7, 2))],
)
def test_inference_is_max_pooling(kwargs, shape):
    check_layer(SAFPooling, kwargs, shape, strongest)


def test_training_removes_some_maxima_and_strengthens_the_others():
    inputs = 1 + np.random.default_rng(0).random((8, 20, 20, 4), dtype="float32")
    layer = SAFPooling(rate=0.2, seed=3)
    outputs = np.asarray(layer(inputs, training=True))
    # The drawn mask is where something is left: all inputs are positive.
    mask = outputs > 0
    np.testing.assert_allclose(outputs, mask * strongest(layer, inputs) / 0.8, rtol=1e-6)
    # Within four standard deviations of the binomial distribution.
    assert abs(mask.mean() - 0.8) < 4 * np.sqrt(0.8 * 0.2 / mask.size)


def test_is_stock_dropout_after_stock_max_pooling():
    inputs = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    layer, dropout = SAFPooling(rate=0.4, seed=11), keras.layers.Dropout(0.4, seed=11)
    for _ in range(2):  # A new mask with every call.
        expected = dropout(keras.layers.MaxPooling2D()(inputs), training=True)
        np.testing.assert_array_equal(layer(inputs, training=True), expected)
    again = SAFPooling.from_config(layer.get_config())
    np.testing.assert_array_equal(again(inputs, training=True), SAFPooling(rate=0.4, seed=11)(inputs, training=True))


def test_at_rate_zero_training_is_max_pooling_too():
    inputs = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    layer = SAFPooling(rate=0)
    np.testing.assert_array_equal(layer(inputs, training=True), strongest(layer, inputs))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: SAFPooling(0), "`pool_size` must be a positive integer. Received: pool_size=0."),
        (lambda: SAFPooling(strides=0), "`strides` must be a positive integer. Received: strides=0."),
        (lambda: SAFPooling(rate=1), "`rate` must be at least 0 and below 1. Received: rate=1."),
        (
            lambda: SAFPooling(3)(np.zeros((1, 2, 5, 1), "float32")),
            "SAFPooling expects images of shape (batch, height, width, channels), at least as high and wide as its "
            "window of 3. Received: input_shape=(1, 2, 5, 1).",
        ),
        (
            lambda: SAFPooling()(np.zeros((2, 3), "float32")),
            "SAFPooling expects images of shape (batch, height, width, channels), at least as high and wide as its "
            "window of 2. Received: input_shape=(2, 3).",
        ),
    ],
)
def test_wrong_arguments_are_explained(make, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        make()
