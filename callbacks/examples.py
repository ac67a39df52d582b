"""The examples on which callbacks look at a network: read once, and the network's answers shared by all."""

import functools
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.callbacks.class_scores import CLOSE_TO_ONE, has_one_unit
from kerasdl.callbacks.summary import check_whole
from kerasdl.visualization.layer_paths import structure
from kerasdl.visualization.outputs import one_output

_SHOWN = 5  # A list of numbers by mistake has thousands.
_BATCH_SIZE = 32  # Where the data does not come in batches; Keras' own.

_compiled: weakref.WeakKeyDictionary[keras.Model, dict] = weakref.WeakKeyDictionary()


class Examples:
    """The first examples of some data, in memory, with what a model says to them.

    Several callbacks that are given the same object compute the model's outputs once in each epoch. Nothing is read
    before it is first asked for.

    A data set that shuffles anew in each pass has another order after a pass, and this is one: where the same data is
    trained on, the training goes another way than without. Better take data that nobody shuffles, such as the
    validation's.

    Args:
        data: A `tf.data.Dataset` or `keras.utils.PyDataset` of batches `x`, `(x, y)` or `(x, y, sample_weight)`; or
            arrays, as `x` or as such a tuple. What belongs to several inputs or outputs may be a list or a dictionary.
        count: How many examples; None takes all. A data set that repeats for ever needs a number.

    Example:
        >>> data = tf.data.Dataset.from_tensor_slices((np.zeros((10, 8, 8, 1)), np.arange(10))).batch(4)
        >>> examples = Examples(data, 6)
        >>> examples.x.shape, examples.labels, len(examples)
        ((6, 8, 8, 1), array([0, 1, 2, 3, 4, 5]), 6)
    """

    def __init__(self, data: Any, count: int | None = None) -> None:
        expected = "a whole number of at least 1, or None for all"
        self._count = None if count is None else check_whole("count", count, expected)
        self._batches = functools.partial(_batches, _checked(data))
        self._answers: tuple[Any, Any] = (None, None)
        self._labels: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        """How many examples there are."""
        return len(keras.tree.flatten(self.x)[0])

    @functools.cached_property
    def _parts(self) -> tuple[Any, Any, Any]:
        read, seen = [], 0
        for batch in self._batches():
            parts = _as_arrays(keras.utils.unpack_x_y_sample_weight(batch))
            sizes = {len(array) if array.ndim else 0 for array in keras.tree.flatten(parts) if array is not None}
            if len(sizes) != 1 or 0 in sizes:
                raise ValueError(
                    "`data` must give batches, whose parts all have as many rows as there are examples in the batch; "
                    f"of a data set of single examples make some with `.batch(32)`. Received: parts of {sorted(sizes)} "
                    "rows."
                )
            missing = None if self._count is None else self._count - seen
            read.append(parts if missing is None else _map(lambda array, n=missing: array[:n], parts))
            seen += sizes.pop()
            if self._count is not None and seen >= self._count:
                break
        if not read:
            raise ValueError("`data` must hold at least one example. Received: none.")
        self._batch_size = len(keras.tree.flatten(read[0][0])[0]) if len(read) > 1 else min(seen, _BATCH_SIZE)
        del self._batches  # What has been read need not be kept twice.
        return _map(_joined, *read)

    @property
    def x(self) -> Any:
        """The inputs: an array, or a structure of arrays for several inputs."""
        return self._parts[0]

    @property
    def images(self) -> Any:
        """The inputs where they are one array, also where that stands alone in a dictionary or list."""
        parts = keras.tree.flatten(self.x)
        if len(parts) != 1:
            raise ValueError(f"`data` must hold images as its only inputs. Received: x of {len(parts)} arrays.")
        return parts[0]

    @property
    def y(self) -> Any:
        """The targets as they came; None without."""
        return self._parts[1]

    @property
    def sample_weight(self) -> Any:
        """The weight of each example; None without."""
        return self._parts[2]

    @property
    def labels(self) -> np.ndarray:
        """The class of each example, `(N,)` int64: of whole numbers, or of one-hot rows, also such as mixup makes.

        Of several targets those called "predictions", or the first; `labels_for` knows the order of a model's outputs.
        """
        return self.labels_for(None)

    def labels_for(self, model: keras.Model | None) -> np.ndarray:
        """The class of each example, as `labels`, for that of the model's outputs that the callbacks look at.

        Args:
            model: Whose output called "predictions", or the first, the targets belong to.
        """
        y = self.targets_for(model)
        if id(y) not in self._labels:
            self._labels[id(y)] = _as_classes(y)
        labels = self._labels[id(y)]
        if has_one_unit(model) and len(labels) and not 0 <= labels.min() <= labels.max() <= 1:
            raise ValueError(
                "The labels of `data` must be 0 and 1 for a model of one unit; other whole numbers are no classes. "
                f"Received: {labels.min()} to {labels.max()}."
            )
        return labels

    def targets_for(self, model: keras.Model | None) -> np.ndarray:
        """The targets as they came, of several those of that output of the model that the callbacks look at.

        Args:
            model: As in `labels_for`.
        """
        y = self.y if self.y is None else one_output(self.y, model)
        if y is not None:
            return y
        given = "data without y"
        if isinstance(self.y, dict):
            given = f"targets of {', '.join(self.y)}, and none of the output that is looked at"
        elif isinstance(self.x, list):
            given += "; a list of arrays stands for several inputs, and (x, y) must be a tuple"
        raise ValueError(f"Expected data with labels, (x, y). Received: {given}.")

    def predict(self, model: keras.Model, step: int) -> Any:
        """The model's outputs for all examples, as float32 arrays in the model's own structure.

        Nothing of the model changes: what its layers would remember of this run, they do not. The outputs are computed
        once for a step, as long as the weights stay the same.

        Args:
            model: A model that is built.
            step: What tells this moment from others, such as the epoch.
        """
        sums = tuple(str(float(each)) for each in _compile(model, _sums)())  # As text, for NaN is not itself.
        now = (weakref.ref(model), step, sums)
        if self._answers[0] != now:
            run = _compile(model, _outputs)
            batches = filled_batches(self.x, len(self), self._batch_size)
            answers = _map(_joined, *[_as_arrays(run(batch)) for batch in batches])
            self._answers = (now, _map(lambda array: array[: len(self)], answers))
        return self._answers[1]


