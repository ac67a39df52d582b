"""Which rows of a batch a replica takes, and how much they count."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from kerasdl.training.keras_internals import losses_of, mask_of
from kerasdl.training.replicas import Replicas

# The seeds of two replicas lie so far apart; a prime, and no multiple of what people add to a seed.
_BETWEEN_SEEDS = 1_000_003


class Share:
    """The rows of a replica: as many as the others have, or one more. Made and used inside `Replicas.run`.

    A batch of fewer rows than replicas goes to each of them as a whole, for no layer knows what to do without a row; it
    then counts one part in `count`, and in the metrics for the first replica only.

    Args:
        x: The inputs of the whole batch.
        replicas: The replicas that share it.
    """

    def __init__(self, x: Any, replicas: Replicas) -> None:
        first, count, index = keras.tree.flatten(x)[0], replicas.count, replicas.index
        rows, known = _rows(first), first.shape[0]
        size = rows // count + tf.cast(index < rows % count, tf.int32)
        start = index * (rows // count) + tf.minimum(index, rows % count)
        self._index = index
        # Whether the rows are those of no other replica before; None where that is known to be so.
        self.is_first: Any = None
        self.fraction = tf.cast(size, tf.float32) / tf.cast(rows, tf.float32)
        if known is None or known < count:
            few = rows < count
            start, size = tf.where(few, 0, start), tf.where(few, rows, size)
            self.fraction = tf.where(few, 1 / count, self.fraction)
            self.is_first = tf.logical_or(tf.logical_not(few), index == 0)
        self.batch_rows = tf.cast(rows, tf.float32)
        self._knows_rows = known is not None
        self._start, self._size = start, size

    def of(self, batch: Any) -> Any:
        """The share's rows of each part of a batch."""
        # Cut where the batch is, so that no more than the share travels to another device.
        with tf.device("CPU:0"):
            return keras.tree.map_structure(lambda part: None if part is None else self._cut(part), batch)

    def _cut(self, part: Any) -> Any:
        if isinstance(part, tf.SparseTensor):
            others = tf.shape(part, out_type=tf.int64)[1:]
            begin = tf.concat([[tf.cast(self._start, tf.int64)], tf.zeros_like(others)], 0)
            return tf.sparse.slice(part, begin, tf.concat([[tf.cast(self._size, tf.int64)], others], 0))
        return part if part.shape.rank == 0 else part[self._start : self._start + self._size]

    @contextmanager
    def own_random_numbers(self, model: keras.Model) -> Iterator[None]:
        """Inside, the model's layers draw other random numbers than on the other replicas.

        The copies of a generator are in the same state, which would drop the same units for different rows.
        """
        states = [variable for variable in model.variables if variable.name == "seed_generator_state"]

        def move(sign: int) -> None:
            for state in states:
                away = tf.stack([self._index * (sign * _BETWEEN_SEEDS), 0])
                state.assign(state.value + tf.cast(away, state.dtype))

        move(1)
        yield
        move(-1)

    @contextmanager
    def means_weighted(self, model: keras.Model) -> Iterator[None]:
        """Inside, what is added to a mean over batches (the loss of each output) counts as much as the share does.

        A batch counts by its rows there where they are known beforehand, as in Keras, and as one where they are not.
        """
        means = [metric for metric in model.metrics if isinstance(metric, keras.metrics.Mean)]
        before = [(tf.identity(metric.total.value), tf.identity(metric.count.value)) for metric in means]
        for metric in means:
            metric.reset_state()
        yield
        weight = self.fraction * self.batch_rows if self._knows_rows else self.fraction
        for metric, (total, count) in zip(means, before, strict=True):
            counted = tf.where(metric.count.value > 0, tf.cast(weight, count.dtype), 0)
            metric.total.assign(total + counted * tf.math.divide_no_nan(metric.total.value, metric.count.value))
            metric.count.assign(count + counted)

    @contextmanager
    def counted_once(self, model: keras.Model) -> Iterator[None]:
        """Inside, rows that several replicas have are added to the metrics by the first one only."""
        variables = _metric_variables(model) if self.is_first is not None else []
        before = [tf.identity(variable.value) for variable in variables]
        yield
        for variable, value in zip(variables, before, strict=True):
            variable.assign(tf.where(self.is_first, variable.value, value))


