"""Taps in any model: what comes out is what the layers compute, and the model is as it was."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.visualization import probing
from kerasdl.visualization.gradients import saliency

IMAGES = np.random.default_rng(0).uniform(size=(3, 16, 16, 3)).astype("float32")


@keras.saving.register_keras_serializable(package="tests")
class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.convolution = keras.layers.Conv2D(4, 3, activation="relu", name="inner")
        self.head = keras.layers.Dense(5, activation="softmax", name="head")

    def call(self, x):
        return self.head(keras.ops.mean(self.convolution(x), axis=(1, 2)))


def backbone():
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, name="inner")(inputs)
    return keras.Model(inputs, keras.layers.ReLU(name="inner_relu")(x), name="backbone")


def nested():
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(backbone()(inputs))
    return keras.Model(inputs, keras.layers.Dense(5, activation="softmax", name="head")(x))


def nested_twice():
    return keras.Sequential([keras.Input((16, 16, 3)), keras.Sequential([nested()], name="middle")])


def sequential():
    return keras.Sequential(
        [backbone(), keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(5), keras.layers.Softmax()]
    )


def activation_layer():
    return keras.Sequential(
        [backbone(), keras.layers.Flatten(), keras.layers.Dense(5), keras.layers.Activation("softmax")]
    )


ALL = [Subclassed, nested, nested_twice, sequential, activation_layer]


@pytest.mark.parametrize("make", ALL)
def test_scores_come_before_the_softmax(make):
    model = make()
    logits = probing.forward(model, tf.constant(IMAGES)).numpy()
    np.testing.assert_allclose(tf.nn.softmax(logits), model(IMAGES), atol=1e-6)
    assert abs(logits.sum(axis=1) - 1).max() > 1e-3


@pytest.mark.parametrize("make", ALL)
def test_a_tap_gets_what_the_layer_computes_and_may_change_it(make):
    model = make()
    model(IMAGES)
    seen = []
    probing.forward(model, tf.constant(IMAGES), taps={"inner": lambda y: seen.append(y) or y})
    kernel = probing.find_layer(model, "inner").kernel.numpy()
    windows = np.lib.stride_tricks.sliding_window_view(IMAGES, (3, 3), axis=(1, 2))
    expected = np.einsum("nhwcij,ijcf->nhwf", windows, kernel)
    np.testing.assert_allclose(seen[0], np.maximum(expected, 0) if make is Subclassed else expected, atol=1e-5)
    blank = probing.forward(model, tf.constant(IMAGES), taps={"inner": tf.zeros_like})
    np.testing.assert_allclose(blank, np.zeros((3, 5)), atol=1e-6)


@pytest.mark.parametrize("make", ALL)
def test_the_model_is_as_it_was(make):
    model = make()
    before = model(IMAGES).numpy()
    attributes = {id(layer): set(vars(layer)) for _, layer in probing.all_layers(model)}
    with pytest.raises(ZeroDivisionError):
        probing.forward(model, tf.constant(IMAGES), taps={"inner": lambda y: y / (1 // 0)})
    saliency(model, IMAGES)
    assert {id(layer): set(vars(layer)) for _, layer in probing.all_layers(model)} == attributes
    np.testing.assert_array_equal(model(IMAGES), before)


@pytest.mark.parametrize("make", ALL)
def test_saliency_is_a_finite_difference(make):
    model = make()
    model(IMAGES)
    for weight in model.weights:
        weight.assign(np.random.default_rng(1).normal(size=weight.shape))
    maps = saliency(model, IMAGES, [0, 3, 4])
    step = 1e-2
    for image, target, (row, column) in ((0, 0, (3, 4)), (1, 3, (8, 8)), (2, 4, (15, 0))):
        slopes = []
        for channel in range(3):
            pair = np.stack([IMAGES[image]] * 2)
            pair[0, row, column, channel] += step
            pair[1, row, column, channel] -= step
            scores = probing.forward(model, tf.constant(pair)).numpy()[:, target]
            slopes.append((scores[0] - scores[1]) / (2 * step))
        # A rectifier may bend within the step.
        assert maps[image, row, column] == pytest.approx(max(map(abs, slopes)), rel=0.02, abs=1e-3)


def test_a_single_sigmoid_is_for_class_one_and_against_class_zero():
    model = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(1, activation="sigmoid")]
    )
    images = np.zeros((1, 4, 4, 1))
    for target in (0, 1):
        expected = np.abs(model.layers[-1].kernel.numpy()).reshape(1, 4, 4)
        np.testing.assert_allclose(saliency(model, images, target), expected, atol=1e-6)
    with pytest.raises(ValueError, match="`target` must be a class from 0 to 1 of model"):
        saliency(model, images, 2)


def test_compiles_once_and_does_not_keep_the_model():
    traces = []

    class Counting(keras.layers.Layer):
        def call(self, x):
            traces.append(1)
            return x

    model = keras.Sequential([keras.Input((8, 8, 3)), Counting(), keras.layers.Flatten(), keras.layers.Dense(3)])
    saliency(model, np.ones((5, 8, 8, 3)), batch_size=2)
    count = len(traces)
    saliency(model, np.ones((2, 8, 8, 3)), 1)
    saliency(model, np.ones((3, 8, 8, 3)), [0, 1, 2])
    assert len(traces) == count + 1  # one run that counts the classes, and is kept as well
    saliency(model, np.ones((4, 8, 8, 3)), 2)
    assert len(traces) == count + 1
    gone = weakref.ref(model)
    del model
    keras.utils.clear_session()
    gc.collect()
    assert gone() is None


def test_a_new_activation_is_seen():
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2, activation="relu")])
    model.layers[-1].set_weights([-np.ones((16, 2)), np.zeros(2)])
    with pytest.warns(UserWarning, match="1 of 1 maps are zero everywhere: the score does not change with the image"):
        assert saliency(model, np.ones((1, 4, 4, 1)), 0).max() == 0
    model.layers[-1].activation = keras.activations.linear
    np.testing.assert_allclose(saliency(model, np.ones((1, 4, 4, 1)), 0), np.ones((1, 4, 4)))


def test_finds_the_last_maps():
    assert probing.feature_layer(nested(), (16, 16, 3)) == "backbone/inner_relu"
    vgg = keras.applications.VGG16(weights=None, input_shape=(32, 32, 3), classes=4)
    assert probing.feature_layer(vgg, (32, 32, 3)) == "block5_conv3"
    assert probing.feature_layer(vgg, (32, 32, 3), "block1_pool") == "block1_pool"
    with pytest.raises(
        ValueError,
        match=r"`layer` must give maps, \(height, width, channels\)\. Received: 'fc1', which gives \(4096,\)\. "
        r"The last that does is 'block5_pool'\.",
    ):
        probing.feature_layer(vgg, (32, 32, 3), "fc1")
    dense = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2)], name="dense")
    with pytest.raises(ValueError, match=r"Expected a model with feature maps.*Received: 'dense'"):
        probing.feature_layer(dense, (4, 4, 1))


def test_a_wrong_name_is_answered_with_the_closest():
    with pytest.raises(
        ValueError,
        match=r"`layer` must name a layer of model 'backbone'\. Received: 'iner_relu'\. The closest are: inner",
    ):
        probing.find_layer(backbone(), "iner_relu")


def test_names_the_layer_through_which_no_gradient_comes():
    class Rounding(keras.layers.Layer):
        def call(self, x):
            return tf.cast(tf.cast(x, "int32"), "float32")

    layers = [keras.layers.Conv2D(3, 3), Rounding(name="rounding"), keras.layers.Flatten(), keras.layers.Dense(2)]
    with pytest.raises(ValueError, match="none comes back through layer 'rounding'"):
        saliency(keras.Sequential([keras.Input((8, 8, 3)), *layers]), np.ones((1, 8, 8, 3)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (np.zeros((16, 16, 3)),),
            r"`images` must have shape \(N, height, width, channels\)\. Received: shape \(16, 16, 3\)\. ",
        ),
        ((np.zeros((2, 8, 16, 3)),), r"takes images of shape \(16, 16, 3\)\. Received: images of shape \(8, 16, 3\)\."),
        ((np.full((2, 16, 16, 3), np.nan),), r"`images` must be finite\. Received: nan or infinity in image 0\."),
        ((IMAGES, 7), r"`target` must be a class from 0 to 4 of model 'functional.*'\. Received: 7\."),
        ((IMAGES, [1, 2]), r"`target` must be None, a class number, one per image \(3\), or a callable"),
        (
            (IMAGES, lambda logits: logits),
            r"must return one number per image, shape \(N,\)\. It returned shape \(None, 5\)",
        ),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        saliency(nested(), *arguments)


def test_refuses_units_that_are_not_there():
    with pytest.raises(ValueError, match=r"`unit` must be a layer's name and a place in it.*Received: 'inner'\."):
        saliency(nested(), IMAGES, unit="inner")
    with pytest.raises(
        ValueError, match=r"must lie in what 'inner' gives, shape \(14, 14, 4\)\. Received: \(14, 0, 0\)"
    ):
        saliency(nested(), IMAGES, unit=("inner", (14, 0, 0)))


def test_a_unit_is_explained_by_the_kernel_that_makes_it():
    model = nested()
    maps = saliency(model, IMAGES, unit=("inner", (5, 6, 2)))
    kernel = probing.find_layer(model, "inner").kernel.numpy()[..., 2]
    expected = np.zeros((3, 16, 16))
    expected[:, 5:8, 6:9] = np.abs(kernel).max(axis=-1)
    np.testing.assert_allclose(maps, expected, atol=1e-6)


def test_many_models_do_not_alarm_tensorflow(caplog):
    model = nested()
    for channel in range(4):
        for row in range(3):
            saliency(model, IMAGES, unit=("inner", (row, 0, channel)))
    assert "retracing" not in caplog.text


def test_a_layer_is_found_by_its_whole_path_before_one_of_that_name_in_an_inner_model():
    x = inner_inputs = keras.Input((8, 8, 3))
    backbone = keras.Model(inner_inputs, keras.layers.Conv2D(4, 3, name="conv")(x), name="backbone")
    inputs = keras.Input((8, 8, 3))
    outer = keras.layers.Conv2D(5, 3, name="conv")
    x = outer(backbone(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))
    assert probing.find_layer(model, "conv") is outer
    assert probing.find_layer(model, "backbone/conv") is backbone.get_layer("conv")
    shapes = probing.execution(model, (8, 8, 3))
    assert (shapes["backbone/conv"], shapes["conv"]) == ((6, 6, 4), (4, 4, 5))
    assert probing.feature_layer(model, (8, 8, 3)) == "conv"


def test_another_head_is_noticed():
    model = keras.Sequential([keras.Input((6, 6, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
    image = np.random.default_rng(0).normal(size=(1, 6, 6, 3)).astype("float32")
    saliency(model, image, 0)
    model.pop()
    model.add(keras.layers.Dense(5))
    kernel = keras.ops.convert_to_numpy(model.layers[-1].kernel)
    expected = np.abs(kernel[:, 4]).reshape(6, 6, 3).max(axis=-1)
    np.testing.assert_allclose(saliency(model, image, 4)[0], expected, rtol=1e-5)


def test_a_softmax_that_is_a_step_of_the_graph_and_no_layer_is_left_out():
    inputs = keras.Input((6, 6, 1))
    scores = keras.layers.Dense(3)(keras.layers.Flatten()(keras.ops.relu(inputs)))
    model, plain = keras.Model(inputs, keras.ops.softmax(scores)), keras.Model(inputs, scores)
    images = np.random.default_rng(0).normal(size=(4, 6, 6, 1)).astype("float32")
    np.testing.assert_allclose(probing.forward(model, tf.constant(images)), plain(images), rtol=1e-6)
    assert probing.has_rectifier(model)
    doubled = probing.forward(model, tf.constant(images), rectifier=lambda x, relu: 2 * relu(x))
    bias = plain(np.zeros_like(images))
    np.testing.assert_allclose(doubled - bias, 2 * (plain(images) - bias), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model(images).numpy().sum(axis=1), 1, rtol=1e-6)


def test_scores_for_every_place_are_no_scores_of_the_image():
    model = keras.Sequential([keras.Input((6, 6, 3)), keras.layers.Conv2D(4, 1)])
    text = r"Expected a model with one score per class\. Received: scores of shape \(6, 6, 4\), one for each of"
    with pytest.raises(ValueError, match=text):
        saliency(model, np.ones((1, 6, 6, 3)), 2)
    mean = saliency(model, np.ones((1, 6, 6, 3)), lambda scores: tf.reduce_mean(scores[..., 2], axis=(1, 2)))
    kernel = np.abs(keras.ops.convert_to_numpy(model.layers[0].kernel))[0, 0, :, 2]
    np.testing.assert_allclose(mean, np.full((1, 6, 6), kernel.max() / 36), rtol=1e-5)


def test_of_outputs_in_a_list_the_predictions_are_explained():
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    outputs = [keras.layers.Dense(5, name=name)(x) for name in ("aside", "predictions")]
    expected = keras.Model(inputs, outputs[1])(IMAGES)
    np.testing.assert_array_equal(probing.forward(keras.Model(inputs, outputs), IMAGES), expected)
