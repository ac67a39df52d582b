"""What `training.fit` refuses, and in which words."""

import re

import keras
import numpy as np
import pytest
from training_helpers import batches, network

from kerasdl import training


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"epochs": 0}, ValueError, "`epochs` must be a positive integer. Received: epochs=0."),
        (
            {"steps_per_call": 2.5},
            ValueError,
            "`steps_per_call` must be a positive integer. Received: steps_per_call=2.5.",
        ),
        (
            {"clip_norm": 0.0},
            ValueError,
            "`clip_norm` must be positive, or None for no clipping. Received: clip_norm=0.0.",
        ),
        (
            {"attack": 0.1},
            TypeError,
            "`attack` must be a callable attack(model, x, y) that returns inputs. Received: 0.1.",
        ),
        (
            {"data": np.zeros((4, 6, 6, 2))},
            TypeError,
            "`data` must be a tf.data.Dataset of batches (x, y). For arrays use "
            "tf.data.Dataset.from_tensor_slices((x, y)).batch(32). Received: ndarray.",
        ),
        (
            {"data": batches().unbatch()},
            ValueError,
            "`data` must give batches of shape (None, 6, 6, 2): call .batch(32) on it. "
            "Received: single examples of shape (6, 6, 2).",
        ),
        (
            {"data": batches().repeat()},
            ValueError,
            "`data` must end: leave .repeat() out, or add .take(steps). Received: an endless data set.",
        ),
        (
            {"data": batches().take(0)},
            ValueError,
            "`data` must hold at least one batch. Received: a data set without any.",
        ),
        (
            {"validation_data": batches().take(0)},
            ValueError,
            "`validation_data` must hold at least one batch. Received: a data set without any.",
        ),
        ({"model": "resnet"}, TypeError, "`model` must be a keras.Model. Received: str."),
        (
            {"model": keras.Sequential(name="raw")},
            ValueError,
            "`model` must be compiled: call model.compile(optimizer=..., loss=...) first. Received: 'raw'.",
        ),
    ],
)
def test_wrong_arguments_are_explained(arguments, error, text):
    arguments = {"model": network(), "data": batches(), "epochs": 1, "verbose": 0, **arguments}
    with pytest.raises(error, match=re.escape(text)):
        training.fit(arguments.pop("model"), arguments.pop("data"), **arguments)


def test_a_model_without_anything_to_train_is_refused():
    model = network()
    model.trainable = False
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"has no trainable weights: set trainable=True on a layer\. Received: '"):
        training.fit(model, batches(), epochs=1)
