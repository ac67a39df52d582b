"""Positions for networks that have no order of their own."""

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="kerasdl")
class SinusoidalPositions(keras.layers.Layer):
    """Adds to each step where it stands: `y_t = sqrt(d) x_t + [sin(t w_1), ..., cos(t w_1), ...]`.

    `w_i = 10000^(-2 i / d)`, for i from 0 to d / 2 - 1: waves of many lengths. Short ones tell neighbours apart, long
    ones the beginning from the end, and a shift by some steps is the same rotation wherever it begins. They are
    computed, not learned, so that there is no longest text. The factor `sqrt(d)` is the paper's: it makes embeddings
    as large as the waves. Sines and cosines stand in two halves: the paper's order but for a permutation.

    Called on `(batch, steps, d)` with an even d; `start` is the number of the first step.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> (100 * SinusoidalPositions()(np.zeros((1, 2, 2)))).numpy().round().tolist()
        [[[0.0, 100.0], [84.0, 54.0]]]

    Reference:
        [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762), sections 3.4 and 3.5
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes no weights."""
        if len(input_shape) != 3 or input_shape[-1] is None or input_shape[-1] % 2:
            raise ValueError(
                "SinusoidalPositions expects shape (batch, steps, features) with an even number of features. "
                f"Received: {tuple(input_shape)}."
            )

    def call(self, inputs: Any, start: Any = 0) -> Any:
        """Adds the waves."""
        features = inputs.shape[-1]
        times = keras.ops.cast(start + keras.ops.arange(keras.ops.shape(inputs)[1]), "float32")
        rates = 10000.0 ** (-keras.ops.arange(0, features, 2, dtype="float32") / features)
        angles = times[:, None] * rates
        waves = keras.ops.concatenate([keras.ops.sin(angles), keras.ops.cos(angles)], axis=-1)
        return inputs * features**0.5 + keras.ops.cast(waves, inputs.dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...], **_: Any) -> tuple[int | None, ...]:
        """The shape of the inputs."""
        return tuple(input_shape)
