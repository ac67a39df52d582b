"""The worst mistakes of a classifier, watched in TensorBoard: what it is sure of and wrong about."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kerasdl.callbacks.class_scores import (
    check_class_names,
    check_labels,
    class_count,
    probabilities,
)
from kerasdl.callbacks.examples import Examples, as_examples
from kerasdl.callbacks.images import displayable, write_figure
from kerasdl.callbacks.summary import Summary, check_whole
from kerasdl.callbacks.tables import table
from kerasdl.visualization.outputs import one_output

_SEEN = 256  # So many images tell in which range pixels are.


class MistakeSummary(Summary):
    """Writes the worst mistakes of a classifier of images into TensorBoard, under the tags `mistakes/...`.

    The worst is the one whose true class got the smallest probability. `mistakes/worst` is a picture: above each image
    stand the true class, the predicted one and its probability. `mistakes/list` is the same as a table, with the
    number of each example in the data, from 0: what is wrong there again and again may have a wrong label.

    Args:
        log_dir: Folder of the logs; the one given to `keras.callbacks.TensorBoard` will do.
        data: Images and labels: a `tf.data.Dataset` of batches `(x, y)`, a tuple of arrays, or an `Examples`.
        count: How many mistakes are shown.
        class_names: What the classes are called; numbers without it.
        every: Write after every so many epochs. The step is the epoch, counted from 0 as Keras' TensorBoard does.

    Example:
        >>> callback = MistakeSummary("runs/mine/logs", (np.zeros((2, 28, 28, 1)), np.array([3, 5])), count=8)
        >>> callback.count
        8
    """

    def __init__(
        self,
        log_dir: str | Path,
        data: Any,
        *,
        count: int = 18,
        class_names: Sequence[str] | None = None,
        every: int = 1,
    ) -> None:
        super().__init__(log_dir, every=every)
        self.count = check_whole("count", count)
        self.class_names = class_names
        self._examples = as_examples(data)

    def prepare(self) -> None:
        """Reads the examples, so that what is wrong with them is told before the first epoch."""
        x = self._examples.images
        if not isinstance(x, np.ndarray) or x.ndim != 4:
            raise ValueError(
                "`data` must hold images, (N, height, width, channels), with labels. Received: x of shape "
                f"{getattr(x, 'shape', type(x).__name__)}."
            )
        classes = class_count(self.model)
        if classes is None:  # A model that is a class of its own must be asked.
            outputs = one_output(Examples(x[:1]).predict(self.model, 0), self.model)
            classes = np.asarray(probabilities(self.model, np.nan_to_num(outputs))).shape[1]
        self._names = check_class_names(self.class_names, classes)
        self._labels = check_labels(self._examples.labels_for(self.model), len(self._names))
        if self.model.built:
            self._examples.predict(self.model, -1)  # Whether the inputs fit.

    def write(self, step: int, logs: dict[str, Any]) -> None:
        """Writes the picture and the table."""
        said = probabilities(self.model, self._examples.predict(self.model, step))
        if said is None:
            tf.summary.text("mistakes/list", "What the network gives is not a number.", step)
            return
        predicted, rows = said.argmax(axis=1), np.arange(len(said))
        of_truth, of_predicted = said[rows, self._labels], said[rows, predicted]
        wrong = np.flatnonzero(predicted != self._labels)
        # Of several that got no probability at all, the one stands first whose wrong class got more.
        worst = wrong[np.lexsort((wrong, -of_predicted[wrong], of_truth[wrong]))][: self.count]
        truth, answer = ([self._names[each] for each in classes[worst]] for classes in (self._labels, predicted))
        columns: dict[str, Any] = {
            "example": worst,
            "true class": truth,
            "predicted": answer,
            "probability of the predicted class": [f"{of_predicted[index]:.4f}" for index in worst],
            "of the true class": [f"{of_truth[index]:.2g}" for index in worst],
        }
        text = f"{len(wrong)} of {len(said)} examples are mistaken, {len(wrong) / len(said):.2%}."
        if len(worst):
            text += "\n\n" + table(columns, numbers=set(columns) - {"true class", "predicted"})
        tf.summary.text("mistakes/list", text, step)
        if len(worst):
            titles = [
                f"{true} → {false}\n{of_predicted[index]:.0%}"
                for index, true, false in zip(worst, truth, answer, strict=True)
            ]
            self._draw(worst, titles, step)

    def _draw(self, worst: np.ndarray, titles: list[str], step: int) -> None:
        from kerasdl.visualization import plots  # Here, for it takes long to load.

        # The range of the pixels is that of the data, and not that of these few.
        images = self._examples.images
        images = displayable(np.concatenate([images[:_SEEN], images[worst]]))[-len(worst) :]
        title = "The worst mistakes: true → predicted class, and its probability"
        write_figure("mistakes/worst", plots.image_grid(images / 255, titles, title=title), step)
