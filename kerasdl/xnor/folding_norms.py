"""Batch normalisation in the numbers of the layer before it, where rounding may differ: where no sign follows."""

from typing import Any

import keras
import numpy as np

from kerasdl.layers import FastConv2D
from kerasdl.xnor.graph import Graph, Node
from kerasdl.xnor.layer_kinds import NORMS, is_per_channel

_ORDINARY = (
    keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D, keras.layers.Dense, FastConv2D,
)  # fmt: skip


def fold_norms(graph: Graph, products: set[Node], before_signs: set[Node]) -> None:
    """Folds each batch normalisation into the convolution or dense layer before it, if nobody else reads that one.

    Where a sign follows, nothing is folded: rounded in another way, a number that is almost 0 could get another sign.

    Args:
        graph: The model; norms are taken out, and layers replaced by ones with other weights.
        products: The packed layers, which get the norm to fold themselves.
        before_signs: Nodes that lead to a sign.
    """
    producers, readers = graph.producers(), graph.readers()
    for norm in list(graph.nodes):
        if type(norm.layer) not in NORMS or not is_per_channel(norm) or norm.shared or norm in before_signs:
            continue
        node = producers.get(norm.source)
        # With a short dtype the layers round between them; folded they would not.
        if {norm.source.dtype, norm.output.dtype} != {"float32"}:
            continue
        if node is None or readers[norm.source] != [norm] or norm.source in graph.outputs or node.folded is not None:
            continue
        if node in products:
            node.folded = norm
        elif _is_ordinary(node):
            node.layer, node.original = _folded(node.layer, node.source.shape, norm.layer), node.layer
            node.folded = norm
        else:
            continue
        node.outputs = norm.outputs
        graph.nodes.remove(norm)


def _is_ordinary(node: Node) -> bool:
    layer = node.layer
    return (
        type(layer) in _ORDINARY
        and node.plain
        and not node.shared
        and layer.activation is keras.activations.linear
        and getattr(layer, "data_format", "channels_last") == "channels_last"
        and getattr(layer, "quantization_mode", None) is None
        and not getattr(layer, "lora_enabled", False)
    )


def _folded(layer: Any, shape: tuple[int | None, ...], norm: Any) -> Any:
    factor, shift = _factor_and_shift(norm)
    bias = np.asarray(layer.bias, "float64") if layer.use_bias else 0.0
    folded = type(layer).from_config({**layer.get_config(), "use_bias": True})
    folded.build(shape)
    folded.set_weights([np.asarray(layer.kernel, "float64") * factor, bias * factor + shift])
    return folded


def scale_and_offset(node: Node) -> tuple[np.ndarray | None, np.ndarray | None]:
    """What a packed layer's sums are multiplied by, and what is then added, with its norm; None where nothing is."""
    layer = node.layer
    scale = layer.kernel_scale()
    scale = None if scale is None else np.asarray(scale, "float32")
    offset = np.asarray(layer.bias, "float32") if layer.use_bias else None
    if node.folded is None:
        return scale, offset
    factor, shift = _factor_and_shift(node.folded.layer)
    folded = factor if scale is None else scale * factor
    moved = shift if offset is None else offset * factor + shift
    channels = node.output.shape[-1]
    return _float32(folded, channels), _float32(moved, channels)


def _float32(numbers: np.ndarray, channels: int) -> np.ndarray:
    return np.array(np.broadcast_to(numbers, (channels,)), "float32")


def _factor_and_shift(norm: Any) -> tuple[np.ndarray, np.ndarray]:
    """Batch normalisation in inference as `y = factor x + shift`, in double precision."""
    gamma = np.asarray(norm.gamma, "float64") if norm.scale else 1.0
    beta = np.asarray(norm.beta, "float64") if norm.center else 0.0
    factor = gamma / np.sqrt(np.asarray(norm.moving_variance, "float64") + norm.epsilon)
    return factor, beta - np.asarray(norm.moving_mean, "float64") * factor
