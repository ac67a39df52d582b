"""The fast gradient sign method against its closed form on linear models, alone and in training."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from adversarial_helpers import linear, network, scores, shared_network, some_images

from kerasdl import training
from kerasdl.adversarial import fgsm

IMAGES = some_images()


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_on_a_linear_model_each_pixel_goes_where_the_other_class_gains(activation):
    model, weights, bias = linear(activation=activation)
    labels = scores(weights, bias, IMAGES).argmax(axis=1)
    attacked = fgsm(model, IMAGES, labels, epsilon=0.03)
    sign = np.sign(weights[1 - labels] - weights[labels])
    np.testing.assert_allclose(attacked.images, IMAGES + 0.03 * sign, atol=1e-6)
    np.testing.assert_allclose(attacked.distance, 0.03, atol=1e-6)
    after = scores(weights, bias, IMAGES + 0.03 * sign).argmax(axis=1)
    np.testing.assert_array_equal(attacked.success, after != labels)
    assert attacked.success.any()
    assert not attacked.already_wrong.any()
    # Without labels it is the model's own word that counts.
    np.testing.assert_array_equal(fgsm(model, IMAGES, epsilon=0.03).images, attacked.images)


def test_targets_are_approached():
    model, weights, bias = linear(3)
    predicted = scores(weights, bias, IMAGES).argmax(axis=1)
    targets = (predicted + 1) % 3
    attacked = fgsm(model, IMAGES, epsilon=0.02, target=targets)
    # By hand: the gradient of -log p_t is the mean of the weights, as likely as they are, less those of the target.
    p = np.exp(scores(weights, bias, IMAGES))
    p /= p.sum(axis=1, keepdims=True)
    gradient = np.einsum("nk,khwc->nhwc", p, weights) - weights[targets]
    np.testing.assert_allclose(attacked.images, IMAGES - 0.02 * np.sign(gradient), atol=1e-6)
    one = fgsm(model, IMAGES, epsilon=0.02, target=1)
    np.testing.assert_array_equal(one.already_wrong, predicted == 1)
    np.testing.assert_array_equal(one.images[predicted == 1], IMAGES[predicted == 1])


def test_a_single_score_stands_for_two_classes():
    model, weights, bias = linear(1, activation="sigmoid")
    labels = (scores(weights, bias, IMAGES)[:, 0] > 0).astype("float32")[:, None]
    attacked = fgsm(model, IMAGES, labels, epsilon=0.05)
    sign = np.where(labels[:, :, None, None] == 1, -np.sign(weights), np.sign(weights))
    np.testing.assert_allclose(attacked.images, IMAGES + 0.05 * sign, atol=1e-6)


def test_what_was_wrong_before_is_reported_and_left_alone():
    model, weights, bias = linear()
    predicted = scores(weights, bias, IMAGES).argmax(axis=1)
    labels = predicted.copy()
    labels[:2] = 1 - labels[:2]
    attacked = fgsm(model, IMAGES, labels, epsilon=0.5)
    np.testing.assert_array_equal(attacked.already_wrong, [True, True, False, False, False, False])
    np.testing.assert_array_equal(attacked.success, ~attacked.already_wrong)
    np.testing.assert_array_equal(attacked.images[:2], IMAGES[:2])
    np.testing.assert_array_equal(attacked.distance[:2], 0)
    assert repr(attacked) == "Adversarial(6 images: 4 fooled, 2 already wrong)"
    np.testing.assert_array_equal(np.asarray(attacked), attacked.images)
    np.testing.assert_array_equal(tf.convert_to_tensor(attacked), attacked.images)


def test_certainty_is_no_defence():
    # The cross-entropy and its gradient are exactly zero here, and cannot lead anywhere.
    model, weights, bias = linear(scale=1e4)
    labels = scores(weights, bias, IMAGES).argmax(axis=1)
    with tf.GradientTape() as tape:
        images = tf.constant(IMAGES)
        tape.watch(images)
        loss = keras.losses.sparse_categorical_crossentropy(labels, model(images), from_logits=True)
    assert not np.any(tape.gradient(loss, images))
    attacked = fgsm(model, IMAGES, labels, epsilon=0.03)
    np.testing.assert_allclose(
        attacked.images, IMAGES + 0.03 * np.sign(weights[1 - labels] - weights[labels]), atol=1e-6
    )


def test_an_image_that_came_out_as_nan_is_taken_back():
    # The slope of a root at zero is infinite, and that of the rectifier before it is zero: their product is NaN.
    rooted = [keras.layers.ReLU(), keras.layers.Activation(keras.ops.sqrt)]
    model = keras.Sequential([keras.Input((4, 4, 3)), *rooted, keras.layers.Flatten(), keras.layers.Dense(2)])
    images = IMAGES.copy()
    images[0, 0, 0, 0] = 0.0
    attacked = fgsm(model, images, epsilon=0.1)
    np.testing.assert_array_equal(attacked.images[0], images[0])
    np.testing.assert_allclose(attacked.distance, [0, *[0.1] * 5], atol=1e-6)
    assert not attacked.success[0]


def test_images_stay_in_their_bounds():
    model, weights, bias = linear()
    labels = scores(weights, 0 * bias, 255 * (IMAGES - 0.5)).argmax(axis=1)
    model.layers[-1].bias.assign(255 * bias)
    attacked = fgsm(model, 255 * IMAGES, labels, epsilon=200, bounds=(0, 255))
    expected = np.where(weights[1 - labels] > weights[labels], 255.0, 0.0)  # all are nearer than 200
    np.testing.assert_array_equal(attacked.images, expected)
    assert attacked.success.all()


def test_another_epsilon_label_or_number_of_images_traces_nothing():
    model = network()
    fgsm(model, IMAGES, [0, 0, 0, 1, 1, 1], epsilon=0.1)
    calls = []
    layer = model.layers[0]
    call = layer.call
    layer.call = lambda x: calls.append(1) or call(x)
    fgsm(model, IMAGES[:3], [1, 0, 1], epsilon=0.2, bounds=(-1, 2))
    assert calls == []
    fgsm(model, IMAGES, epsilon=0.1, target=1)
    assert calls  # the counter counts


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "categorical_crossentropy"])
def test_training_learns_from_the_attacked_images(loss):
    # One step of gradient descent on a linear model with softmax, by hand.
    model, weights, bias = linear(3, activation="softmax")
    model.compile(keras.optimizers.SGD(0.1), loss)
    labels = np.array([0, 1, 2, 0, 1, 2])
    one_hot = np.eye(3)[labels].astype("float32")
    attack = functools.partial(fgsm, epsilon=0.05)
    data = tf.data.Dataset.from_tensor_slices((IMAGES, labels if loss[0] == "s" else one_hot)).batch(6)
    training.fit(model, data, epochs=1, verbose=0, attack=attack)

    def probabilities(x):
        e = np.exp(scores(weights, bias, x))
        return e / e.sum(axis=1, keepdims=True)

    gradient = np.einsum("nk,khwc->nhwc", probabilities(IMAGES) - one_hot, weights)
    attacked = IMAGES + 0.05 * np.sign(gradient)
    slope = (probabilities(attacked) - one_hot) / 6
    expected = weights - 0.1 * np.einsum("nk,nhwc->khwc", slope, attacked)
    np.testing.assert_allclose(model.get_weights()[0], expected.reshape(3, -1).T, atol=1e-5)


@pytest.mark.parametrize("run_eagerly", [True, False])
def test_training_attacks_all_images_compiled_or_not(run_eagerly):
    model, weights, bias = linear(1)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.0), loss, run_eagerly=run_eagerly)
    step = training.make_train_step(model, attack=functools.partial(fgsm, epsilon=0.05))
    logs = step(IMAGES, np.ones((6, 1), "float32"))
    # The attack lowers each score by epsilon times the sum of all weights' sizes, be the image right or wrong.
    before = scores(weights, bias, IMAGES)[:, 0]
    assert (before < 0).any()
    assert (before > 0).any()
    expected = np.log1p(np.exp(-(before - 0.05 * np.abs(weights).sum())))
    assert float(logs["loss"]) == pytest.approx(expected.mean(), rel=1e-5)


def test_tensors_of_any_rank_are_attacked_as_they_are():
    dense = keras.layers.Dense(2)
    model = keras.Sequential([keras.Input((48,)), dense])
    predicted = model(IMAGES.reshape(6, 48)).numpy().argmax(axis=1)
    labels = np.where(np.arange(6) < 3, predicted, 1 - predicted)
    attacked = fgsm(model, tf.constant(IMAGES.reshape(6, 48)), labels, epsilon=0.05)
    assert isinstance(attacked, tf.Tensor)
    weights = dense.kernel.numpy().T
    expected = IMAGES.reshape(6, 48) + 0.05 * np.sign(weights[1 - labels] - weights[labels])
    np.testing.assert_allclose(attacked, expected, atol=1e-6)


def test_training_refuses_images_outside_the_bounds():
    model, *_ = linear(2)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    step = training.make_train_step(model, attack=functools.partial(fgsm, epsilon=0.05))
    with pytest.raises(tf.errors.InvalidArgumentError, match="The images of an attack must lie in `bounds`, 0 to 1"):
        step(100 * IMAGES, np.zeros(6, "int32"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epsilon": -0.1}, r"`epsilon` must be a number of at least 0\. Received: -0\.1\."),
        ({"epsilon": np.nan}, r"`epsilon` must be a number of at least 0\. Received: nan\."),
        ({"bounds": (1, 0)}, r"`bounds` must be the smallest and the largest value of an image.*Received: \(1, 0\)\."),
        (
            {"bounds": (0, 0.1)},
            r"`images` must lie in `bounds`, 0 to 0\.1\. Received: values from 0\.4\d* to 0\.\d+\. Scale them, or",
        ),
        ({"labels": [0, 1]}, r"`labels` must be None, one class number per image \(6\), .*Received: shape \(2,\)"),
        ({"labels": [0, 1, 2, 3, 4, 0]}, r"`labels` must be classes from 0 to 3 of model '.*'\. Received: 4\."),
        ({"labels": [0.5] * 6}, r"`labels` must be None, one class number .*Received: shape \(6,\), float64\."),
        ({"labels": np.eye(6)}, r"`labels` must be classes from 0 to 3 of model '.*'\. Received: .*\."),
        ({"target": np.argmax}, r"`target` of an attack must be None, a class number, or one.*and a callable names no"),
        ({"target": 4}, r"`target` must be a class from 0 to 3 of model '.*'\. Received: 4\."),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        fgsm(shared_network(), IMAGES, **{"epsilon": 0.1, **arguments})
