"""From layers and chains to steps."""

import dataclasses
from typing import Any

import keras
import numpy as np

from kerasdl.xnor.bits import PANEL, pack_filters
from kerasdl.xnor.chains import Chain
from kerasdl.xnor.convolution_steps import ConvolveBits, ConvolveFloats
from kerasdl.xnor.folding_norms import scale_and_offset
from kerasdl.xnor.graph import Graph, Node, Value
from kerasdl.xnor.layer_kinds import SIGNED, pooling_of, same_pads
from kerasdl.xnor.real_steps import InputScales, RealConvolve
from kerasdl.xnor.shapes import BitShape, Border
from kerasdl.xnor.steps import Binarize, CopyBits, PoolBits, Step
from kerasdl.xnor.thresholds import SignSteps
from kerasdl.xnor.weight_codes import pack_codes


class StepMaker:
    """Makes the steps of all packed layers.

    Args:
        graph: The model.
        products: The layers that are packed.
        chains: What leads to the signs that they take.
        comparisons: What that does to the signs, by `(whether numbers are compared, chain.key)`.
    """

    def __init__(
        self, graph: Graph, products: set[Node], chains: list[Chain], comparisons: dict[Any, SignSteps]
    ) -> None:
        self.graph = graph
        self.products = products
        self.comparisons = comparisons
        self.readers = graph.readers()
        self.done: set[Node] = set()
        self.steps: list[Step] = []
        self.bits: dict[Chain, tuple[str, BitShape]] = {}
        self.chain_of = {chain.reader: chain for chain in chains}
        self.groups: dict[Any, list[Chain]] = {}
        for chain in chains:
            self.groups.setdefault((chain.product is None, chain.key), []).append(chain)

    def make(self) -> list[Step]:
        """All steps, in no particular order."""
        # Borders first: who writes bits must know what its readers want around them.
        shapes = {known: self._lay_out(group) for known, group in self.groups.items()}
        for known, group in self.groups.items():
            self._make_signs(group, self.comparisons[known], shapes[known])
        for node in self.graph.nodes:
            if node in self.products and node not in self.done:
                if isinstance(node.layer, SIGNED):
                    self._make_floats(node)
                else:
                    self._make_real(node)
        return self.steps

    def _lay_out(self, group: list[Chain]) -> list[BitShape]:
        """The shape of the bits before each maximum over windows, and behind the last; says to all readers where."""
        chain = group[0]
        height, width, channels = _picture(chain.origin)
        shapes = []
        for node in chain.path:
            if (pooling := pooling_of(node)) is not None:
                (top, bottom), (left, right) = (
                    same_pads(size, window, stride) if pooling.padding == "same" else (0, 0)
                    for size, window, stride in zip((height, width), pooling.window, pooling.strides, strict=True)
                )
                shapes.append(BitShape(height, width, channels, Border(top, bottom, left, right, -1)))
                height, width = pooling.size(height, width)
        borders: dict[int, Border] = {}
        for border in sorted((chain.border for chain in group), key=_width, reverse=True):
            value = border.value if _width(border) or not borders else next(iter(borders))
            borders[value] = _around(borders.get(value, Border(value=value)), border)
        name = _last_name(chain)
        for place, border in enumerate(borders.values()):
            shape = BitShape(height, width, channels, border)
            copy = f"{name}:bits{border.value:+d}" if place else f"{name}:bits"
            if place:
                self.steps.append(
                    CopyBits(name=copy, source=f"{name}:bits", output=copy, input=shapes[-1], shape=shape)
                )
            else:
                shapes.append(shape)
            for reader in group:
                if reader.border.value == border.value or (not _width(reader.border) and not place):
                    self.bits[reader] = (copy, shape)
        return shapes

    def _make_signs(self, group: list[Chain], signs: SignSteps, shapes: list[BitShape]) -> None:
        """The steps from numbers or sums to the bits that a group of readers shares."""
        chain, name = group[0], _last_name(group[0])
        nodes = [node for node in self.graph.nodes if any(node in other.path for other in group)]
        self.done.update(nodes)
        names = [f"{name}:unpooled{place}" for place in range(len(shapes) - 1)] + [f"{name}:bits"]
        layers = tuple(known for node in nodes for known in node.stands_for)
        weighs = sum(node.float_bytes for node in nodes)
        if chain.product is None:
            self.steps.append(
                Binarize(
                    name=f"{name}:sign", source=chain.origin.name, output=names[0],
                    thresholds=signs.limits, flips=signs.flips[0], shape=shapes[0], layers=layers, float_bytes=weighs,
                )
            )  # fmt: skip
        else:
            product = chain.product
            self.done.add(product)
            fields = self._convolution_fields(product)
            fields.update(layers=(*product.stands_for, *layers), float_bytes=product.float_bytes + weighs)
            limits = _filled(signs.limits, -1)
            flips = _filled(signs.flips[0], False)
            self.steps.append(ConvolveBits(output=names[0], limits=limits, flips=flips, shape=shapes[0], **fields))
        pools = [pooling for node in chain.path if (pooling := pooling_of(node)) is not None]
        for place, pooling in enumerate(pools):
            source, shape = shapes[place], shapes[place + 1]
            self.steps.append(
                PoolBits(
                    name=f"{name}:pool{place}", source=names[place], output=names[place + 1], input=source,
                    pool=pooling.window, strides=pooling.strides, origin=(0, 0), size=(shape.height, shape.width),
                    flips=signs.flips[place + 1], shape=shape,
                )
            )  # fmt: skip

    def _convolution_fields(self, node: Node) -> dict[str, Any]:
        """What says which bits are multiplied with which."""
        chain, layer = self.chain_of[node], node.layer
        source, shape = self.bits[chain]
        own, all_around = chain.border, shape.border
        origin = (all_around.top - own.top, all_around.left - own.left)
        if hasattr(layer, "kernel_size"):
            kernel, strides, dilation = tuple(layer.kernel_size), tuple(layer.strides), tuple(layer.dilation_rate)
            size = node.output.shape[1:3]
        else:
            # A dense layer sees all of a picture in one window.
            kernel = (own.top + shape.height + own.bottom, own.left + shape.width + own.right)
            strides = dilation = size = (1, 1)
        return {
            "name": node.name, "source": source, "input": shape, "panels": pack_filters(_kernel_signs(node, kernel)),
            "kernel_size": kernel, "strides": strides, "dilation": dilation, "origin": origin, "size": size,
            "filters": int(node.output.shape[-1]), "layers": node.stands_for, "float_bytes": node.float_bytes,
        }  # fmt: skip

    def _make_floats(self, node: Node) -> None:
        """A binary layer whose output is wanted as numbers; an addition that takes it is done in the same step."""
        self.done.add(node)
        fields = self._convolution_fields(node)
        scale, offset = scale_and_offset(node)
        output, residual = node.output, None
        if (addition := self._addition(node)) is not None:
            residual = next(value.name for value in addition.inputs if value is not output)
            output = addition.output
            self.done.add(addition)
            fields["layers"] = (*fields["layers"], addition.name)
        scales = self._make_input_scales(node) if node.layer.input_scale else None
        self.steps.append(
            ConvolveFloats(
                output=output.name, scale=scale, offset=offset, input_scale=scales, residual=residual,
                vector=len(output.shape) == 2, **fields,
            )
        )  # fmt: skip

    def _addition(self, node: Node) -> Node | None:
        """The addition of exactly this output and another one of its shape, if nobody else reads this output."""
        readers = self.readers[node.output]
        if len(readers) != 1 or node.output in self.graph.outputs or readers[0] in self.done:
            return None
        addition = readers[0]
        single = type(addition.layer) is keras.layers.Add and not addition.shared and not addition.kwargs
        inputs = addition.inputs
        fits = single and len(inputs) == 2 and inputs[0] is not inputs[1]
        dtypes = {value.dtype for value in (*inputs, *addition.outputs)}
        alike = fits and inputs[0].shape[1:] == inputs[1].shape[1:] and dtypes == {"float32"}
        return addition if alike else None

    def _make_input_scales(self, node: Node) -> str:
        height, width, channels = _picture(node.source)
        name = f"{node.name}:K"
        size, window, strides, pads = (1, 1), (1, 1), (1, 1), (0, 0)
        if hasattr(node.layer, "kernel_size"):
            border = self.chain_of[node].border
            size, pads = node.output.shape[1:3], (border.top, border.left)
            window, strides = tuple(node.layer.kernel_size), tuple(node.layer.strides)
        self.steps.append(
            InputScales(
                name=name, source=node.source.name, output=name, input_size=(height, width), channels=channels,
                kernel_size=window, strides=strides, pads=pads, size=size,
            )
        )  # fmt: skip
        return name

    def _make_real(self, node: Node) -> None:
        """A layer of real inputs and weights that are signs."""
        self.done.add(node)
        layer = node.layer
        height, width, channels = _picture(node.source)
        kernel, strides, dilation, pads, size = (1, 1), (1, 1), (1, 1), (0, 0), (1, 1)
        if hasattr(layer, "kernel_size"):
            kernel, strides, dilation = tuple(layer.kernel_size), tuple(layer.strides), tuple(layer.dilation_rate)
            size = node.output.shape[1:3]
            if layer.padding == "same":
                reach = [(window - 1) * step + 1 for window, step in zip(kernel, dilation, strict=True)]
                pads = (same_pads(height, reach[0], strides[0])[0], same_pads(width, reach[1], strides[1])[0])
        scale, offset = scale_and_offset(node)
        self.steps.append(
            RealConvolve(
                name=node.name, source=node.source.name, output=node.output.name,
                planes=pack_codes(_kernel_signs(node, kernel)), input_size=(height, width), channels=channels,
                kernel_size=kernel, strides=strides, dilation=dilation, pads=pads, size=size,
                filters=int(node.output.shape[-1]), scale=scale, offset=offset, vector=len(node.output.shape) == 2,
                layers=node.stands_for, float_bytes=node.float_bytes,
            )
        )  # fmt: skip


def _kernel_signs(node: Node, kernel_size: tuple[int, int]) -> np.ndarray:
    """Its weights' signs as those of a convolution: `(height, width, channels, filters)`."""
    signs = np.asarray(node.layer.kernel_signs())
    return signs.reshape(*kernel_size, -1, signs.shape[-1])


def _picture(value: Value) -> tuple[int, int, int]:
    """A value as a picture; a vector is one pixel."""
    sizes: Any = value.shape[1:]
    return sizes if len(sizes) == 3 else (1, 1, sizes[-1])


def _last_name(chain: Chain) -> str:
    """A name for the bits that all chains with the same key share."""
    return chain.key[-1].name


def _width(border: Border) -> int:
    return border.top + border.bottom + border.left + border.right


def _around(first: Border, second: Border) -> Border:
    sides = ("top", "bottom", "left", "right")
    return dataclasses.replace(first, **{side: max(getattr(first, side), getattr(second, side)) for side in sides})


def _filled(values: np.ndarray, filler: Any) -> np.ndarray:
    padded = np.full(-(-len(values) // PANEL) * PANEL, filler, values.dtype)
    padded[: len(values)] = values
    return padded
