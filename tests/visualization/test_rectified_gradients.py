"""The rules for the way back, against numbers worked out by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.visualization import deconvolution, guided_backpropagation, saliency

IMAGES = np.random.default_rng(0).uniform(-1, 1, size=(3, 8, 8, 3)).astype("float32")


def small(rectify):
    """Two inputs, three rectified units, one score. At (1, 1) the units are 1, -1 and 2 before they are rectified."""
    layers = [keras.layers.Flatten(), *rectify, keras.layers.Dense(1, use_bias=False, name="score")]
    model = keras.Sequential([keras.Input((1, 2, 1)), *layers])
    dense = next(layer for layer in model.layers if isinstance(layer, keras.layers.Dense))
    dense.set_weights([np.array([[2.0, -3.0, 1.0], [-1.0, 2.0, 1.0]])])
    model.get_layer("score").set_weights([np.array([[1.0], [4.0], [-5.0]])])
    return model


KINDS = [
    lambda: [keras.layers.Dense(3, use_bias=False, activation="relu")],
    lambda: [keras.layers.Dense(3, use_bias=False), keras.layers.ReLU()],
    lambda: [keras.layers.Dense(3, use_bias=False), keras.layers.Activation("relu")],
    lambda: [keras.layers.Dense(3, use_bias=False, activation=tf.nn.relu)],
]


@pytest.mark.parametrize("kind", KINDS)
def test_small_network_worked_out_by_hand(kind):
    model, image = small(kind()), np.ones((1, 1, 2, 1))
    # Upstream of the rectifier comes (1, 4, -5). The gradient lets units 1 and 3 back: 1 (2, -1) - 5 (1, 1) = (-3, -6).
    np.testing.assert_allclose(saliency(model, image, 1)[0, 0], [3, 6])
    # Guided: of those only unit 1, whose upstream is positive: (2, -1).
    np.testing.assert_allclose(guided_backpropagation(model, image, 1)[0, 0, :, 0], [2, -1])
    # Deconvolution: units 1 and 2, on or off: 1 (2, -1) + 4 (-3, 2) = (-10, 7).
    np.testing.assert_allclose(deconvolution(model, image, 1)[0, 0, :, 0], [-10, 7])


def test_six_is_a_limit_for_the_way_back_too():
    model = small([keras.layers.Dense(3, use_bias=False), keras.layers.ReLU(max_value=0.5)])
    with pytest.warns(UserWarning, match="1 of 1 maps are zero everywhere: nothing positive comes back to the image"):
        guided_backpropagation(model, np.ones((1, 1, 2, 1)), 1)


def test_one_neuron_of_an_inner_layer_of_a_nested_model():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu", name="first")(inputs)
    backbone = keras.Model(inputs, keras.layers.Conv2D(2, 3, name="second")(x))
    outer = keras.Input((8, 8, 3))
    model = keras.Model(outer, keras.layers.Dense(3)(keras.layers.Flatten()(backbone(outer))))
    first, second = backbone.get_layer("first"), backbone.get_layer("second")
    maps = guided_backpropagation(model, IMAGES, unit=("second", (1, 2, 1)))
    on = keras.Model(inputs, x)(IMAGES).numpy() > 0
    expected = np.zeros_like(IMAGES)
    for row in range(3):
        for column in range(3):
            upstream = np.maximum(second.kernel.numpy()[row, column, :, 1], 0) * on[:, 1 + row, 2 + column]
            back = np.einsum("ijkf,nf->nijk", first.kernel.numpy(), upstream)
            expected[:, 1 + row : 4 + row, 2 + column : 5 + column] += back
    np.testing.assert_allclose(maps, expected, atol=1e-6)


def test_refuses_a_model_without_rectifiers():
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)], name="flat")
    with pytest.raises(ValueError, match=r"Expected a model with rectifiers.*Received: model 'flat' without a relu"):
        guided_backpropagation(model, IMAGES)
