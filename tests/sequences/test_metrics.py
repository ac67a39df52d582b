"""Metrics that count steps, whatever the padding of the batches."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl import training
from kerasdl.sequences import StepAccuracy, StepBits, language_batches, language_model, tagger


def always_first(model):
    """A model that says class 0 with the chance e / (e + classes - 1), whatever it reads."""
    kernel, bias = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([0 * kernel, np.eye(len(bias))[0]])
    return model


def compiled(*, eagerly=False):
    model = always_first(tagger(["a"], classes=3, units=2, embedding=2, suffixes=0))
    metrics = [StepAccuracy(), StepBits()]
    model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy", metrics=metrics, run_eagerly=eagerly)
    return model


def batches(more):
    """Four words that are right, padded, and in another batch one that is wrong: 4 of 5."""

    def both():
        yield [["a"] * 4 + [""] * more], [[0] * 4 + [1] * more]
        yield [["a"]], [[1]]

    kinds = (tf.TensorSpec((None, None), "string"), tf.TensorSpec((None, None), "int64"))
    return tf.data.Dataset.from_generator(both, output_signature=kinds).apply(
        tf.data.experimental.assert_cardinality(2)
    )


def test_each_real_step_counts_once_whatever_pads_its_batch():
    model = compiled()
    chances = np.exp([1.0, 0.0, 0.0]) / np.exp([1.0, 0.0, 0.0]).sum()
    expected = [0.8, -(4 * np.log2(chances[0]) + np.log2(chances[1])) / 5]
    for more in (0, 4, 12):
        np.testing.assert_allclose(model.evaluate(batches(more), verbose=0)[1:], expected, rtol=1e-6)


@pytest.mark.parametrize("fit", [functools.partial(keras.Model.fit, shuffle=False), training.fit])
def test_training_and_validation_count_steps_too(fit):
    history = fit(
        compiled(eagerly=fit is not training.fit), batches(4), epochs=1, validation_data=batches(12), verbose=0
    ).history
    assert [history["accuracy"][0], history["val_accuracy"][0]] == pytest.approx([0.8, 0.8])


def test_bits_are_those_of_each_character_and_the_end():
    model = language_model(["a", "b"], cell="elman", units=3, embedding=2)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[StepBits()], run_eagerly=True)
    texts, bits = ["abbab", "b"], []
    for text in texts:
        rows = np.asarray(model(tf.constant([text])))[0]
        numbers = [*(4 + "ab".index(letter) for letter in text), 3]
        bits += [-np.log2(row[number]) for row, number in zip(rows, numbers, strict=True)]
    found = model.evaluate(language_batches(model, texts, batch_size=1), verbose=0)[1]
    assert found == pytest.approx(np.mean(bits), rel=1e-5)


def test_without_a_mask_and_with_weights():
    truth, chances = np.array([[0, 1], [1, 1]]), np.array([[[0.5, 0.5], [0.75, 0.25]], [[0, 1], [1, 0]]], "float32")
    for weights, expected in ((None, (1 + 2 + 0 + 126) / 4), ([1, 0], 1.5), ([[1, 3], [1, 0]], 7 / 5)):
        metric = StepBits()
        metric.update_state(truth[..., None], chances, sample_weight=weights and np.array(weights))
        assert float(metric.result()) == pytest.approx(expected)
    # A class for each row; and what is no class number.
    metric = StepAccuracy.from_config(StepAccuracy(name="right").get_config())
    metric.update_state([1, 0], [[0.1, 0.9], [0.2, 0.8]], sample_weight=[3, 1])
    assert (metric.name, float(metric.result())) == ("right", 0.75)
    with pytest.raises(ValueError, match=r"`y_true` must be .* Received: shapes \(2, 2\) and \(2, 2\)\."):
        metric.update_state(np.eye(2), np.eye(2))
