"""Recurrent weights, watched: whether what they remember, and what they learn from, fades or explodes on its way."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.callbacks.examples import as_examples
from kerasdl.callbacks.images import write_figure
from kerasdl.callbacks.layer_names import layer_names, without_cell
from kerasdl.callbacks.summary import Summary
from kerasdl.callbacks.tapping import as_tensors, call_name, check_count, compile_taps, first_examples
from kerasdl.sequences import gradient_norms

# The parts of a recurrent kernel, in the order in which Keras puts them side by side.
_PARTS = {
    keras.layers.LSTMCell: ("input", "forget", "memory", "output"),
    keras.layers.GRUCell: ("update", "reset", "candidate"),
}


class SpectralRadiusSummary(Summary):
    """Writes the spectral radius of recurrent weights and, for some examples, how gradients fare through time.

    - `spectral_radius/<layer>`, a scalar: the largest modulus of the eigenvalues of the recurrent matrix. A linear
      network whose radius is below 1 forgets, one above 1 explodes. An LSTM has four, `<layer>/input`, `/forget`,
      `/memory` and `/output`, a GRU three, `<layer>/update`, `/reset` and `/candidate`.
    - With `data` also `gradient_growth/<layer>`, a scalar: the factor by which `|dL/dh_t|` grows with each step back,
      in the geometric mean, L the sum of the last state; of an LSTM that of its memory, `|dL/dc_t|`. Below 1 gradients
      vanish, above 1 they explode;
    - and `gradient_through_time/<layer>`, an image: the norm over the steps back from the end, from 1 on.

    Found are all cells with a `recurrent_kernel`, `ElmanRNN`, `EchoState` and those in `Bidirectional` or a stack of
    cells among them. The eigenvalues of 1000 units take about a second.

    Args:
        log_dir: Folder of the logs; the one given to `keras.callbacks.TensorBoard` will do.
        data: Examples for the gradients: a `tf.data.Dataset` of batches, or arrays, with or without targets; None for
            the radius alone. A layer that starts from a given state is looked at as if it started from zeros; one with
            a context, one of several cells, and one that runs inside another layer's loop, have no gradient here.
        count: How many examples, the first.
        every: Write after every so many epochs. The step is the epoch, counted from 0 as Keras' TensorBoard does.

    Example:
        >>> callback = SpectralRadiusSummary("runs/mine/logs", every=5)
        >>> callback.every
        5

    Reference:
        [Pascanu et al., 2012](https://arxiv.org/abs/1211.5063), section 2.1
    """

    needs_weights = True

    def __init__(self, log_dir: str | Path, data: Any = None, *, count: int = 32, every: int = 1) -> None:
        super().__init__(log_dir, every=every)
        self.count = check_count(count)
        self.examples = None if data is None else as_examples(data, count)

    def prepare(self) -> None:
        """Finds the recurrent layers, so that a model without any is told before the first epoch."""
        layers = layer_names(self.model)
        self._cells = {without_cell(name, layers): cell for name, cell in layers.items() if _is_recurrent(cell)}
        if not self._cells:
            raise ValueError(
                "SpectralRadiusSummary expects a model with recurrent layers, such as ElmanRNN, GRU or LSTM. "
                f"Received: model {self.model.name!r}, which has none."
            )
        self._layers = {name: layer for name, layer in layers.items() if _has_gradient(layer)}
        if self.examples is not None and self._layers:
            inputs, _, _ = first_examples(self.model, self.examples, self.count)
            self._inputs = as_tensors(inputs)
            self._look = compile_taps(self.model, inputs, self._layers, "call", _note, required=False)

    def write(self, step: int, logs: dict[str, Any]) -> None:
        """Writes the radii and the gradients."""
        for name, cell in self._cells.items():
            for part, matrix in _matrices(cell).items():
                tf.summary.scalar(f"spectral_radius/{name}{part}", _radius(matrix), step)
        if self.examples is None or not self._layers:
            return
        for name, calls in self._look(self._inputs).items():
            for index, (inputs, mask) in enumerate(calls):
                tag = call_name(name, index)
                backwards = _norms_backwards(self._layers[name], inputs.numpy(), mask.numpy())
                tf.summary.scalar(f"gradient_growth/{tag}", _growth(backwards), step)
                _draw(f"gradient_through_time/{tag}", backwards, step)


def _is_recurrent(layer: keras.layers.Layer) -> bool:
    """Whether it holds a matrix, or several side by side, that make a state from the one before."""
    shape: Any = getattr(getattr(layer, "recurrent_kernel", None), "shape", ())
    return len(shape) == 2 and shape[1] % shape[0] == 0


def _has_gradient(layer: keras.layers.Layer) -> bool:
    return (
        isinstance(layer, keras.layers.RNN)
        and _is_recurrent(layer.cell)
        and getattr(layer.cell, "context_kernel", None) is None
    )


def _matrices(cell: keras.layers.Layer) -> dict[str, np.ndarray]:
    kernel = np.array(keras.ops.convert_to_numpy(cell.recurrent_kernel), "float64")
    count = kernel.shape[1] // kernel.shape[0]
    if count == 1:
        return {"": kernel}
    known = [names for kind, names in _PARTS.items() if isinstance(cell, kind) and len(names) == count]
    names = known[0] if known else [f"part_{index + 1}" for index in range(count)]
    return {f"/{name}": part for name, part in zip(names, np.split(kernel, count, axis=1), strict=True)}


def _radius(matrix: np.ndarray) -> float:
    # A training in which weights became NaN is ended by others.
    return float(np.abs(np.linalg.eigvals(matrix)).max()) if np.isfinite(matrix).all() else float("nan")


def _note(args: tuple, kwargs: dict[str, Any], result: Any) -> tuple[Any, Any]:
    """The sequences that a layer reads, and which of their steps count."""
    sequences = keras.tree.flatten(args[0] if args else next(iter(kwargs.values())))[0]
    masks = [value for name, value in kwargs.items() if name.endswith("mask") and value is not None]
    mask = keras.tree.flatten(masks)[0] if masks else tf.ones(tf.shape(sequences)[:2], tf.bool)
    mask = tf.cast(mask, tf.bool)
    return tf.cast(sequences, tf.float32), mask[..., 0] if mask.shape.rank == 3 else mask


def _norms_backwards(layer: keras.layers.RNN, inputs: np.ndarray, mask: np.ndarray) -> list[np.ndarray]:
    """The norms of each example, from one step before the last that counts back to the first."""
    if not np.isfinite(inputs).all():
        return []
    # In an LSTM it is the memory whose gradient may live; its output is made anew at every step.
    state = int(isinstance(layer.cell, keras.layers.LSTMCell))
    # A cell with dropout draws its mask even where it then does not use it: in this scope the draw is forgotten.
    with keras.StatelessScope():
        norms = gradient_norms(layer, inputs, mask=mask, state=state)
    if not getattr(layer, "go_backwards", False):
        norms, mask = norms[:, ::-1], mask[:, ::-1]
    # The last step itself is left out: what an LSTM's memory does to it is counted there as a part of it.
    return [norm[counts][1:] for norm, counts in zip(norms, mask, strict=True)]


def _growth(backwards: list[np.ndarray]) -> float:
    """The factor per step back, in the geometric mean over steps and examples."""
    slopes = []
    for norms in backwards:
        if len(norms) > 1:
            # From where on a gradient is too small for the layer's precision, it says nothing more.
            known = norms[: np.argmin(norms != 0)] if (norms == 0).any() else norms
            with np.errstate(invalid="ignore"):  # Infinite to begin with, and at the end too.
                rise = np.log(known[-1]) - np.log(known[0]) if len(known) > 1 else -np.inf
            slopes.append(rise / max(len(known) - 1, 1))
    return float(np.exp(np.mean(slopes))) if slopes else float("nan")


def _draw(tag: str, backwards: list[np.ndarray], step: int) -> None:
    """The geometric mean over the examples that have so many steps, as far as it is above 0."""
    from kerasdl.visualization import plots

    longest = max(map(len, backwards), default=0)
    curve = np.zeros(longest)
    for at in range(longest):
        lengths = np.array([norms[at] for norms in backwards if len(norms) > at and norms[at] > 0])
        curve[at] = np.exp(np.log(lengths).mean()) if len(lengths) else 0
    can_be_drawn = np.append(np.isfinite(curve) & (curve > 0), False)
    end = int(np.argmin(can_be_drawn))
    if end < 2:
        return
    figure = plots.lines(
        {"mean of the examples": curve[:end]},
        np.arange(1, end + 1),
        x_label="steps back from the end",
        y_label="length of the gradient",
        log_y=True,
        markers=False,
        title=tag.partition("/")[2],
    )
    write_figure(tag, figure, step)
