"""The latent weights of binary layers, watched: which signs turn, and which cannot any more."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kerasdl.callbacks.layer_names import layer_names
from kerasdl.callbacks.summary import Summary
from kerasdl.layers import TernaryConv2D, TernaryDense
from kerasdl.layers.latent_kernel import LatentKernel

_LIMIT = 1.0  # Where constraints clip, and from where on the estimators of the sign give no gradient.
_NEAR = 0.1  # Of the mean size of a layer's latent weights.


class BinaryWeightSummary(Summary):
    """Writes how the signs of binary and ternary layers turn, and how many latent weights are at their limits.

    For each layer of `kerasdl.layers` that computes with signs of its weights, four scalars, all shares of the weights:

    - `sign_flips/<layer>`: signs that are others than the last time, or than where the training began. Many to the end
      mean a learning rate that is too high for signs to settle; none, that the layer does not learn.
    - `saturated_weights/<layer>`: latent weights at 1 or -1 or beyond. They are the farthest from turning, and beyond
      the limit the clipped estimator gives them no gradient at all.
    - `weights_near_zero/<layer>`: latent weights smaller than a tenth of their mean size: those that turn next.
    - `zero_signs/<layer>`: of ternary layers, the signs that are 0.

    Args:
        log_dir: Folder of the logs; the one given to `keras.callbacks.TensorBoard` will do.
        every: Write after every so many epochs. The step is the epoch, counted from 0 as Keras' TensorBoard does.

    Example:
        >>> callback = BinaryWeightSummary("runs/mine/logs", every=5)
        >>> callback.every
        5

    Reference:
        [Courbariaux et al., 2015](https://arxiv.org/abs/1511.00363), Figure 2: most weights end near -1 or 1;
        [Helwegen et al., 2019](https://arxiv.org/abs/1906.02107) for flips as the true steps of training
    """

    needs_weights = True

    def __init__(self, log_dir: str | Path, *, every: int = 1) -> None:
        super().__init__(log_dir, every=every)
        self._signs: dict[str, np.ndarray] = {}

    def prepare(self) -> None:
        """Finds the layers, and keeps the signs that training begins with."""
        layers = layer_names(self.model)
        self._layers = {name: layer for name, layer in layers.items() if isinstance(layer, LatentKernel)}
        if not self._layers:
            raise ValueError(
                "BinaryWeightSummary expects a model with layers of binary or ternary weights, such as "
                "kerasdl.layers.BinaryConv2D, XnorDense or TernaryConv2D. "
                f"Received: model {self.model.name!r}, which has none."
            )
        if not self._is_waiting:  # Else the training has begun long ago.
            self._signs = {name: _signs(layer) for name, layer in self._layers.items()}

    def write(self, step: int, logs: dict[str, Any]) -> None:
        """Writes the shares."""
        for name, layer in self._layers.items():
            sizes, signs = np.abs(np.asarray(layer.kernel, "float32")), _signs(layer)
            shares = {
                "saturated_weights": sizes >= _LIMIT,
                "weights_near_zero": sizes < _NEAR * sizes.mean(),
            }
            before = self._signs.get(name)
            if before is not None and before.shape == signs.shape:
                shares["sign_flips"] = signs != before
            if isinstance(layer, TernaryConv2D | TernaryDense):
                shares["zero_signs"] = signs == 0
            for kind, which in shares.items():
                tf.summary.scalar(f"{kind}/{name}", np.mean(which), step)
            self._signs[name] = signs

    def get_state(self) -> dict[str, Any]:
        """The signs that were written last."""
        return {"signs": dict(self._signs)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes up what `get_state` gave.

        Args:
            state: The signs that were written last.
        """
        self._signs = dict(state["signs"])


def _signs(layer: LatentKernel) -> np.ndarray:
    # A weight that has become NaN has no sign.
    return np.nan_to_num(np.asarray(layer.kernel_signs(), "float32")).astype("int8")
