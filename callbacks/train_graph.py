"""The graph of the training step that TensorFlow compiles: layers, loss, gradients, optimizer and metrics."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from kerasdl.callbacks.examples import as_examples
from kerasdl.callbacks.graph_names import with_plain_names
from kerasdl.callbacks.summary import Summary
from kerasdl.training.checks import check_can_train
from kerasdl.training.maths import make_update


class TrainGraphSummary(Summary):
    """Writes the graph of the compiled training step for TensorBoard's page "Graphs", once, after the first epoch.

    Keras' own `TensorBoard` shows the layers alone. This is the whole step, with the shapes on the edges: the layers
    with the operations inside them, then `loss`, `gradients` (and `gradient_tape`, where each layer has its own part),
    `optimizer` and `metrics`. Under `training.fit` it is that step with its `clip_norm` and `attack`; under `model.fit`
    the model's `train_step`. The step is traced for it and never run: nothing is computed, nothing drawn at random.

    A model that is compiled with `run_eagerly=True` has no graph, and nothing is written.

    Args:
        log_dir: Folder of the logs; the one given to `keras.callbacks.TensorBoard` will do.
        data: What the model trains on, or data of the same kind: a `tf.data.Dataset` of batches, or arrays, as `x` or
            as `(x, y)`. Only shapes and types count. `training.fit` tells its data by itself.

    Example:
        >>> callback = TrainGraphSummary("runs/mine/logs", (np.zeros((8, 2)), np.zeros(8)))
        >>> callback.get_state()
        {'written': False}
    """

    def __init__(self, log_dir: str | Path, data: Any = None) -> None:
        super().__init__(log_dir)
        self._data = data
        self._batch: Any = None
        self._step: Callable[..., Any] | None = None
        self._written = False

    def watch(self, data: tf.data.Dataset) -> tf.data.Dataset:
        """Remembers the kind of the batches and gives the data back; `training.fit` calls it.

        Args:
            data: What the model is about to train on.
        """
        self._batch = data.element_spec
        return data

    def watch_step(self, step: Callable[..., Any]) -> None:
        """Takes the step that a training loop compiles instead of the model's `train_step`; `training.fit` calls it.

        Args:
            step: A function `step(x, y, sample_weight)`.
        """
        self._step = step

    def prepare(self) -> None:
        """Begins a new run, whose graph may be another one."""
        self._written = False
        if self._batch is None and self._data is not None:
            self._batch = _specification(self._data)
        if self._batch is None:
            raise ValueError(
                "TrainGraphSummary must know what a batch looks like. Give it the data, as in "
                f"TrainGraphSummary({str(self.log_dir)!r}, data), or train with kerasdl.training.fit."
            )

    def write(self, step: int, logs: dict[str, Any]) -> None:
        """Writes the graph, if it has not been written."""
        if self._written or self.model.run_eagerly:
            return
        graph = _trace(self._step or _step_of(self.model), self._batch)
        tf.summary.graph(with_plain_names(graph.as_graph_def(add_shapes=True), self.model))
        self._written = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Closes the file, and lets the step go: the next training may have another."""
        super().on_train_end(logs)
        self._step = None

    def get_state(self) -> dict[str, Any]:
        """Whether this run's graph has been written."""
        return {"written": self._written}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on where a run was interrupted.

        Args:
            state: What `get_state` gave.
        """
        self._written = bool(state["written"])


def _specification(data: Any) -> Any:
    """The kind of the batches: shapes, of which the first axis is free, and types."""
    if isinstance(data, tf.data.Dataset):
        return data.element_spec
    examples = as_examples(data)
    parts = (examples.x, examples.y, examples.sample_weight)
    return keras.tree.map_structure(
        lambda part: None if part is None else tf.TensorSpec((None, *part.shape[1:]), part.dtype), parts
    )


def _step_of(model: keras.Model) -> Callable[..., Any]:
    """What `model.fit` does with a batch."""
    strategy = model.distribute_strategy
    if type(model).train_step is keras.Model.train_step and strategy.num_replicas_in_sync == 1:
        try:
            check_can_train(model)
        except ValueError:
            pass  # Keras does not mind, say, a model without a metric of its loss.
        else:
            return make_update(model, check_loss=False)  # The same as Keras' own, with its parts named.

    def step(*batch: Any) -> Any:
        return strategy.run(model.train_step, args=(batch,))

    return step


def _trace(step: Callable[..., Any], batch: Any) -> tf.Graph:
    def specify(name: str, part: Any) -> Any:
        if part is None or isinstance(part, tf.NoneTensorSpec):
            return None
        return tf.TensorSpec(part.shape, part.dtype, name) if isinstance(part, tf.TensorSpec) else part

    parts = keras.utils.unpack_x_y_sample_weight(batch)
    names = ("x", "y", "sample_weight")
    specifications = [
        keras.tree.map_structure(lambda each, name=name: specify(name, each), part)
        for name, part in zip(names, parts, strict=True)
    ]
    return tf.function(step, autograph=False).get_concrete_function(*specifications).graph
