"""The residual networks of CIFAR-10 against NumPy, and what is too deep for them."""

import re

import keras
import numpy as np
import pytest
from helpers import logits_of, numbers_in
from residual_helpers import InNumpy, randomize, relu

from kerasdl.architectures import plain_cifar, resnet_cifar
from kerasdl.layers import ZeroPaddedShortcut


def in_numpy(model, image, blocks, shortcut):
    """Section 4.2 of the paper, with option A, option B, or no shortcuts at all."""
    net = InNumpy(model)
    x = relu(net.convolve_norm(image, "stage1_conv1"))
    for stage in (1, 2, 3):
        for block in range(1, blocks + 1):
            name, strides = f"stage{stage}_block{block}", 2 if stage > 1 and block == 1 else 1
            residual = relu(net.convolve_norm(x, f"{name}_conv1", strides))
            residual = net.convolve_norm(residual, f"{name}_conv2")
            if shortcut == "A" and strides == 2:
                x = np.concatenate([x[::2, ::2], np.zeros_like(x[::2, ::2])], axis=-1)
            elif shortcut == "B" and strides == 2:
                x = net.convolve_norm(x, f"{name}_shortcut", 2)
            x = relu(residual) if shortcut is None else relu(residual + x)
    return net.logits(x)


@pytest.mark.parametrize("shortcut", ["A", "B", None])
def test_computes_what_the_paper_says(shortcut):
    shape = (13, 10, 3)
    model = plain_cifar(14, input_shape=shape) if shortcut is None else resnet_cifar(14, shortcut, input_shape=shape)
    randomize(model)
    image = np.random.default_rng(0).random(shape)
    expected = in_numpy(model, image, 2, shortcut)
    np.testing.assert_allclose(logits_of(model, image[None])[0], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize(
    ("depth", "count"),
    [
        (20, 269_722),
        (56, 853_018),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in ((32, 464_154), (44, 658_586), (110, 1_727_962))),
    ],
)
def test_counts_at_every_depth_of_the_paper(depth, count):
    # Table 6 of the paper: 0.27, 0.46, 0.66, 0.85 and 1.7 million.
    model = resnet_cifar(depth)
    assert numbers_in(model.trainable_weights) == count
    assert sum(isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)) for layer in model.layers) == depth
    assert sum(isinstance(layer, ZeroPaddedShortcut) for layer in model.layers) == 2


@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize("depth", [20, pytest.param(56, marks=pytest.mark.slow)])
def test_option_b_costs_two_projections_and_plain_networks_nothing(depth):
    # 16*32 + 32*64 weights and two normalisations of 32 and 64 maps.
    count = numbers_in(resnet_cifar(depth).trainable_weights)
    assert numbers_in(resnet_cifar(depth, "B").trainable_weights) == count + 2_752
    assert numbers_in(plain_cifar(depth).trainable_weights) == count


@pytest.mark.parametrize("builder", [resnet_cifar, plain_cifar])
@pytest.mark.parametrize("depth", [2, 21, 20.0, True, "20"])
def test_refuses_depths_that_do_not_exist(builder, depth):
    expected = f"`depth` must be 6n + 2 with n at least 1, such as 20, 32, 44, 56 or 110. Received: depth={depth!r}."
    with pytest.raises(ValueError, match=re.escape(expected)):
        builder(depth)


def test_refuses_the_depth_that_keras_cannot_hold(monkeypatch):
    monkeypatch.setattr("sys.getrecursionlimit", lambda: 1000)
    expected = (
        "`depth` must be at most 230 here: Keras walks a graph by recursion, one call in another for every layer, and "
        "Python allows 1000 of them; this network would chain about 4200 layers. Received: depth=1202."
    )
    with pytest.raises(ValueError, match=re.escape(expected)):
        resnet_cifar(1202)


@pytest.mark.slow
def test_the_deepest_that_is_allowed_is_built_saved_and_loaded(tmp_path):
    model = resnet_cifar(230, input_shape=(8, 8, 1))
    model.save(tmp_path / "deep.keras")
    loaded = keras.saving.load_model(tmp_path / "deep.keras", safe_mode=True)
    images = np.random.default_rng(0).random((2, 8, 8, 1))
    np.testing.assert_allclose(loaded(images), model(images), rtol=1e-5)


def test_refuses_other_shortcuts():
    with pytest.raises(ValueError, match=r"`shortcut` must be one of 'A', 'B'\. Received: shortcut='C'\."):
        resnet_cifar(20, "C")