def as_examples(data: Any, count: int | None = None) -> Examples:
    """The data as `Examples`: those that are some already are passed through, so that several callbacks share them.

    Args:
        data: As in `Examples`, or an `Examples`.
        count: As in `Examples`; of what is passed through the caller takes as many as it wants.

    Example:
        >>> examples = as_examples((np.zeros((3, 2)), np.arange(3)))
        >>> as_examples(examples) is examples
        True
    """
    return data if isinstance(data, Examples) else Examples(data, count)


def filled_batches(inputs: Any, count: int, size: int) -> Iterator[Any]:
    """The first inputs in batches of one size, the last one filled up: compiled once, and a fixed batch size fits.

    Args:
        inputs: An array, or a structure of arrays.
        count: How many inputs.
        size: How many are in each batch.

    Example:
        >>> [batch.tolist() for batch in filled_batches(np.arange(9), 5, 2)]
        [[0, 1], [2, 3], [4, 4]]
    """
    for start in range(0, count, size):
        rows = np.minimum(np.arange(start, start + size), count - 1)
        yield _map(lambda array, rows=rows: array[rows], inputs)


def _checked(data: Any) -> Any:
    """The data, if it is of a kind that can be read."""
    if isinstance(data, tf.data.Dataset | keras.utils.PyDataset):
        return data
    parts = data if isinstance(data, tuple) else (data,)
    sizes = {np.shape(array)[:1] for array in keras.tree.flatten(parts) if array is not None}
    if 1 <= len(parts) <= 3 and len(sizes) == 1 and len(sizes.pop()) == 1:
        return parts
    raise ValueError(
        "`data` must be a tf.data.Dataset of batches, or arrays of equally many examples: x, (x, y) or "
        f"(x, y, sample_weight). Received: {_described(data)}."
    )


