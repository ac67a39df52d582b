"""How well every step is predicted, counted over all real steps of all batches: padding has no part in it.

Keras' own metrics take a mean over each row's steps and then over rows, in which the padding of a batch decides how
much the batch counts.
"""

from typing import Any

import keras
import numpy as np

_SMALLEST = float(np.finfo("float32").tiny)


class _StepMean(keras.metrics.Mean):
    """The mean over all steps of what `values` gives for each, of all batches, without those that the mask hides."""

    def values(self, truth: Any, predictions: Any) -> Any:
        """A number for each step: `(..., )` class numbers and `(..., classes)` probabilities in."""
        raise NotImplementedError

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch.

        Args:
            y_true: The numbers of the true classes, `(batch, steps)`; in the padding any valid class.
            y_pred: Probabilities `(batch, steps, classes)`, with the mask that Keras' layers carry along. What has one
                class for each row may be given too.
            sample_weight: How much each row or each step counts.
        """
        # Keras hands a metric no mask and has no public name for it; its own metrics look here, too.
        mask = getattr(y_pred, "_keras_mask", None)
        truth, predictions = keras.ops.convert_to_tensor(y_true), keras.ops.convert_to_tensor(y_pred)
        if len(truth.shape) == len(predictions.shape) and truth.shape[-1] == 1:
            truth = keras.ops.squeeze(truth, axis=-1)
        if len(truth.shape) != len(predictions.shape) - 1:
            raise ValueError(
                "`y_true` must be the number of the class of each step, with one axis less than the probabilities. "
                f"Received: shapes {tuple(truth.shape)} and {tuple(predictions.shape)}."
            )
        values = self.values(keras.ops.cast(truth, "int32"), keras.ops.cast(predictions, self.dtype))
        weights = keras.ops.ones_like(values)
        for given in (mask, sample_weight):
            if given is None:
                continue
            given = keras.ops.cast(given, self.dtype)
            if len(given.shape) > len(values.shape):
                given = keras.ops.squeeze(given, axis=-1)
            weights *= keras.ops.reshape(given, (*keras.ops.shape(given), *[1] * (len(values.shape) - given.ndim)))
        super().update_state(keras.ops.reshape(values, [-1]), sample_weight=keras.ops.reshape(weights, [-1]))


@keras.saving.register_keras_serializable(package="kerasdl")
class StepAccuracy(_StepMean):
    """The share of the real steps whose most likely class is right: `right steps / steps`, over all batches.

    For `compile(..., metrics=[StepAccuracy()])` of whatever gives each step a class: a tagger, a language model, a
    translator, a video classifier. Keras' "accuracy" weighs a batch the less the more padding it has.

    Args:
        name: What the logs call it.
        dtype: Of the sums.

    Example:
        >>> metric = StepAccuracy()
        >>> metric.update_state([[1, 0]], [[[0.2, 0.8], [0.1, 0.9]]])
        >>> float(metric.result())
        0.5

    Reference:
        [Marcus et al., 1993](https://aclanthology.org/J93-2004/), section 2.3, where taggers agree on words
    """

    def __init__(self, name: str = "accuracy", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def values(self, truth: Any, predictions: Any) -> Any:
        """1 where the most likely class is the true one."""
        return keras.ops.cast(keras.ops.equal(keras.ops.argmax(predictions, axis=-1), truth), self.dtype)


@keras.saving.register_keras_serializable(package="kerasdl")
class StepBits(_StepMean):
    """The bits that each real step costs: the mean of `-log2 p(true class)` over all real steps of all batches.

    For a language model bits per character, or per word, the end of a text counted as one; 2 to their power is the
    perplexity. The loss in Keras' logs weighs batches by their rows, and is that only where all texts are equally long.

    Args:
        name: What the logs call it.
        dtype: Of the sums.

    Example:
        >>> metric = StepBits()
        >>> metric.update_state([[1, 0]], [[[0.5, 0.5], [0.125, 0.875]]])
        >>> float(metric.result())
        2.0

    Reference:
        [Graves, 2013](https://arxiv.org/abs/1308.0850), section 3.1, for bits per character
    """

    def __init__(self, name: str = "bits", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def values(self, truth: Any, predictions: Any) -> Any:
        """The bits of each step; of what float32 takes for impossible, 126."""
        chances = keras.ops.take_along_axis(predictions, keras.ops.expand_dims(truth, -1), axis=-1)
        return -keras.ops.log2(keras.ops.maximum(keras.ops.squeeze(chances, axis=-1), _SMALLEST))
