"""The small network in every kind: against NumPy, alike in all but its products, and able to learn."""

from functools import partial

import keras
import numpy as np
import pytest
from helpers import logits_of
from residual_helpers import randomize

from kerasdl.architectures import binary_cnn
from kerasdl.architectures.small_binary_nets import KINDS, Kind
from kerasdl.constraints import LatentWeights
from kerasdl.layers import BinaryConv2D, BinaryDense, TernaryConv2D, TernaryDense, XnorConv2D, XnorDense, approx_sign

SHAPE = (20, 17, 2)
TAKE_SIGNS = ("xnor_k", "xnor", "binary_net")
each_kind = pytest.mark.parametrize("kind", KINDS)


def mean_of_filters(kernel):
    return kernel.reshape(-1, kernel.shape[-1]).mean(0)


def weights_of(kind, kernel):
    """What each paper makes of latent weights."""
    signs = np.where(kernel >= 0, 1.0, -1.0)
    if kind == "float":
        return kernel
    if kind in ("binary_connect", "binary_net"):
        return signs
    if kind != "ternary":
        return signs * mean_of_filters(np.abs(kernel))
    # Li and Liu 2016, equations 3, 5 and 6.
    kept = np.abs(kernel) > 0.7 * mean_of_filters(np.abs(kernel))
    return signs * kept * mean_of_filters(np.abs(kernel) * kept) / mean_of_filters(kept.astype(float))


def windows_of(x, fill):
    x = np.pad(x, ((1, 1), (1, 1), (0, 0)), constant_values=fill)
    return np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(0, 1))


