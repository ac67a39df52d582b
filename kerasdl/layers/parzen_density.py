"""Parzen windows: how dense do the examples of each class lie around the input?"""

import math
from typing import Any

import keras
import numpy as np


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
    """The width, of some thirty, under which the points of each group are likeliest, each given the others."""
    if min(len(group) for group in groups) < 2:
        raise ValueError("Without `bandwidth` each class needs at least 2 points; give more, or the bandwidth.")
    distances = []
    for group in groups:
        centred = (group - group.mean(axis=0)).astype("float64")
        squares = (centred**2).sum(axis=1)
        table = np.maximum(squares[:, None] + squares - 2 * centred @ centred.T, 0)
        np.fill_diagonal(table, np.inf)
        distances.append(table)
    nearest = np.sqrt(np.mean([table.min(axis=1).mean() for table in distances]))
    if nearest == 0:
        raise ValueError("Without `bandwidth` the points must not all lie on each other; give other features.")
    best, width = -np.inf, nearest
    for candidate in nearest * np.geomspace(0.03, 3, 33):
        likelihood = 0.0
        for table in distances:
            exponents = -table / (2 * candidate**2)
            top = exponents.max(axis=1)
            likelihood += (top + np.log(np.exp(exponents - top[:, None]).sum(axis=1))).sum()
            likelihood -= len(table) * (groups[0].shape[1] * math.log(candidate) + math.log(len(table) - 1))
        if likelihood > best:
            best, width = likelihood, candidate
    return float(width)
