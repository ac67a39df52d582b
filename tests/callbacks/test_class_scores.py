import re

import keras
import numpy as np
import pytest

from kerasdl.callbacks import Examples
from kerasdl.callbacks.class_scores import check_class_names, check_labels, class_count, probabilities

LOGITS = np.array([[2.0, -1.0, 0.5], [-800.0, 0.0, 900.0]])


def _model(units=3, loss=None):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units)], name="one")
    model.compile(loss=loss)
    return model


def _softmax(logits):
    """By arithmetic of its own, in a precision that does not overflow."""
    shares = np.exp(logits.astype("longdouble"))
    return (shares / shares.sum(axis=1, keepdims=True)).astype("float64")


def test_softmax_is_applied_to_logits_only():
    wanted = _softmax(LOGITS)
    from_logits = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for loss in (from_logits, None, "sparse_categorical_crossentropy"):
        np.testing.assert_allclose(probabilities(_model(loss=loss), LOGITS), wanted, atol=1e-12)
        # What is a distribution already stays, whatever the loss says.
        np.testing.assert_array_equal(probabilities(_model(loss=loss), wanted), wanted)


def test_the_loss_says_whether_numbers_between_0_and_1_are_logits():
    values = np.array([[0.9, 0.3], [0.2, 0.6]])
    sigmoid = keras.losses.BinaryCrossentropy(from_logits=True)
    np.testing.assert_array_equal(probabilities(_model(2), values, several=True), values)
    np.testing.assert_allclose(probabilities(_model(2, sigmoid), values, several=True), 1 / (1 + np.exp(-values)))


@pytest.mark.parametrize("shape", [(3, 1), (3,)])
def test_one_sigmoid_becomes_two_classes(shape):
    values = np.array([0.1, 0.5, 0.9]).reshape(shape)
    given = probabilities(_model(1), values)
    np.testing.assert_allclose(given, [[0.9, 0.1], [0.5, 0.5], [0.1, 0.9]])
    logits = np.log(values / (1 - values))
    from_logits = keras.losses.BinaryCrossentropy(from_logits=True)
    np.testing.assert_allclose(probabilities(_model(1, from_logits), logits), given)


def test_of_several_outputs_it_is_the_predictions_or_the_first():
    inputs = keras.Input((2,))
    wide, narrow = keras.layers.Dense(5)(inputs), keras.layers.Dense(1)(inputs)
    first, second = np.eye(5), np.eye(5)[:, :2]
    model = keras.Model(inputs, {"aside": wide, "predictions": narrow})
    assert class_count(model) == 2
    np.testing.assert_array_equal(probabilities(model, {"aside": first, "predictions": second}), second)
    model = keras.Model(inputs, [wide, narrow])
    model.compile(loss=[keras.losses.CategoricalCrossentropy(from_logits=True), "mse"])
    assert class_count(model) == 5
    np.testing.assert_allclose(probabilities(model, [LOGITS, second]), _softmax(LOGITS), atol=1e-12)


@pytest.mark.parametrize(
    "loss", [keras.losses.BinaryCrossentropy(from_logits=True), keras.losses.BinaryFocalCrossentropy(from_logits=True)]
)
def test_sigmoids_of_several_classes_stay_sigmoids(loss):
    logits = np.array([[2.0, 2.0, -2.0]])
    np.testing.assert_allclose(probabilities(_model(loss=loss), logits), 1 / (1 + np.exp(-logits)))
    np.testing.assert_allclose(probabilities(_model(loss="binary_crossentropy"), logits / 8 + 0.5), logits / 8 + 0.5)


def test_outputs_in_a_list_have_the_names_of_their_layers():
    inputs = keras.Input((2,))
    layers = [keras.layers.Dense(5, name="aside"), keras.layers.Dense(3, name="predictions")]
    model = keras.Model(inputs, [layer(inputs) for layer in layers])
    model.compile(loss={"predictions": keras.losses.CategoricalCrossentropy(from_logits=True), "aside": "mse"})
    assert class_count(model) == 3
    np.testing.assert_allclose(probabilities(model, [np.eye(5)[:2], LOGITS]), _softmax(LOGITS), atol=1e-12)


def test_what_is_not_finite_says_nothing():
    assert probabilities(_model(), np.array([[np.nan, 0, 1]])) is None
    assert probabilities(_model(), np.array([[np.inf, 0, 1]])) is None


def test_what_is_no_classifier_is_refused():
    model = keras.Sequential([keras.Input((4, 2)), keras.layers.Dense(3)], name="tagger")
    text = "Expected a classifier, which gives (batch, classes). Received: 'tagger', which gives (batch, 4, 3)."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        class_count(model)
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        probabilities(model, np.zeros((2, 4, 3)))
    assert class_count(keras.Sequential([keras.layers.Dense(2)])) is None


@pytest.mark.parametrize("names", [["a"], "ab"])
def test_wrong_names(names):
    text = "`class_names` must have one name for each of the 2 classes. Received: 1 names."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        check_class_names(names, 2)


def test_classes_of_one_name_are_told_apart():
    assert check_class_names(["crane", "cow", "crane"], 3) == ["crane (0)", "cow", "crane (2)"]
    assert len(set(check_class_names(["a", "a", "a (0)"], 3))) == 3


@pytest.mark.parametrize("labels", [[0, 3], [-1, 2]])
def test_wrong_labels(labels):
    text = (
        "The labels of `data` must be classes from 0 to 2, as many as the model gives. Received: labels from "
        f"{min(labels)} to {max(labels)}."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        check_labels(np.array(labels), 3)


def test_ages_are_no_classes_for_a_model_of_one_unit():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    assert Examples((np.zeros((2, 2)), np.array([0, 1]))).labels_for(model).tolist() == [0, 1]
    text = (
        "The labels of `data` must be 0 and 1 for a model of one unit; other whole numbers are no classes. Received: "
        "18 to 77."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        Examples((np.zeros((2, 2)), np.array([77, 18]))).labels_for(model)
