"""Layers whose weights and inputs are +1 or -1: their products can be taken with XNOR and a count of bits."""

import functools
import math
from numbers import Real
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.layers.checks import check_bool
from kerasdl.layers.estimators import approx_sign, sign_ste, swish_sign
from kerasdl.layers.grouped_convolution import GroupedConv2D, convolve
from kerasdl.layers.latent_kernel import DEFAULT_CONSTRAINT, LatentKernel

ESTIMATORS = {function.__name__: function for function in (approx_sign, sign_ste, swish_sign)}
PROBES = [-2.0, -0.5, -0.0, 0.0, 0.5, 2.0]
PROBE_SIGNS = [-1.0, -1.0, 1.0, 1.0, 1.0, 1.0]


class _SignedInputs(LatentKernel):
    """A `LatentKernel` that takes the sign of its inputs as well."""

    calls_to_the_maker = 4

    def __init__(self, *args: Any, input_scale: bool, estimator: Any, **kwargs: Any) -> None:
        input_scale = check_bool("input_scale", input_scale)
        super().__init__(*args, **kwargs)
        self.input_scale = input_scale
        self.estimator = _find_estimator(estimator)

    def scale_sums(self, sums: Any, input_scale: Any = None) -> Any:
        """What the layer makes of its integer sums: times alpha, then times K, then bias and activation.

        Args:
            sums: The sums of products of signs, in the layer's `compute_dtype`.
            input_scale: K, where the layer has it.
        """
        scale = self.kernel_scale()
        outputs = sums if scale is None else sums * scale
        return self._finish(outputs if input_scale is None else outputs * input_scale)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        name = keras.saving.get_registered_name(self.estimator)
        return {
            **super().get_config(),
            "input_scale": self.input_scale,
            "estimator": self.estimator.__name__ if self.estimator in ESTIMATORS.values() else name,
        }


