"""Grad-CAM against a model cut in two, and against the class activation map that it generalises."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.visualization import grad_cam

IMAGES = np.random.default_rng(0).uniform(-1, 1, size=(4, 16, 16, 3)).astype("float32")


def network(head):
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(6, 3, padding="same", activation="relu", name="maps")(inputs)
    return keras.Model(inputs, keras.layers.Dense(5, activation="softmax", name="head")(head(x)))


def test_equals_the_formula_on_a_model_cut_in_two():
    model = network(keras.layers.Flatten())
    maps = keras.Model(model.input, model.get_layer("maps").output)(IMAGES)
    head = model.get_layer("head")
    targets = [0, 1, 2, 3]
    with tf.GradientTape() as tape:
        tape.watch(maps)
        logits = tf.reshape(maps, (4, -1)) @ head.kernel.value + head.bias.value
        chosen = tf.gather(logits, targets, batch_dims=1)
    weights = tape.gradient(chosen, maps).numpy().mean(axis=(1, 2))
    expected = np.maximum(np.einsum("nhwc,nc->nhw", maps, weights), 0)
    np.testing.assert_allclose(grad_cam(model, IMAGES, targets), expected, atol=1e-6)
    np.testing.assert_allclose(
        grad_cam(model, IMAGES), grad_cam(model, IMAGES, model(IMAGES).numpy().argmax(axis=1)), atol=1e-7
    )


def test_is_the_class_activation_map_divided_by_the_number_of_places():
    # Behind global average pooling the gradient is the weight of the class over the number of places, everywhere.
    model = network(keras.layers.GlobalAveragePooling2D())
    maps = keras.Model(model.input, model.get_layer("maps").output)(IMAGES).numpy()
    weights = model.get_layer("head").kernel.numpy()[:, 2]
    expected = np.maximum(maps @ weights, 0) / 256
    np.testing.assert_allclose(grad_cam(model, IMAGES, 2), expected, atol=1e-7)


def test_reaches_into_nested_models_and_comes_back_at_the_size_of_the_image():
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(6, 3, strides=4, padding="same", activation="relu", name="maps")(inputs)
    backbone = keras.Model(inputs, x, name="backbone")
    outer = keras.Input((16, 16, 3))
    y = keras.layers.GlobalAveragePooling2D()(backbone(outer))
    model = keras.Model(outer, keras.layers.Dense(5)(y))
    weights = model.layers[-1].kernel.numpy()[:, 1]
    small = np.maximum(backbone(IMAGES).numpy() @ weights, 0) / 16
    expected = tf.image.resize(small[..., None], (16, 16))[..., 0]
    for layer in (None, "maps", "backbone", "backbone/maps"):
        np.testing.assert_allclose(grad_cam(model, IMAGES, 1, layer=layer), expected, atol=1e-6)


def test_warns_of_maps_of_nothing():
    model = network(keras.layers.GlobalAveragePooling2D())
    kernel = model.get_layer("head").kernel
    kernel.assign(-tf.ones_like(kernel))
    with pytest.warns(UserWarning, match="4 of 4 maps are zero everywhere: no map of this layer speaks for the class"):
        grad_cam(model, IMAGES, 0)


def test_refuses_a_layer_without_maps():
    model = network(keras.layers.GlobalAveragePooling2D())
    with pytest.raises(ValueError, match=r"`layer` must give maps.*Received: 'head', which gives \(5,\)"):
        grad_cam(model, IMAGES, layer="head")
