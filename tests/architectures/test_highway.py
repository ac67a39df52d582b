import keras
import numpy as np
import pytest

from kerasdl.architectures import highway_cnn, highway_mlp
from kerasdl.layers import HighwayConv2D, HighwayDense


@pytest.mark.parametrize(
    ("network", "layers", "parameters", "published"),
    [("A", 11, 236_328, 236e3), ("B", 19, 2_256_838, 2.3e6), ("C", 32, 1_251_798, 1.25e6)],
)
def test_has_the_depth_of_the_paper_and_nearly_its_parameters(network, layers, parameters, published):
    model = highway_cnn(network)
    counted = (keras.layers.Conv2D, HighwayConv2D, keras.layers.Dense)
    assert sum(isinstance(layer, counted) for layer in model.layers) == layers
    assert model.count_params() == parameters
    assert parameters == pytest.approx(published, rel=0.02)


def test_network_b_is_that_of_the_authors():
    """The convolutions of their Caffe file, by name; "H" is a highway layer."""
    file = [32, *["H"] * 4, 80, *["H"] * 5, 128, *["H"] * 5, 100]
    model = highway_cnn("B")
    ours = [
        "H" if isinstance(layer, HighwayConv2D) else layer.filters
        for layer in model.layers
        if isinstance(layer, (HighwayConv2D, keras.layers.Conv2D))
    ]
    assert ours == file
    assert {layer.gate_bias for layer in model.layers if isinstance(layer, HighwayConv2D)} == {-2.0}
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.2] * 4


def test_network_c_has_kernels_of_three_and_one_in_turn():
    sides = [layer.kernel_size for layer in highway_cnn("C").layers if isinstance(layer, HighwayConv2D)]
    assert sides == [3, 1, 3, 1, 3, 1, 3, 1, 3] * 3


def test_dense_layers_are_worked_out_in_numpy():
    model = highway_mlp(depth=4, units=6, carry="independent", input_shape=(3, 2, 1), classes=3)
    images = np.random.default_rng(0).random((5, 3, 2, 1), dtype="float32")
    weights = [np.asarray(weight) for weight in model.weights]
    x = np.maximum(images.reshape(5, 6) @ weights[0] + weights[1], 0)
    for first in (2, 8, 14):
        h, t, c = (x @ weights[first + i] + weights[first + i + 1] for i in (0, 2, 4))
        t, c = 1 / (1 + np.exp(-t)), 1 / (1 + np.exp(-c))
        x = np.maximum(h, 0) * t + x * c
    logits = keras.Model(model.input, model.get_layer("logits").output)
    np.testing.assert_allclose(logits(images), x @ weights[20] + weights[21], rtol=1e-4, atol=1e-5)


def test_fifty_layers_pass_nearly_what_the_first_one_gives():
    model = highway_mlp(gate_bias=-1e4)
    assert model.count_params() == 784 * 50 + 50 + 49 * 2 * (50 * 50 + 50) + 50 * 10 + 10
    assert sum(isinstance(layer, HighwayDense) for layer in model.layers) == 49
    images = np.random.default_rng(0).random((4, 28, 28, 1), dtype="float32")
    first, last = (keras.Model(model.input, model.get_layer(f"stage{stage}_out").output)(images) for stage in (1, 2))
    np.testing.assert_array_equal(first, last)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: highway_cnn("D"), "`network` must be one of 'A', 'B', 'C'. Received: network='D'."),
        (
            lambda: highway_cnn(dropout=1),
            "`dropout` must be at least 0, for none, and less than 1. Received: dropout=1.",
        ),
        (lambda: highway_mlp(units=0), "`units` must be a positive integer. Received: units=0."),
        (
            lambda: highway_mlp(1),
            "`depth` must be an integer from 2, a plain and a highway layer, to 800: Keras walks a graph by recursion, "
            "and Python allows 1000 calls in one another. Received: depth=1.",
        ),
    ],
)
def test_wrong_arguments_are_explained(make, text, monkeypatch):
    monkeypatch.setattr("sys.getrecursionlimit", lambda: 1000)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        make()
    assert str(error.value) == text
