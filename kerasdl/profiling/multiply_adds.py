"""How many multiply-adds a layer takes: one rule per kind of layer that multiplies by a kernel."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

Shape = tuple[int, ...]

_CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
)
_TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
_SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
# They have tables that nothing is multiplied by, or only number by number.
_WITHOUT_PRODUCTS = (keras.layers.Embedding, keras.layers.PReLU, keras.layers.LayerNormalization)


def count_multiply_adds(layer: Any, input_shapes: Sequence[Shape], output_shapes: Sequence[Shape]) -> int | None:
    """The multiply-adds of one call, for the whole batch; None where no rule speaks of this kind of layer.

    A layer's own `multiply_adds(input_shape, output_shape)` comes before all rules.

    Args:
        layer: A built layer.
        input_shapes: The shape of each input, with the batch.
        output_shapes: The shape of each output, with the batch.
    """
    rule = rule_for(layer)
    if rule is None or not input_shapes or not output_shapes:
        return None
    return rule(layer, input_shapes[0], output_shapes[0])


def rule_for(layer: Any) -> Callable[[Any, Shape, Shape], int] | None:
    """The function of `(layer, input_shape, output_shape)` that counts, or None.

    Args:
        layer: Any layer or operation.
    """
    if hasattr(layer, "multiply_adds"):
        return lambda layer, inputs, outputs: inputs[0] * layer.multiply_adds(inputs, outputs)
    # Keras' transposed convolutions are no subclasses of the others.
    for kinds, rule in (
        (_TRANSPOSED, _transposed),
        (_SEPARABLE, _separable),
        (_CONVOLUTIONS, _convolution),
        (keras.layers.EinsumDense, _einsum),
        (keras.layers.Dense, _dense),
    ):
        if isinstance(layer, kinds):
            return rule
    if isinstance(layer, keras.layers.RNN) and _recurrent_kernels(layer):
        return _recurrent
    if isinstance(layer, keras.layers.TimeDistributed) and rule_for(layer.layer):
        return _time_distributed
    return None


def multiplies_unseen(layer: Any) -> bool:
    """Whether a layer without a rule has a matrix among its weights: it may multiply by it, and nobody counts it.

    Args:
        layer: Any layer or operation.
    """
    weights = getattr(layer, "weights", ())
    return not isinstance(layer, _WITHOUT_PRODUCTS) and any(len(weight.shape) > 1 for weight in weights)


def _positions(layer: Any, shape: Shape) -> int:
    """Examples times places, without the channels."""
    spatial = shape[2:] if layer.data_format == "channels_first" else shape[1:-1]
    return shape[0] * math.prod(spatial)


def _convolution(layer: Any, inputs: Shape, outputs: Shape) -> int:
    # Each entry of the kernel is used once at each place; groups and channels by themselves have smaller kernels. Of
    # one bit or of 32, it counts the same: what binary products cost depends on the engine that runs them.
    return _positions(layer, outputs) * math.prod(layer.kernel.shape)


def _transposed(layer: Any, inputs: Shape, outputs: Shape) -> int:
    return _positions(layer, inputs) * math.prod(layer.kernel.shape)


def _separable(layer: Any, inputs: Shape, outputs: Shape) -> int:
    kernels = math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape)
    return _positions(layer, outputs) * kernels


def _dense(layer: Any, inputs: Shape, outputs: Shape) -> int:
    return math.prod(outputs[:-1]) * math.prod(layer.kernel.shape)


def _einsum(layer: Any, inputs: Shape, outputs: Shape) -> int:
    """One multiply-add per combination of all letters in the equation."""
    given, _, result = layer.equation.replace(" ", "").partition("->")
    first, second = given.split(",")
    sizes = dict(zip(second, layer.kernel.shape, strict=True))
    for letters, shape in ((first, inputs), (result, outputs)):
        before, dots, after = letters.partition("...")
        sizes |= dict(zip(before, shape, strict=False))
        if after:
            sizes |= dict(zip(after, shape[-len(after) :], strict=True))
        if dots:
            sizes["..."] = math.prod(shape[len(before) : len(shape) - len(after)])
    return math.prod(sizes.values())


def _recurrent_kernels(layer: Any) -> list[Any]:
    cells = getattr(layer.cell, "cells", [layer.cell])
    kernels = [getattr(cell, name, None) for cell in cells for name in ("kernel", "recurrent_kernel")]
    return kernels if all(kernel is not None and len(kernel.shape) == 2 for kernel in kernels) else []


def _recurrent(layer: Any, inputs: Shape, outputs: Shape) -> int:
    return inputs[0] * inputs[1] * sum(math.prod(kernel.shape) for kernel in _recurrent_kernels(layer))


def _time_distributed(layer: Any, inputs: Shape, outputs: Shape) -> int:
    rule: Any = rule_for(layer.layer)
    steps = inputs[1]
    return steps * rule(layer.layer, (inputs[0], *inputs[2:]), (outputs[0], *outputs[2:]))
