"""The weights themselves, watched while they change: how large they are, and how fast they move."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.callbacks.histograms import bucket_counts
from kerasdl.callbacks.layer_names import layer_weights, without_number
from kerasdl.callbacks.summary import Summary
from kerasdl.callbacks.values import Values


class WeightSummary(Summary):
    """Writes norm and histogram of every weight, and how far each has moved since the last time.

    The tags are `weights/<layer>/<weight>`, `weight_norms/<layer>/<weight>` and, for what is trained,
    `update_ratios/<layer>/<weight>`: the norm of the difference from what was written last, or from where the training
    began, divided by the norm of what was written last. A layer whose ratio is far below that of the others hardly
    learns; one whose ratio is near 1 has forgotten what it was. A weight that was all zeros before, such as a new bias,
    has no ratio.

    The weights of the last time are kept for that, as much memory as the model has weights, and a backup of the
    training keeps them too.

    Args:
        log_dir: Folder of the logs; the one given to `keras.callbacks.TensorBoard` will do.
        every: Write after every so many epochs. The step is the epoch, counted from 0 as Keras' TensorBoard does.

    Example:
        >>> callback = WeightSummary("runs/mine/logs", every=5)
        >>> callback.every
        5
    """

    needs_weights = True

    def __init__(self, log_dir: str | Path, *, every: int = 1) -> None:
        super().__init__(log_dir, every=every)
        self._last: dict[str, np.ndarray] = {}

    def prepare(self) -> None:
        """Finds the weights, and keeps those that training begins with."""
        self._weights = _by_name(self.model)
        if not self._weights:
            raise ValueError(
                f"WeightSummary expects a model with weights. Received: model {self.model.name!r}, which has none."
            )
        if not self._is_waiting:  # Else the training has begun long ago.
            self._last = {name: _values(weight) for name, weight in self._weights.items() if weight.trainable}

    def write(self, step: int, logs: dict[str, Any]) -> None:
        """Writes norms, histograms and ratios."""
        shown = Values()
        for name, weight in self._weights.items():
            values = _values(weight)
            shown.histogram(f"weights/{name}", bucket_counts(values))
            shown.scalar(f"weight_norms/{name}", _norm(values))
            if weight.trainable:
                before = self._last.get(name)
                if before is not None and before.shape == values.shape and (size := _norm(before)):
                    shown.scalar(f"update_ratios/{name}", _norm(values - before) / size)
                self._last[name] = values
        shown.write(step)

    def get_state(self) -> dict[str, Any]:
        """The weights that were written last."""
        return {"last": dict(self._last)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes up what `get_state` gave.

        Args:
            state: The weights that were written last.
        """
        self._last = dict(state["last"])


def _by_name(model: keras.Model) -> dict[str, keras.Variable]:
    """Every weight of real numbers by "layer/weight"; those of one name in one layer are counted."""
    found: dict[str, keras.Variable] = {}
    for layer, weights in layer_weights(model).items():
        for weight in weights:
            name = tag = f"{layer}/{without_number(weight) or weight.name}"
            number = 0
            while tag in found:
                number += 1
                tag = f"{name}_{number}"
            # A count or a table of a vocabulary is no weight in this sense.
            if tf.as_dtype(weight.dtype).is_floating:
                found[tag] = weight
    return found


def _values(weight: keras.Variable) -> np.ndarray:
    """A copy: what a variable holds is written over by the next step."""
    return np.array(keras.ops.convert_to_numpy(weight), "float32")


def _norm(values: np.ndarray) -> float:
    return float(np.linalg.norm(values.ravel()))
