"""The residual networks of ImageNet against keras.applications with the same weights."""

import re

import keras
import numpy as np
import pytest
from helpers import logits_of
from residual_helpers import InNumpy, randomize, relu

from kerasdl.architectures import plain18, resnet18, resnet50, resnet101, resnet152
from kerasdl.data import load


def name_in_applications(name: str) -> str:
    """Our name of a layer with weights as keras.applications.ResNet50, 101 and 152 call it."""
    if name == "logits":
        return "predictions"
    name = re.sub(r"^stage1_conv1", "conv1", name)
    name = re.sub(r"^stage(\d)_(block\d+)_conv(\d)", r"conv\1_\2_\3", name)
    name = re.sub(r"^stage(\d)_(block\d+)_shortcut", r"conv\1_\2_0", name)
    return name.removesuffix("_norm") + ("_bn" if name.endswith("_norm") else "_conv")


def copy_from_application(model: keras.Model, application: keras.Model) -> None:
    """Gives our network the application's weights.

    Its convolutions have biases and ours none, but the normalisation behind takes a mean off anyway.
    """
    used = []
    for layer in model.layers:
        if not layer.weights:
            continue
        theirs = application.get_layer(name_in_applications(layer.name))
        values = theirs.get_weights()
        if isinstance(theirs, keras.layers.Conv2D):
            values = values[:1]
        elif isinstance(theirs, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = values
            _, bias = application.get_layer(theirs.name.removesuffix("_bn") + "_conv").get_weights()
            values = [gamma, beta, mean - bias, variance]
        layer.set_weights(values)
        used.append(theirs.name)
    assert sorted(used) == sorted(layer.name for layer in application.layers if layer.weights)


@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize(
    ("builder", "application", "size"),
    [
        (resnet50, keras.applications.ResNet50, 64),
        pytest.param(resnet50, keras.applications.ResNet50, 224, marks=pytest.mark.slow),
        pytest.param(resnet101, keras.applications.ResNet101, 224, marks=pytest.mark.slow),
        pytest.param(resnet152, keras.applications.ResNet152, 224, marks=pytest.mark.slow),
    ],
)
def test_computes_what_keras_applications_compute_with_the_same_weights(builder, application, size):
    shape = (size, size, 3)
    # With fewer than 1000 classes a top as large as ImageNet's would only take time.
    theirs = application(weights=None, input_shape=shape, classes=100, classifier_activation=None)
    randomize(theirs)
    ours = builder(input_shape=shape, classes=100)
    copy_from_application(ours, theirs)
    photographs, _ = next(iter(load("photos", image_size=(size, size), batch_size=2)))
    expected, computed = np.asarray(theirs(photographs)), logits_of(ours, photographs)
    spread = expected.std()
    assert np.abs(computed - expected).max() < 1e-4 * spread
    # A network that did not look at its images would pass otherwise.
    assert np.abs(expected[0] - expected[1]).max() > 0.1 * spread


@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize(("builder", "has_shortcuts"), [(resnet18, True), (plain18, False)])
def test_blocks_of_two_convolutions_in_numpy(builder, has_shortcuts):
    model = builder(input_shape=(33, 32, 3), classes=5)
    randomize(model)
    image = np.random.default_rng(0).random((33, 32, 3))
    net = InNumpy(model)
    x = np.pad(relu(net.convolve_norm(image, "stage1_conv1", 2)), ((1, 1), (1, 1), (0, 0)))
    x = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(0, 1))[::2, ::2].max((-2, -1))
    for stage in (2, 3, 4, 5):
        for block in (1, 2):
            name, strides = f"stage{stage}_block{block}", 2 if stage > 2 and block == 1 else 1
            residual = relu(net.convolve_norm(x, f"{name}_conv1", strides))
            residual = net.convolve_norm(residual, f"{name}_conv2")
            if has_shortcuts:
                residual += net.convolve_norm(x, f"{name}_shortcut", 2) if strides == 2 else x
            x = relu(residual)
    np.testing.assert_allclose(logits_of(model, image[None])[0], net.logits(x), rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("zero_weights")
def test_the_step_is_in_the_first_convolution_of_a_bottleneck():
    model = resnet50(input_shape=(64, 64, 3))
    steps = {
        layer.name: layer.strides[0]
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D) and layer.strides != (1, 1)
    }
    strided = {f"stage{stage}_block1_{part}": 2 for stage in (3, 4, 5) for part in ("conv1", "shortcut")}
    assert steps == {"stage1_conv1": 2} | strided


def test_refuses_images_of_which_the_strides_leave_nothing():
    with pytest.raises(ValueError, match=r"`input_shape` must be at least 32x32 here: of smaller images"):
        resnet50(input_shape=(31, 64, 3))
