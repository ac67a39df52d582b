"""AlexNet's towers against NumPy, and against the formulation with grouped convolutions."""

import keras
import numpy as np
import pytest
from helpers import numbers_in

from kerasdl.architectures import alexnet, alexnet_single
from kerasdl.architectures.alexnets import Convolution, tower_network
from kerasdl.layers import LocalResponseNormalization


def with_random_biases(model):
    random = np.random.default_rng(0)
    for layer in model.layers:
        if layer.weights:
            kernel, bias = layer.weights
            layer.set_weights([kernel.numpy(), random.normal(0, 0.1, bias.shape)])
    return model


def layers_below(model, name):
    return {layer.name for layer in keras.Model(model.input, model.get_layer(name).output).layers}


def convolve(maps, kernel, bias, strides=1, padding=0):
    maps = np.pad(maps, ((padding, padding), (padding, padding), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(maps, kernel.shape[:2], (0, 1))[::strides, ::strides]
    return np.maximum(np.einsum("yxchw,hwco->yxo", windows, kernel, optimize=True) + bias, 0)


def normalize(maps):
    padded = np.pad(maps**2, ((0, 0), (0, 0), (2, 2)))
    return maps / (2 + 1e-4 * sum(padded[:, :, shift : shift + maps.shape[2]] for shift in range(5))) ** 0.75


def pool(maps):
    return np.lib.stride_tricks.sliding_window_view(maps, (3, 3), (0, 1))[::2, ::2].max((-1, -2))


def in_numpy(model, image):
    """Two cards, as the paper's Figure 2 draws them."""
    weights = {layer.name: [w.numpy().astype("float64") for w in layer.weights] for layer in model.layers}
    cards = [1, 2]
    maps = [pool(normalize(convolve(image, *weights[f"conv1_tower{card}"], strides=4))) for card in cards]
    maps = [
        pool(normalize(convolve(m, *weights[f"conv2_tower{t}"], padding=2))) for t, m in zip(cards, maps, strict=True)
    ]
    both = np.concatenate(maps, -1)
    maps = [convolve(both, *weights[f"conv3_tower{card}"], padding=1) for card in cards]
    maps = [convolve(m, *weights[f"conv4_tower{t}"], padding=1) for t, m in zip(cards, maps, strict=True)]
    maps = [pool(convolve(m, *weights[f"conv5_tower{t}"], padding=1)) for t, m in zip(cards, maps, strict=True)]
    x = np.concatenate(maps, -1).ravel()
    for name in ("dense6", "dense7"):
        halves = [x @ weights[f"{name}_tower{card}"][0] + weights[f"{name}_tower{card}"][1] for card in cards]
        x = np.maximum(np.concatenate(halves), 0)
    return x @ weights["logits"][0] + weights["logits"][1]


def test_computes_what_the_paper_draws():
    model = with_random_biases(alexnet(input_shape=(83, 67, 3), classes=20))
    image = np.random.default_rng(1).normal(size=(83, 67, 3)).astype("float32")
    logits = keras.Model(model.input, model.get_layer("logits").output)(image[None])[0]
    np.testing.assert_allclose(logits, in_numpy(model, image), rtol=1e-4, atol=1e-4)


def test_towers_are_the_groups_of_a_grouped_convolution():
    model = with_random_biases(alexnet(input_shape=(99, 99, 3), classes=10))
    inputs = x = keras.Input((99, 99, 3))
    for name, (filters, size, strides, padding, groups, pooled, normalized) in {
        "conv1": (96, 11, 4, "valid", 1, True, True),
        "conv2": (256, 5, 1, "same", 2, True, True),
        "conv3": (384, 3, 1, "same", 1, False, False),
        "conv4": (384, 3, 1, "same", 2, False, False),
        "conv5": (256, 3, 1, "same", 2, True, False),
    }.items():
        grouped = keras.layers.Conv2D(filters, size, strides, padding, groups=groups, activation="relu", name=name)
        x = grouped(x)
        halves = [model.get_layer(f"{name}_tower{tower}").get_weights() for tower in (1, 2)]
        grouped.set_weights([np.concatenate(parts, -1) for parts in zip(*halves, strict=True)])
        if normalized:
            # Each card normalised its own maps: no map competes with one of the other tower.
            parts = [x[..., : filters // 2], x[..., filters // 2 :]]
            x = keras.layers.Concatenate()([LocalResponseNormalization()(part) for part in parts])
        if pooled:
            x = keras.layers.MaxPooling2D(3, 2)(x)
    images = np.random.default_rng(1).normal(size=(2, 99, 99, 3)).astype("float32")
    ours = keras.Model(model.input, model.get_layer("stage2_out").output)(images)
    np.testing.assert_allclose(ours, keras.Model(inputs, x)(images), rtol=1e-4, atol=1e-4)
    assert np.std(ours) > 0.1


@pytest.mark.usefixtures("zero_weights")
def test_towers_are_branches_that_cross_where_the_paper_says():
    model = alexnet(input_shape=(67, 67, 3), classes=10)
    for name in ("conv1", "conv2"):
        assert not any(below.endswith("_tower2") for below in layers_below(model, f"{name}_tower1"))
        assert not any(below.endswith("_tower1") for below in layers_below(model, f"{name}_tower2"))
    for name in ("conv4", "conv5"):
        # Between conv3 and the dense layers each keeps to itself again.
        assert "conv3_tower2" not in layers_below(model, f"{name}_tower1")
        assert "conv2_tower2" in layers_below(model, f"{name}_tower1")
    for name in ("dense6", "dense7"):
        assert {"conv5_tower1", "conv5_tower2"} < layers_below(model, f"{name}_tower2")
    assert {"dense6_tower1", "dense6_tower2"} < layers_below(model, "dense7_tower1")


@pytest.mark.usefixtures("zero_weights")
def test_the_papers_sizes():
    model = alexnet(classes=1000)
    counts = {layer.name: numbers_in(layer.weights) for layer in model.layers if layer.weights}
    # Section 3.5: kernels of 11x11x3, 5x5x48, 3x3x256, 3x3x192, 3x3x192, halved by tower; 4096 units are 2048 a tower.
    per_tower = {
        "conv1": (11 * 11 * 3 + 1) * 48,
        "conv2": (5 * 5 * 48 + 1) * 128,
        "conv3": (3 * 3 * 256 + 1) * 192,
        "conv4": (3 * 3 * 192 + 1) * 192,
        "conv5": (3 * 3 * 192 + 1) * 128,
        "dense6": (6 * 6 * 256 + 1) * 2048,
        "dense7": (4096 + 1) * 2048,
    }
    expected = {f"{name}_tower{tower}": count for name, count in per_tower.items() for tower in (1, 2)}
    assert counts == {**expected, "logits": 4097 * 1000}
    assert sum(counts.values()) == 60_965_224
    # "The number of neurons in the network's remaining layers is given by 253,440-186,624-64,896-64,896-43,264-...":
    # the first, 290,400 by the 55x55 of the text, is the one figure there that belongs to another size of image.
    neurons = {name: int(np.prod(model.get_layer(f"{name}_tower1").output.shape[1:])) for name in per_tower}
    assert [2 * neurons[f"conv{index}"] for index in range(1, 6)] == [290_400, 186_624, 64_896, 64_896, 43_264]


@pytest.mark.usefixtures("zero_weights")
def test_one_column_sees_everything():
    model = alexnet_single(input_shape=(67, 67, 3), classes=10)
    kernels = [tuple(model.get_layer(f"conv{index}").kernel.shape) for index in range(1, 6)]
    assert kernels == [(11, 11, 3, 96), (5, 5, 96, 256), (3, 3, 256, 384), (3, 3, 384, 384), (3, 3, 384, 256)]
    dense = 6 * 6 * 256 * 4096 + 4096 + 4097 * 4096 + 4097 * 1000
    convolutions = sum(int(np.prod(kernel)) + kernel[-1] for kernel in kernels)
    assert convolutions + dense == 62_378_344


def test_parts_can_be_swapped_but_for_the_first_and_the_last():
    class OtherConv(keras.layers.Conv2D):
        pass

    class OtherDense(keras.layers.Dense):
        pass

    table = (Convolution(8, 3, normalized=True), Convolution(8, 3, crosses=True, pooled=True))
    model = tower_network(
        (16, 16, 3), 5, "small", towers=2, convolutions=table, dense_units=(12,), conv=OtherConv, dense=OtherDense
    )
    swapped = [layer.name for layer in model.layers if isinstance(layer, OtherConv | OtherDense)]
    assert swapped == ["conv2_tower1", "conv2_tower2", "dense3_tower1", "dense3_tower2"]
    assert model.get_layer("dense3_tower2").units == 6
    assert model.get_layer("stage2_out").output.shape == (None, 7, 7, 8)


@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize("builder", [alexnet, alexnet_single])
def test_an_image_too_small_is_refused(builder):
    assert builder(input_shape=(67, 67, 1), classes=2).get_layer("stage2_out").output.shape == (None, 1, 1, 256)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        builder(input_shape=(227, 66, 3))
    assert str(error.value) == (
        "`input_shape` must be at least 67x67 here: of smaller images the network's strides leave nothing. "
        "Received: input_shape=(227, 66, 3)."
    )
