"""Precision against recall, in TensorBoard's page for it, while a classifier learns."""

import numbers
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kerasdl.callbacks.class_scores import check_class_names, check_labels, class_count, probabilities
from kerasdl.callbacks.examples import as_examples
from kerasdl.callbacks.summary import Summary
from kerasdl.visualization.outputs import one_output

_MOST_CURVES = 20  # Each is a chart of its own on the page.


class PrecisionRecallSummary(Summary):
    """Writes precision-recall curves of a classifier for TensorBoard's page "PR curves", and their average precisions.

    Each class is a question of its own: which examples are of this class? As the bar for a yes is lowered, more of them
    are found (recall), and more of what is found is something else (precision).

    - `precision_recall/<class>/pr_curves`: a curve per class, at 201 thresholds;
    - `precision_recall_of_all/pr_curves`: the answers to all these questions as one curve, for more than two classes;
    - `average_precision/<class>` and `mean_average_precision`, scalars: the area under the curve as scikit-learn
      computes it from every single threshold. A class without examples has none.

    An example may also be of several classes, or of none: targets are rows of 0 and 1 then. Of a model with several
    outputs it is about the one called "predictions", or the first. An epoch whose outputs are not finite is left out.

    Args:
        log_dir: Folder of the logs; the one given to `keras.callbacks.TensorBoard` will do.
        data: Labelled examples: a data set of batches, `(x, y)` or an `Examples`, which several callbacks may share.
        class_names: Name of each class; their numbers without it.
        classes: The classes, by name, that get curves and scalars of their own; None takes all, or none where there are
            more than 20.
        every: Write after every so many epochs. The step is the epoch, counted from 0 as Keras' TensorBoard does.

    Example:
        >>> data = (np.zeros((4, 8, 8, 1)), np.array([0, 1, 1, 0]))
        >>> PrecisionRecallSummary("runs/mine/logs", data, class_names=("ham", "spam"), every=2).every
        2

    Reference:
        [Davis and Goadrich, 2006](https://doi.org/10.1145/1143844.1143874)
    """

    def __init__(
        self,
        log_dir: str | Path,
        data: Any,
        *,
        class_names: Sequence[str] | None = None,
        classes: Sequence[str] | str | None = None,
        every: int = 1,
    ) -> None:
        super().__init__(log_dir, every=every)
        self.examples = as_examples(data)
        self.class_names = class_names
        self.classes = [classes] if isinstance(classes, str | numbers.Integral) else classes

    def prepare(self) -> None:
        """Compares targets and names with the model's classes, where it says how many these are."""
        count = class_count(self.model)
        if count is not None:
            self._truth(count)
            self._chosen(count)
        if self.model.built:
            self.examples.predict(self.model, -1)  # Whether the inputs fit.

    def write(self, step: int, logs: dict[str, Any]) -> None:
        """Writes the curves and the scalars."""
        from sklearn.metrics import average_precision_score

        outputs = one_output(self.examples.predict(self.model, step), self.model)
        truth, several = self._truth(2 if outputs.ndim == 1 else max(outputs.shape[-1], 2))
        scores = probabilities(self.model, outputs, several=several)
        if scores is None:
            return
        averages = {
            number: average_precision_score(truth[:, number], scores[:, number])
            for number in range(truth.shape[1])
            if truth[:, number].any()
        }
        for number, name in self._chosen(truth.shape[1]).items():
            if number in averages:
                _write_curve(f"precision_recall/{name}", truth[:, number], scores[:, number], step)
                tf.summary.scalar(f"average_precision/{name}", averages[number], step)
        if averages:
            tf.summary.scalar("mean_average_precision", np.mean(list(averages.values())), step)
            if truth.shape[1] > 2:
                _write_curve("precision_recall_of_all", truth.ravel(), scores.ravel(), step)

    def _truth(self, count: int) -> tuple[np.ndarray, bool]:
        """Whether each example is of each class, `(N, classes)`; and whether it may be of several."""
        y = self.examples.targets_for(self.model)
        is_table = y.ndim == 2 and y.shape[1] == count and np.isin(y, (0, 1)).all()
        if is_table and (y.sum(axis=1) != 1).any():
            return y.astype(bool), True
        return np.eye(count, dtype=bool)[check_labels(self.examples.labels_for(self.model), count)], False

    def _chosen(self, count: int) -> dict[int, str]:
        """Number and name of the classes with a curve of their own."""
        names = check_class_names(self.class_names, count)
        if self.classes is None:
            return dict(enumerate(names)) if count <= _MOST_CURVES else {}
        unknown = [str(name) for name in self.classes if str(name) not in names]
        if unknown:
            raise ValueError(
                f"`classes` must be names of classes: {', '.join(names[:8])}{', ...' if count > 8 else ''}. "
                f"Received: {', '.join(map(repr, unknown))}."
            )
        return {names.index(str(name)): str(name) for name in self.classes}


def _write_curve(name: str, truth: np.ndarray, scores: np.ndarray, step: int) -> None:
    # `tf.summary` has no curves: TensorBoard's own function makes them, for a writer of any kind.
    from tensorboard.plugins.pr_curve import summary

    message = summary.pb(name, labels=truth, predictions=scores)
    tf.summary.experimental.write_raw_pb(message.SerializeToString(), step=step)
