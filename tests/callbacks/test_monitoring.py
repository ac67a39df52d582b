"""One call watches any classifier, and what a model has not is left out."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from event_helpers import read_steps
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from kerasdl import training
from kerasdl.callbacks import monitor

ALWAYS = {"gradient_norm", "mean_average_precision", "confusion_matrix", "learning_rate/by_epoch", "__run_graph__"}
OF_IMAGES = {"filters/conv2d", "attributions/grad_cam", "feature_maps/conv2d", "mistakes/list"}


def images(count=16):
    generator = np.random.default_rng(0)
    return generator.random((count, 8, 8, 1)).astype("float32"), np.arange(count) % 3


def rows(count=16):
    generator = np.random.default_rng(0)
    return generator.random((count, 4)).astype("float32"), np.arange(count) % 3


def network(*stack):
    model = keras.Sequential([*stack, keras.layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.slow
def test_a_network_of_images_has_everything(tmp_path):
    data = tf.data.Dataset.from_tensor_slices(images()).batch(8)
    data.class_names = ["red", "green", "blue"]
    chosen = monitor(tmp_path, data, hyperparameters={"rate": 0.1})
    stack = [keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3), keras.layers.Flatten()]
    training.fit(network(*stack), data, epochs=2, validation_data=data, callbacks=chosen, verbose=0)
    steps = read_steps(tmp_path)
    assert ALWAYS | OF_IMAGES | {"epoch_loss", "throughput/waiting_share", "average_precision/green"} <= set(steps)
    assert (tmp_path / "hyperparameters").is_dir()
    assert (tmp_path / "validation").is_dir()
    # No two write under one tag into one run.
    for run in (tmp_path, tmp_path / "train", tmp_path / "validation"):
        files = [EventFileLoader(str(path)) for path in run.glob("*tfevents*")]
        written = [(value.tag, event.step) for file in files for event in file.Load() for value in event.summary.value]
        assert len(written) == len(set(written)) > 0


@pytest.mark.slow
def test_other_networks_have_what_there_is(tmp_path):
    model = network(keras.Input((4,)), keras.layers.Dense(3, activation="relu"))
    model.fit(*rows(), epochs=1, callbacks=monitor(tmp_path, rows()), verbose=0)
    steps = read_steps(tmp_path)
    assert set(steps) >= ALWAYS
    assert not OF_IMAGES & set(steps)
    assert not any(tag.startswith(("gate", "sign_flips", "spectral")) for tag in steps)


def test_names_and_intervals_reach_the_callbacks():
    data = tf.data.Dataset.from_tensor_slices(images()).batch(8)
    data.class_names = ["red", "green", "blue"]
    chosen = {type(callback).__name__: callback for callback in monitor("logs", data, every=3)}
    assert chosen["ConfusionMatrixSummary"].class_names == ["red", "green", "blue"]
    own = {name: callback.every for name, callback in chosen.items() if hasattr(callback, "every")}
    assert {name for name, every in own.items() if every != 3} == {"TrainGraphSummary"}
    assert "HyperparameterSummary" not in chosen
    # All look at the same examples, whose outputs are computed once.
    assert chosen["ConfusionMatrixSummary"].examples is chosen["PrecisionRecallSummary"].examples
