"""Layer scale: a learned factor for each channel of a residual branch, nearly 0 at first."""

from numbers import Real
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="kerasdl")
class LayerScale(keras.layers.Layer):
    """Multiplies each channel by a learned factor: `y = gamma x`.

    At the end of a residual branch and nearly 0 at first, it makes a new block the identity: a deep network starts as a
    shallow one, and each channel of each block fades in as it becomes useful.

    Args:
        initial_value: What gamma starts with.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> float(LayerScale(0.5)(keras.ops.ones((1, 3)))[0, 0])
        0.5

    Reference:
        [Touvron et al., 2021](https://arxiv.org/abs/2103.17239), equation 4
    """

    def __init__(self, initial_value: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(initial_value, bool) or not isinstance(initial_value, Real):
            raise ValueError(f"`initial_value` must be a number. Received: initial_value={initial_value!r}.")
        self.initial_value: float = float(initial_value)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes one factor per channel, the last axis."""
        if input_shape[-1] is None:
            raise ValueError(
                "LayerScale has one weight per channel, the last axis, whose size must be known. "
                f"Received: input_shape={tuple(input_shape)}."
            )
        start = keras.initializers.Constant(self.initial_value)
        self.gamma = self.add_weight(shape=(input_shape[-1],), initializer=start, name="gamma")

    def call(self, inputs: Any) -> Any:
        """Multiplies by gamma."""
        return inputs * self.gamma

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The input's shape."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return {**super().get_config(), "initial_value": self.initial_value}
