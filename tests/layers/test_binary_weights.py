"""Weights of one bit: nearest to the latent ones in squares, and trained through their signs and their scale."""

import inspect
import itertools
import re
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import check_layer

import kerasdl
from kerasdl.constraints import LatentWeights
from kerasdl.layers import BinaryConv2D, BinaryDense, TernaryConv2D, TernaryDense, XnorConv2D, XnorDense

ALL = [
    (BinaryConv2D, (3, 3)),
    (BinaryDense, (3,)),
    (TernaryConv2D, (3, 3)),
    (TernaryDense, (3,)),
    (XnorConv2D, (3, 3)),
    (XnorDense, (3,)),
]


def binary(kernel):
    """`alpha B` in NumPy."""
    return np.where(kernel >= 0, 1.0, -1.0) * np.abs(kernel).mean(tuple(range(kernel.ndim - 1)))


def stock_convolution(layer, inputs):
    """The stock layer with the weights `alpha B`."""
    config = {name: value for name, value in layer.get_config().items() if name not in ("weight_scale", "name")}
    stock = keras.layers.Conv2D.from_config({**config, "kernel_constraint": None})
    stock.build(inputs.shape)
    kernel = np.asarray(layer.kernel)
    kernel = binary(kernel) if layer.weight_scale else np.where(kernel >= 0, 1, -1)
    stock.set_weights([kernel, layer.bias] if layer.use_bias else [kernel])
    return np.asarray(stock(inputs))


@pytest.mark.parametrize(
    "kwargs",
    [
        {"padding": "same", "strides": 2, "activation": "relu", "bias_initializer": "random_normal"},
        {"weight_scale": False, "dilation_rate": 2, "use_bias": False},
        {"kernel_size": (1, 4), "groups": 2, "padding": "same"},
    ],
)
def test_is_the_convolution_with_scaled_signs(kwargs):
    layer = check_layer(BinaryConv2D, {"filters": 6, "kernel_size": 3} | kwargs, (2, 8, 7, 4), stock_convolution)
    assert isinstance(layer, keras.layers.Conv2D)


@pytest.mark.parametrize("weight_scale", [True, False])
def test_is_the_product_with_scaled_signs(weight_scale):
    def product(layer, inputs):
        kernel = np.asarray(layer.kernel)
        return np.tanh(inputs @ (binary(kernel) if weight_scale else np.where(kernel >= 0, 1, -1)) + layer.bias)

    kwargs = {"weight_scale": weight_scale, "activation": "tanh", "bias_initializer": "random_normal"}
    check_layer(BinaryDense, {"units": 6, **kwargs}, (5, 9), product)
    check_layer(BinaryDense, {"units": 6, **kwargs}, (2, 3, 9), product)


@pytest.mark.parametrize("shape", [(1, 3, 3, 4), (2, 2, 2, 3)])
def test_no_other_signs_or_scale_are_nearer_to_the_latent_weights(shape):
    """All 2^9 or 2^8 filters of signs, each with a whole range of factors."""
    layer = BinaryConv2D(shape[-1], shape[:2])
    layer.build((None, 8, 8, shape[2]))
    layer.kernel.assign(np.random.default_rng(0).normal(scale=0.5, size=shape))
    latent = np.asarray(layer.kernel, "float64").reshape(-1, shape[-1])
    signs, scale = np.asarray(layer.kernel_signs()).reshape(latent.shape), np.asarray(layer.kernel_scale())
    choices = np.array(list(itertools.product((-1, 1), repeat=len(latent))))
    factors = np.concatenate([scale, np.linspace(0, 1.5, 301)])
    for filter, (weights, own, alpha) in enumerate(zip(latent.T, signs.T, scale, strict=True)):
        # |w - a b|^2 = |w|^2 - 2 a w.b + a^2 n, for all b and a.
        errors = (weights**2).sum() - 2 * np.outer(choices @ weights, factors) + factors**2 * len(weights)
        found, factor = np.unravel_index(errors.argmin(), errors.shape)
        np.testing.assert_array_equal(choices[found], own)
        assert factor == filter
        error = ((weights - alpha * own) ** 2).sum()
        np.testing.assert_allclose(error, errors.min(), rtol=1e-6)
        assert (np.delete(errors[found], filter) > error).all()


