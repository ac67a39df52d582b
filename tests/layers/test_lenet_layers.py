"""The layers of LeNet-5 against their equations in NumPy and against stock layers with the same weights."""

import re

import keras
import numpy as np
import pytest
from helpers import check_layer

from kerasdl.layers import EuclideanRBF, SparselyConnectedConv2D, TrainablePooling, scaled_tanh

TABLE = [[1, 0, 1], [1, 1, 0]]


def test_scaled_tanh_goes_through_its_two_points():
    # Appendix A of the paper: f(1) = 1, f(-1) = -1, an asymptote at 1.7159, and the largest second derivative at 1.
    np.testing.assert_allclose(scaled_tanh(np.array([-1.0, 0.0, 1.0, 50.0])), [-1, 0, 1, 1.7159], atol=1e-4)
    x = np.linspace(0.5, 1.5, 1001)
    bend = np.gradient(np.gradient(np.asarray(scaled_tanh(x)), x), x)
    assert x[2:-2][np.abs(bend[2:-2]).argmax()] == pytest.approx(1.0, abs=0.02)


def pooled(layer, inputs):
    batch, height, width, channels = inputs.shape
    side = layer.pool_size
    cut = inputs[:, : height // side * side, : width // side * side]
    windows = cut.reshape(batch, height // side, side, width // side, side, channels)
    return 1.7159 * np.tanh(2 / 3 * (windows.sum((2, 4)) * layer.alpha.numpy() + layer.beta.numpy()))


@pytest.mark.parametrize("shape", [(4, 6, 6, 3), (2, 7, 5, 2)])
def test_trainable_pooling(shape):
    layer = check_layer(TrainablePooling, {}, shape, pooled)
    assert layer.count_params() == 2 * shape[-1]
    random = np.random.default_rng(3)
    layer.set_weights([random.normal(size=shape[-1:]), random.normal(size=shape[-1:])])
    inputs = random.normal(size=shape).astype("float32")
    np.testing.assert_allclose(layer(inputs), pooled(layer, inputs), rtol=1e-5, atol=1e-5)


def test_trainable_pooling_with_another_window():
    check_layer(TrainablePooling, {"pool_size": 3}, (2, 9, 7, 2), pooled)


def scattered(layer, inputs):
    """The stock convolution whose kernel is filled connection by connection."""
    kernel = np.zeros((layer.kernel_size, layer.kernel_size, *layer.connections.shape), "float32")
    number = 0
    for source in range(layer.connections.shape[0]):
        for target in range(layer.connections.shape[1]):
            if layer.connections[source, target]:
                kernel[:, :, source, target] = layer.kernel.numpy()[:, :, number]
                number += 1
    stock = keras.layers.Conv2D(
        layer.connections.shape[1], layer.kernel_size, layer.strides, layer.padding, activation=layer.activation
    )
    stock.build(inputs.shape)
    stock.set_weights([kernel, layer.bias.numpy()])
    return np.asarray(stock(inputs))


@pytest.mark.parametrize(
    "kwargs",
    [{}, {"strides": 2}, {"padding": "same"}, {"padding": "same", "strides": 2, "activation": "relu"}],
)
def test_sparsely_connected_convolution(kwargs):
    kwargs = {"connections": TABLE, "kernel_size": 3, **kwargs}
    layer = check_layer(SparselyConnectedConv2D, kwargs, (2, 8, 7, 2), scattered)
    assert layer.count_params() == 4 * 9 + 3


def test_an_output_map_ignores_the_inputs_that_its_column_leaves_out():
    layer = SparselyConnectedConv2D(TABLE, 3)
    inputs = np.random.default_rng(0).normal(size=(1, 5, 5, 2)).astype("float32")
    before = np.asarray(layer(inputs))
    inputs[..., 1] += 1
    changed = np.any(np.asarray(layer(inputs)) != before, axis=(0, 1, 2))
    assert changed.tolist() == [True, True, False]


def distances(layer, inputs):
    return np.array([[sum((x - w) ** 2) for w in layer.codes.numpy()] for x in inputs])


def test_euclidean_rbf():
    codes = np.random.default_rng(5).choice([-1.0, 1.0], (4, 7)).tolist()
    layer = check_layer(EuclideanRBF, {"codes": codes}, (3, 7), distances)
    assert layer.trainable_weights == []
    np.testing.assert_allclose(layer(np.array(codes, "float32")).numpy().diagonal(), 0)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: TrainablePooling(True), "`pool_size` must be a positive integer. Received: pool_size=True."),
        (
            lambda: SparselyConnectedConv2D(TABLE, (3, 3)),
            "`kernel_size` must be a positive integer. Received: kernel_size=(3, 3).",
        ),
        (
            lambda: SparselyConnectedConv2D(TABLE, 3, strides=0),
            "`strides` must be a positive integer. Received: strides=0.",
        ),
        (lambda: TrainablePooling(0), "`pool_size` must be a positive integer. Received: pool_size=0."),
        (
            lambda: TrainablePooling()(np.zeros((2, 3), "float32")),
            "TrainablePooling expects images of shape (batch, height, width, channels). Received: input_shape=(2, 3).",
        ),
        (
            lambda: SparselyConnectedConv2D([[1, 2]], 3),
            "`connections` must be a table of zeros and ones with one row per input map and one column per output map. "
            "Received: connections=[[1, 2]].",
        ),
        (
            lambda: SparselyConnectedConv2D([[1, 0], [1, 0]], 3),
            "Every output map needs at least one input map: each column of `connections` must hold a 1. "
            "Received: columns without one=[1].",
        ),
        (
            lambda: SparselyConnectedConv2D(TABLE, 3, padding="full"),
            '`padding` must be "valid" or "same". Received: padding=\'full\'.',
        ),
        (
            lambda: SparselyConnectedConv2D(TABLE, 3)(np.zeros((1, 5, 5, 3), "float32")),
            "`connections` has 2 rows, so the input must have shape (batch, height, width, 2). "
            "Received: input_shape=(1, 5, 5, 3).",
        ),
        (
            lambda: EuclideanRBF([1.0, 2.0]),
            "`codes` must be a table with one row per class and one column per input. "
            "Received: an array of shape (2,).",
        ),
        (
            lambda: EuclideanRBF([[1.0, -1.0]])(np.zeros((1, 3), "float32")),
            "Each code has 2 entries, so the input's last dimension must be 2. Received: input_shape=(1, 3).",
        ),
    ],
)
def test_wrong_arguments_are_explained(make, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        make()
