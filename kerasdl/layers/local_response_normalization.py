"""The normalisation of AlexNet: strong neighbours among the maps make a unit weaker."""

from numbers import Real
from typing import Any

import keras
import numpy as np

from kerasdl.layers.checks import check_positive


@keras.saving.register_keras_serializable(package="kerasdl")
class LocalResponseNormalization(keras.layers.Layer):
    """Local response normalisation: `b_i = a_i / (k + alpha * sum of a_j^2 over n adjacent maps) ^ beta`.

    The sum runs over the maps `i - n // 2` to `i + n // 2` at the same place, as far as there are such maps. So units
    at one place compete, as neighbouring neurons do: a large value silences those beside it. The order of the maps is
    arbitrary in the beginning; the network learns one.

    As in the paper, `alpha` multiplies the sum. Caffe and PyTorch divide it by `n` first: their `alpha` of 5e-4 with
    `n=5` is 1e-4 here. The sum is taken in float32 also where the layer computes in half precision, whose three
    digits would lose `alpha * a^2` beside `k`. It is a product with a band matrix, which trains two to three times as
    fast on a CPU as TensorFlow's own operation.

    Args:
        k: What the sum is added to.
        n: How many adjacent maps compete, an odd number.
        alpha: How much the sum counts.
        beta: The exponent.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> layer = LocalResponseNormalization(k=1, n=3, alpha=1, beta=0.5)
        >>> maps = np.full((1, 1, 1, 3), 2.0, "float32")
        >>> print(np.round(layer(maps), 2))  # 2 / 3 beside one equal neighbour, 2 / sqrt(13) beside two
        [[[[0.67 0.55 0.67]]]]

    Reference:
        [Krizhevsky et al., 2012](https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks),
        section 3.3
    """

    def __init__(self, k: float = 2.0, n: int = 5, alpha: float = 1e-4, beta: float = 0.75, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if check_positive("n", n) % 2 == 0:
            raise ValueError(f"`n` must be odd: as many maps on one side as on the other. Received: n={n}.")
        for name, value in (("k", k), ("alpha", alpha), ("beta", beta)):
            if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < float("inf"):
                raise ValueError(f"`{name}` must be a positive number. Received: {name}={value!r}.")
        self.k, self.n, self.alpha, self.beta = float(k), int(n), float(alpha), float(beta)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Notes who is whose neighbour; there are no weights."""
        if len(input_shape) != 4 or input_shape[-1] is None:
            raise ValueError(
                "LocalResponseNormalization expects maps of shape (batch, height, width, channels). "
                f"Received: input_shape={tuple(input_shape)}."
            )
        index = np.arange(input_shape[-1])
        self._neighbours = (np.abs(index[:, None] - index) <= self.n // 2).astype("float32")

    def call(self, inputs: Any) -> Any:
        """Divides each value by what its neighbours make of it."""
        maps = keras.ops.cast(inputs, "float32")
        divisor = self.k + self.alpha * keras.ops.matmul(keras.ops.square(maps), self._neighbours)
        # Cheaper than a power, and so is its gradient.
        normalized = maps * keras.ops.exp(-self.beta * keras.ops.log(divisor))
        return keras.ops.cast(normalized, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape stays."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return {**super().get_config(), "k": self.k, "n": self.n, "alpha": self.alpha, "beta": self.beta}
