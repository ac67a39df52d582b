"""Who is taken for whom, watched in TensorBoard while a classifier learns."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kerasdl.callbacks.class_scores import check_class_names, check_labels, class_count, probabilities
from kerasdl.callbacks.examples import as_examples
from kerasdl.callbacks.images import write_figure
from kerasdl.callbacks.summary import Summary
from kerasdl.callbacks.tables import table

_DRAWN = 30  # More rows than that are no longer read, and more curves no longer told apart.
_LISTED = 15


class ConfusionMatrixSummary(Summary):
    """Writes the confusion matrix of a classifier into TensorBoard, and what it says about each class.

    - `confusion_matrix`, an image: a row per true class, a column per predicted one. Of more than 30 classes those 30
      that are confused most;
    - `confusions`, a text: the most frequent mistakes in words;
    - `mean_recall` (also called balanced accuracy) and `mean_precision`, scalars: over the classes that the data have;
    - `recall/<class>` and `precision/<class>`, scalars, where there are no more than 30 classes. The precision of a
      class that is never predicted is 0.

    All but the pictures is what scikit-learn computes. Of a model with several outputs it is about the one called
    "predictions", or the first. An epoch whose outputs are not finite is left out.

    Args:
        log_dir: Folder of the logs; the one given to `keras.callbacks.TensorBoard` will do.
        data: Labelled examples: a data set of batches, `(x, y)` or an `Examples`, which several callbacks may share.
        class_names: Name of each class; their numbers without it.
        every: Write after every so many epochs. The step is the epoch, counted from 0 as Keras' TensorBoard does.

    Example:
        >>> data = (np.zeros((4, 8, 8, 1)), np.array([0, 1, 1, 0]))
        >>> ConfusionMatrixSummary("runs/mine/logs", data, class_names=("ham", "spam"), every=2).every
        2
    """

    def __init__(
        self, log_dir: str | Path, data: Any, *, class_names: Sequence[str] | None = None, every: int = 1
    ) -> None:
        super().__init__(log_dir, every=every)
        self.examples = as_examples(data)
        self.class_names = class_names

    def prepare(self) -> None:
        """Compares labels and names with the model's classes, where it says how many these are."""
        classes = class_count(self.model)
        if classes is not None:
            self._labels_and_names(classes)
        if self.model.built:
            self.examples.predict(self.model, -1)  # Whether the inputs fit.

    def write(self, step: int, logs: dict[str, Any]) -> None:
        """Writes the image, the text and the scalars."""
        from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

        scores = probabilities(self.model, self.examples.predict(self.model, step))
        if scores is None:
            return
        classes = scores.shape[1]
        truth, names = self._labels_and_names(classes)
        predicted = scores.argmax(axis=1)
        matrix = confusion_matrix(truth, predicted, labels=range(classes))
        write_figure("confusion_matrix", _figure(matrix, names), step)
        tf.summary.text("confusions", _worst(matrix, names), step)
        present = np.unique(truth)
        precisions, recalls, _, _ = precision_recall_fscore_support(truth, predicted, labels=present, zero_division=0)
        tf.summary.scalar("mean_recall", recalls.mean(), step)
        tf.summary.scalar("mean_precision", precisions.mean(), step)
        if classes <= _DRAWN:
            for number, precision, recall in zip(present, precisions, recalls, strict=True):
                tf.summary.scalar(f"recall/{names[number]}", recall, step)
                tf.summary.scalar(f"precision/{names[number]}", precision, step)

    def _labels_and_names(self, classes: int) -> tuple[np.ndarray, list[str]]:
        return check_labels(self.examples.labels_for(self.model), classes), check_class_names(self.class_names, classes)


def _figure(matrix: np.ndarray, names: list[str]) -> Any:
    """The matrix drawn, or the part of it that has the most mistakes."""
    from kerasdl.visualization import plots

    examples, right, classes = int(matrix.sum()), int(np.trace(matrix)), len(names)
    title = f"{right:,} of {examples:,} right: {right / examples:.1%}"
    if classes > _DRAWN:
        wrong = matrix - np.diag(np.diag(matrix))
        worst = np.sort(np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")[:_DRAWN])
        matrix, names = matrix[np.ix_(worst, worst)], [names[number] for number in worst]
        title += f". The {_DRAWN} of {classes:,} classes with the most mistakes"
    return plots.confusion_matrix(matrix, names, title=title)


def _worst(matrix: np.ndarray, names: list[str]) -> str:
    """The most frequent mistakes as a table in Markdown."""
    wrong = matrix - np.diag(np.diag(matrix))
    places = [place for place in np.argsort(-wrong, axis=None, kind="stable")[:_LISTED] if wrong.flat[place]]
    if not places:
        return "No mistakes."
    sizes = matrix.sum(axis=1)
    pairs = [divmod(int(place), len(names)) for place in places]
    columns = {
        "true class": [names[true] for true, _ in pairs],
        "taken for": [names[taken] for _, taken in pairs],
        "examples": [f"{wrong[pair]:,}" for pair in pairs],
        "share of the class": [f"{wrong[pair] / sizes[pair[0]]:.1%}" for pair in pairs],
    }
    return table(columns, numbers=("examples", "share of the class"))
