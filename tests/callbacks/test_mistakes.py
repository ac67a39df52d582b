import html
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from event_helpers import read_steps
from helpers import softmax
from picture_helpers import read_images, read_texts, see

from kerasdl.callbacks import Examples, MistakeSummary
from kerasdl.callbacks.images import pixels
from kerasdl.visualization import plots

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.random((40, 4, 5, 3), dtype="float32")
LABELS = GENERATOR.integers(0, 3, 40)
NAMES = ["left", "right", "a|b"]


def network(units=3, activation="softmax", loss="sparse_categorical_crossentropy"):
    head = [keras.layers.Flatten(), keras.layers.Dense(units, activation=activation)]
    model = keras.Sequential([keras.Input((4, 5, 3)), *head])
    model.compile(keras.optimizers.SGD(0.1), loss)
    return model


class _Logits(keras.callbacks.Callback):
    """What the network gives before its softmax after each epoch, by NumPy."""

    def on_train_begin(self, logs=None):
        self.logits = []

    def on_epoch_end(self, epoch, logs=None):
        kernel, bias = self.model.layers[-1].get_weights()
        self.logits.append(IMAGES.reshape(40, -1).astype("float64") @ kernel + bias)


@pytest.fixture
def drawn(monkeypatch):
    """What is given to the plot that is drawn."""
    calls, draw = [], plots.image_grid

    def image_grid(images, titles, *, title):
        calls.append((images, titles))
        return draw(np.zeros((1, 2, 2)))

    monkeypatch.setattr(plots, "image_grid", image_grid)
    return calls


