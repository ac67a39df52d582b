"""What a network makes of examples or words, as points in TensorBoard's projector."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.callbacks.class_scores import check_class_names, check_labels, class_count, probabilities
from kerasdl.callbacks.examples import as_examples, filled_batches
from kerasdl.callbacks.layer_names import layer_names, named_layer
from kerasdl.callbacks.projector_files import read_config, write_pictures, write_points
from kerasdl.callbacks.summary import Summary
from kerasdl.callbacks.tapping import as_tensors, check_count, compile_taps
from kerasdl.visualization.outputs import one_output
from kerasdl.visualization.probing import changed

_LETTERS = 60  # Of a text beside a point.
_BATCH_SIZE = 32


class EmbeddingSummary(Summary):
    """Writes features of examples, or the vectors of words, for TensorBoard's projector.

    With `data` each point is an example: what a layer gives for it, with its class, the predicted one and its
    probability to colour and search by, and with the image itself where it is one. Without `data` each point is a row
    of an embedding matrix, with the word it stands for. The page is called "Projector", the points
    `embeddings/<layer>`.

    An epoch whose vectors are not finite is left out. The projector shows one state at a time. A page that is open
    already keeps what it has read first: start TensorBoard again to see a newer one.

    Args:
        log_dir: Folder of the logs; the one given to `keras.callbacks.TensorBoard` will do.
        data: Examples: a data set of batches, `x`, `(x, y)` or an `Examples`, which several callbacks may share. None
            takes the rows of a matrix.
        layer: Name of the layer whose output the points are, flattened; None takes what the last layer with weights
            gets, where that is one vector per example. Without `data` an embedding layer; None takes the only one.
        class_names: Name of each class; their numbers without it.
        words: What each row of a matrix stands for; without it the vocabulary of the model's own text layer that has as
            many words, or else the rows' numbers.
        count: How many points: the first ones. The projector is quick with some thousands.
        history: Whether every state stays, as `embeddings/<layer>/epoch_0007`, to be compared with others. Without it
            the newest replaces the one before.
        every: Write after every so many epochs. The step is the epoch, counted from 0 as Keras' TensorBoard does.

    Example:
        >>> data = (np.zeros((4, 8, 8, 1)), np.array([0, 1, 1, 0]))
        >>> EmbeddingSummary("runs/mine/logs", data, class_names=("ham", "spam"), every=5).every
        5

    Reference:
        [Smilkov et al., 2016](https://arxiv.org/abs/1611.05469)
    """

    def __init__(
        self,
        log_dir: str | Path,
        data: Any = None,
        layer: str | None = None,
        *,
        class_names: Sequence[str] | None = None,
        words: Sequence[str] | None = None,
        count: int = 1000,
        history: bool = False,
        every: int = 1,
    ) -> None:
        super().__init__(log_dir, every=every)
        self.count = check_count(count)
        if data is not None and words is not None:
            raise ValueError(
                "`words` are for the rows of a matrix, `class_names` for examples. Received: data and words."
            )
        self.examples: Any = None if data is None else as_examples(data, count)
        self.layer = layer
        self.class_names = class_names
        self.words = words
        self.history = history

    def prepare(self) -> None:
        """Looks for the layer, and what it gives where the model is built, so that whatever is wrong is told now."""
        read_config(self.log_dir)
        self._pictures: Any = None
        self._look: Any = None
        if self.examples is None:
            self._name, self._matrix = _embedding_layer(self.model, self.layer)
            if self._matrix.built:
                self._words()
            return
        self._check_names()
        if self.layer is not None:
            named_layer(self.model, self.layer)
        if self.model.built:
            self._look = self._compile(next(self._batches()))

    def write(self, step: int, logs: dict[str, Any]) -> None:
        """Writes the points, and into the event file a word about where they are."""
        if self.examples is None:
            points = keras.ops.convert_to_numpy(self._matrix.embeddings)[: self.count].astype("float32")
        else:
            points = self._features()
        if not np.isfinite(points).all():
            return
        pictures, columns = None, self._columns(step, len(points))
        if self.examples is not None:
            pictures = self._pictures = self._pictures or self._write_pictures()
        name = f"embeddings/{self._name}"
        write_points(self.log_dir, name, points, columns, pictures)
        if self.history:
            write_points(self.log_dir, f"{name}/epoch_{step:04d}", points, columns, pictures)
        text = f"{len(points):,} points of {points.shape[1]:,} numbers: see the page Projector, `{name}`."
        tf.summary.text(name, text, step)

    def _features(self) -> np.ndarray:
        """What the layer gives for each example."""
        parts = []
        for batch in self._batches():
            if self._look is None:
                self._look = self._compile(batch)
            parts.append(self._look(as_tensors(batch))[self._name][-1].numpy())
        return np.concatenate(parts)[: min(len(self.examples), self.count)]

    def _batches(self) -> Iterator[Any]:
        count = min(len(self.examples), self.count)
        return filled_batches(self.examples.x, count, min(count, _BATCH_SIZE))

    def _compile(self, batch: Any) -> Any:
        """A function that runs the model and gives what the layer gives."""
        if self.layer is None:
            one = keras.tree.map_structure(lambda part: part[:1], batch)
            self._name, layer = _features_layer(self.model, one)
        else:
            self._name, layer = named_layer(self.model, self.layer)
        return compile_taps(self.model, batch, {self._name: layer}, "call", _flat)

    def _write_pictures(self) -> Any:
        """Pictures of the examples, where they are images. They stay the same, so this is done once."""
        images = one_output(self.examples.x)[: self.count]
        is_images = images.ndim == 4 and images.dtype.kind in "buif"
        return write_pictures(self.log_dir, f"embeddings/{self._name}", images) if is_images else None

    def _columns(self, step: int, count: int) -> dict[str, Sequence[Any]]:
        """What is known of each point."""
        if self.examples is None:
            return {"word": self._words(), "row": range(count)}
        columns: dict[str, Sequence[Any]] = {}
        x = one_output(self.examples.x)
        if x.dtype.kind in "OSU" and x.shape[1:] in ((), (1,)):
            texts = [text.decode(errors="replace") if isinstance(text, bytes) else str(text) for text in x[:count].flat]
            columns["text"] = [text[:_LETTERS] for text in texts]
        labels = self._labels(count)
        outputs = one_output(self.examples.predict(self.model, step), self.model)
        scores = probabilities(self.model, outputs[:count]) if outputs.ndim <= 2 else None
        if labels is not None:
            names = self._names(labels, None if scores is None else scores.shape[1])
            columns["class"] = [names[label] for label in labels]
            if scores is not None:
                predicted = scores.argmax(axis=1)
                columns["predicted"] = [names[number] for number in predicted]
                columns["right"] = ["yes" if right else "no" for right in predicted == labels]
                columns["probability"] = [f"{score:.3f}" for score in scores.max(axis=1)]
        return columns | {"number": range(count)}

    def _names(self, labels: np.ndarray, classes: int | None) -> list[str]:
        """A name for each class that the model tells apart, or else for each that is known."""
        known = len(self.class_names or ()) or int(labels.max()) + 1
        names = check_class_names(self.class_names, known if classes is None else classes)
        check_labels(labels, len(names))
        return names

    def _check_names(self) -> None:
        """Compares labels and names with the model's classes, where it says how many these are."""
        labels = self._labels(self.count)
        if labels is None:
            return
        try:
            classes = class_count(self.model)
        except ValueError:  # No classifier.
            classes = None
        self._names(labels, classes)

    def _labels(self, count: int) -> np.ndarray | None:
        """The class of each example, where the targets are classes."""
        if self.examples.y is None:
            return None
        try:
            return self.examples.labels_for(self.model)[:count]
        except ValueError:
            return None

    def _words(self) -> list[str]:
        rows = self._matrix.input_dim
        words = _vocabulary(self.model, rows) if self.words is None else [str(word) for word in self.words]
        if len(words) != rows:
            raise ValueError(f"`words` must have one for each of the {rows} rows. Received: {len(words)}.")
        return words[: self.count]


def _embedding_layer(model: keras.Model, name: str | None) -> tuple[str, Any]:
    """The embedding layer of this name, or the only one, with its name between runs."""
    found = {each: layer for each, layer in layer_names(model).items() if isinstance(layer, keras.layers.Embedding)}
    if name is not None:
        stable, layer = named_layer(model, name)
        if stable in found:
            return stable, layer
        raise ValueError(
            f"Without `data`, `layer` must be an Embedding layer. Received: {name!r}, a {type(layer).__name__}. Give "
            "`data` for the features of examples."
        )
    if len(found) != 1:
        there = f"{len(found)}: {', '.join(found)}" if found else "none"
        raise ValueError(
            "Expected `data`, or a model with one Embedding layer, or the name of one as `layer`. Received: a model "
            f"with {there}."
        )
    return next(iter(found.items()))


def _vocabulary(model: keras.Model, rows: int) -> list[str]:
    """The only vocabulary in the model that has this many words, or numbers."""
    kinds = (keras.layers.TextVectorization, keras.layers.StringLookup)
    layers = [layer for layer in layer_names(model).values() if isinstance(layer, kinds)]
    # A TextVectorization has a StringLookup inside, of the same words.
    fitting = {tuple(layer.get_vocabulary()) for layer in layers if layer.vocabulary_size() == rows}
    words = next(iter(fitting)) if len(fitting) == 1 else range(rows)
    return ["(padding)" if word == "" else str(word) for word in words]


def _features_layer(model: keras.Model, example: Any) -> tuple[str, keras.layers.Layer]:
    """The layer that gives the last layer with weights what it decides by, with its name between runs."""
    shapes: dict[str, tuple[int, ...]] = {}

    def noted(name: str, call: Callable) -> Callable:
        def run(*args: Any, **kwargs: Any) -> Any:
            result = call(*args, **kwargs)
            if isinstance(result, tf.Tensor):
                shapes.pop(name, None)
                shapes[name] = tuple(result.shape[1:])
            return result

        return run

    layers = {name: layer for name, layer in layer_names(model).items() if not isinstance(layer, keras.Model)}
    changes = [(layer, "call", noted(name, layer.call)) for name, layer in layers.items()]
    with changed(changes), keras.StatelessScope():
        model(as_tensors(example), training=False)
    order = [name for name in shapes if "Dropout" not in type(layers[name]).__name__]
    heads = [place for place, name in enumerate(order) if layers[name].weights]
    vectors = [name for name in order[: heads[-1]] if len(shapes[name]) == 1] if heads else []
    if not vectors:
        raise ValueError(
            f"`layer` must name the layer whose features are wanted: model {model.name!r} has none that gives one "
            "vector per example before its last layer with weights."
        )
    return vectors[-1], layers[vectors[-1]]


def _flat(_: tuple, __: dict[str, Any], result: Any) -> tf.Tensor:
    first = result[0] if isinstance(result, list | tuple) else result
    return tf.cast(tf.reshape(first, (tf.shape(first)[0], -1)), "float32")
