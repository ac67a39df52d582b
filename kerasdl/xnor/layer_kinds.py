"""What the planner knows of layers: which are packed, and which may stand between a sum and the next sign."""

import dataclasses
import math
from typing import Any

import keras
import numpy as np

from kerasdl.layers import (
    BinaryConv2D,
    BinaryDense,
    FusedBatchNormalization,
    TernaryConv2D,
    TernaryDense,
    XnorConv2D,
    XnorDense,
    approx_sign,
    sign_ste,
    swish_sign,
)
from kerasdl.xnor.graph import Node, Value, held_layers

SIGNED = (XnorConv2D, XnorDense)
REAL = (BinaryConv2D, BinaryDense, TernaryConv2D, TernaryDense)
NORMS = (keras.layers.BatchNormalization, FusedBatchNormalization)

_SIGNS = (approx_sign, sign_ste, swish_sign)
_activations = keras.activations
# Functions of one number that never fall: a sign behind them has one threshold, whatever real number goes in.
RISING = (
    _activations.celu, _activations.elu, _activations.exponential, _activations.hard_sigmoid, _activations.hard_tanh,
    _activations.leaky_relu, _activations.linear, _activations.log_sigmoid, _activations.relu, _activations.relu6,
    _activations.selu, _activations.sigmoid, _activations.softplus, _activations.softsign, _activations.tanh,
    *_SIGNS,
)  # fmt: skip
# Others: every sum that can occur is tried, so these need not be known to rise.
TRIED = (_activations.gelu, _activations.hard_silu, _activations.mish, _activations.silu)

_SAME_IN_INFERENCE = (
    keras.layers.ActivityRegularization, keras.layers.AlphaDropout, keras.layers.Dropout,
    keras.layers.GaussianDropout, keras.layers.GaussianNoise, keras.layers.Identity, keras.layers.SpatialDropout2D,
)  # fmt: skip
_ONE_BY_ONE = (keras.layers.ELU, keras.layers.LeakyReLU, keras.layers.ReLU)


@dataclasses.dataclass(frozen=True)
class Pooling:
    """A maximum over windows."""

    window: tuple[int, int]
    strides: tuple[int, int]
    padding: str

    def size(self, height: int, width: int) -> tuple[int, int]:
        """How many windows there are, down and across."""
        if self.padding == "same":
            return -(-height // self.strides[0]), -(-width // self.strides[1])
        return (height - self.window[0]) // self.strides[0] + 1, (width - self.window[1]) // self.strides[1] + 1


def known_size(value: Value) -> bool:
    """Whether all but the batch is known before."""
    return None not in value.shape[1:]


def same_pads(size: int, window: int, stride: int) -> tuple[int, int]:
    """What "same" adds before and behind."""
    total = max((size - 1) // stride * stride + window - size, 0)
    return total // 2, total - total // 2


def is_product(node: Node) -> bool:
    """Whether it is one of the layers that have a form in bits."""
    return isinstance(node.layer, SIGNED + REAL)


def takes_signs(node: Node) -> bool:
    """Whether it takes signs, packed or not: the layer itself, its activation, or a layer that it holds."""
    layers = list(held_layers(node.layer))
    functions = [getattr(layer, "activation", None) for layer in layers]
    return any(isinstance(layer, SIGNED) for layer in layers) or any(
        function is known for function in functions for known in _SIGNS
    )


def why_not_packed(node: Node) -> str | None:
    """Why a binary or ternary layer has to run in Keras; None where it has not."""
    layer = node.layer
    if type(layer) not in SIGNED + REAL:
        return f"{type(layer).__name__} may compute something else than {_parent(layer)}, which it is made from"
    if node.shared:
        return "it is called more than once"
    if not node.plain:
        return "its call has arguments besides the inputs"
    if node.source.dtype != "float32":
        return f"its inputs are {node.source.dtype}, not float32"
    if not known_size(node.source):
        return f"the size of its inputs is not known before: {node.source.shape}"
    rank = 4 if hasattr(layer, "kernel_size") else 2
    if len(node.source.shape) != rank:
        return f"its inputs have {len(node.source.shape)} axes, not {rank}"
    if getattr(layer, "groups", 1) > 1:
        return f"it has {layer.groups} groups; packed weights have one"
    if layer.input_scale and math.prod(getattr(layer, "dilation_rate", (1,))) > 1:
        return "it has K with a dilation"
    return None


def _parent(layer: Any) -> str:
    return next(kind.__name__ for kind in type(layer).__mro__ if kind in SIGNED + REAL)


def is_same(node: Node) -> bool:
    """Whether it does nothing in inference."""
    layer = node.layer
    linear = type(layer) is keras.layers.Activation and layer.activation is _activations.linear
    return node.plain and (type(layer) in _SAME_IN_INFERENCE or linear)


def is_one_by_one(node: Node) -> bool:
    """Whether it is the same function of each number."""
    layer = node.layer
    known = type(layer) is keras.layers.Activation and any(layer.activation is known for known in RISING + TRIED)
    return node.plain and (known or type(layer) in _ONE_BY_ONE or is_same(node))


def is_per_channel(node: Node) -> bool:
    """Whether it is one function for each channel, the last axis."""
    layer = node.layer
    if not node.plain:
        return False
    if type(layer) in NORMS:
        return layer.axis in (-1, len(node.source.shape) - 1)
    return type(layer) is keras.layers.Rescaling and np.ndim(layer.scale) <= 1 and np.ndim(layer.offset) <= 1


def is_pointwise(node: Node) -> bool:
    """Whether each number that comes out depends on one that goes in, and on its channel."""
    return is_one_by_one(node) or is_per_channel(node)


def is_rising_or_falling(node: Node) -> bool:
    """Whether it never turns, for all real numbers: a sign behind it then has one threshold."""
    layer = node.layer
    if type(layer) is keras.layers.Activation:
        return any(layer.activation is known for known in RISING)
    # All others refuse slopes that would turn them.
    return type(layer) is not keras.layers.ELU or layer.alpha >= 0


def pooling_of(node: Node) -> Pooling | None:
    """The maximum that it takes over windows of a picture of known size, or None."""
    layer = node.layer
    if not node.plain or getattr(layer, "data_format", None) != "channels_last" or not known_size(node.source):
        return None
    if type(layer) is keras.layers.MaxPooling2D:
        return Pooling(tuple(layer.pool_size), tuple(layer.strides), layer.padding)
    if type(layer) is keras.layers.GlobalMaxPooling2D:
        whole = node.source.shape[1], node.source.shape[2]
        return Pooling(whole, whole, "valid")
    return None


def zero_padding_of(node: Node) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """The rows and columns of zeros that it puts around a picture, or None."""
    layer = node.layer
    if type(layer) is keras.layers.ZeroPadding2D and node.plain and layer.data_format == "channels_last":
        (top, bottom), (left, right) = layer.padding
        return (top, bottom), (left, right)
    return None


def is_flatten(node: Node) -> bool:
    """Whether it makes a vector of a picture of known size, row by row."""
    return (
        type(node.layer) is keras.layers.Flatten
        and node.plain
        and len(node.source.shape) == 4
        and known_size(node.source)
        and getattr(node.layer, "data_format", "channels_last") == "channels_last"
    )
