"""The gradients of the loss, watched layer by layer: where they vanish, explode, or never arrive."""

import functools
import itertools
import weakref
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.callbacks.examples import as_examples
from kerasdl.callbacks.histograms import bucket_counts
from kerasdl.callbacks.layer_names import layer_weights
from kerasdl.callbacks.summary import Summary
from kerasdl.callbacks.tapping import as_tensors, check_count, compiled_for, first_examples
from kerasdl.callbacks.values import Values
from kerasdl.training.step_parts import compute_loss
from kerasdl.visualization.probing import changed


class GradientSummary(Summary):
    """Writes the gradients of the model's loss on a fixed batch: norm and histogram of each layer, and of all together.

    The tags are `gradient_norms/<layer>` and `gradients/<layer>`, a layer's weights taken together, and
    `gradient_norm` for the whole. Norms that shrink from the last layer to the first by the same factor from layer to
    layer are vanishing gradients; a layer whose norm is 0 learns nothing.

    It is the gradient that the optimizer gets in training, before clipping: dropout drops, batch normalisation takes
    the batch's own statistics, and regularisation and added losses count. Under mixed precision the loss is scaled as
    the optimizer does it, and the scale taken out again. Nothing of it is remembered: the model, its metrics and the
    generators of random numbers stay as they were. Class weights of `model.fit` do not count, and a `train_step` of the
    model's own is not asked.

    Args:
        log_dir: Folder of the logs; the one given to `keras.callbacks.TensorBoard` will do.
        data: The batch: a `tf.data.Dataset` of batches `(x, y)` or `(x, y, sample_weight)`, or such arrays.
        count: How many examples of it, the first. The gradient of all is taken at once, as in one step of training.
        every: Write after every so many epochs. The step is the epoch, counted from 0 as Keras' TensorBoard does.

    Example:
        >>> callback = GradientSummary("runs/mine/logs", (np.zeros((64, 28, 28, 1)), np.zeros(64)), every=5)
        >>> callback.every
        5

    Reference:
        [Glorot and Bengio, 2010](https://proceedings.mlr.press/v9/glorot10a.html), Figure 7: gradients by layer
    """

    needs_weights = True

    def __init__(self, log_dir: str | Path, data: Any, *, count: int = 128, every: int = 1) -> None:
        super().__init__(log_dir, every=every)
        self.count = check_count(count)
        self.examples = as_examples(data, count)

    def prepare(self) -> None:
        """Compiles the gradient, so that data that do not fit the model are told before the first epoch."""
        self._weights = layer_weights(self.model, trainable=True)
        if not self._weights:
            raise ValueError(
                "GradientSummary expects a model with weights to train. "
                f"Received: model {self.model.name!r}, which has none."
            )
        batch = first_examples(self.model, self.examples, self.count)
        if batch[1] is None and self.model.loss is not None:
            raise ValueError(
                "GradientSummary expects data with targets, (x, y), for the model has a loss. Received: data without y."
            )
        self._batch = as_tensors(batch)
        body = functools.partial(_gradients, weakref.ref(self.model), list(self._weights.values()))
        self._run = compiled_for(self.model, body, self._batch, tf.constant(1.0))

    def write(self, step: int, logs: dict[str, Any]) -> None:
        """Writes norms and histograms."""
        optimizer = self.model.optimizer
        scale = 1.0 if optimizer is None else float(optimizer.scale_loss(tf.ones(())))
        while True:
            squares, histograms = self._run(self._batch, tf.constant(scale))
            norms = [float(square) ** 0.5 / scale for square in squares]
            # In float16 a large scale may be too large just now: the optimizer leaves out such a step and takes half.
            if np.isfinite(norms).all() or scale <= 1:
                break
            scale = max(scale / 2, 1.0)
        shown = Values()
        for name, norm, (counts, least, most) in zip(self._weights, norms, histograms, strict=True):
            shown.scalar(f"gradient_norms/{name}", norm)
            shown.histogram(f"gradients/{name}", (counts, least / scale, most / scale))
        shown.scalar("gradient_norm", np.linalg.norm(norms))
        shown.write(step)


def _gradients(
    reference: weakref.ref, layers: list[list[keras.Variable]], batch: tuple[Any, Any, Any], scale: tf.Tensor
) -> tuple[list[tf.Tensor], list[Any]]:
    """For each layer the square of the norm and the histogram of its gradients, both of the loss times `scale`."""
    model: Any = reference()
    x, y, sample_weight = batch
    values = [[tf.convert_to_tensor(weight.value) for weight in weights] for weights in layers]
    silent = [(metric, "update_state", lambda *_, **__: None) for metric in model.metrics]
    with changed(silent), tf.GradientTape() as tape:
        tape.watch(values)
        # In this scope weights are these tensors, which are the same with and without copies on several devices; and
        # what is assigned is forgotten.
        pairs = zip(itertools.chain(*layers), itertools.chain(*values), strict=True)
        with keras.StatelessScope(list(pairs), collect_losses=True):
            predictions = model(x, training=True)
            loss = compute_loss(model, x, y, predictions, sample_weight, training=True)
        scaled = loss * tf.cast(scale, loss.dtype)
    found = tape.gradient(scaled, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    squares, histograms = [], []
    for gradients in found:
        # An embedding's gradient comes as rows and becomes a whole matrix here, in which equal rows are added up.
        flat = [tf.reshape(tf.cast(tf.convert_to_tensor(each), tf.float32), [-1]) for each in gradients]
        # The square of a gradient times a loss scale may be too large for float32.
        squares.append(tf.add_n([tf.reduce_sum(tf.square(tf.cast(each, tf.float64))) for each in flat]))
        histograms.append(bucket_counts(tf.concat(flat, 0)))
    return squares, histograms
