"""The sum at a node of a randomly wired network: every edge has a learned weight between 0 and 1."""

from collections.abc import Sequence
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="kerasdl")
class WeightedSum(keras.layers.Layer):
    """Weighted sum of a list of inputs: `y = sum_i sigmoid(w_i) x_i`, one learned w per input.

    The sigmoid keeps the weights positive, so an edge can be turned down but never turned against what it carries.

    Args:
        initializer: First values of w; zero gives each input the weight 1/2.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> layer = WeightedSum()
        >>> float(layer([keras.ops.ones((1, 1)), 3 * keras.ops.ones((1, 1))])[0, 0])
        2.0

    Reference:
        [Xie et al., 2019](https://arxiv.org/abs/1904.01569), section 3.2
    """

    def __init__(self, initializer: Any = "zeros", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: Sequence[tuple[int | None, ...]]) -> None:
        """Makes one weight per input."""
        shapes = [tuple(shape) if isinstance(shape, list | tuple) else shape for shape in input_shape]
        if not shapes or not all(isinstance(shape, tuple) for shape in shapes) or len(set(shapes)) > 1:
            raise ValueError(
                f"WeightedSum expects a list of inputs that all have the same shape. Received: input_shape={shapes}."
            )
        self.edge_weights = self.add_weight(shape=(len(shapes),), initializer=self.initializer, name="edge_weights")

    def call(self, inputs: Sequence[Any]) -> Any:
        """Adds up the inputs, each turned down by its own factor."""
        factors = keras.ops.unstack(keras.ops.sigmoid(self.edge_weights), num=len(inputs))
        total = factors[0] * inputs[0]
        for factor, value in zip(factors[1:], inputs[1:], strict=True):
            total = total + factor * value
        return total

    def compute_output_shape(self, input_shape: Sequence[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """The shape of each of the inputs."""
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return {**super().get_config(), "initializer": keras.initializers.serialize(self.initializer)}
