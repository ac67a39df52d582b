"""How the loss changes around a network: along random directions in the space of its weights."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from kerasdl.visualization.checks import check_count
from kerasdl.visualization.probing import all_layers, compiled

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class Landscape(NamedTuple):
    """What `loss_landscape` finds.

    Attributes:
        coordinates: `(points,)`: how far along a direction; the network itself is at 0, in the middle.
        losses: `(points,)` or `(points, points)`, the first direction first.
        accuracies: The same for the share of right answers; None where the labels are not class numbers.
        directions: One list for each direction: an array for each trainable weight.
    """

    coordinates: np.ndarray
    losses: np.ndarray
    accuracies: np.ndarray | None
    directions: list[list[np.ndarray]]


def loss_landscape(
    model: keras.Model,
    data: Any,
    *,
    directions: int | Sequence[Sequence[np.ndarray]] = 2,
    points: int = 25,
    extent: float = 1.0,
    loss: Loss | None = None,
    batch_statistics: bool = False,
    seed: int = 0,
    batch_size: int = 500,
) -> Landscape:
    """The loss of the network whose weights are `w + a d1 + b d2`, over a grid of `a` and `b`, or along one line.

    Networks whose filters are twice as large need twice as large a step for the same change, so each filter of a random
    direction is as long as that filter of the network. What belongs to no filter, biases and the weights of batch
    normalisation, stays as it is. Both as in the paper.

    The paper also leaves the moving statistics of batch normalisation as they are, which then no longer fit the
    weights. How much of the picture comes from that alone is seen with `batch_statistics`.

    Args:
        model: Any Keras model with one input; it is left as it is, for its weights are not touched.
        data: Inputs and labels: two arrays, or batches of both, as a `tf.data.Dataset` or a list of tuples. All of it
            is used for each point.
        directions: 1 or 2 random ones; or one or two given ones, taken as they are: each an array for each of
            `model.trainable_variables`.
        points: Points along each direction, an odd number, so that the network itself is one of them.
        extent: The coordinates go from `-extent` to `extent`; at 1 a filter has changed by its own length.
        loss: `loss(labels, outputs)`, a number or one per input; None for the loss that the model is compiled with,
            penalties on weights and activities included, as `model.evaluate` with this `batch_size` gives it.
        batch_statistics: Whether the network works as in training: batch normalisation with the statistics of each
            batch of `batch_size`, and dropout drops.
        seed: Decides the random directions.
        batch_size: Inputs at once.

    Returns:
        A `Landscape` of coordinates, losses, accuracies and directions.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.compile(loss="mse")
        >>> found = loss_landscape(model, (np.ones((8, 3)), np.zeros((8, 1))), directions=1, points=5)
        >>> found.coordinates.tolist(), found.losses.shape
        ([-1.0, -0.5, 0.0, 0.5, 1.0], (5,))

    Reference:
        [Li et al., 2017](https://arxiv.org/abs/1712.09913), sections 4 and 5
    """
    inputs, labels = labelled_arrays(model, data)
    if not isinstance(points, int) or points < 3 or points % 2 == 0:
        raise ValueError(
            f"`points` must be an odd number of at least 3, so that the network itself is one. Received: {points!r}."
        )
    if not 0 < extent < np.inf:
        raise ValueError(f"`extent` must be a number above 0. Received: {extent!r}.")
    check_count("batch_size", batch_size)
    if loss is None and not getattr(model, "compiled", False):
        raise ValueError(
            f"Model {model.name!r} is not compiled, so it has no loss. Call model.compile(loss=...) or give `loss=`."
        )
    if not model.built:
        model(inputs[:1])
    ways = _directions(model, directions, seed)
    coordinates = np.linspace(-extent, extent, points)
    coordinates[points // 2] = 0.0
    grid = np.stack(np.meshgrid(*[coordinates] * len(ways), indexing="ij"), axis=-1).reshape(-1, len(ways))

    # The compiled loss is part of the graph, so another one makes another graph.
    of_model = None if loss else _compiled_loss(model)
    run = compiled(model, _losses, loss=loss, of_model=of_model, training=batch_statistics)
    stacked = [np.stack(arrays) for arrays in zip(*ways, strict=True)]
    total = np.zeros((2, len(grid)))
    for at in range(0, len(inputs), batch_size):
        batch = inputs[at : at + batch_size], labels[at : at + batch_size]
        total += len(batch[0]) / len(inputs) * np.stack(run(*batch, grid.astype("float32"), *stacked))
    losses, accuracies = total.astype("float32").reshape(2, *[points] * len(ways))
    return Landscape(coordinates, losses, None if np.isnan(accuracies).all() else accuracies, ways)


def labelled_arrays(model: keras.Model, data: Any) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels as two arrays, whether they came as arrays or in batches."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a keras.Model. Received: {type(model).__name__}.")
    problem = "`data` must be inputs and labels, as two arrays or in batches of two. Received: {}."
    if isinstance(data, tf.data.Dataset) and data.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError("`data` must come to an end: call data.take(batches). Received: an endless data set.")
    # A list of tuples holds batches, any other list or tuple the two arrays.
    is_pair = isinstance(data, tuple) or (isinstance(data, list) and not all(isinstance(each, tuple) for each in data))
    if is_pair:
        pairs: list = [data]
    elif isinstance(data, Iterable):
        pairs = [tuple(batch) for batch in (data.as_numpy_iterator() if isinstance(data, tf.data.Dataset) else data)]
    else:
        raise ValueError(problem.format(type(data).__name__))
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise ValueError(problem.format(f"{len(pairs[0])} parts" if pairs else "nothing"))
    inputs, labels = (np.concatenate([np.asarray(part) for part in parts]) for parts in zip(*pairs, strict=True))
    if len(inputs) != len(labels) or not len(inputs):
        raise ValueError(f"`data` must hold one label per input. Received: {len(inputs)} inputs, {len(labels)} labels.")
    inputs, labels = (each.astype("float32") if each.dtype == "float64" else each for each in (inputs, labels))
    if not np.isfinite(inputs).all():
        raise ValueError("The inputs in `data` must be finite. Received: nan or infinity.")
    return inputs, labels


def _compiled_loss(model: keras.Model) -> Any:
    """What tells the loss that a model is compiled with from another one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # A lambda is not safe to load again, which nobody does here.
            config = model.get_compile_config()
    except Exception:  # A loss that cannot be written down, for whatever reason, is a new one every time.
        return object()
    # A loss of one's own may say too little of itself, so it is part of it too.
    return *keras.tree.flatten(model.loss), repr([config.get(key) for key in ("loss", "loss_weights")])


def _directions(model: keras.Model, directions: Any, seed: int) -> list[list[np.ndarray]]:
    """The given directions, checked, or random ones."""
    weights = model.trainable_variables
    if isinstance(directions, int):
        if directions not in (1, 2):
            raise ValueError(f"`directions` must be 1 or 2, or one or two directions. Received: {directions}.")
        if not any(len(weight.shape) > 1 for weight in weights):
            raise ValueError(f"Model {model.name!r} has no filter that can be trained, so there is no direction.")
        owners = {id(own): layer for _, layer in all_layers(model) for own in layer.trainable_variables}
        generator = np.random.default_rng(seed)
        return [
            [_random_direction(weight, owners.get(id(weight)), generator) for weight in weights]
            for _ in range(directions)
        ]
    ways = [[np.asarray(part, dtype="float32") for part in way] for way in directions]
    expected = [tuple(weight.shape) for weight in weights]
    for way in ways:
        if [part.shape for part in way] != expected:
            raise ValueError(
                "A direction must be one array for each of model.trainable_variables, with shapes "
                f"{expected}. Received: {[part.shape for part in way]}."
            )
    if len(ways) not in (1, 2):
        raise ValueError(f"`directions` must be 1 or 2, or one or two directions. Received: {len(ways)} directions.")
    return ways


def _random_direction(weight: keras.Variable, owner: Any, generator: np.random.Generator) -> np.ndarray:
    """Normal noise, each filter as long as the weight's; zero for what is no filter."""
    values = keras.ops.convert_to_numpy(weight).astype("float32")
    if values.ndim < 2:
        return np.zeros_like(values)
    noise = generator.standard_normal(values.shape, dtype="float32")
    axes = tuple(axis for axis in range(values.ndim) if axis not in _filter_axes(owner, weight))
    lengths, ours = (np.sqrt(np.sum(np.square(each), axis=axes, keepdims=True)) for each in (values, noise))
    return noise * (lengths / np.maximum(ours, 1e-12))


def _filter_axes(owner: Any, weight: keras.Variable) -> tuple[int, ...]:
    """The axes that count the filters: the last, but for layers that keep their outputs elsewhere."""
    rank, kind = len(weight.shape), type(owner).__name__
    if "Depthwise" in kind or weight.name == "depthwise_kernel":
        return rank - 2, rank - 1
    if "Transpose" in kind:
        return (rank - 2,)
    return (0,) if "Embedding" in kind else (rank - 1,)


def _losses(
    model: keras.Model,
    inputs: tf.Tensor,
    labels: tf.Tensor,
    grid: tf.Tensor,
    *directions: tf.Tensor,
    loss: Loss | None,
    of_model: Any,
    training: bool,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean loss and share of right answers for each row of coordinates."""
    weights = list(zip(model.trainable_variables, directions, strict=True))
    values = [tf.convert_to_tensor(weight.value) for weight, _ in weights]

    def at(place: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        moved = [
            (weight, value + tf.cast(tf.tensordot(place, way, 1), value.dtype))
            for (weight, way), value in zip(weights, values, strict=True)
        ]
        # Within the scope the variables have other values, and nothing is written to them. What the layers add to the
        # loss stays in the scope.
        with keras.StatelessScope(state_mapping=moved, collect_losses=True):
            outputs = model(inputs, training=training)
            if loss is None:
                result = model.compute_loss(x=inputs, y=labels, y_pred=outputs, training=training)
            else:
                result = tf.reduce_mean(loss(labels, outputs))
        return tf.cast(result, "float32"), _accuracy(labels, outputs)

    kinds = (tf.TensorSpec([], tf.float32), tf.TensorSpec([], tf.float32))
    return tf.map_fn(at, grid, fn_output_signature=kinds, parallel_iterations=1)


def _accuracy(labels: tf.Tensor, outputs: Any) -> tf.Tensor:
    """The share of right answers; nan where the labels are not one class number each, or the outputs not scores."""
    is_single = isinstance(outputs, tf.Tensor) and outputs.shape.rank == 2 and outputs.shape[1] > 1
    if not is_single or not labels.dtype.is_integer or int(np.prod(labels.shape[1:])) != 1:
        return tf.constant(np.nan)
    right = tf.equal(tf.argmax(outputs, axis=1), tf.cast(tf.reshape(labels, (-1,)), tf.int64))
    return tf.reduce_mean(tf.cast(right, "float32"))
