"""DenseNet against keras.applications with the same weights, and the sizes of the paper's networks for CIFAR."""

import re

import keras
import numpy as np
import pytest
from helpers import numbers_in
from networks_alike import check_same_logits

from kerasdl import architectures
from kerasdl.architectures import densenet_cifar
from kerasdl.architectures.densenet import dense_layer


def name_here(layer: str) -> str:
    """What a layer of keras.applications' DenseNet is called here: its conv2 to conv5 are stages 2 to 5."""
    fixed = {
        "conv1_conv": "stage1_conv1",
        "conv1_bn": "stage1_conv1_norm",
        "bn": "stage5_norm",
        "predictions": "logits",
    }
    if layer in fixed:
        return fixed[layer]
    if match := re.fullmatch(r"conv(\d)_block(\d+)_([012])_(bn|conv)", layer):
        stage, index, place, kind = match.groups()
        return f"stage{stage}_layer{index}_" + (f"norm{int(place) + 1}" if kind == "bn" else f"conv{place}")
    # The transition after their block 2 begins our stage 3.
    match = re.fullmatch(r"pool(\d)_(bn|conv)", layer)
    return f"stage{int(match[1]) + 1}_transition_" + {"bn": "norm", "conv": "conv"}[match[2]]


@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize(
    ("name", "size"),
    [
        pytest.param("densenet121", 64, marks=pytest.mark.slow),
        *(pytest.param(f"densenet{depth}", 224, marks=pytest.mark.slow) for depth in (121, 169, 201)),
    ],
)
def test_same_logits_as_keras_applications(name, size):
    theirs = getattr(keras.applications, f"DenseNet{name.removeprefix('densenet')}")(
        weights=None, classifier_activation=None, input_shape=(size, size, 3)
    )
    check_same_logits(getattr(architectures, name)(input_shape=(size, size, 3)), theirs, name_here)


@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize(
    ("arguments", "parameters", "maps"),
    [
        ({}, 769_162, (216, 300, 342)),
        ({"depth": 40, "bottleneck": False}, 1_019_722, (160, 304, 448)),
        pytest.param({"bottleneck": False}, 6_979_642, (400, 784, 1168), marks=pytest.mark.slow),
        pytest.param({"growth_rate": 24, "bottleneck": False}, 27_249_082, (784, 1552, 2320), marks=pytest.mark.slow),
        pytest.param({"depth": 250, "growth_rate": 24}, 15_324_406, (1032, 1500, 1734), marks=pytest.mark.slow),
        pytest.param({"depth": 190, "growth_rate": 40}, 25_624_430, (1320, 1900, 2190), marks=pytest.mark.slow),
    ],
)
def test_the_papers_networks_for_cifar(arguments, parameters, maps):
    model = densenet_cifar(**arguments)
    assert numbers_in(model.trainable_weights) == parameters
    assert [model.get_layer(f"stage{stage}_out").output.shape[-1] for stage in (1, 2, 3)] == list(maps)


def test_a_layer_keeps_what_it_was_given_and_adds_what_it_makes():
    inputs = keras.Input((5, 5, 6))
    model = keras.Model(inputs, dense_layer(inputs, 4, name="layer", out="out"))
    random = np.random.default_rng(0)
    images = random.normal(size=(2, 5, 5, 6)).astype("float32")
    for norm in ("layer_norm1", "layer_norm2"):
        layer = model.get_layer(norm)
        layer.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in layer.weights])

    def norm_relu(x, name):
        gamma, beta, mean, variance = model.get_layer(name).get_weights()
        return np.maximum(gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta, 0)

    # Equation 2 with H as in DenseNet-B, a 3x3 convolution as nine products of shifted maps.
    narrow = norm_relu(images, "layer_norm1") @ model.get_layer("layer_conv1").kernel.numpy()[0, 0]
    padded = np.pad(norm_relu(narrow, "layer_norm2"), ((0, 0), (1, 1), (1, 1), (0, 0)))
    kernel = model.get_layer("layer_conv2").kernel.numpy()
    new = sum(padded[:, i : i + 5, j : j + 5] @ kernel[i, j] for i in range(3) for j in range(3))
    outputs = np.asarray(model(images))
    np.testing.assert_array_equal(outputs[..., :6], images)
    np.testing.assert_allclose(outputs[..., 6:], new, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"depth": 101},
            "`depth` must be 6n + 4 with n at least 1, such as 40, 100, 190 or 250. Received: depth=101.",
        ),
        (
            {"depth": 4, "bottleneck": False},
            "`depth` must be 3n + 4 with n at least 1, such as 40 or 100. Received: depth=4.",
        ),
        ({"growth_rate": 0}, "`growth_rate` must be a positive integer. Received: growth_rate=0."),
        ({"bottleneck": 1}, "`bottleneck` must be True or False. Received: bottleneck=1."),
    ],
)
def test_wrong_arguments_are_explained(arguments, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        densenet_cifar(**arguments)
