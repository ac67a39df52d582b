"""What summaries share: what is wrong is told before the first epoch, and models that are classes have all of them."""

import html
import re

import keras
import numpy as np
import pytest
from event_helpers import read_steps

from kerasdl import callbacks
from kerasdl.callbacks.tables import table

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.random((8, 6, 6, 1), dtype="float32")
LABELS = np.arange(8) % 3


class OfItsOwn(keras.Model):
    def __init__(self):
        super().__init__()
        self.stack = [
            keras.layers.Conv2D(2, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, activation="softmax"),
        ]

    def call(self, inputs):
        for layer in self.stack:
            inputs = layer(inputs)
        return inputs


class EpochBegins(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        raise AssertionError("Too late.")


def compiled(model):
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def network():
    return compiled(keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]))


def test_a_log_dir_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    text = (
        "`log_dir` must be a folder into which one may write, or that can be made. Received: "
        f"{str(tmp_path / 'file')!r}: Not a directory."
    )
    with pytest.raises(OSError, match=f"^{re.escape(text)}$"):
        network().fit(IMAGES, LABELS, verbose=0, callbacks=[callbacks.WeightSummary(tmp_path / "file")])


@pytest.mark.parametrize("kind", ["ConfusionMatrixSummary", "PrecisionRecallSummary", "MistakeSummary"])
def test_inputs_that_do_not_fit_are_told_before_the_first_epoch(kind, tmp_path):
    callback = getattr(callbacks, kind)(tmp_path, (IMAGES[:, :3], LABELS))
    with pytest.raises(ValueError, match=r"Dense|dense"):
        network().fit(IMAGES, LABELS, verbose=0, callbacks=[callback, EpochBegins()])


@pytest.mark.parametrize(
    ("labels", "names", "text"),
    [
        (LABELS, ["a", "b"], "`class_names` must have one name for each of the 3 classes. Received: 2 names."),
        (LABELS + 1, None, "The labels of `data` must be classes from 0 to 2, as many as the model gives."),
    ],
)
@pytest.mark.parametrize("kind", ["EmbeddingSummary", "ConfusionMatrixSummary"])
def test_names_and_labels_that_do_not_fit_are_told_before_the_first_epoch(kind, labels, names, text, tmp_path):
    callback = getattr(callbacks, kind)(tmp_path, (IMAGES, labels), class_names=names)
    with pytest.raises(ValueError, match=f"^{re.escape(text)}"):
        network().fit(IMAGES, LABELS, verbose=0, callbacks=[callback, EpochBegins()])


def test_a_model_that_is_a_class_and_gets_its_weights_in_the_first_epoch(tmp_path):
    """`model.fit` builds it after `on_train_begin`: what looks at weights begins later, and knows no step before."""
    chosen = [callbacks.WeightSummary(tmp_path), callbacks.GradientSummary(tmp_path, (IMAGES, LABELS))]
    compiled(OfItsOwn()).fit(IMAGES, LABELS, epochs=2, verbose=0, callbacks=chosen)
    steps = read_steps(tmp_path)
    assert steps["gradient_norm"] == steps["weights/dense/kernel"] == [0, 1]
    assert steps["update_ratios/dense/kernel"] == [1]


@pytest.mark.slow
def test_all_of_a_model_that_is_a_class_is_watched(tmp_path):
    chosen = callbacks.monitor(tmp_path, (IMAGES, LABELS))
    compiled(OfItsOwn()).fit(IMAGES, LABELS, epochs=2, verbose=0, callbacks=chosen)
    steps = read_steps(tmp_path)
    wanted = {"gradient_norm", "filters/conv2d", "attributions/grad_cam", "feature_maps/conv2d", "mistakes/list"}
    assert {tag for tag in wanted if steps.get(tag) == [0, 1]} == wanted


def test_numbers_of_numpy_are_numbers(tmp_path):
    callback = callbacks.MistakeSummary(tmp_path, (IMAGES, LABELS), count=np.int64(3), every=np.int32(2))
    assert (callback.count, callback.every) == (3, 2)
    assert len(callbacks.Examples(IMAGES, np.int64(3))) == 3
    text = "`count` must be a whole number of at least 1, or None for all. Received: count='3'."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        callbacks.Examples(IMAGES, "3")


def test_a_table_shows_names_as_they_are():
    names = ["a|b", "*dress*", "<b>", "two\nlines", "_x_ `y` [z](w)", "\\", "$5 pair$"]
    lines = table({"name": names, "share": range(7)}, numbers=["share"]).splitlines()
    assert lines[:2] == ["| name | share |", "|---|---:|"]
    shown = [html.unescape(line.split("|")[1].strip()).replace("<br>", "\n") for line in lines[2:]]
    assert shown == names
    assert not re.search(r"[*_`\[\]<\\]", "".join(lines[2:]).replace("<br>", ""))


@pytest.mark.parametrize("frequency", [3, "batch", "epoch"])
def test_all_is_written_beside_a_tensorboard_that_records_few_steps(tmp_path, frequency):
    board = keras.callbacks.TensorBoard(tmp_path / "board", update_freq=frequency)
    chosen = [board, callbacks.WeightSummary(tmp_path / "mine")]
    network().fit(IMAGES, LABELS, batch_size=4, epochs=2, verbose=0, callbacks=chosen)
    steps = read_steps(tmp_path / "mine")
    assert steps["weight_norms/dense/kernel"] == [0, 1], steps
