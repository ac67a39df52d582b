"""Radial basis function units: how far is the input from each class' code?"""

import math
from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable(package="kerasdl")
class EuclideanRBF(keras.layers.Layer):
    """Euclidean radial basis function units: `y_i = sum_j (x_j - w_ij)^2`.

    Each unit measures the squared distance between the input and its code, so the smallest output names the class.
    The codes are fixed: distributed codes tell "none of these" apart better than one-of-n outputs do, for an input
    that is no member of any class is far from all of them.

    Args:
        codes: The codes w, one row per class.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> layer = EuclideanRBF(codes=[[1, 1, -1], [-1, 1, 1]])
        >>> layer(keras.ops.array([[1.0, 1.0, -1.0]])).numpy().tolist()
        [[0.0, 8.0]]

    Reference:
        [LeCun et al., 1998](https://doi.org/10.1109/5.726791), section II.B, equation 7
    """

    def __init__(self, codes: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        table = np.asarray(codes, dtype="float32")
        if table.ndim != 2 or table.size == 0:
            raise ValueError(
                "`codes` must be a table with one row per class and one column per input. "
                f"Received: an array of shape {table.shape}."
            )
        self.code_table = table

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Lays down the codes as weights that are not trained."""
        classes, features = self.code_table.shape
        if input_shape[-1] != features:
            raise ValueError(
                f"Each code has {features} entries, so the input's last dimension must be {features}. "
                f"Received: input_shape={tuple(input_shape)}."
            )
        codes = keras.initializers.Constant(self.code_table)
        self.codes = self.add_weight(shape=(classes, features), initializer=codes, trainable=False, name="codes")

    def call(self, inputs: Any) -> Any:
        """The squared distance of each input to each code."""
        return keras.ops.sum(keras.ops.square(inputs[..., None, :] - self.codes), axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """One distance per code."""
        return (*input_shape[:-1], len(self.code_table))

    def multiply_adds(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """For one example: each entry of a code is squared and added once, as a dense layer multiplies and adds."""
        return math.prod(input_shape[1:]) * len(self.code_table)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return {**super().get_config(), "codes": self.code_table.tolist()}
