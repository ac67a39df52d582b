"""What latent weights of binary layers must keep to."""

from typing import Any

import keras
import numpy as np

__all__ = ["LatentWeights"]


@keras.saving.register_keras_serializable(package="kerasdl")
class LatentWeights(keras.constraints.Constraint):
    """Centres each filter over its input channels and clips it: `W <- clip(W - mean(W), -1, 1)`.

    A latent weight counts by its sign alone. Without the mean that the channels at one place of a filter share, the
    signs tell them apart; beyond 1 and -1 the clipped straight-through estimator gives no gradient, and a sign would
    stay as it is for good. Keras applies a constraint after every step of the optimizer, as the paper's code does
    before the next signs are taken.

    A filter that reads one channel only is not centred: its mean is itself, and it would be 0 for good. Filters that
    read two or three are better off without, too: numbers whose mean is 0 are not all of one sign, and the signs of two
    are always opposite. `BinaryDense(1)` that is to learn `(x1 + x2 + x3) / 2` ends at a mean squared error of 0.63,
    and with `centre=False` at less than 1e-5 (`pytest tests/test_constraints.py -k few`).

    Other constraints are no substitute: `keras.constraints.NonNeg` turns all signs into +1, `MaxNorm` clips nothing.

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
        # Said here again, for the layers, whose checks have it, import this module.
        if not isinstance(centre, bool | np.bool_):
            raise ValueError(f"`centre` must be True or False. Received: centre={centre!r}.")
        self.centre = bool(centre)

    def __repr__(self) -> str:
        """As it is written, for `help` shows it as the default of layers."""
        return f"LatentWeights(centre={self.centre})"

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
