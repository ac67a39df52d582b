"""What latent weights of binary layers must keep to."""

from typing import Any

import keras

__all__ = ["LatentWeights"]


@keras.saving.register_keras_serializable(package="kerasdl")
class LatentWeights(keras.constraints.Constraint):
    """Centres each filter over its input channels and clips it: `W <- clip(W - mean(W), -1, 1)`.

    A latent weight counts by its sign alone. Without the mean that the channels at one place of a filter share, the
    signs tell them apart; beyond 1 and -1 the clipped straight-through estimator gives no gradient, and a sign would
    stay as it is for good. Keras applies a constraint after every step of the optimizer, as the paper's code does
    before the next signs are taken.

    A filter that reads one channel only is not centred: its mean is itself, and it would be 0 for good.

    Args:
        centre: False only clips, as BinaryConnect and BinaryNet do.

    Example:
        >>> LatentWeights()(keras.ops.array([[0.5], [0.25], [2.25]])).numpy().ravel()
        array([-0.5 , -0.75,  1.  ], dtype=float32)

    Reference:
        [Rastegari et al., 2016](https://arxiv.org/abs/1603.05279), section 3 and the authors' code;
        [Courbariaux et al., 2015](https://arxiv.org/abs/1511.00363), section 2.4, for the clipping
    """

    def __init__(self, centre: bool = True) -> None:
        if not isinstance(centre, bool):
            raise ValueError(f"`centre` must be True or False. Received: centre={centre!r}.")
        self.centre = centre

    def __call__(self, w: Any) -> Any:
        """Centres and clips.

        Args:
            w: A kernel, whose last two axes are the input channels and the filters.
        """
        w = keras.ops.convert_to_tensor(w)
        if len(w.shape) < 2:
            raise ValueError(
                "LatentWeights is meant for kernels, whose last two axes are the input channels and the filters. "
                f"Received: weights of shape {tuple(w.shape)}."
            )
        if self.centre and w.shape[-2] > 1:
            w = w - keras.ops.mean(w, axis=-2, keepdims=True)
        return keras.ops.clip(w, -1, 1)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this constraint again."""
        return {"centre": self.centre}