@keras.saving.register_keras_serializable(package="kerasdl")
class XnorConv2D(_SignedInputs, GroupedConv2D):
    """A convolution of signs with signs: `y = (sign(x) * sign(W)) alpha [K] + b`, with `alpha = mean |W|` of a filter.

    The sums of +1 and -1 are exact integers, and are scaled only then. Otherwise a sum that is 0 would get a sign by
    rounding, and no engine that counts bits could be equal to the layer (`kerasdl.xnor`).

    With `input_scale` each sum is also multiplied by `K = A * k`, where `A = mean |x|` over the channels and k has the
    kernel's size and `1 / (height width)` everywhere: the mean size of the inputs that the sum has read, and 0 for
    those outside the image. The paper finds that K brings less than a point of accuracy; without any scale, and
    with `kernel_constraint=LatentWeights(centre=False)`, this is the layer of BinaryNet. The default also centres the
    weights over the channels, so that their signs are never all equal: pass `centre=False` where a layer reads few.

    There is no sign 0: "same" pads with `pad_value`, at the places where `keras.layers.Conv2D` pads with 0. The layer
    takes the signs itself, so put no ReLU before it: every sign would be +1. Mean-centred inputs serve it best, such as
    those from batch normalisation. Under mixed precision the products are taken in float32 all the same: sums beyond
    256 do not exist in bfloat16.

    Args:
        filters: How many maps come out.
        kernel_size: Height and width of the kernel.
        strides: Step of the convolution.
        padding: "valid" or "same".
        weight_scale: False leaves alpha out.
        input_scale: True multiplies by K.
        estimator: What stands for the derivative of the inputs' sign: "sign_ste", "approx_sign", "swish_sign", or a
            registered function that gives +1 where x >= 0 and -1 elsewhere. The derivative of the weights' sign is
            that of `sign_ste`.
        pad_value: The sign that "same" pads with, 1 or -1.
        kernel_constraint: What keeps the latent weights within -1 and 1: `kerasdl.constraints.LatentWeights()` by
            default. None warns. Another one is taken as it is: `NonNeg` leaves no weight of -1, and `MaxNorm` clips
            none.
        **kwargs: All other arguments of `keras.layers.Conv2D`.

    Example:
        >>> layer = XnorConv2D(8, 3, padding="same", weight_scale=False)
        >>> sums = layer(np.random.default_rng(0).normal(size=(1, 5, 5, 4)))
        >>> sums.shape, bool(np.all(sums == np.round(sums)))
        (TensorShape([1, 5, 5, 8]), True)

    Reference:
        [Rastegari et al., 2016](https://arxiv.org/abs/1603.05279), section 3.2;
        [Courbariaux et al., 2016](https://arxiv.org/abs/1602.02830) without scale and centring
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = 1,
        padding: str = "valid",
        *,
        weight_scale: bool = True,
        input_scale: bool = False,
        estimator: Any = "sign_ste",
        pad_value: int = 1,
        kernel_constraint: Any = DEFAULT_CONSTRAINT,
        **kwargs: Any,
    ) -> None:
        if isinstance(pad_value, bool) or not isinstance(pad_value, Real) or pad_value not in (1, -1):
            raise ValueError(
                "`pad_value` must be 1 or -1: the inputs are signs, and there is no sign 0. "
                f"Received: pad_value={pad_value!r}."
            )
        own = {"weight_scale": weight_scale, "input_scale": input_scale, "estimator": estimator}
        kwargs |= {"strides": strides, "padding": padding, "kernel_constraint": kernel_constraint}
        super().__init__(filters, kernel_size, **own, **kwargs)
        self.pad_value = int(pad_value)

    def call(self, inputs: Any) -> Any:
        """Takes the signs, convolves them, and scales."""
        inputs, kernel = tf.cast(inputs, self.compute_dtype), self.kernel_signs()
        sums = self.convolution_op(self.estimator(inputs), kernel)
        if self.padding == "same" and max(self.kernel_size) > 1:
            sums += self.pad_value * self._sums_outside(inputs, kernel)
        return self.scale_sums(_whole(sums), self._input_scales(inputs) if self.input_scale else None)

    def _sums_outside(self, inputs: Any, kernel: Any) -> Any:
        """For each window, the sum of the weights that lie outside the image, the same for every image."""
        # So the signs need not be copied into a larger image, and the border of that image needs no gradient. These
        # sums are integers too, and exact.
        weights = tf.reduce_sum(kernel, 2, keepdims=True)
        inside = self._convolve_map(tf.ones([1, *keras.ops.shape(inputs)[1:3], 1], kernel.dtype), weights)
        return tf.reduce_sum(weights, (0, 1, 2)) - inside

    def _input_scales(self, inputs: Any) -> Any:
        """The paper's K, one map for each group of channels, as often as the group has filters."""
        box = tf.fill([*self.kernel_size, 1, 1], tf.constant(1 / math.prod(self.kernel_size), inputs.dtype))
        sizes = [tf.reduce_mean(tf.abs(share), -1, keepdims=True) for share in tf.split(inputs, self.groups, -1)]
        maps = [self._convolve_map(each, box) for each in sizes]
        return maps[0] if self.groups == 1 else tf.repeat(tf.concat(maps, -1), self.filters // self.groups, -1)

    def _convolve_map(self, maps: Any, kernel: Any) -> Any:
        """Convolves maps of one channel as the layer does its inputs, with zeros outside."""
        return convolve(maps, kernel, self.strides, self.padding.upper(), self.dilation_rate)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return {**super().get_config(), "pad_value": self.pad_value}


@keras.saving.register_keras_serializable(package="kerasdl")
class XnorDense(_SignedInputs, keras.layers.Dense):
    """A dense layer of signs with signs: `y = (sign(x) sign(W)) alpha [K] + b`, with `alpha = mean |W|` of each output.

    Everything that `XnorConv2D` says holds here too; K is the mean `|x|` of a row, one number.

    Args:
        units: How many numbers come out.
        weight_scale: False leaves alpha out.
        input_scale: True multiplies by K.
        estimator: What stands for the derivative of the inputs' sign: "sign_ste", "approx_sign", "swish_sign", or a
            registered function that gives +1 where x >= 0 and -1 elsewhere.
        kernel_constraint: What keeps the latent weights within -1 and 1: `kerasdl.constraints.LatentWeights()` by
            default. None warns. Another one is taken as it is: `NonNeg` leaves no weight of -1, and `MaxNorm` clips
            none.
        **kwargs: All other arguments of `keras.layers.Dense`.

    Example:
        >>> layer = XnorDense(3, weight_scale=False, use_bias=False)
        >>> sums = layer(np.random.default_rng(0).normal(size=(2, 5)))
        >>> sums.shape, set(np.abs(sums).ravel().tolist()) <= {1.0, 3.0, 5.0}
        (TensorShape([2, 3]), True)

    Reference:
        [Rastegari et al., 2016](https://arxiv.org/abs/1603.05279), section 3.2;
        [Courbariaux et al., 2016](https://arxiv.org/abs/1602.02830) without scale and centring
    """

    def __init__(
        self,
        units: int,
        *,
        weight_scale: bool = True,
        input_scale: bool = False,
        estimator: Any = "sign_ste",
        kernel_constraint: Any = DEFAULT_CONSTRAINT,
        **kwargs: Any,
    ) -> None:
        own = {"weight_scale": weight_scale, "input_scale": input_scale, "estimator": estimator}
        super().__init__(units, kernel_constraint=kernel_constraint, **own, **kwargs)

    def call(self, inputs: Any) -> Any:
        """Takes the signs, multiplies them, and scales."""
        inputs = tf.cast(inputs, self.compute_dtype)
        sums = keras.ops.matmul(self.estimator(inputs), self.kernel_signs())
        scales = tf.reduce_mean(tf.abs(inputs), -1, keepdims=True) if self.input_scale else None
        return self.scale_sums(_whole(sums), scales)


@functools.cache
def _has_gpu() -> bool:
    return bool(tf.config.list_logical_devices("GPU"))


def _whole(sums: Any) -> Any:
    """The sums as the integers that they are: fast convolutions of a GPU (Winograd's) may leave them a little off."""

    @tf.custom_gradient
    def rounded(x: Any) -> Any:
        return tf.round(x), lambda upstream: upstream

    return rounded(sums) if _has_gpu() else sums


def _find_estimator(estimator: Any) -> Any:
    """The function of a name, or itself; refuses what is no sign, or would not be found by a saved model."""
    found = estimator
    if isinstance(estimator, str):
        found = ESTIMATORS.get(estimator) or keras.saving.get_registered_object(estimator)
    # Neither a partial nor a layer has a name of this kind.
    named = keras.saving.get_registered_name(found) if callable(found) and hasattr(found, "__name__") else None
    if named is None or keras.saving.get_registered_object(named) is not found:
        raise ValueError(
            f"`estimator` must be one of {sorted(ESTIMATORS)}, or a function that "
            "@keras.saving.register_keras_serializable() has registered, so that a saved model finds it again. "
            f"Received: estimator={estimator!r}."
        )
    with tf.init_scope():
        given = np.asarray(found(tf.constant([PROBES])))[0].tolist()
    if given != PROBE_SIGNS:
        raise ValueError(
            "`estimator` must give +1 where x >= 0 and -1 elsewhere: the packed engine knows no other signs. "
            f"Received: estimator={estimator!r}, which makes {given} of {PROBES}."
        )
    return found