@pytest.mark.parametrize("from_logits", [False, True])
def test_the_worst_come_first_in_picture_and_table(tmp_path, drawn, from_logits):
    if from_logits:
        model = network(activation=None, loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    else:
        model = network()
    logits = _Logits()
    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(7)
    callback = MistakeSummary(tmp_path, data, count=5, class_names=NAMES)
    model.fit(IMAGES, LABELS, epochs=2, callbacks=[logits, callback], verbose=0)
    assert read_steps(tmp_path) == {"mistakes/list": [0, 1], "mistakes/worst": [0, 1]}
    texts = read_texts(tmp_path, "mistakes/list")
    for step, said in enumerate(map(softmax, logits.logits)):
        wrong = [index for index in range(40) if said[index].argmax() != LABELS[index]]
        worst = sorted(wrong, key=lambda index: said[index, LABELS[index]])[:5]
        assert len(worst) == 5
        images, titles = drawn[step]
        np.testing.assert_allclose(images, IMAGES[worst], atol=0.51 / 255)
        assert titles == [
            f"{NAMES[LABELS[index]]} → {NAMES[said[index].argmax()]}\n{said[index].max():.0%}" for index in worst
        ]
        lines = texts[step].split("\n")
        assert lines[0] == f"{len(wrong)} of 40 examples are mistaken, {len(wrong) / 40:.2%}."
        cells = [[html.unescape(cell.strip()) for cell in line.split("|")[1:-1]] for line in lines[2:]]
        assert [int(row[0]) for row in cells[2:]] == worst
        assert [row[1] for row in cells[2:]] == [NAMES[LABELS[index]] for index in worst]
        assert [row[2] for row in cells[2:]] == [NAMES[said[index].argmax()] for index in worst]
        np.testing.assert_allclose([float(row[3]) for row in cells[2:]], said[worst].max(1), atol=1e-4)
        np.testing.assert_allclose([float(row[4]) for row in cells[2:]], said[worst, LABELS[worst]], rtol=0.06)


def test_the_plot_is_what_is_written(tmp_path):
    model = network()
    model.layers[-1].set_weights([np.zeros((60, 3), "float32"), np.log([0.5, 0.3, 0.2]).astype("float32")])
    callback = MistakeSummary(tmp_path, (IMAGES[:2], np.array([1, 2])))
    see(callback, model)
    figure = plots.image_grid(
        np.rint(255 * IMAGES[[1, 0]]) / 255,
        ["2 → 0\n50%", "1 → 0\n50%"],
        title="The worst mistakes: true → predicted class, and its probability",
    )
    [written] = read_images(tmp_path, "mistakes/worst")[0]
    np.testing.assert_array_equal(written, pixels(figure))


def test_a_single_output_is_of_two_classes(tmp_path, drawn):
    model = network(1, "sigmoid", "binary_crossentropy")
    truth = LABELS > 0
    see(MistakeSummary(tmp_path, (IMAGES, truth), count=3), model)
    kernel, bias = model.layers[-1].get_weights()
    said = 1 / (1 + np.exp(-(IMAGES.reshape(40, -1) @ kernel + bias)))[:, 0]
    worst = np.argsort(-np.abs(said - truth))[:3]
    [(images, titles)] = drawn
    np.testing.assert_allclose(images, IMAGES[worst], atol=0.51 / 255)
    assert titles == [
        f"{int(truth[index])} → {1 - truth[index]}\n{max(said[index], 1 - said[index]):.0%}" for index in worst
    ]


def test_of_equal_mistakes_the_surer_one_comes_first(tmp_path, drawn):
    model = network()
    kernel = np.zeros((60, 3), "float32")
    model.layers[-1].set_weights([kernel, np.array([0, 2000, 1000], "float32")])  # exp(-1000) is zero
    callback = MistakeSummary(tmp_path, (IMAGES, np.zeros(40, int)), count=3)
    see(callback, model)
    [(images, titles)] = drawn
    assert titles == ["0 → 1\n100%"] * 3
    np.testing.assert_allclose(images, IMAGES[:3], atol=0.51 / 255)


def test_no_mistake_is_said_so_and_no_picture_drawn(tmp_path):
    images = np.stack([np.zeros((4, 5, 3)), np.ones((4, 5, 3))]).astype("float32")
    model = network(2)
    model.layers[-1].set_weights([np.tile(np.array([[-1, 1]], "float32"), (60, 1)), np.array([9, 0], "float32")])
    see(MistakeSummary(tmp_path, (images, np.array([0, 1]))), model)
    assert read_steps(tmp_path) == {"mistakes/list": [0]}
    assert read_texts(tmp_path, "mistakes/list")[0] == "0 of 2 examples are mistaken, 0.00%."


def test_weights_that_are_no_numbers_end_nothing(tmp_path):
    see(MistakeSummary(tmp_path, (IMAGES, LABELS)), network(), spoil=True)
    assert read_texts(tmp_path, "mistakes/list") == {0: "What the network gives is not a number."}


def test_the_range_of_the_pixels_is_that_of_the_data(tmp_path, drawn):
    model = network()
    # The mistakes are dark; by themselves they would be stretched.
    images = np.where(np.arange(40)[:, None, None, None] < 2, 200.0, 3.0) * np.ones((4, 5, 3))
    model.layers[-1].set_weights([np.zeros((60, 3), "float32"), np.array([5, 0, 0], "float32")])
    labels = np.where(np.arange(40) < 2, 0, 1)
    callback = MistakeSummary(tmp_path, Examples((images, labels)), count=2)
    see(callback, model)
    np.testing.assert_allclose(drawn[0][0], 3 / 255, rtol=1e-5)


@pytest.mark.parametrize(
    ("data", "options", "text"),
    [
        ((IMAGES, LABELS + 1), {}, "The labels of `data` must be classes from 0 to 2, as many as the model gives."),
        (IMAGES, {}, "Expected data with labels, (x, y). Received: data without y."),
        (
            (IMAGES[:, 0, 0], LABELS),
            {},
            "`data` must hold images, (N, height, width, channels), with labels. Received: x",
        ),
        ((IMAGES, LABELS), {"class_names": ["a"]}, "`class_names` must have one name for each of the 3 classes."),
        ((IMAGES, LABELS), {"count": True}, "`count` must be a whole number of at least 1. Received: count=True."),
    ],
)
def test_what_is_wrong_is_told_before_the_first_epoch(tmp_path, data, options, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        see(MistakeSummary(tmp_path, data, **options), network())
    assert list(tmp_path.iterdir()) == []


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.head = keras.layers.Dense(1)

    def call(self, x):
        return {"aside": x, "predictions": self.head(keras.ops.mean(x, (1, 2)))}


def test_a_model_that_is_a_class_with_several_outputs(tmp_path, drawn):
    model = Subclassed()
    model(IMAGES)
    model.compile("sgd", {"aside": None, "predictions": keras.losses.BinaryCrossentropy(from_logits=True)})
    model.head.set_weights([np.array([[3.0], [-5], [2]]), np.zeros(1)])
    truth = {"aside": IMAGES, "predictions": LABELS[:, None] > 0}
    see(MistakeSummary(tmp_path, (IMAGES, truth), count=2, class_names=["no", "yes"]), model)
    said = 1 / (1 + np.exp(-IMAGES.mean((1, 2)) @ [3, -5, 2]))
    worst = np.argsort(-np.abs(said - (LABELS > 0)))[:2]
    expected = ["yes → no" if LABELS[index] > 0 else "no → yes" for index in worst]
    assert [title.split("\n")[0] for title in drawn[0][1]] == expected
