"""Binary networks against float networks with the same signs, against NumPy, and what must hold at every sign."""

import functools

import keras
import numpy as np
import pytest
from helpers import logits_of, numbers_in
from residual_helpers import InNumpy, randomize, relu

from kerasdl.architectures import alexnet_single, bwn_alexnet, bwn_resnet18, resnet18, xnor_alexnet, xnor_resnet18
from kerasdl.layers import BinaryConv2D, BinaryDense, XnorConv2D, XnorDense

BINARY = (BinaryConv2D, BinaryDense, XnorConv2D, XnorDense)
SIGNED = (XnorConv2D, XnorDense)


def images_of(shape, count=2, seed=1):
    return np.random.default_rng(seed).random((count, *shape), dtype="float32")


@functools.cache
def structure(builder, side):
    """A network of which no test changes anything."""
    return builder(input_shape=(side, side, 3), classes=10)


def with_kernels(model):
    return [layer for layer in model.layers if hasattr(layer, "kernel")]


def alexnet_kernels(side):
    """The multiplications of the paper's Figure 2 in one column, `side` the height of the last maps."""
    convolutions = 11 * 11 * 3 * 96 + 25 * 96 * 256 + 9 * 256 * 384 + 9 * 384 * 384 + 9 * 384 * 256
    return convolutions + side * side * 256 * 4096 + 4096 * 4096


# One for each filter and unit but the classes.
ALEXNET_BIASES = 96 + 256 + 384 + 384 + 256 + 4096 + 4096
# Stem, two 3x3 convolutions in each of two blocks per stage, and a 1x1 convolution where the shape changes.
RESNET_KERNELS = 49 * 3 * 64 + sum(
    9 * (before + 3 * after) * after + (before * after if before != after else 0)
    for before, after in ((64, 64), (64, 128), (128, 256), (256, 512))
)


def test_the_formulas_are_those_of_the_float_networks():
    assert alexnet_kernels(6) + ALEXNET_BIASES + 4097 * 1000 == 62_378_344
    norms = 2 * (64 + sum((4 + (filters > 64)) * filters for filters in (64, 128, 256, 512)))
    assert RESNET_KERNELS + norms + 513 * 1000 == 11_689_512


@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize("builder", [bwn_alexnet, xnor_alexnet])
def test_alexnet_has_as_many_latent_weights_as_the_real_one(builder):
    assert numbers_in(structure(builder, 67).trainable_weights) == alexnet_kernels(1) + ALEXNET_BIASES + 4097 * 10


@pytest.mark.usefixtures("zero_weights")
def test_residual_networks_have_as_many_latent_weights_as_the_real_one():
    # Here with 10 classes.
    assert numbers_in(structure(bwn_resnet18, 32).trainable_weights) == 11_689_512 - 513 * 990
    # A factor per map behind the stem, factor and shift before each of two convolutions in two blocks per stage and at
    # the end.
    before_convolutions = sum(before + 3 * after for before, after in ((64, 64), (64, 128), (128, 256), (256, 512)))
    expected = RESNET_KERNELS + 64 + 2 * (before_convolutions + 512) + 513 * 1000
    assert expected == 11_687_784 == 11_689_512 - 1_728
    assert numbers_in(structure(xnor_resnet18, 32).trainable_weights) == expected - 513 * 990


@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize(
    ("builder", "side", "kinds"),
    [
        (bwn_alexnet, 67, {BinaryConv2D: 4, BinaryDense: 2}),
        (bwn_resnet18, 32, {BinaryConv2D: 19}),
        (xnor_alexnet, 67, {XnorConv2D: 4, XnorDense: 2}),
        (xnor_resnet18, 32, {XnorConv2D: 19}),
    ],
)
def test_all_layers_are_binary_but_the_first_and_the_last(builder, side, kinds):
    first, *between, last = with_kernels(structure(builder, side))
    assert not isinstance(first, BINARY)
    assert not isinstance(last, BINARY)
    assert last.name == "logits"
    assert {kind: sum(type(layer) is kind for layer in between) for kind in kinds} == kinds
    assert len(between) == sum(kinds.values())


