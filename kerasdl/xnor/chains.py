"""Chains: the layers between what is computed and the sign that a binary layer takes of it."""

import dataclasses
import math
from typing import Any

import numpy as np

from kerasdl.xnor.graph import Graph, Node, Value
from kerasdl.xnor.layer_kinds import (
    SIGNED,
    is_flatten,
    is_one_by_one,
    is_pointwise,
    is_same,
    pooling_of,
    same_pads,
    zero_padding_of,
)
from kerasdl.xnor.shapes import Border
from kerasdl.xnor.thresholds import NotAStepError, run_layers


@dataclasses.dataclass(eq=False)
class Chain:
    """What leads to the signs that one layer takes.

    Args:
        reader: The binary layer.
        origin: Where the numbers come from whose signs are taken in the end.
        path: The layers that become part of the comparison, from the origin to the reader.
        border: What the reader sees around the bits.
        product: The binary layer whose whole-number sums the origin is made of, if nobody else wants these.
    """

    reader: Node
    origin: Value
    path: list[Node]
    border: Border
    product: Node | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """Chains with the same key lead to the same bits, whatever stands around them."""
        decisive = (node for node in self.path if not is_same(node) and not is_flatten(node))
        return (self.origin, *(node for node in decisive if zero_padding_of(node) is None))


def find_chains(graph: Graph, products: set[Node], blocked: dict[Node, str]) -> list[Chain]:
    """One chain for each binary layer that takes signs.

    A layer is part of a chain only if all who read its output are: otherwise its output is needed as numbers.

    Args:
        graph: The model.
        products: The layers that are packed.
        blocked: Layers that must not be part of a chain, and why; what is found to be so is added.
    """
    readers, producers = graph.readers(), graph.producers()
    signed = [node for node in graph.nodes if node in products and isinstance(node.layer, SIGNED)]
    while True:
        chains = [_walk(node, producers, readers, graph.outputs, products, blocked) for node in signed]
        found = _needed_as_numbers(chains, readers, graph.outputs, products, producers)
        if not found:
            return chains
        blocked.update(found)


def _walk(
    reader: Node,
    producers: dict[Value, Node],
    readers: dict[Value, list[Node]],
    outputs: list[Value],
    products: set[Node],
    blocked: dict[Node, str],
) -> Chain:
    """Climbs from a binary layer to where the numbers come from."""
    chain = Chain(reader, reader.source, [], border=_own_border(reader, reader.source))
    while not reader.layer.input_scale and chain.origin not in outputs:
        node = producers.get(chain.origin)
        if node is None or node in products or node in blocked or node.shared:
            break
        reason = _why_not_in_chain(node, chain)
        if reason is not None:
            if reason:
                blocked[node] = reason
            break
        if (padding := zero_padding_of(node)) is not None:
            (top, bottom), (left, right) = padding
            own = chain.border
            value = 1 if _signs_of_zero(chain.path, node)[0] else -1
            chain.border = Border(own.top + top, own.bottom + bottom, own.left + left, own.right + right, value)
        chain.path.insert(0, node)
        chain.origin = node.source
    return chain


def _why_not_in_chain(node: Node, chain: Chain) -> str | None:
    """Why a layer cannot become part of the comparisons below it; an empty string for a layer of another kind."""
    if is_pointwise(node) or pooling_of(node) is not None:
        return None
    if is_flatten(node):
        single = math.prod(node.source.shape[1:3]) == 1
        by_channel = any(is_pointwise(below) and not is_one_by_one(below) for below in chain.path)
        return "the layer behind it treats every pixel in another way" if by_channel and not single else None
    if zero_padding_of(node) is None or node.source.shape[1] is None or node.source.shape[2] is None:
        return ""
    if any(zero_padding_of(below) is not None or pooling_of(below) is not None for below in chain.path):
        return "a maximum, or more zeros, come before the next sign"
    try:
        signs = _signs_of_zero(chain.path, node)
    except NotAStepError as error:
        return f"of its zeros {error}"
    if np.any(signs != signs[0]):
        return "its zeros do not have the same sign in every channel at the next binary layer"
    own = chain.border
    if max(own.top, own.bottom, own.left, own.right) and bool(signs[0]) != (own.value == 1):
        return f"the sign of its zeros is not {own.value:+d}, which the next binary layer pads with"
    return None


def _signs_of_zero(path: list[Node], padding: Node) -> np.ndarray:
    signs, _ = run_layers(path, np.zeros((1, padding.output.shape[-1]), "float32"))
    return signs[0]


def _needed_as_numbers(
    chains: list[Chain],
    readers: dict[Value, list[Node]],
    outputs: list[Value],
    products: set[Node],
    producers: dict[Value, Node],
) -> dict[Node, str]:
    """Finds the products of each chain, and the layers in chains whose output is wanted as numbers all the same."""
    inside = {node for chain in chains for node in chain.path}
    takers = {chain.reader for chain in chains if not chain.reader.layer.input_scale}
    origins: dict[Value, set[Any]] = {}
    for chain in chains:
        origins.setdefault(chain.origin, set()).add(chain.key)

    def only_signs(value: Value) -> bool:
        return value not in outputs and all(node in inside or node in takers for node in readers[value])

    # An origin that is not a product's is wanted as numbers: then the layer that gives it is in no chain.
    wanted = [node for node in inside if not only_signs(node.output) or node.output in origins]
    found = dict.fromkeys(wanted, "")
    for chain in chains:
        node = producers.get(chain.origin)
        whole = node in products and isinstance(node.layer, SIGNED) and not node.layer.input_scale
        chain.product = node if whole and only_signs(chain.origin) and len(origins[chain.origin]) == 1 else None
        if chain.product is None:
            # A maximum right behind numbers stays with them: bits are fewer after it.
            first = next((place for place, node in enumerate(chain.path) if not is_same(node)), 0)
            if chain.path and pooling_of(chain.path[first]) is not None:
                found[chain.path[first]] = ""
    return found


def _own_border(reader: Node, source: Value) -> Border:
    """What the layer itself pads with."""
    layer = reader.layer
    if getattr(layer, "padding", "valid") != "same":
        return Border()
    pads: list[int] = []
    for side in (0, 1):
        reach = (layer.kernel_size[side] - 1) * layer.dilation_rate[side] + 1
        pads.extend(same_pads(source.shape[1 + side] or 1, reach, layer.strides[side]))
    top, bottom, left, right = pads
    return Border(top, bottom, left, right, layer.pad_value)
