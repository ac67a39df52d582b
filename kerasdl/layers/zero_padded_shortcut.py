"""The shortcut without parameters: where maps get smaller and more, take every second pixel and add empty maps."""

from typing import Any

import keras

from kerasdl.layers.checks import check_positive


@keras.saving.register_keras_serializable(package="kerasdl")
class ZeroPaddedShortcut(keras.layers.Layer):
    """Option A: `y[i, j, c] = x[s i, s j, c]` for the channels that x has, and 0 for the new ones.

    Nothing is learned and nothing multiplied, so a residual network and the plain one beside it have the same number
    of parameters, and what differs in training is due to the shortcuts alone.

    Args:
        filters: How many maps come out; at least as many as come in.
        strides: The step s in both directions.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> layer = ZeroPaddedShortcut(3, strides=2)
        >>> layer(keras.ops.ones((1, 4, 4, 1)))[0, :, :, 0].shape
        TensorShape([2, 2])

    Reference:
        [He et al., 2015](https://arxiv.org/abs/1512.03385), section 3.3, option A
    """

    def __init__(self, filters: int, strides: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = check_positive("filters", filters)
        self.strides = check_positive("strides", strides)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Refuses what is no batch of maps, or has too many of them."""
        if len(input_shape) != 4 or input_shape[-1] is None:
            raise ValueError(
                "ZeroPaddedShortcut expects maps of shape (batch, height, width, channels). "
                f"Received: input_shape={tuple(input_shape)}."
            )
        if input_shape[-1] > self.filters:
            raise ValueError(
                "`filters` must be at least the number of channels that come in: this shortcut adds maps and takes "
                f"none away. Received: filters={self.filters}, input_shape={tuple(input_shape)}."
            )

    def call(self, inputs: Any) -> Any:
        """Takes every s-th row and column, and appends empty maps."""
        # Pooling over single pixels takes the same ones as a slice, several times as fast.
        x = keras.ops.average_pool(inputs, 1, self.strides, "valid")
        return keras.ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, self.filters - inputs.shape[-1])))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the maps: a side that the step does not divide is rounded up."""
        batch, height, width, _ = input_shape
        smaller = (side if side is None else -(-side // self.strides) for side in (height, width))
        return (batch, *smaller, self.filters)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return {**super().get_config(), "filters": self.filters, "strides": self.strides}