def in_numpy(model, kind, image):
    """The network for one image, and how near to 0 the numbers were whose sign was taken."""
    w = {
        layer.name: {weight.name: weight.numpy().astype("float64") for weight in layer.weights}
        for layer in model.layers
    }
    nearest = []

    def norm(x, name):
        v = w[name]
        return v["gamma"] * (x - v["moving_mean"]) / np.sqrt(v["moving_variance"] + 1e-5) + v["beta"]

    def prepare(x):
        if kind not in TAKE_SIGNS:
            return np.maximum(x, 0)
        nearest.append(np.abs(x).min())
        return np.where(x >= 0, 1.0, -1.0)

    def convolve(x, name):
        windows = windows_of(prepare(x), fill=1 if kind in TAKE_SIGNS else 0)
        sums = np.einsum("hwcij,ijco->hwo", windows, weights_of(kind, w[name]["kernel"]))
        # Rastegari et al. 2016, section 3.2: A is the mean over the channels, K the mean over the window.
        sizes = windows_of(np.abs(x).mean(-1, keepdims=True), fill=0).mean((2, 3, 4))[..., None]
        return sums * sizes if kind == "xnor_k" else sums

    def pool(x):
        height, width, maps = x.shape
        return x[: height // 2 * 2, : width // 2 * 2].reshape(height // 2, 2, width // 2, 2, maps).max((1, 3))

    x = pool(np.einsum("hwcij,ijco->hwo", windows_of(image, 0), w["stage1_conv1"]["kernel"]))
    x = pool(convolve(norm(x, "stage2_norm1"), "stage2_conv1"))
    x = convolve(norm(x, "stage3_norm1"), "stage3_conv1")
    x = pool(convolve(norm(x, "stage3_norm2"), "stage3_conv2"))
    x = norm(x, "dense_norm").ravel()
    sums = prepare(x) @ weights_of(kind, w["dense"]["kernel"])
    x = norm(sums * np.abs(x).mean() if kind == "xnor_k" else sums, "logits_norm")
    return np.maximum(x, 0) @ w["logits"]["kernel"] + w["logits"]["bias"], min(nearest, default=np.inf)


@each_kind
def test_is_worked_out_in_numpy(kind):
    model = binary_cnn(kind, 8, input_shape=SHAPE)
    randomize(model)
    images = np.random.default_rng(1).random((2, *SHAPE), dtype="float32")
    for image, found in zip(images, logits_of(model, images), strict=True):
        expected, nearest = in_numpy(model, kind, image.astype("float64"))
        # So far from 0 that round-off turns no sign.
        assert nearest > 1e-5
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_kinds_are_one_graph_but_for_their_products_and_rectifiers():
    plain = binary_cnn("float", 8, input_shape=SHAPE)
    shapes = [tuple(weight.shape) for weight in plain.weights]
    rectifiers = {layer.name for layer in plain.layers if isinstance(layer, keras.layers.ReLU)}
    assert len(rectifiers) == 5
    for kind in KINDS:
        model = binary_cnn(kind, 8, input_shape=SHAPE)
        assert [tuple(weight.shape) for weight in model.weights] == shapes
        left_out = {layer.name for layer in plain.layers} - {layer.name for layer in model.layers}
        # Only the real last layer reads what a rectifier gives.
        assert left_out == (rectifiers - {"logits_relu"} if kind in TAKE_SIGNS else set())


@pytest.mark.parametrize(
    ("kind", "conv", "dense", "centre", "settings"),
    [
        ("ternary", TernaryConv2D, TernaryDense, False, {"weight_scale": True}),
        ("binary_weight", BinaryConv2D, BinaryDense, True, {"weight_scale": True}),
        ("binary_connect", BinaryConv2D, BinaryDense, False, {"weight_scale": False}),
        ("xnor_k", XnorConv2D, XnorDense, True, {"weight_scale": True, "input_scale": True}),
        ("xnor", XnorConv2D, XnorDense, True, {"weight_scale": True, "input_scale": False}),
        ("binary_net", XnorConv2D, XnorDense, False, {"weight_scale": False, "input_scale": False}),
    ],
)
def test_all_layers_have_few_bits_but_the_first_and_the_last(kind, conv, dense, centre, settings):
    """Only Rastegari et al. centre the latent weights."""
    first, *between, hidden, last = [layer for layer in binary_cnn(kind, 8).layers if hasattr(layer, "kernel")]
    assert [type(layer) for layer in between] == [conv] * 3
    assert type(hidden) is dense
    assert not isinstance(first, BinaryConv2D | XnorConv2D)
    assert type(last) is keras.layers.Dense
    for layer in (*between, hidden):
        assert {name: getattr(layer, name) for name in settings} == settings
        assert isinstance(layer.kernel_constraint, LatentWeights)
        assert layer.kernel_constraint.centre is centre


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=() if kind in ("binary_weight", "xnor", "xnor_k") else pytest.mark.slow)
        for kind in KINDS
    ],
)
def test_learns_and_sees_both_signs_before_and_after(kind):
    model = binary_cnn(kind, 8, input_shape=SHAPE, classes=2)
    images = np.random.default_rng(1).random((16, *SHAPE), dtype="float32")
    labels = np.arange(16) % 2
    # A class is brighter on the left, the other on the right.
    images[labels == 1, :, :8] *= 0.5
    images[labels == 0, :, 8:] *= 0.5
    signed = [layer for layer in model.layers if isinstance(layer, XnorConv2D | XnorDense)]
    assert len(signed) == (4 if kind in TAKE_SIGNS else 0)

    def check_signs():
        if signed:
            for x in keras.Model(model.input, [layer.input for layer in signed])(images, training=True):
                assert 0.3 < np.mean(np.asarray(x) >= 0) < 0.7

    check_signs()
    # Few steps are taken sooner than compiled.
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", run_eagerly=True)
    losses = model.fit(images, labels, batch_size=16, epochs=10, verbose=0).history["loss"]
    assert losses[-1] < 0.3 * losses[0]
    check_signs()
    kernels = [layer.kernel.numpy() for layer in model.layers if type(layer) in (BinaryConv2D, XnorConv2D)]
    assert all(np.abs(kernel).max() <= 1 for kernel in kernels)


def test_layers_of_ones_own_can_stand_between():
    conv = partial(XnorConv2D, estimator="approx_sign")
    model = binary_cnn(Kind(conv, keras.layers.Dense, rectified=False), 8)
    assert model.get_layer("stage3_conv2").estimator is approx_sign
    assert type(model.get_layer("dense")) is keras.layers.Dense


def test_wrong_arguments_are_explained():
    with pytest.raises(ValueError, match="kind") as error:
        binary_cnn("bwn")
    assert str(error.value) == (
        "`kind` must be one of 'float', 'ternary', 'binary_weight', 'binary_connect', 'xnor_k', 'xnor', 'binary_net'. "
        "Received: kind='bwn'."
    )
    with pytest.raises(ValueError, match=r"`width` must be a positive integer. Received: width=0."):
        binary_cnn(width=0)
    assert binary_cnn(input_shape=(8, 9, 1)).get_layer("stage3_out").output.shape == (None, 1, 1, 128)
    with pytest.raises(ValueError, match=r"must be at least 8x8 here"):
        binary_cnn(input_shape=(7, 8, 1))