def signs_times_alpha(kernel):
    """The paper's equations 5 and 6: of each filter the signs, times the mean of its absolute weights."""
    alpha = np.abs(kernel).reshape(-1, kernel.shape[-1]).mean(0)
    return np.where(kernel >= 0, alpha, -alpha)


@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize(
    ("binary", "real", "shape"),
    [
        pytest.param(bwn_alexnet, alexnet_single, (67, 67, 3), marks=pytest.mark.slow),
        (bwn_resnet18, resnet18, (40, 33, 3)),
    ],
)
def test_binary_weights_are_those_of_the_real_network_in_signs_and_scales(binary, real, shape):
    model, expected = binary(input_shape=shape, classes=10), real(input_shape=shape, classes=10)
    randomize(model)
    for layer in model.layers:
        values = layer.get_weights()
        if isinstance(layer, BINARY):
            values[0] = signs_times_alpha(values[0])
        expected.get_layer(layer.name).set_weights(values)
    images = images_of(shape)
    found, wanted = logits_of(model, images), logits_of(expected, images)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    assert np.abs(wanted[0] - wanted[1]).max() > 1e-3 * np.abs(wanted).max()


class Signed(InNumpy):
    """XNOR-Networks for one image in NumPy. Where a sign is taken it notes how near to 0 the numbers were."""

    nearest = np.inf

    def __init__(self, model):
        super().__init__(model)
        for layer in model.layers:
            if isinstance(layer, SIGNED):
                self.weights[layer.name]["kernel"] = signs_times_alpha(self.weights[layer.name]["kernel"])

    def sign(self, x):
        self.nearest = min(self.nearest, np.abs(x).min())
        return np.where(x >= 0, 1.0, -1.0)

    def norm(self, x, name):
        w = self.weights[name]
        x = (x - w["moving_mean"]) / np.sqrt(w["moving_variance"] + 1e-5)
        return w.get("gamma", 1) * x + w.get("beta", 0)

    def signed_convolve(self, signs, name, strides=1):
        """With +1 all around, since there is no sign 0."""
        kernel = self.weights[name]["kernel"]
        size, half = kernel.shape[0], kernel.shape[0] // 2
        signs = np.pad(signs, ((half, half), (half, half), (0, 0)), constant_values=1)
        windows = np.lib.stride_tricks.sliding_window_view(signs, (size, size), axis=(0, 1))[::strides, ::strides]
        return np.einsum("hwcij,ijco->hwo", windows, kernel, optimize=True)


def pool(x, pads=(0, 0)):
    x = np.pad(x, (pads, pads, (0, 0)), constant_values=-np.inf)
    return np.lib.stride_tricks.sliding_window_view(x, (3, 3), (0, 1))[::2, ::2].max((-1, -2))


def check_against_numpy(model, image, compute):
    randomize(model)
    there = Signed(model)
    expected = compute(there, image.astype("float64"))
    # So far from 0 that round-off turns no sign.
    assert there.nearest > 1e-5
    np.testing.assert_allclose(logits_of(model, image[None])[0], expected, rtol=0, atol=1e-4 * expected.std())


@pytest.mark.usefixtures("zero_weights")
def test_xnor_alexnet_is_worked_out_in_numpy():
    def compute(there, x):
        w = there.weights
        windows = np.lib.stride_tricks.sliding_window_view(x, (11, 11), axis=(0, 1))[::4, ::4]
        x = pool(np.einsum("hwcij,ijco->hwo", windows, w["conv1"]["kernel"], optimize=True))
        for index, pooled in ((2, True), (3, False), (4, False), (5, True)):
            x = there.signed_convolve(there.sign(there.norm(x, f"norm{index}")), f"conv{index}")
            x = pool(x) if pooled else x
        x = there.norm(x, "norm6").ravel()
        for index in (6, 7):
            x = there.norm(there.sign(x) @ w[f"dense{index}"]["kernel"], f"norm{index + 1}")
        return relu(x) @ w["logits"]["kernel"] + w["logits"]["bias"]

    check_against_numpy(xnor_alexnet(input_shape=(99, 67, 3), classes=10), images_of((99, 67, 3), seed=3)[0], compute)


