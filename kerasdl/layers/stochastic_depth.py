"""Stochastic depth: residual branches that are left out at random while the network learns."""

from numbers import Real
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="kerasdl")
class StochasticDepth(keras.layers.Layer):
    """Leaves out a residual branch: `y = m x / (1 - rate)` in training, m = 0 with probability `rate`, else 1.

    Every example draws one m of its own for the whole branch. Without the branch the block is its shortcut, so each
    step trains a shallower network: gradients reach the first layers more directly, and the depths vote like an
    ensemble. Branches that are kept grow by 1 / (1 - rate), so that the expected value stays the same and inference can
    leave everything as it is.

    Args:
        rate: The probability of leaving the branch out, at least 0 and less than 1.
        seed: Where chance starts; None for another start each time.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> branch = keras.ops.ones((4, 2, 2, 3))
        >>> kept = StochasticDepth(0.5, seed=0)(branch, training=True)
        >>> set(keras.ops.convert_to_numpy(kept).flat) <= {0.0, 2.0}
        True

    Reference:
        [Huang et al., 2016](https://arxiv.org/abs/1603.09382), section 3; drawn for each example, and scaled in
        training, as in [Larsson et al., 2016](https://arxiv.org/abs/1605.07648)
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(rate, bool) or not isinstance(rate, Real) or not 0 <= float(rate) < 1:
            raise ValueError(
                "`rate` must be at least 0 and less than 1: the probability of leaving the branch out. "
                f"Received: rate={rate!r}."
            )
        self.rate: float = float(rate)
        self.seed: int | None = seed
        if self.rate > 0:
            self.seed_generator: Any = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Leaves the branch out or scales it up, in training; gives it as it is otherwise."""
        if not training or self.rate == 0:
            return inputs
        shape = (keras.ops.shape(inputs)[0],) + (1,) * (len(inputs.shape) - 1)
        # Drawn in float32: in bfloat16 the random numbers, and with them the rate, would be coarse.
        drawn = keras.random.uniform(shape, seed=self.seed_generator, dtype="float32")
        factor = keras.ops.where(drawn >= self.rate, 1 / (1 - self.rate), 0.0)
        return inputs * keras.ops.cast(factor, inputs.dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The input's shape."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
