"""The last linear layer of a network in closed form: ridge regression in one pass over the data."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf


class _KeptSteps(keras.layers.Layer):
    """Where Keras's mask of the inputs is True; everywhere, where there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        shape = keras.ops.shape(inputs)[:-1]
        if mask is None:
            return keras.ops.ones(shape, "bool")
        mask = keras.ops.reshape(mask, (*keras.ops.shape(mask), *[1] * (len(shape) - len(mask.shape))))
        return keras.ops.broadcast_to(keras.ops.cast(mask, "bool"), shape)


def solve_readout(
    model: keras.Model, data: tf.data.Dataset, l2: float = 1.0, *, layer: str | None = None
) -> dict[str, float]:
    """Sets the last linear layer to the least-squares solution: `W = (X'X + l2 I)^-1 X'Y`. No other weight changes.

    X are the layer's inputs over all of `data`, Y the targets. Of both only the products `X'X` and `X'Y` are kept, in
    float64, so the memory does not depend on the number of examples; the bias is not shrunk. `l2` is measured against
    the sum over all examples, as in scikit-learn's `Ridge`.

    Class labels become one-hot targets. The layer's outputs are then least-squares scores, the best linear guesses
    of 0 and 1. A softmax after it keeps their order, so the most likely class is right, but its probabilities are too
    even: they say nothing of how sure the network is.

    Args:
        model: Any functional or sequential model whose last layer with weights is a `keras.layers.Dense`; of other
            models, name the layer. It may give a vector per example or one per step of a sequence.
        data: Batches `(x, y)` or `(x, y, sample_weight)`; y are integer labels or real targets with as many numbers as
            the layer has units. A weight of 0 leaves an example, or a step of a sequence, out. Steps that Keras masks
            are left out as well, as `fit` does.
        l2: The penalty on the squared weights; with 0 the shortest of all least-squares solutions is taken.
        layer: The layer's name; None for the layer `logits`, or the last one where none is called so.

    Returns:
        `examples`, the sum of the weights, and `mean_squared_error` on `data`, over examples and units.

    Example:
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> line = tf.data.Dataset.from_tensor_slices(([[0.0], [1.0], [2.0]], [[1.0], [3.0], [5.0]])).batch(2)
        >>> logs = solve_readout(model, line, l2=0.0)
        >>> [round(float(weight.numpy().item()), 4) for weight in model.weights]
        [2.0, 1.0]

    Reference:
        [Huang et al., 2006](https://doi.org/10.1016/j.neucom.2005.12.126), section 3.2
    """
    if not isinstance(l2, int | float) or not 0 <= l2 < float("inf"):
        raise ValueError(f"`l2` must be a number of at least 0. Received: l2={l2!r}.")
    readout = _find_readout(model, layer)
    size = readout.kernel.shape[0]
    # A sequential model has no `input` before it is called.
    given = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    features = tf.function(keras.Model(given, [readout.input, _KeptSteps()(readout.input)]), reduce_retracing=True)
    # [X 1 Y]' [X 1 Y] holds every product that is needed.
    total = np.zeros((size + 1 + readout.units,) * 2)
    for batch in data:
        if not isinstance(batch, tuple) or len(batch) not in (2, 3):
            raise ValueError("`data` must give batches (x, y) or (x, y, sample_weight).")
        x, kept = features(batch[0], training=False)
        x, kept = np.asarray(keras.ops.cast(x, "float32"), dtype="float64"), np.asarray(kept).reshape(-1)
        shape = x.shape[:-1]
        y = _targets(batch[1], shape, readout.units)
        rows = np.concatenate([x.reshape(-1, size), np.ones((len(y), 1)), y], axis=1)[kept]
        weighted = rows if len(batch) == 2 else rows * _weights(batch[2], shape)[kept, None]
        total += rows.T @ weighted
    count = total[size, size]
    if count <= 0:
        raise ValueError("`data` holds no example, or none with a weight above 0.")

    # With a bias, the weights are those of the regression between differences from the mean.
    sums = total[:, size] if readout.use_bias else np.zeros(len(total))
    moments = total - np.outer(sums, sums) / count
    gram, cross, squares = moments[:size, :size], moments[:size, size + 1 :], moments[size + 1 :, size + 1 :]
    if l2 > 0:
        kernel = np.linalg.solve(gram + l2 * np.eye(size), cross)
    else:
        kernel = np.linalg.lstsq(gram, cross, rcond=size * np.finfo("float64").eps)[0]
    bias = (sums[size + 1 :] - sums[:size] @ kernel) / count
    readout.kernel.assign(kernel)
    if readout.use_bias:
        readout.bias.assign(bias)
    error = np.trace(squares) - 2 * np.sum(kernel * cross) + np.sum(kernel * (gram @ kernel))
    return {"examples": float(count), "mean_squared_error": float(max(error, 0.0) / count / readout.units)}


