"""SimpNet against the authors' files and a NumPy implementation."""

import keras
import numpy as np
import pytest
from helpers import numbers_in

from kerasdl.architectures import simpnet
from kerasdl.architectures.simple_nets import simple_network
from kerasdl.layers import SAFPooling

# What the authors' prototxt files (SimpNetV2, CIFAR-10) hold, read off one layer after the other: the width of each
# convolution, then the ratio of the dropout behind it; P is a pooling. Caffe's BatchNorm adds 1e-5 to the variance.
FILES = {
    "300k": (300_964, 0.99, "30 40 40 40 50 P 50 50 50 50 58 P 58 70 90 G"),
    "600k": (
        601_021,
        0.99,
        "40 .1 60 .1 60 .1 60 .1 72 P .1 73 .1 73 .1 73 .1 75 .1 81 P .2 82 .2 90 .2 120 G .2",
    ),
    "1m": (1_001_296, 0.99, "60 80 80 80 85 P .1 85 90 90 90 110 P .2 110 127 150 G .2"),
    "5m": (
        5_478_223,
        0.95,
        "66 .2 128 .2 128 .2 128 .2 192 P .2 192 .2 192 .2 192 .2 192 .2 288 P .3 288 .3 355 .3 432 G .3",
    ),
    "8.9m": (
        8_902_729,
        0.95,
        "128 .2 182 .2 182 .2 182 .2 182 P .2 182 .2 182 .2 182 .2 182 .2 430 P .2 430 .2 455 .2 600 G .2",
    ),
}


@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize("size", FILES)
def test_is_what_the_authors_trained(size):
    parameters, momentum, expected = FILES[size]
    model = simpnet(size)
    words = []
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            assert (layer.kernel_size, layer.strides, layer.use_bias) == ((3, 3), (1, 1), True)
            words.append(f"{layer.filters}")
        elif isinstance(layer, keras.layers.BatchNormalization):
            assert (layer.momentum, layer.epsilon) == (momentum, 1e-5)
        elif isinstance(layer, SAFPooling):
            words += ["P", f"{layer.rate:g}".lstrip("0")]
        elif isinstance(layer, keras.layers.GlobalMaxPooling2D):
            words.append("G")
        elif isinstance(layer, keras.layers.Dropout):
            words.append(f"{layer.rate:g}".lstrip("0"))
    assert " ".join(filter(None, words)) == expected
    assert numbers_in(model.trainable_weights) == parameters
    shapes = [model.get_layer(f"stage{stage}_out").output.shape[1:3] for stage in (1, 2, 3)]
    assert shapes == [(16, 16), (8, 8), (8, 8)]


def _numpy_network(model, x):
    """The network of two groups in NumPy, in inference."""

    def block(x, name):
        kernel, bias = (weight.numpy() for weight in model.get_layer(name).weights)
        gamma, beta, mean, variance = (weight.numpy() for weight in model.get_layer(f"{name}_norm").weights)
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        height, width = x.shape[1:3]
        shifted = [padded[:, i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3)]
        y = (sum(shifted) + bias - mean) / np.sqrt(variance + 1e-5)
        return np.maximum(y * gamma + beta, 0)

    x = block(block(x, "stage1_conv1"), "stage1_conv2")
    corners = [x[:, i::2, j::2] for i in range(2) for j in range(2)]
    x = np.max(corners, axis=0)
    x = block(x, "stage2_conv1").max(axis=(1, 2))
    kernel, bias = (weight.numpy() for weight in model.get_layer("logits").weights)
    return x @ kernel + bias


def test_gives_what_numpy_gives():
    random = np.random.default_rng(0)
    model = simple_network((8, 6, 3), 4, "tiny", widths=((5, 6), (7,)), rates=((0.3, 0.3), (0.3, 0.3)))
    model.set_weights([random.uniform(0.2, 1.0, weight.shape) for weight in model.weights[:-1]] + [random.random(4)])
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.set_weights([random.normal(size=weight.shape) for weight in layer.weights])
    images = random.normal(size=(3, 8, 6, 3)).astype("float32")
    logits = keras.Model(model.input, model.get_layer("logits").output)(images)
    np.testing.assert_allclose(logits, _numpy_network(model, images), rtol=1e-4, atol=1e-4)


def test_wrong_sizes_are_explained():
    text = "`size` must be one of '300k', '600k', '1m', '5m', '8.9m'. Received: size='2m'."
    with pytest.raises(ValueError) as error:  # noqa: PT011
        simpnet("2m")
    assert str(error.value) == text
