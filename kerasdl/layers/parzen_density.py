"""Parzen windows: how dense do the examples of each class lie around the input?"""

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

# How many distances of points are held at once while the width is looked for.
BLOCK = 2**21


@keras.saving.register_keras_serializable(package="kerasdl")
class ParzenDensity(keras.layers.Layer):
    """Log density of each class by Parzen windows: `y_c = log(1/n_c sum_i N(x; p_ci, h^2 I))`.

    A normal density of width h stands on each of the class' n_c points. The largest output names the class, if all are
    as frequent. Unlike the score of a dense layer it falls again far from all that was seen.
    All is computed with logarithms: densities themselves are zero in float32 where there are many features.

    Args:
        counts: How many points each class has.
        bandwidth: The width h.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> layer = ParzenDensity.of_examples(np.array([[0.0], [1.0], [5.0]]), [0, 0, 1], bandwidth=1.0)
        >>> layer(np.array([[0.5], [5.0]])).numpy().argmax(axis=1).tolist()
        [0, 1]

    Reference:
        [Parzen, 1962](https://doi.org/10.1214/aoms/1177704472), equation 1.4
    """

    def __init__(self, counts: Any, bandwidth: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.counts = [int(count) for count in counts]
        self.bandwidth = float(bandwidth)
        if not self.counts or min(self.counts) < 1:
            raise ValueError(f"`counts` must be the number of points of each class, at least 1. Received: {counts!r}.")
        if not 0 < self.bandwidth < math.inf:
            raise ValueError(f"`bandwidth` must be a number above 0. Received: {bandwidth!r}.")

    @classmethod
    def of_examples(cls, features: Any, labels: Any, bandwidth: float | None = None, **kwargs: Any) -> "ParzenDensity":
        """The layer, built, that has examples as its points.

        Args:
            features: What a network makes of its examples, `(N, features)`.
            labels: Their classes, from 0.
            bandwidth: The width h; None takes the one under which each point is likeliest, given the others of its
                class (leave-one-out cross-validation).
            **kwargs: Arguments of the layer.
        """
        features, labels = np.asarray(features, "float32"), np.asarray(labels)
        if features.ndim != 2 or labels.shape != features.shape[:1] or labels.dtype.kind not in "iu":
            raise ValueError(
                "`features` must have shape (N, features) and `labels` be N whole numbers. Received: shapes "
                f"{features.shape} and {labels.shape}, {labels.dtype}."
            )
        if not np.isfinite(features).all():
            raise ValueError("`features` must be finite numbers. Received: NaN or infinity among them.")
        if (labels < 0).any():
            raise ValueError(f"`labels` must be classes, numbered from 0. Received: {labels.min()} among them.")
        groups = [features[labels == label] for label in range(labels.max() + 1)]
        layer = cls(
            [len(group) for group in groups], _likeliest_width(groups) if bandwidth is None else bandwidth, **kwargs
        )
        layer.build((None, features.shape[1]))
        layer.points.assign(np.concatenate(groups))
        return layer

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the points, which are not trained."""
        self.points = self.add_weight(
            shape=(sum(self.counts), input_shape[-1]), initializer="random_normal", trainable=False, name="points"
        )

    def call(self, inputs: Any) -> Any:
        """The log density of each class at each input."""
        x, points = keras.ops.cast(inputs, "float32"), keras.ops.cast(self.points, "float32")
        # About the points' mean, so that little is lost where squares of like size are subtracted.
        middle = keras.ops.mean(points, axis=0)
        x, points = x - middle, points - middle
        squares = keras.ops.sum(keras.ops.square(x), axis=-1, keepdims=True) + keras.ops.sum(points**2, axis=-1)
        distances = keras.ops.maximum(squares - 2 * keras.ops.matmul(x, keras.ops.transpose(points)), 0)
        exponents = -distances / (2 * self.bandwidth**2)
        ends = np.cumsum(self.counts).tolist()
        groups = [exponents[..., end - count : end] for end, count in zip(ends, self.counts, strict=True)]
        constant = x.shape[-1] * math.log(self.bandwidth * math.sqrt(2 * math.pi))
        densities = [
            keras.ops.logsumexp(group, axis=-1) - math.log(count) - constant
            for group, count in zip(groups, self.counts, strict=True)
        ]
        return keras.ops.cast(keras.ops.stack(densities, axis=-1), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """One log density per class."""
        return (*input_shape[:-1], len(self.counts))

    def multiply_adds(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """For one example: one product with each entry of each point."""
        return math.prod(input_shape[1:]) * sum(self.counts)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return {**super().get_config(), "counts": self.counts, "bandwidth": self.bandwidth}


def _likeliest_width(groups: list[np.ndarray]) -> float:
    """The width, of a grid in steps of 15 %, under which the points of each group are likeliest given the others."""
    if min(len(group) for group in groups) < 2:
        raise ValueError("Without `bandwidth` each class needs at least 2 points; give more, or the bandwidth.")
    nearest = math.sqrt(
        np.mean([np.concatenate([rows.min(axis=1) for rows in _distances(group)]).mean() for group in groups])
    )
    if nearest == 0:
        raise ValueError("Without `bandwidth` the points must not all lie on each other; give other features.")
    # Given one other point, the likeliest width is the distance to it over the root of the number of features. Where
    # many lie around it is wider: the grid grows until its best is not its end.
    step = 100 ** (1 / 32)
    widths = nearest / math.sqrt(groups[0].shape[1]) * step ** np.arange(-16, 17)
    likelihoods = _likelihoods(groups, widths)
    while (best := int(likelihoods.argmax())) in (0, len(widths) - 1):
        more = widths[best] * step ** (np.arange(-8, 0) if best == 0 else np.arange(1, 9))
        order = np.argsort(np.concatenate([widths, more]))
        likelihoods = np.concatenate([likelihoods, _likelihoods(groups, more)])[order]
        widths = np.concatenate([widths, more])[order]
    return float(widths[best])


def _likelihoods(groups: list[np.ndarray], widths: np.ndarray) -> np.ndarray:
    """The log density at each point, given the others of its group, summed over all points, for each width."""
    sums = np.zeros(len(widths))
    for group in groups:
        for squares in _distances(group):
            top = -squares.min(axis=1, keepdims=True)
            for index, width in enumerate(widths):
                scale = 2 * width**2
                sums[index] += (top[:, 0] / scale + np.log(np.exp((-squares - top) / scale).sum(axis=1))).sum()
        sums -= len(group) * (group.shape[1] * np.log(widths) + math.log(len(group) - 1))
    return sums


def _distances(group: np.ndarray) -> Iterator[np.ndarray]:
    """Squared distances from some points to all of the group, infinite to themselves; some more; and so on."""
    centred = group - group.mean(axis=0, dtype="float64")
    squares = (centred**2).sum(axis=1)
    count = max(1, BLOCK // len(group))
    for begin in range(0, len(group), count):
        some = slice(begin, begin + count)
        block = np.maximum(squares[some, None] + squares - 2 * centred[some] @ centred.T, 0)
        np.fill_diagonal(block[:, some], np.inf)
        yield block