@pytest.mark.usefixtures("zero_weights")
def test_xnor_resnet18_is_worked_out_in_numpy():
    def block(there, x, name, strides):
        signs = there.sign(there.norm(x, f"{name}_norm1"))
        residual = there.norm(there.signed_convolve(signs, f"{name}_conv1", strides), f"{name}_norm2")
        residual = there.signed_convolve(there.sign(residual), f"{name}_conv2")
        return residual + (there.signed_convolve(signs, f"{name}_shortcut", strides) if strides > 1 else x)

    def compute(there, x):
        x = pool(there.norm(there.convolve(x, "stage1_conv1", 2), "stage1_out"), pads=(0, 1))
        for stage in (2, 3, 4, 5):
            x = block(there, x, f"stage{stage}_block1", 1 if stage == 2 else 2)
            x = block(there, x, f"stage{stage}_block2", 1)
        return there.logits(relu(there.norm(x, "final_norm")))

    check_against_numpy(xnor_resnet18(input_shape=(32, 32, 3), classes=10), images_of((32, 32, 3), seed=5)[0], compute)


def between_weights(layer):
    """All layers that a layer's input has passed since the last ones that multiply by a kernel, and these."""
    found, waiting = [], keras.tree.flatten(layer.input)
    while waiting:
        before = waiting.pop()._keras_history.operation
        found.append(before)
        if not hasattr(before, "kernel"):
            waiting += keras.tree.flatten(before.input)
    return found


XNOR_NETS = [(xnor_alexnet, (67, 67, 3)), (xnor_resnet18, (32, 32, 3))]


@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize(("builder", "shape"), XNOR_NETS)
def test_no_sign_is_taken_after_a_rectifier_and_each_after_a_normalisation(builder, shape):
    signed = [layer for layer in structure(builder, shape[0]).layers if isinstance(layer, SIGNED)]
    assert len(signed) > 5
    for layer in signed:
        before = between_weights(layer)
        assert not [each.name for each in before if isinstance(each, keras.layers.ReLU)]
        assert {each.activation for each in before if hasattr(each, "activation")} == {keras.activations.linear}
        norm, *_ = [each for each in before if not isinstance(each, keras.layers.ZeroPadding2D | keras.layers.Flatten)]
        assert isinstance(norm, keras.layers.BatchNormalization)


def shares_of_ones(model, images, training):
    """For each layer that takes signs, how many of its inputs are +1."""
    signed = [layer for layer in model.layers if isinstance(layer, SIGNED)]
    inputs = keras.Model(model.input, [layer.input for layer in signed])(images, training=training)
    return {layer.name: float(np.mean(np.asarray(x) >= 0)) for layer, x in zip(signed, inputs, strict=True)}


def check_both_signs_occur(model, images):
    # An untrained network knows no means. Where the maps are of one pixel, most of what is read is padding.
    for training, least, most in ((False, 0.02, 0.98), (True, 0.2, 0.9)):
        shares = shares_of_ones(model, images, training)
        assert all(least < share < most for share in shares.values()), shares


def train(model, images, epochs, learning_rate=1e-3):
    """Images of two classes, one darker than the other; the losses."""
    labels = np.arange(len(images)) % 2
    images[labels == 1] *= 0.5
    # Few steps are taken sooner than compiled.
    model.compile(keras.optimizers.Adam(learning_rate), "sparse_categorical_crossentropy", run_eagerly=True)
    return model.fit(images, labels, batch_size=len(images), epochs=epochs, verbose=0, shuffle=False).history["loss"]


@pytest.mark.parametrize(("builder", "shape"), [pytest.param(*XNOR_NETS[0], marks=pytest.mark.slow), XNOR_NETS[1]])
def test_both_signs_occur_at_every_binary_input_before_and_after_steps_that_lower_the_loss(builder, shape):
    model = builder(input_shape=shape, classes=2)
    images = images_of(shape, 8)
    check_both_signs_occur(model, images)
    losses = train(model, images, 3)
    assert losses[-1] < 0.5 * losses[0]
    check_both_signs_occur(model, images)


@pytest.mark.slow
@pytest.mark.parametrize(("builder", "shape"), [(bwn_alexnet, (67, 67, 3)), (bwn_resnet18, (32, 32, 3))])
def test_training_lowers_the_loss_of_binary_weights(builder, shape):
    losses = train(builder(input_shape=shape, classes=2), images_of(shape, 8), 4, 1e-4)
    assert losses[-1] < losses[0]
