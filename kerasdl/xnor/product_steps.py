"""What the steps of a binary layer hold: its signs, its scale and offset."""

import math

import numpy as np

from kerasdl.xnor.folding_norms import factor_and_shift
from kerasdl.xnor.graph import Node


def scale_and_offset(node: Node) -> tuple[np.ndarray | None, np.ndarray | None]:
    """What the sums are multiplied by, and what is then added; None where nothing is."""
    layer = node.layer
    scale = layer.kernel_scale()
    scale = None if scale is None else np.asarray(scale, "float32")
    offset = np.asarray(layer.bias, "float32") if layer.use_bias else None
    if node.folded is None:
        return scale, offset
    factor, shift = factor_and_shift(node.folded.layer)
    folded = factor if scale is None else scale * factor
    moved = shift if offset is None else offset * factor + shift
    channels = node.output.shape[-1]
    return _float32(folded, channels), _float32(moved, channels)


def _float32(numbers: np.ndarray, channels: int) -> np.ndarray:
    return np.array(np.broadcast_to(numbers, (channels,)), "float32")


def sum_length(node: Node) -> int:
    """How many products make one of its sums."""
    return math.prod(node.layer.kernel.shape[:-1])


def kernel_signs(node: Node, kernel_size: tuple[int, int]) -> np.ndarray:
    """Its weights' signs as those of a convolution: `(height, width, channels, filters)`."""
    signs = np.asarray(node.layer.kernel_signs())
    return signs.reshape(*kernel_size, -1, signs.shape[-1])