class Weighting:
    """How much the loss of a replica counts, which depends on what it is a mean of.

    Keras' losses are means over the rows, or over what a mask leaves of them, or over the weights of the rows, and are
    divided by the number of replicas there; or they are sums. (To a sum over fewer rows than replicas the regularisers
    add one part in `count` of what they should.)

    Args:
        model: The compiled model.
        replicas: The replicas it is trained on.
    """

    def __init__(self, model: keras.Model, replicas: Replicas) -> None:
        self._replicas = replicas
        losses = [loss for loss in keras.tree.flatten(model.loss) if loss is not None]
        reductions = {str(getattr(loss, "reduction", "sum_over_batch_size")).replace("None", "none") for loss in losses}
        reductions = {"sum_over_batch_size" if name == "mean" else name for name in reductions}
        if "none" in reductions:
            raise ValueError(
                "Under a distribution strategy a loss must say whether it is a mean or a sum: give it the reduction "
                f"`sum_over_batch_size`, `mean_with_sample_weight` or `sum`. Received: {sorted(reductions)}."
            )
        if len(reductions) > 1:
            raise ValueError(
                "Under a distribution strategy the losses of all outputs must have the same reduction, "
                f"`sum_over_batch_size`, `mean_with_sample_weight` or `sum`. Received: {sorted(reductions)}."
            )
        self._reduction = reductions.pop() if reductions else "sum_over_batch_size"

    def of(self, share: Share, predictions: Any, sample_weight: Any) -> tuple[Any, Any]:
        """The factor of the replica's loss, and what the sum over the replicas must be divided by, if anything."""
        if self._reduction == "sum":
            return (tf.ones(()) if share.is_first is None else tf.cast(share.is_first, tf.float32)), None
        items = self._items(predictions, sample_weight)
        if items is None:
            return share.fraction * self._replicas.count, None
        # Of the order of one, or a half-precision gradient might overflow.
        counted = items / share.batch_rows
        return counted * self._replicas.count, counted

    def add_up(self, values: list[Any], divisor: Any) -> list[Any]:
        """The sums over the replicas of what was multiplied by the factor."""
        if divisor is None:
            return self._replicas.add_up(values)
        *sums, total = self._replicas.add_up([*values, divisor])
        return [value * tf.cast(tf.math.reciprocal_no_nan(total), value.dtype) for value in sums]

    def _items(self, predictions: Any, sample_weight: Any) -> Any:
        """What the loss is a mean of, where that is not the rows."""
        outputs = keras.tree.flatten(predictions)
        # With several outputs each might count others, and one factor for all would be wrong: there the rows count.
        if len(outputs) > 1:
            return None
        mask = mask_of(outputs[0])
        weights = None
        if self._reduction == "mean_with_sample_weight" and sample_weight is not None:
            (weights,) = keras.tree.flatten(sample_weight)
        if mask is None and weights is None:
            return None
        if mask is None:
            return tf.reduce_sum(tf.cast(weights, tf.float32))
        mask = tf.cast(mask, tf.float32)
        if weights is None:
            return tf.reduce_sum(mask)
        weights = tf.cast(weights, tf.float32)
        while weights.shape.rank < mask.shape.rank:
            weights = weights[..., tf.newaxis]
        return tf.reduce_sum(mask * weights)


@contextmanager
def checked_losses(model: keras.Model, outputs: int, sample_weight: Any) -> Iterator[None]:
    """Inside, the model's loss is refused where the losses of the shares do not make that of the batch.

    Keras divides by the number of replicas only where it takes a mean itself, not where a loss gives one number for a
    batch. And one factor cannot weigh outputs whose weights leave each of them another part of the batch.
    """
    losses = {id(loss): loss for loss in losses_of(model)}.values()
    by_weight = any(loss.reduction == "mean_with_sample_weight" for loss in losses)
    if by_weight and outputs > 1 and sample_weight is not None:
        raise ValueError(
            "Under a distribution strategy several outputs cannot have the reduction `mean_with_sample_weight`: use "
            "`sum_over_batch_size`. "
            f"Received: sample weights for a model with {outputs} outputs."
        )

    def checked(loss: keras.losses.Loss) -> Any:
        values_of = loss.call

        def call(y: Any, predictions: Any) -> Any:
            values = values_of(y, predictions)
            if keras.ops.ndim(values) == 0:
                raise ValueError(
                    "Under a distribution strategy a loss must give a value per row, of which Keras takes the mean. "
                    f"Received: {loss.name}, which gives one for all."
                )
            return values

        return call

    for loss in losses:
        loss.call = checked(loss)
    try:
        yield
    finally:
        for loss in losses:
            del loss.call


def _rows(part: Any) -> Any:
    if isinstance(part, tf.RaggedTensor):
        return tf.cast(part.nrows(), tf.int32)
    return tf.cast(tf.shape(part)[0], tf.int32)


def _metric_variables(model: keras.Model) -> list[keras.Variable]:
    return [variable for metric in model.metrics for variable in metric.variables]