def _described(data: Any) -> str:
    if not isinstance(data, tuple | list | dict) and not hasattr(data, "shape"):
        return f"a {type(data).__name__}"
    parts = data if isinstance(data, tuple) else (data,)
    shapes = [str(getattr(array, "shape", type(array).__name__)) for array in keras.tree.flatten(parts)]
    shown = ", ".join([*shapes[:_SHOWN], *["..."] * (len(shapes) > _SHOWN)])
    text = f"a {type(data).__name__} of {shown or 'nothing'}"
    if any(isinstance(part, list) for part in parts):
        text += "; a list stands for several inputs or outputs, of numbers make an array with np.array(...)"
    return text


def _as_classes(y: np.ndarray) -> np.ndarray:
    """The targets as one class per example, `(N,)` int64."""
    shape, are_numbers = y.shape, y.dtype.kind in "biuf"
    if y.ndim == 2 and shape[1] == 1:
        y = y[:, 0]
    if are_numbers and y.ndim == 1 and (y == np.round(y)).all() and y.min() >= 0:
        return y.astype("int64")
    if are_numbers and y.ndim == 2 and np.allclose(y.sum(1), 1, atol=CLOSE_TO_ONE):
        return y.argmax(1)
    extent = f", from {y.min()} to {y.max()}" if are_numbers else ""
    raise ValueError(
        "Expected one class per example: whole numbers of shape (N,) or (N, 1), or rows of shape (N, classes) that "
        f"add up to one. Received: y of shape {shape} and dtype {y.dtype}{extent}."
    )


def _batches(data: Any) -> Iterable[Any]:
    if isinstance(data, tuple):
        return [data]
    return (data[at] for at in range(len(data))) if isinstance(data, keras.utils.PyDataset) else data


def _map(function: Callable[..., Any], *structures: Any) -> Any:
    """The function of each part of the structures; a part that is None stays so."""
    return keras.tree.map_structure(
        lambda *parts: None if parts[0] is None else function(*parts), *structures, none_is_leaf=True
    )


def _as_arrays(parts: Any) -> Any:
    for part in keras.tree.flatten(parts):
        if isinstance(part, tf.RaggedTensor | tf.SparseTensor):
            raise ValueError(
                "`data` must give dense tensors. Received: a "
                f"{type(part).__name__}; make it one with `.to_tensor()` or `tf.sparse.to_dense`."
            )
    return _map(np.asarray, parts)


def _joined(*pieces: np.ndarray) -> np.ndarray:
    """The pieces one after the other; shorter rows are filled up with zeros or "", as `padded_batch` does."""
    longest = np.max([piece.shape[1:] for piece in pieces], axis=0)
    filled = []
    for piece in pieces:
        missing = [(0, 0), *((0, int(size)) for size in longest - piece.shape[1:])]
        empty = b"" if piece.dtype == object else piece.dtype.type()
        filled.append(np.pad(piece, missing, constant_values=empty) if np.any(missing) else piece)
    return np.concatenate(filled)


def _compile(model: keras.Model, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of the model and of inputs as a compiled one of the inputs, kept as long as the model."""
    kept = _compiled.setdefault(model, {})
    key = (function, structure(model))
    if key not in kept:
        # A partial, not a lambda: TensorFlow counts tracings by the code, and would warn of many functions of one.
        kept[key] = functools.partial(_call, function, weakref.ref(model))
        if not model.run_eagerly:
            kept[key] = tf.function(kept[key], autograph=False)
    return kept[key]


def _call(function: Callable[..., Any], reference: weakref.ref, *inputs: Any) -> Any:
    return function(reference(), *inputs)


def _outputs(model: keras.Model, inputs: Any) -> Any:
    # What a layer assigns in this scope is forgotten: the states of a recurrent layer that keeps them.
    with keras.StatelessScope():
        outputs = model(inputs, training=False)
    return keras.tree.map_structure(lambda y: tf.cast(y, "float32"), outputs)


def _sums(model: keras.Model) -> list[tf.Tensor]:
    """What tells the weights of one moment from those of another, the steps made so far too."""
    steps = getattr(getattr(model, "optimizer", None), "iterations", None)
    counted = [] if steps is None else [steps]
    return [tf.reduce_sum(tf.cast(variable.value, "float64")) for variable in [*model.weights, *counted]]
