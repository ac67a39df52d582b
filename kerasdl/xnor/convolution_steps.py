"""The steps that multiply bits with bits: integer sums of +1 and -1, straight to bits or to numbers."""

import dataclasses
import math

import numpy as np

from kerasdl.xnor.bits import PANEL
from kerasdl.xnor.shapes import BitShape
from kerasdl.xnor.steps import Pair, Step, check_fit, check_windows
from kerasdl.xnor.workspaces import Workspace


@dataclasses.dataclass(kw_only=True)
class _Convolution(Step):
    """What both share; a dense layer is a convolution over one pixel, or over all of a flattened picture."""

    source: str
    output: str
    panels: np.ndarray
    input: BitShape
    kernel_size: Pair
    strides: Pair
    dilation: Pair
    origin: Pair
    size: Pair
    filters: int

    def __post_init__(self) -> None:
        taps = self.kernel_size[0] * self.kernel_size[1]
        self._expect_array("panels", "uint64", (-(-self.filters // PANEL), taps * self.input.words, PANEL))
        check_windows(self, self.kernel_size, self.dilation)

    @property
    def length(self) -> int:
        """How many products make a sum."""
        return math.prod(self.kernel_size) * self.input.channels

    @property
    def multiply_adds(self) -> int:
        """How many products of bits it computes, for one image."""
        return math.prod(self.size) * self.filters * self.length


@dataclasses.dataclass(kw_only=True)
class ConvolveBits(_Convolution):
    """Bits times bits to bits: `(mismatches <= limit) xor flip`, where scale, bias, norm and sign are in the limits.

    Args:
        source: Bits.
        output: The name of the bits that come out.
        panels: The filters' bits, `(ceil(F / 16), height * width * words, 16)`.
        input: The shape of the source.
        kernel_size: Sides of the kernel.
        strides: Steps from window to window.
        dilation: Steps between the kernel's taps.
        origin: Where in the array of the source the first window begins.
        size: How many windows there are, down and across.
        filters: How many channels come out.
        limits: One per filter, -1 for those that fill the last panel.
        flips: One per filter, False for those.
        shape: The shape of what comes out.
    """

    limits: np.ndarray
    flips: np.ndarray
    shape: BitShape

    def __post_init__(self) -> None:
        super().__post_init__()
        padded = -(-self.filters // PANEL) * PANEL
        self._expect_array("limits", "int32", (padded,))
        self._expect_array("flips", "bool", (padded,))
        filler = (self.limits[self.filters :] == -1) & ~self.flips[self.filters :]
        self._expect(bool(filler.all()), "no filters beyond the last", self.limits[self.filters :])
        self._expect(self.shape.channels == self.filters, f"{self.filters} channels of output", self.shape)
        check_fit(self)

    def run(self, workspace: Workspace) -> None:
        """Writes the bits."""
        from kerasdl.xnor.binary_convolution import convolve_to_bits

        bits = workspace.read_bits(self.source, self.input)
        out = workspace.bits(self.output, self.shape)
        convolve_to_bits(
            bits, self.panels, self.limits, self.flips, self.kernel_size, self.strides, self.dilation, self.origin,
            out, self.shape.origin, self.size,
        )  # fmt: skip

    def describe(self) -> str:
        """How it runs."""
        return "bits x bits -> bits"


@dataclasses.dataclass(kw_only=True)
class ConvolveFloats(_Convolution):
    """Bits times bits to numbers: `sum * scale [* input scale] + offset [+ residual]`, rounded in that order.

    Args:
        source: Bits.
        output: The name of the numbers that come out, `(N, H, W, F)`, or `(N, F)` for a vector.
        panels: The filters' bits, `(ceil(F / 16), height * width * words, 16)`.
        input: The shape of the source.
        kernel_size: Sides of the kernel.
        strides: Steps from window to window.
        dilation: Steps between the kernel's taps.
        origin: Where in the array of the source the first window begins.
        size: How many windows there are, down and across.
        filters: How many channels come out.
        scale: One per filter, or None.
        offset: One per filter, or None.
        input_scale: The name of one number per window, or None.
        residual: The name of numbers to add, of the output's shape, or None.
        vector: Whether a vector comes out.
    """

    scale: np.ndarray | None = None
    offset: np.ndarray | None = None
    input_scale: str | None = None
    residual: str | None = None
    vector: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("scale", "offset"):
            if getattr(self, field) is not None:
                self._expect_array(field, "float32", (self.filters,))
        self._expect(not self.vector or self.size == (1, 1), "one pixel where a vector comes out", self.size)

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of the values that it needs."""
        return tuple(name for name in (self.source, self.input_scale, self.residual) if name is not None)

    def run(self, workspace: Workspace) -> None:
        """Writes the numbers."""
        from kerasdl.xnor.binary_convolution import convolve_to_floats

        bits = workspace.read_bits(self.source, self.input)
        shape = (*self.size, self.filters)
        input_scale = None if self.input_scale is None else workspace.read_floats(self.input_scale, self.size)
        residual = None if self.residual is None else workspace.read_floats(self.residual, shape)
        convolve_to_floats(
            bits, self.panels, self.filters, self.length, self.scale, self.offset, input_scale, residual,
            self.kernel_size, self.strides, self.dilation, self.origin,
            workspace.floats(self.output, shape, self.vector),
        )  # fmt: skip

    def describe(self) -> str:
        """How it runs."""
        more = [", K"] * (self.input_scale is not None) + [", plus shortcut"] * (self.residual is not None)
        return f"bits x bits{''.join(more)} -> floats"
