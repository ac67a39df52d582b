"""What all binary and ternary layers share: a latent kernel, its signs and one scale per filter."""

import warnings
from typing import Any

import keras
import tensorflow as tf

from kerasdl.constraints import LatentWeights
from kerasdl.layers.checks import check_bool
from kerasdl.layers.estimators import sign_ste

# Stands in signatures, where `help` shows it; every layer gets one of its own.
DEFAULT_CONSTRAINT = LatentWeights()


class LatentKernel(keras.layers.Layer):
    """A layer's kernel W as what computes with it: `B = sign(W)` and `alpha = mean |W|` of each filter.

    Stands before `keras.layers.Conv2D` or `keras.layers.Dense` among the parents of a class.

    The products are taken in float32 also under mixed precision, and rounded at the end: sums of signs beyond 256 do
    not exist in bfloat16, nor beyond 2048 in float16.
    """

    # From where a warning comes: how many calls lie between it and whoever makes a layer.
    calls_to_the_maker = 3
    # What the packed engine asks of every layer; a layer that has the argument sets it.
    input_scale = False
    pad_value = 0

    def __init__(
        self, *args: Any, weight_scale: bool = True, kernel_constraint: Any = DEFAULT_CONSTRAINT, **kwargs: Any
    ) -> None:
        weight_scale = check_bool("weight_scale", weight_scale)
        if kernel_constraint is DEFAULT_CONSTRAINT:
            kernel_constraint = LatentWeights()
        super().__init__(*args, kernel_constraint=kernel_constraint, **kwargs)
        self.weight_scale = weight_scale
        if getattr(self, "data_format", "channels_last") != "channels_last":
            raise ValueError(
                f"{type(self).__name__} works on channels_last only: pass data_format='channels_last' and images of "
                f"shape (batch, height, width, channels). Received: data_format={self.data_format!r}."
            )
        if kernel_constraint is None:
            warnings.warn(
                f"{type(self).__name__} {self.name!r} has kernel_constraint=None: latent weights that grow beyond 1 or "
                "-1 get no gradient back from the clipped estimator of their signs, which then stay as they are. Leave "
                "the argument out, or pass kernel_constraint=kerasdl.constraints.LatentWeights(), to keep the weights "
                "within.",
                stacklevel=self.calls_to_the_maker,
            )

    @property
    def compute_dtype(self) -> str:
        """What the products are taken in; `dtype_policy.compute_dtype` is what comes out."""
        wanted = self.dtype_policy.compute_dtype
        return "float32" if wanted in ("bfloat16", "float16") else wanted

    def kernel_signs(self) -> Any:
        """What the inputs are multiplied with, of the kernel's shape: +1 where a latent weight is >= 0, else -1."""
        return sign_ste(self._latent())

    def kernel_scale(self) -> Any:
        """`alpha`, one number per filter, by which the sums are multiplied; None without `weight_scale`."""
        return _mean_over_filters(tf.abs(self._latent())) if self.weight_scale else None

    def _latent(self) -> Any:
        return tf.cast(tf.convert_to_tensor(self.kernel), self.compute_dtype)

    def _scaled_signs(self) -> Any:
        """`alpha B`, the kernel of the ordinary layer that this one is."""
        scale = self.kernel_scale()
        return self.kernel_signs() if scale is None else self.kernel_signs() * scale

    def _finish(self, outputs: Any) -> Any:
        """Adds the bias, applies the activation, and rounds."""
        if self.use_bias:
            outputs = outputs + tf.cast(tf.convert_to_tensor(self.bias), outputs.dtype)
        if self.activation is not None:
            outputs = self.activation(outputs)
        return tf.cast(outputs, self.dtype_policy.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return {**super().get_config(), "weight_scale": self.weight_scale}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Makes a layer again; who chose to have no constraint has been warned when the layer was first made."""
        if config.get("kernel_constraint", DEFAULT_CONSTRAINT) is not None:
            return super().from_config(config)
        layer = super().from_config({**config, "kernel_constraint": DEFAULT_CONSTRAINT})
        layer.kernel_constraint = None
        return layer


def _mean_over_filters(kernel: Any) -> Any:
    return tf.reduce_mean(kernel, axis=list(range(len(kernel.shape) - 1)))
