"""The subsampling of LeNet-5: pooling with a coefficient and a bias that are learned."""

from typing import Any

import keras

from kerasdl.layers.checks import check_positive
from kerasdl.layers.squashing import scaled_tanh


@keras.saving.register_keras_serializable(package="kerasdl")
class TrainablePooling(keras.layers.Layer):
    """Trainable subsampling: `y = f(alpha * sum(window) + beta)`, one alpha and one beta per channel.

    Each window's values are added, multiplied by a learned coefficient and shifted by a learned bias. A small alpha
    keeps the unit in f's straight part, where it blurs; a large one makes it a "noisy or" or a "noisy and", as beta
    decides.

    Args:
        pool_size: Height and width of the window, which is also the step from one window to the next.
        activation: The squashing function f; None for the identity.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> layer = TrainablePooling(activation=None)
        >>> float(layer(keras.ops.ones((1, 2, 2, 1)))[0, 0, 0, 0])  # alpha starts at 1/4: an average
        1.0

    Reference:
        [LeCun et al., 1998](https://doi.org/10.1109/5.726791), section II.B, layer S2
    """

    def __init__(self, pool_size: int = 2, activation: Any = scaled_tanh, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_size = check_positive("pool_size", pool_size)
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes one coefficient and one bias per channel."""
        if len(input_shape) != 4:
            raise ValueError(
                "TrainablePooling expects images of shape (batch, height, width, channels). "
                f"Received: input_shape={tuple(input_shape)}."
            )
        channels = (input_shape[-1],)
        average = keras.initializers.Constant(1 / self.pool_size**2)
        self.alpha = self.add_weight(shape=channels, initializer=average, name="alpha")
        self.beta = self.add_weight(shape=channels, initializer="zeros", name="beta")

    def call(self, inputs: Any) -> Any:
        """Adds up each window, scales, shifts and squashes."""
        window_sum = keras.ops.average_pool(inputs, self.pool_size, self.pool_size) * self.pool_size**2
        return self.activation(window_sum * self.alpha + self.beta)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the pooled maps: what does not fill a window is left out."""
        batch, height, width, channels = input_shape
        smaller = (side if side is None else side // self.pool_size for side in (height, width))
        return (batch, *smaller, channels)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), "pool_size": self.pool_size, "activation": activation}
