from functools import partial

import keras
import numpy as np
import pytest
from helpers import numbers_in

from kerasdl.architectures import diracnet18, diracnet34, diracnet_cifar, fold_dirac, plain18
from kerasdl.architectures.parts import normalize
from kerasdl.layers import DiracConv2D


def with_random_weights(model):
    """As after a training: no mean at 0, no variance at 1."""
    random = np.random.default_rng(0)
    for weight in model.weights:
        ending = weight.path.split("/")[-1]
        if ending in ("gamma", "moving_variance", "alpha"):
            weight.assign(random.uniform(0.5, 1.5, weight.shape))
        elif ending != "kernel":
            weight.assign(random.normal(0, 0.3, weight.shape))
    return model


def logits(model, images):
    return keras.Model(model.input, model.get_layer("logits").output).predict(images, verbose=0)


@pytest.mark.parametrize(
    ("builder", "trained", "folded", "shape"),
    [
        pytest.param(diracnet18, 11_523_368, 11_511_784, (64, 64, 3), marks=pytest.mark.slow),
        pytest.param(diracnet34, 21_638_952, 21_616_232, (64, 64, 3), marks=pytest.mark.slow),
        # 297,066 in kernels and the head; per map of the six Dirac convolutions four numbers, of the first layer two.
        (partial(diracnet_cifar, 10, 2), 297_066 + 4 * 448 + 2 * 32, 297_066 + 448 + 32, (16, 16, 3)),
    ],
)
def test_folds_into_as_many_parameters_and_the_same_outputs(builder, trained, folded, shape):
    model = with_random_weights(builder(input_shape=shape))
    images = np.random.default_rng(1).random((2, *shape), dtype="float32")
    assert numbers_in(model.trainable_weights) == trained
    before = [weight.numpy() for weight in model.weights]
    short = fold_dirac(model)
    assert short.count_params() == folded
    assert short.name == model.name
    assert {type(layer) for layer in short.layers} <= {
        keras.layers.InputLayer,
        keras.layers.Conv2D,
        keras.layers.ReLU,
        keras.layers.ZeroPadding2D,
        keras.layers.MaxPooling2D,
        keras.layers.GlobalAveragePooling2D,
        keras.layers.Dense,
        keras.layers.Activation,
    }
    assert [layer.name for layer in short.layers] == [
        layer.name for layer in model.layers if not layer.name.endswith("_norm")
    ]
    expected, scale = logits(model, images), logits(model, images).std()
    np.testing.assert_allclose(logits(short, images), expected, rtol=0, atol=1e-4 * scale)
    # Different images differ by far more than that, and the old model is as it was.
    assert np.abs(expected[0] - expected[1]).max() > 0.01 * scale
    for weight, old in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_folds_what_was_saved_and_loaded(tmp_path):
    model = with_random_weights(diracnet_cifar(10, 1, input_shape=(8, 8, 1), classes=3))
    model.save(tmp_path / "model.keras")
    short = fold_dirac(keras.saving.load_model(tmp_path / "model.keras"))
    short.save(tmp_path / "short.keras")
    again = keras.saving.load_model(tmp_path / "short.keras")
    images = np.random.default_rng(0).random((2, 8, 8, 1), dtype="float32")
    np.testing.assert_allclose(again.predict(images, verbose=0), model.predict(images, verbose=0), atol=1e-5)


def test_the_folded_network_is_worked_out_in_numpy():
    """One Dirac convolution and its normalisation, by the formulas of both papers."""
    inputs = keras.Input((5, 5, 2))
    outputs = normalize(DiracConv2D(3, 3, padding="same")(inputs), name="norm")
    model = with_random_weights(keras.Model(inputs, outputs))
    convolution, norm = model.layers[1:]
    kernel, bias, alpha, beta = (np.asarray(weight, "float64") for weight in convolution.weights)
    gamma, shift, mean, variance = (np.asarray(weight, "float64") for weight in norm.weights)
    (short,) = fold_dirac(model).layers[1:]
    assert type(short) is keras.layers.Conv2D
    for out in range(3):
        scale = gamma[out] / np.sqrt(variance[out] + 1e-5)
        expected = beta[out] * kernel[..., out] / np.linalg.norm(kernel[..., out])
        if out < 2:
            expected[1, 1, out] += alpha[out]
        np.testing.assert_allclose(short.kernel[..., out], scale * expected, rtol=1e-5)
        np.testing.assert_allclose(short.bias[out], scale * (bias[out] - mean[out]) + shift[out], rtol=1e-5)


def test_folds_a_normalisation_only_where_nothing_else_reads_the_convolution():
    inputs = keras.Input((6, 6, 4))
    read_twice = DiracConv2D(4, 3, padding="same", use_bias=False, name="read_twice")(inputs)
    x = keras.layers.Add()([read_twice, normalize(read_twice, name="kept")])
    x = DiracConv2D(4, 3, activation="relu", name="active")(x)
    x = normalize(x, name="kept_too")
    x = DiracConv2D(4, 3, name="alone")(x)
    x = keras.layers.Conv2D(4, 1, use_bias=False, name="ordinary")(x)
    x = keras.layers.BatchNormalization(scale=False, center=False, name="folded")(x)
    model = with_random_weights(keras.Model(inputs, x))
    short = fold_dirac(model)
    assert [layer.name for layer in short.layers if "kept" in layer.name] == ["kept", "kept_too"]
    assert "folded" not in [layer.name for layer in short.layers]
    assert not any(isinstance(layer, DiracConv2D) for layer in short.layers)
    images = np.random.default_rng(0).random((2, 6, 6, 4), dtype="float32")
    np.testing.assert_allclose(short(images), model(images), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("zero_weights")
def test_refuses_models_without_dirac_convolutions():
    with pytest.raises(ValueError, match="nothing to fold") as error:
        fold_dirac(plain18(input_shape=(32, 32, 3), classes=2))
    assert str(error.value).startswith(
        "`model` must have layers of kerasdl.layers.DiracConv2D, as diracnet18() has: without them there is nothing to "
        "fold. Received: 'plain18' with "
    )
    with pytest.raises(ValueError, match="DiracConv2D"):
        fold_dirac("diracnet18")


@pytest.mark.usefixtures("zero_weights")
def test_without_the_dirac_part_it_is_the_plain_network_of_the_same_shape():
    dirac, plain = diracnet_cifar(10, 1), diracnet_cifar(10, 1, conv=keras.layers.Conv2D)
    assert not any(isinstance(layer, DiracConv2D) for layer in plain.layers)
    assert [layer.name for layer in plain.layers] == [layer.name for layer in dirac.layers]
    # Alpha and beta: two numbers for each map.
    assert dirac.count_params() - plain.count_params() == 2 * 2 * (16 + 32 + 64)


def test_impossible_depths_and_widths_are_refused():
    with pytest.raises(ValueError, match=r"`depth` must be 6n \+ 4 .* Received: depth=20"):
        diracnet_cifar(20)
    with pytest.raises(ValueError, match=r"`width` must be a positive integer. Received: width=0."):
        diracnet_cifar(10, 0)
