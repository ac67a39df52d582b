"""SAF-pooling of SimpNet: the strongest features go on, and then some of them are removed."""

from typing import Any

import keras

from kerasdl.layers.checks import check_positive


@keras.saving.register_keras_serializable(package="kerasdl")
class SAFPooling(keras.layers.Layer):
    """SAF-pooling: `y = mask * max(window) / (1 - rate)` in training, `y = max(window)` in inference.

    The maximum selects the strongest feature of each window, and dropout then takes it away with probability `rate`,
    so that weaker features have to learn to do its work. Dropout in front of the maximum would not do that: the
    second strongest of the same window would step in at once.

    Args:
        pool_size: Height and width of the window.
        strides: Step from one window to the next; without it the windows lie side by side.
        rate: The share of the maxima that is set to zero in training; at 0 the layer is max pooling.
        seed: Makes the masks repeatable.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> layer = SAFPooling(rate=0.5, seed=0)
        >>> float(layer(keras.ops.ones((1, 2, 2, 1)))[0, 0, 0, 0])
        1.0
        >>> sorted(set(np.asarray(layer(keras.ops.ones((1, 20, 20, 1)), training=True)).ravel().tolist()))
        [0.0, 2.0]

    Reference:
        [Hasanpour et al., 2018](https://arxiv.org/abs/1802.06205)
    """

    def __init__(
        self, pool_size: int = 2, strides: int | None = None, rate: float = 0.2, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.pool_size = check_positive("pool_size", pool_size)
        self.strides = self.pool_size if strides is None else check_positive("strides", strides)
        if not 0 <= rate < 1:
            raise ValueError(f"`rate` must be at least 0 and below 1. Received: rate={rate!r}.")
        self.rate = float(rate)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Refuses what has no windows."""
        sides = tuple(input_shape)[1:3]
        if len(input_shape) != 4 or any(side is not None and side < self.pool_size for side in sides):
            raise ValueError(
                "SAFPooling expects images of shape (batch, height, width, channels), at least as high and wide as its "
                f"window of {self.pool_size}. Received: input_shape={tuple(input_shape)}."
            )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Takes each window's maximum and, in training, removes some of the maxima."""
        strongest = keras.ops.max_pool(inputs, self.pool_size, self.strides)
        if not training or self.rate == 0:
            return strongest
        return keras.random.dropout(strongest, self.rate, seed=self.seed_generator)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the pooled maps: what does not fill a window is left out."""
        batch, height, width, channels = input_shape
        smaller = (side if side is None else (side - self.pool_size) // self.strides + 1 for side in (height, width))
        return (batch, *smaller, channels)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        config = {"pool_size": self.pool_size, "strides": self.strides, "rate": self.rate, "seed": self.seed}
        return {**super().get_config(), **config}