def _find_readout(model: keras.Model, name: str | None) -> keras.layers.Dense:
    """The layer to solve, if it can be solved."""
    try:
        layers, inputs = model.layers, model.inputs
    except (AttributeError, ValueError):
        inputs = None
    if not inputs:
        raise ValueError(
            f"solve_readout needs a functional or a built sequential model, whose graph shows what reaches the last "
            f"layer. Received: {model!r}."
        )
    with_weights = {layer.name: layer for layer in layers if layer.weights}
    if not with_weights:
        raise ValueError(f"solve_readout needs a model with weights. Received: {model!r}.")
    if name is not None and name not in with_weights:
        raise ValueError(f"`layer` must be one of {', '.join(map(repr, with_weights))}. Received: layer={name!r}.")
    name = name or ("logits" if "logits" in with_weights else list(with_weights)[-1])
    layer = with_weights[name]
    if not isinstance(layer, keras.layers.Dense):
        raise ValueError(
            "solve_readout can solve a keras.layers.Dense only: let the model end in one, best named 'logits'. "
            f"Received: {name!r}, a {type(layer).__name__}."
        )
    if layer.activation not in (keras.activations.linear, keras.activations.softmax):
        raise ValueError(
            "solve_readout needs a linear layer, with at most a softmax on it. "
            f"Received: {name!r} with the activation {keras.activations.serialize(layer.activation)!r}."
        )
    return layer


def _targets(y: Any, shape: tuple[int, ...], units: int) -> np.ndarray:
    """The targets as `(rows, units)`: labels as one-hot vectors, others as they are."""
    y = np.asarray(y)
    if np.issubdtype(y.dtype, np.integer) and units > 1 and y.shape in (shape, (*shape, 1)):
        labels = y.reshape(-1)
        if labels.size and not 0 <= labels.min() <= labels.max() < units:
            raise ValueError(
                f"Labels must be from 0 to {units - 1}, for a layer of {units} units. "
                f"Received: {labels.min()} to {labels.max()}."
            )
        return np.eye(units)[labels]
    if y.shape != (*shape, units) and not (units == 1 and y.shape == shape):
        raise ValueError(
            f"Targets must be integer labels of shape {shape} or numbers of shape {(*shape, units)}. "
            f"Received: shape {y.shape}, {y.dtype}."
        )
    return y.reshape(-1, units).astype("float64")


def _weights(weight: Any, shape: tuple[int, ...]) -> np.ndarray:
    """One weight per row; a weight per sequence is that of each of its steps."""
    weight = np.asarray(weight, dtype="float64")
    if weight.shape != shape[: weight.ndim] or weight.ndim == 0 or weight.min(initial=0.0) < 0:
        raise ValueError(
            f"Sample weights must be 0 or more, and have shape {shape[:1]}{f' or {shape}' if len(shape) > 1 else ''}. "
            f"Received: shape {weight.shape}."
        )
    return np.broadcast_to(weight.reshape(weight.shape + (1,) * (len(shape) - weight.ndim)), shape).reshape(-1)
