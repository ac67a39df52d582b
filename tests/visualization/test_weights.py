import re

import keras
import numpy as np
import pytest

from kerasdl.architectures import lenet5
from kerasdl.visualization import filters
from kerasdl.visualization.weights import find_convolution


def _model(*layers):
    return keras.Sequential([keras.Input((9, 9, 3)), *layers], name="small")


def test_every_filter_is_the_kernel_the_convolution_uses():
    # A single lit pixel makes a convolution print its kernels, mirrored: what the layer does, not how it stores them.
    convolution = keras.layers.Conv2D(4, (3, 5), use_bias=False, name="c1")
    model = _model(convolution)
    kernels = filters(model)
    assert kernels.shape == (4, 3, 5, 3)
    assert kernels.dtype == np.float32
    for channel in range(3):
        image = np.zeros((1, 9, 9, 3), "float32")
        image[0, 4, 4, channel] = 1.0
        printed = model(image).numpy()[0, 2:5, 0:5]  # 9x9 -> 7x5
        np.testing.assert_allclose(printed[::-1, ::-1].transpose(2, 0, 1), kernels[..., channel], atol=1e-6)


def test_a_depthwise_convolution_has_filters_of_one_channel():
    model = _model(keras.layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False))
    kernels = filters(model)
    assert kernels.shape == (6, 3, 3, 1)
    image = np.zeros((1, 9, 9, 3), "float32")
    image[0, 4, 4] = 1.0
    printed = model(image).numpy()[0, 2:5, 2:5]
    np.testing.assert_allclose(printed[::-1, ::-1].transpose(2, 0, 1), kernels[..., 0], atol=1e-6)


def test_a_transposed_convolution_paints_its_filters():
    model = _model(keras.layers.Conv2DTranspose(2, 3, use_bias=False))
    kernels = filters(model)
    image = np.zeros((1, 9, 9, 3), "float32")
    image[0, 4, 4, 1] = 1.0
    painted = model(image).numpy()[0, 4:7, 4:7]
    np.testing.assert_allclose(painted.transpose(2, 0, 1), kernels[..., 1], atol=1e-6)


def test_the_sparse_layer_of_lenet_shows_zeros_where_nothing_is_connected():
    model = lenet5()
    kernels = filters(model, "c3")
    assert kernels.shape == (16, 5, 5, 6)
    # Table I: the first map of C3 sees the first three maps of S2, the last sees all.
    assert [bool(kernels[0, ..., channel].any()) for channel in range(6)] == [True, True, True, False, False, False]
    assert all(kernels[15, ..., channel].any() for channel in range(6))


def test_finds_a_layer_in_a_nested_model_and_takes_the_first_without_a_name():
    inner = keras.Sequential([keras.Input((9, 9, 3)), keras.layers.Conv2D(2, 3, name="a")], name="inner")
    outer = keras.Sequential([keras.Input((9, 9, 3)), inner, keras.layers.Conv2D(5, 3, name="b")])
    assert find_convolution(outer).name == "a"
    assert filters(outer, "a").shape == (2, 3, 3, 3)
    assert filters(outer, "b").shape == (5, 3, 3, 2)


def test_finds_layers_of_the_same_name_by_their_paths_and_those_inside_other_layers():
    class Block(keras.layers.Layer):
        def __init__(self, width, **kwargs):
            super().__init__(**kwargs)
            self.inner = keras.layers.Conv2D(width, 3, padding="same", name="conv")

        def call(self, x):
            return self.inner(x)

    model = _model(Block(2, name="first"), keras.Sequential([Block(4, name="block")], name="second"))
    assert filters(model, "first/conv").shape == (2, 3, 3, 3)
    assert filters(model, "second/block/conv").shape == (4, 3, 3, 2)
    assert find_convolution(model) is find_convolution(model, "conv") is model.layers[0].inner


def test_half_precision_weights_come_as_float32_and_the_model_stays_as_it_is():
    model = _model(keras.layers.Conv2D(2, 3, dtype="bfloat16"))
    before = [weight.astype("float32") for weight in model.get_weights()]
    kernels = filters(model)
    assert kernels.dtype == np.float32
    kernels[:] = 7.0
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now.astype("float32"), then)


def test_a_name_that_is_not_there_and_a_layer_that_is_no_convolution():
    model = _model(keras.layers.Conv2D(2, 3, name="c1"), keras.layers.Flatten(name="flat"))
    for layer, which in (("c2", "not there"), ("flat", "not one")):
        text = (
            f"`layer` must name a two-dimensional convolution of model 'small'. Received: layer={layer!r}, "
            f"which is {which}. Choose among: c1."
        )
        with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
            filters(model, layer)


def test_a_model_without_convolutions():
    text = (
        "Expected a model with a two-dimensional convolution among its layers or those inside them. "
        "Received: model 'small' without one."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        filters(_model(keras.layers.Flatten()))


def test_a_model_that_is_not_built():
    text = (
        "The kernels of layer 'c1' are not made yet, for its input shape is not known. "
        "Begin the model with a keras.Input, or call it once on a batch."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        filters(keras.Sequential([keras.layers.Conv2D(2, 3, name="c1")]))
