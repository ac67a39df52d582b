import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from event_helpers import read_events, read_scalars, read_steps
from picture_helpers import see
from sklearn.metrics import average_precision_score, precision_recall_curve
from tensorboard.plugins.pr_curve import metadata

from kerasdl.callbacks import PrecisionRecallSummary

GENERATOR = np.random.default_rng(1)
LABELS = GENERATOR.integers(0, 3, 200)
SCORES = GENERATOR.dirichlet(np.ones(3), 200) * 0.7 + 0.3 * np.eye(3)[LABELS]
NAMES = ["cat", "dog", "cow"]


def passing_on(classes, loss="categorical_crossentropy"):
    """A model that says what it is given."""
    model = keras.Sequential([keras.Input((classes,)), keras.layers.Activation("linear")], name="echo")
    model.compile(loss=loss)
    return model


def read_curves(log_dir):
    """What TensorBoard's page gets: name above the chart and six rows of numbers."""
    values = [value for event in read_events(log_dir) for value in event.summary.value]
    curves = [value for value in values if value.metadata.plugin_data.plugin_name == metadata.PLUGIN_NAME]
    return {value.tag: (value.metadata.display_name, tf.make_ndarray(value.tensor)) for value in curves}


def check_curve(rows, truth, scores):
    """Counts at each of 201 thresholds, one by one."""
    for place, (found, false, passed, missed, precision, recall) in enumerate(rows.T):
        yes = scores >= np.float64(place) / 200
        counts = [(yes & truth).sum(), (yes & ~truth).sum(), (~yes & ~truth).sum(), (~yes & truth).sum()]
        assert [found, false, passed, missed] == counts
        assert precision == pytest.approx(counts[0] / max(yes.sum(), 1), abs=1e-6)
        assert recall == pytest.approx(counts[0] / truth.sum(), abs=1e-6)


def test_curves_and_average_precisions(tmp_path):
    see(PrecisionRecallSummary(tmp_path, (SCORES, LABELS), class_names=NAMES), passing_on(3))
    curves, scalars = read_curves(tmp_path), read_scalars(tmp_path)
    said = SCORES.astype("float32").astype("float64")
    assert set(curves) == {
        *(f"precision_recall/{name}/pr_curves" for name in NAMES),
        "precision_recall_of_all/pr_curves",
    }
    averages = []
    for number, name in enumerate(NAMES):
        shown, rows = curves[f"precision_recall/{name}/pr_curves"]
        assert shown == f"precision_recall/{name}"
        check_curve(rows, number == LABELS, said[:, number])
        # The area under scikit-learn's own curve of every threshold.
        precision, recall, _ = precision_recall_curve(number == LABELS, said[:, number])
        averages.append(-(np.diff(recall) * precision[:-1]).sum())
        assert scalars[f"average_precision/{name}"][0] == pytest.approx(averages[-1], rel=1e-5)
    assert scalars["mean_average_precision"][0] == pytest.approx(np.mean(averages), rel=1e-5)
    truth = np.eye(3, dtype=bool)[LABELS]
    check_curve(curves["precision_recall_of_all/pr_curves"][1], truth.ravel(), said.ravel())


@pytest.mark.parametrize("from_logits", [False, True])
def test_examples_of_several_classes_or_none(tmp_path, from_logits):
    truth = GENERATOR.random((100, 3)) < 0.4
    logits = GENERATOR.normal(size=(100, 3)).astype("float32")
    said = 1 / (1 + np.exp(-logits.astype("float64")))
    loss = keras.losses.BinaryCrossentropy(from_logits=from_logits)
    data = (logits if from_logits else said, truth.astype("int32"))
    see(PrecisionRecallSummary(tmp_path, data), passing_on(3, loss))
    scalars = read_scalars(tmp_path)
    for number in range(3):
        expected = average_precision_score(truth[:, number], said[:, number])
        assert scalars[f"average_precision/{number}"][0] == pytest.approx(expected, rel=1e-5)


def test_one_sigmoid_and_no_third_curve(tmp_path):
    see(PrecisionRecallSummary(tmp_path, (SCORES[:, 1:2], LABELS == 1), class_names=("no", "yes")), passing_on(1))
    assert set(read_curves(tmp_path)) == {"precision_recall/no/pr_curves", "precision_recall/yes/pr_curves"}
    expected = average_precision_score(LABELS == 1, SCORES[:, 1])
    assert read_scalars(tmp_path)["average_precision/yes"][0] == pytest.approx(expected, rel=1e-5)


def test_a_class_without_examples_has_no_curve(tmp_path):
    some = LABELS != 2
    see(PrecisionRecallSummary(tmp_path, (SCORES[some], LABELS[some]), class_names=NAMES), passing_on(3))
    assert "precision_recall/cow/pr_curves" not in read_curves(tmp_path)
    scalars = read_scalars(tmp_path)
    expected = [average_precision_score(LABELS[some] == number, SCORES[some, number]) for number in (0, 1)]
    assert scalars["mean_average_precision"][0] == pytest.approx(np.mean(expected), rel=1e-5)


def test_of_many_classes_the_chosen_ones_have_curves(tmp_path):
    labels = np.arange(50) % 25
    scores = np.eye(25)[labels]
    see(PrecisionRecallSummary(tmp_path / "all", (scores, labels)), passing_on(25))
    assert set(read_curves(tmp_path / "all")) == {"precision_recall_of_all/pr_curves"}
    assert read_scalars(tmp_path / "all") == {"mean_average_precision": {0: 1.0}}
    see(PrecisionRecallSummary(tmp_path / "some", (scores, labels), classes=["3", "7"]), passing_on(25))
    assert set(read_curves(tmp_path / "some")) == {
        *(f"precision_recall/{number}/pr_curves" for number in (3, 7)),
        "precision_recall_of_all/pr_curves",
    }


def test_a_network_that_says_nothing_is_left_out(tmp_path):
    see(PrecisionRecallSummary(tmp_path, (np.full((3, 3), np.inf), np.arange(3))), passing_on(3))
    assert read_steps(tmp_path) == {}


@pytest.mark.parametrize(
    ("labels", "options", "text"),
    [
        (LABELS + 3, {}, "The labels of `data` must be classes from 0 to 2, as many as the model gives."),
        (LABELS, {"classes": "cat"}, "`classes` must be names of classes: 0, 1, 2. Received: 'cat'."),
        (LABELS, {"classes": 3}, "`classes` must be names of classes: 0, 1, 2. Received: '3'."),
        (LABELS, {"class_names": ["a"]}, "`class_names` must have one name for each of the 3 classes."),
    ],
)
def test_what_is_wrong_is_told_before_the_first_epoch(tmp_path, labels, options, text):
    callback = PrecisionRecallSummary(tmp_path, (SCORES, labels), **options)
    callback.set_model(passing_on(3))
    with pytest.raises(ValueError, match=f"^{re.escape(text)}"):
        callback.on_train_begin()
    assert list(tmp_path.iterdir()) == []