def test_a_latent_weight_of_0_counts_as_positive():
    layer = BinaryDense(2, use_bias=False)
    layer.build((None, 2))
    layer.kernel.assign([[0.0, -0.0], [-0.5, 0.5]])
    np.testing.assert_array_equal(layer.kernel_signs(), [[1, 1], [-1, 1]])
    np.testing.assert_array_equal(layer(np.array([[4.0, 8.0]])), [[-1, 3]])


def test_the_gradient_goes_through_the_signs_and_through_the_scale():
    """Against the formula, on the gradient that an ordinary convolution with `alpha B` gets."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 6, 6, 4)).astype("float32")
    layer = BinaryConv2D(5, 3, use_bias=False)
    layer.build(images.shape)
    layer.kernel.assign(rng.normal(scale=0.8, size=layer.kernel.shape))
    latent, upstream = np.asarray(layer.kernel), rng.normal(size=(2, 4, 4, 5)).astype("float32")
    with tf.GradientTape() as tape:
        outputs = layer(images)
    gradient = tape.gradient(outputs, layer.trainable_weights[0], upstream)
    kernel = tf.constant(binary(latent), "float32")
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        outputs = tf.nn.conv2d(images, kernel, 1, "VALID")
    ordinary = tape.gradient(outputs, kernel, upstream).numpy()
    alpha, n = np.abs(latent).mean((0, 1, 2)), latent[..., 0].size
    through_signs = ordinary * alpha * (np.abs(latent) <= 1)
    through_scale = np.sign(latent) / n * (ordinary * np.sign(latent)).sum((0, 1, 2))
    assert (np.abs(latent) > 1).any()
    np.testing.assert_allclose(gradient, through_signs + through_scale, rtol=1e-4, atol=1e-5)
    # The gradient by alpha alone, by finite differences: the signs stay as they are.
    layer.weight_scale = False
    with tf.GradientTape() as tape:
        outputs = layer(images)
    plain = tape.gradient(outputs, layer.trainable_weights[0], upstream)
    np.testing.assert_allclose(plain, ordinary * (np.abs(latent) <= 1), rtol=1e-4, atol=1e-5)
    layer.weight_scale = True
    step = np.zeros_like(latent)
    step[1, 2, 3, 4] = np.sign(latent[1, 2, 3, 4]) * 0.01
    values = []
    for sign in (1, -1):
        layer.kernel.assign(latent + sign * step)
        values.append((np.asarray(layer(images), "float64") * upstream).sum())
    difference = (values[0] - values[1]) / 0.02 * np.sign(latent[1, 2, 3, 4])
    np.testing.assert_allclose(through_scale[1, 2, 3, 4], difference, rtol=1e-3)


@pytest.mark.parametrize("weight_scale", [True, False])
def test_learns_the_weights_of_another_layer(weight_scale):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1000, 30)).astype("float32")
    kernel = np.where(rng.normal(size=(30, 4)) >= 0, 1, -1)
    alpha = np.array([0.3, 0.5, 0.7, 0.2]) if weight_scale else np.ones(4)
    layer = BinaryDense(4, use_bias=False, weight_scale=weight_scale)
    inputs = keras.Input((30,))
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    history = model.fit(rows, rows @ (kernel * alpha), 50, epochs=12, verbose=0).history["loss"]
    np.testing.assert_array_equal(layer.kernel_signs(), kernel)
    if weight_scale:
        np.testing.assert_allclose(layer.kernel_scale(), alpha, atol=1e-3)
    else:
        assert layer.kernel_scale() is None
        assert history[-1] < 1e-9
    assert np.abs(layer.kernel).max() <= 1


@pytest.mark.parametrize(("layer_class", "args"), ALL)
def test_latent_weights_without_a_constraint_are_warned_of_once(layer_class, args, tmp_path):
    text = (
        f"{layer_class.__name__} 'free' has kernel_constraint=None: latent weights that grow beyond 1 or -1 get no "
        "gradient back from the clipped estimator of their signs, which then stay as they are. Leave the argument out, "
        "or pass kernel_constraint=kerasdl.constraints.LatentWeights(), to keep the weights within."
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(text)}$") as caught:
        layer = layer_class(*args, kernel_constraint=None, name="free")
    assert caught[0].filename == __file__
    # Neither a copy nor a model that is loaded repeats it, and it has no constraint either.
    inputs = keras.Input((5, 5, 2))
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    for again in (keras.saving.load_model(tmp_path / "model.keras"), keras.models.clone_model(model)):
        layer = again.get_layer("free")
        assert layer.kernel_constraint is None
        assert layer._kernel.constraint is None


@pytest.mark.parametrize(("layer_class", "args"), ALL)
def test_the_constraint_is_what_help_says_or_what_is_given(layer_class, args):
    default = inspect.signature(layer_class).parameters["kernel_constraint"].default
    assert repr(default) == "LatentWeights(centre=True)"
    one, two = (layer_class(*args).kernel_constraint for _ in range(2))
    assert isinstance(one, LatentWeights)
    # To change it in one layer changes no other.
    assert len({id(each) for each in (default, one, two)}) == 3
    other = layer_class(*args, kernel_constraint="non_neg")
    assert isinstance(other.kernel_constraint, keras.constraints.NonNeg)
    assert layer_class.from_config(layer_class(*args).get_config()).kernel_constraint.centre is True


@pytest.mark.parametrize(("layer_class", "args"), ALL)
def test_refuses_channels_in_front_and_half_answers(layer_class, args):
    if "Conv" in layer_class.__name__:
        text = (
            f"{layer_class.__name__} works on channels_last only: pass data_format='channels_last' and images of shape "
            "(batch, height, width, channels). Received: data_format='channels_first'."
        )
        with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
            layer_class(*args, data_format="channels_first")
    with pytest.raises(ValueError, match=r"^`weight_scale` must be True or False\. Received: weight_scale=0\.5\.$"):
        layer_class(*args, weight_scale=0.5)
    assert layer_class(*args, weight_scale=np.False_).get_config()["weight_scale"] is False


@pytest.mark.parametrize(("layer_class", "args"), ALL)
def test_tells_an_engine_what_it_must_know(layer_class, args):
    layer = layer_class(*args, weight_scale=False)
    layer.build((None, 5, 5, 2) if "Conv" in layer_class.__name__ else (None, 7))
    assert layer.kernel_signs().shape == layer.kernel.shape
    assert layer.kernel_scale() is None
    assert (layer.weight_scale, layer.input_scale) == (False, False)
    assert layer.pad_value == (1 if layer_class is XnorConv2D else 0)


def test_stands_in_the_place_of_a_convolution_in_another_network():
    block = kerasdl.architectures.resnet.basic_block
    shortcut = kerasdl.architectures.resnet.projection
    for conv in (BinaryConv2D, TernaryConv2D):
        inputs = keras.Input((8, 8, 4))
        model = keras.Model(inputs, block(inputs, 8, 2, name="a", out="b", conv=conv, shortcut=shortcut))
        assert sum(isinstance(layer, conv) for layer in model.layers) == 3
        assert model.output_shape == (None, 4, 4, 8)


@pytest.mark.parametrize("layer_class", [BinaryConv2D, TernaryConv2D])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_images_of_one_channel_are_read_right_where_one_column_comes_out(layer_class, padding):
    """TensorFlow's convolution is not, where float32 images of a batch have strides (1, 3): in float64 it is."""
    images = np.random.default_rng(0).normal(size=(3, 6, 3, 1)).astype("float32")
    layer = layer_class(4, 2, strides=(1, 3), padding=padding, use_bias=False)
    outputs = layer(images)
    kernel = tf.cast(layer.kernel_signs() * layer.kernel_scale(), "float64")
    expected = tf.nn.conv2d(images.astype("float64"), kernel, (1, 3), padding.upper())
    assert outputs.shape[2] == 1
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


@pytest.mark.parametrize("layer_class", [BinaryConv2D, TernaryConv2D, XnorConv2D])
def test_a_step_under_xla_is_the_step_without_it(layer_class):
    rng = np.random.default_rng(0)
    images, targets = rng.normal(size=(4, 6, 6, 4)).astype("float32"), rng.normal(size=(4, 6, 6, 3)).astype("float32")
    results = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((6, 6, 4))
        model = keras.Model(inputs, layer_class(3, 3, padding="same")(inputs))
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit_compile)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.train_on_batch(images, targets)
        results.append(model.get_weights())
    for plain, compiled in zip(*results, strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-4, atol=1e-6)
