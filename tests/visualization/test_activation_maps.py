"""CAM, Grad-CAM and Grad-CAM++ against a model cut in two, and against each other."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.visualization import class_activation_map, grad_cam, grad_cam_plus_plus

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


def test_class_activation_map_adds_up_to_the_score():
    model = network(keras.layers.GlobalAveragePooling2D())
    maps = keras.Model(model.input, model.get_layer("maps").output)(IMAGES).numpy()
    head = model.get_layer("head")
    head.bias.assign([0.1, 0.2, 0.3, 0.4, 0.5])
    found = class_activation_map(model, IMAGES, [0, 1, 2, 3])
    np.testing.assert_allclose(found, np.einsum("nhwc,cn->nhw", maps, head.kernel.numpy()[:, :4]), atol=1e-6)
    logits = maps.mean(axis=(1, 2)) @ head.kernel.numpy() + head.bias.numpy()
    np.testing.assert_allclose(found.mean(axis=(1, 2)), np.diag(logits) - [0.1, 0.2, 0.3, 0.4], atol=1e-5)


@pytest.mark.parametrize("target", [None, lambda logits: logits[:, 1] - logits[:, 2]])
def test_class_activation_map_is_grad_cam_times_the_number_of_places(target):
    model = network(keras.layers.GlobalAveragePooling2D())
    expected = 256 * grad_cam(model, IMAGES, target)
    np.testing.assert_allclose(np.maximum(class_activation_map(model, IMAGES, target), 0), expected, atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", pytest.param(None, marks=pytest.mark.slow)])
def test_class_activation_map_of_a_network_that_ends_in_a_convolution(activation):
    # As SqueezeNet: a map for each class, and only their means behind it. One class alone is for class 1.
    layers = [
        keras.layers.Conv2D(5, 1, activation=activation, name="maps"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Softmax(),
    ]
    model = keras.Sequential([keras.Input((16, 16, 3)), *layers])
    np.testing.assert_allclose(class_activation_map(model, IMAGES, 2), layers[0](IMAGES)[..., 2], atol=1e-6)


def test_class_activation_map_of_a_nested_model_with_one_score():
    inner = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Conv2D(6, 4, strides=4), keras.layers.GlobalAveragePooling2D()]
    )
    head = keras.layers.Dense(1, activation="sigmoid", use_bias=False)
    model = keras.Sequential([keras.Input((16, 16, 3)), inner, keras.layers.Dropout(0.5), head])
    small = inner.layers[0](IMAGES).numpy() @ head.kernel.numpy()
    for target, sign in ((1, 1), (0, -1)):
        expected = sign * tf.image.resize(small, (16, 16))[..., 0]
        np.testing.assert_allclose(class_activation_map(model, IMAGES, target), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (keras.layers.Flatten, "has the dense layers head behind its last maps; take `grad_cam`"),
        (keras.layers.GlobalMaxPooling2D, "does something else between its last maps and its scores; take"),
        (lambda: keras.layers.Cropping2D(((15, 0), (15, 0))), "does something else between its last maps and its sc"),
    ],
)
def test_class_activation_map_refuses_other_networks(head, message):
    with pytest.raises(
        ValueError, match=rf"Expected a network that ends in global average pooling and one dense.*, which {message}"
    ):
        class_activation_map(network(head()), IMAGES)


def test_class_activation_map_refuses_more_maps_than_classes():
    model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.GlobalAveragePooling2D(keepdims=True)])
    model.add(keras.layers.Conv2D(2, 1))
    with pytest.raises(ValueError, match=r"Expected a network that ends .*, which has no maps; take"):
        class_activation_map(model, IMAGES)
    model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(3, 1), *model.layers])
    with pytest.raises(ValueError, match=r"Expected a network .*, which has neither behind its last maps; take"):
        class_activation_map(model, IMAGES)


@pytest.mark.parametrize("filters", [6, 7])
def test_class_activation_map_says_that_images_are_too_small(filters):
    layers = [
        keras.layers.Conv2D(filters, 3, activation="relu"),
        keras.layers.MaxPooling2D(14, name="deepest"),
        keras.layers.Conv2D(6, 1, name="mixed"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(5, name="head"),
    ]
    inputs = keras.Input((None, None, 3))
    # The pooling inside a block, as of squeeze and excitation, is not the one that counts.
    squeezed = keras.layers.GlobalAveragePooling2D(keepdims=True)(inputs)
    x = keras.layers.Multiply()([inputs, squeezed])
    for layer in layers:
        x = layer(x)
    model = keras.Model(inputs, x, name="small")
    with pytest.raises(
        ValueError, match=r"^Expected images so large that the maps .* Received: images of 16 x 16 "
    ) as e:
        class_activation_map(model, IMAGES)
    assert str(e.value).endswith("for which layer 'mixed' of model 'small' has one; take larger images.")


def test_grad_cam_plus_plus_equals_the_formula_on_a_model_cut_in_two():
    model = network(keras.layers.Flatten())
    maps = keras.Model(model.input, model.get_layer("maps").output)(IMAGES).numpy()
    kernel = model.get_layer("head").kernel.numpy().reshape(16, 16, 6, 5)
    gradient = np.moveaxis(kernel[..., [0, 1, 2, 3]], -1, 0)  # One class per image; the score is linear in the maps.
    total = maps.sum(axis=(1, 2), keepdims=True)
    shares = gradient**2 / (2 * gradient**2 + total * gradient**3)
    weights = (shares * np.maximum(gradient, 0)).sum(axis=(1, 2))
    expected = np.maximum(np.einsum("nhwc,nc->nhw", maps, weights), 0)
    np.testing.assert_allclose(grad_cam_plus_plus(model, IMAGES, [0, 1, 2, 3]), expected, rtol=1e-3, atol=1e-5)
    plain = grad_cam(model, IMAGES, [0, 1, 2, 3])
    assert np.abs(expected / expected.max() - plain / plain.max()).max() > 0.1
