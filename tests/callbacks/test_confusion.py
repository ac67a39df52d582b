import re

import keras
import numpy as np
import pytest
from event_helpers import read_scalars, read_steps
from picture_helpers import read_images, read_texts, see

from kerasdl.callbacks import ConfusionMatrixSummary
from kerasdl.callbacks.images import pixels
from kerasdl.visualization import plots

NAMES = ["cat", "dog", "a|b"]
# Of three cats one is taken for a dog; both dogs are taken for "a|b"; the only "a|b" is right.
TRUTH = np.array([0, 0, 0, 1, 1, 2])
SAID = np.eye(3)[[0, 1, 0, 2, 2, 2]]


def passing_on(classes):
    """A model that says what it is given."""
    model = keras.Sequential([keras.Input((classes,)), keras.layers.Activation("linear")], name="echo")
    model.compile(loss="categorical_crossentropy")
    return model


@pytest.fixture
def drawn(monkeypatch):
    """What is given to the plot."""
    calls, draw = [], plots.confusion_matrix

    def confusion_matrix(matrix, names, *, title):
        calls.append((np.asarray(matrix).tolist(), list(names), title))
        return draw(matrix, names, title=title)

    monkeypatch.setattr(plots, "confusion_matrix", confusion_matrix)
    return calls


@pytest.mark.parametrize(
    "labels", [np.eye(3)[TRUTH], *(pytest.param(labels, marks=pytest.mark.slow) for labels in (TRUTH, TRUTH[:, None]))]
)
def test_picture_table_and_scalars(tmp_path, drawn, labels):
    see(ConfusionMatrixSummary(tmp_path, (SAID, labels), class_names=NAMES), passing_on(3))
    matrix, title = [[2, 1, 0], [0, 0, 2], [0, 0, 1]], "3 of 6 right: 50.0%"
    assert drawn == [(matrix, NAMES, title)]
    [picture] = read_images(tmp_path, "confusion_matrix")[0]
    np.testing.assert_array_equal(picture, pixels(plots.confusion_matrix(matrix, NAMES, title=title)))
    assert read_texts(tmp_path, "confusions")[0].splitlines() == [
        "| true class | taken for | examples | share of the class |",
        "|---|---|---:|---:|",
        "| dog | a&#124;b | 2 | 100.0% |",
        "| cat | dog | 1 | 33.3% |",
    ]
    assert {tag: number for tag, (number,) in ((tag, by.values()) for tag, by in read_scalars(tmp_path).items())} == {
        "recall/cat": pytest.approx(2 / 3),
        "recall/dog": 0,
        "recall/a|b": 1,
        "precision/cat": 1,
        "precision/dog": 0,
        "precision/a|b": pytest.approx(1 / 3),
        "mean_recall": pytest.approx((2 / 3 + 0 + 1) / 3),
        "mean_precision": pytest.approx((1 + 0 + 1 / 3) / 3),
    }


def test_one_sigmoid_tells_two_classes(tmp_path, drawn):
    see(ConfusionMatrixSummary(tmp_path, (np.array([[0.2], [0.7], [0.6]]), np.array([[0.0], [1], [0]]))), passing_on(1))
    assert drawn == [([[1, 1], [0, 1]], ["0", "1"], "2 of 3 right: 66.7%")]


def test_classes_without_examples_have_no_curves_and_count_in_no_mean(tmp_path):
    see(ConfusionMatrixSummary(tmp_path, (SAID[:3], TRUTH[:3]), class_names=NAMES), passing_on(3))
    scalars = read_scalars(tmp_path)
    assert set(scalars) == {"recall/cat", "precision/cat", "mean_recall", "mean_precision"}
    assert scalars["mean_recall"][0] == pytest.approx(2 / 3)


@pytest.mark.slow
def test_of_many_classes_those_with_the_most_mistakes_are_drawn(tmp_path, drawn):
    truth = np.repeat(np.arange(40), 2)
    said = truth.copy()
    said[::2] += np.where(truth[::2] % 2 == 0, 1, 0)  # One of the two examples of each even class goes to the next.
    said[[78, 79]] = 0  # And class 39 is taken for class 0: these two have the most.
    see(ConfusionMatrixSummary(tmp_path, (np.eye(40)[said], truth)), passing_on(40))
    [(matrix, names, title)] = drawn
    assert len(names) == 30
    assert {"0", "39"} <= set(names)
    assert title == "58 of 80 right: 72.5%. The 30 of 40 classes with the most mistakes"
    counts = {(a, b): matrix[i][j] for i, a in enumerate(names) for j, b in enumerate(names) if matrix[i][j]}
    expected = {(str(a), str(b)): int(((truth == a) & (said == b)).sum()) for a, b in zip(truth, said, strict=True)}
    assert counts == {pair: n for pair, n in expected.items() if set(pair) <= set(names)}
    # Nor is there a curve for each of so many, and the table is cut.
    assert set(read_scalars(tmp_path)) == {"mean_recall", "mean_precision"}
    assert len(read_texts(tmp_path, "confusions")[0].splitlines()) == 2 + 15


def test_no_mistakes(tmp_path):
    see(ConfusionMatrixSummary(tmp_path, (np.eye(3), np.arange(3))), passing_on(3))
    assert read_texts(tmp_path, "confusions") == {0: "No mistakes."}


def test_a_network_that_says_nothing_is_left_out(tmp_path):
    see(ConfusionMatrixSummary(tmp_path, (np.full((2, 3), np.nan), np.arange(2))), passing_on(3), steps=(0, 1))
    assert read_steps(tmp_path) == {}


@pytest.mark.parametrize(
    ("data", "names", "text"),
    [
        ((SAID, TRUTH + 1), None, "The labels of `data` must be classes from 0 to 2, as many as the model gives."),
        ((SAID, TRUTH), ["cat"], "`class_names` must have one name for each of the 3 classes. Received: 1 names."),
        ((SAID,), None, "Expected data with labels, (x, y). Received: data without y."),
    ],
)
def test_wrong_data_is_told_before_the_first_epoch(tmp_path, data, names, text):
    callback = ConfusionMatrixSummary(tmp_path, data, class_names=names)
    callback.set_model(passing_on(3))
    with pytest.raises(ValueError, match=f"^{re.escape(text)}"):
        callback.on_train_begin()
    assert list(tmp_path.iterdir()) == []
