"""The steps that read numbers: real inputs times weights of one or two bits, and the scales of the paper's K."""

import dataclasses
import math

import numpy as np

from kerasdl.xnor.bits import PANEL
from kerasdl.xnor.steps import Pair, Step
from kerasdl.xnor.workspaces import Workspace


@dataclasses.dataclass(kw_only=True)
class InputScales(Step):
    """The map K of XNOR networks: the mean of `|x|` over each window of the convolution and all channels.

    Args:
        source: Numbers, `(N, H, W, C)`.
        output: The name of K, `(N, size)`.
        input_size: Height and width of the source.
        channels: Channels of the source.
        kernel_size: Sides of the convolution's kernel.
        strides: Its strides.
        pads: Rows of zeros above, and columns of zeros to the left.
        size: How many windows there are, down and across.
        dilation: Steps between the taps of a window.
    """

    source: str
    output: str
    input_size: Pair
    channels: int
    kernel_size: Pair
    strides: Pair
    pads: Pair
    size: Pair
    dilation: Pair = (1, 1)

    def run(self, workspace: Workspace) -> None:
        """Writes K."""
        from kerasdl.xnor.size_maps import input_scales

        numbers = workspace.read_floats(self.source, (*self.input_size, self.channels))
        scales = input_scales(numbers, self.kernel_size, self.strides, (*self.pads, *self.size), self.dilation)
        workspace.values[self.output] = scales

    def describe(self) -> str:
        """How it runs."""
        return "floats -> K"


@dataclasses.dataclass(kw_only=True)
class RealConvolve(Step):
    """Numbers times weights that are stored as bits: `(sum of +-x) * scale + offset`.

    A dense layer is a convolution over one pixel.

    Args:
        source: Numbers, `(N, H, W, C)`.
        output: The name of the numbers that come out, `(N, H, W, F)`, or `(N, F)` for a vector.
        planes: The weights as `kerasdl.xnor.weight_codes.pack_codes` gives them: codes of four signs each, eight in a
            number, one plane of them; two planes where weights may be 0, whose products are added and halved.
        input_size: Height and width of the source.
        channels: Channels of the source.
        kernel_size: Sides of the kernel.
        strides: Steps from window to window.
        dilation: Steps between the kernel's taps.
        pads: Rows of zeros above, and columns of zeros to the left.
        size: How many windows there are, down and across.
        filters: How many channels come out.
        scale: One per filter, or None.
        offset: One per filter, or None.
        vector: Whether a vector comes out.
    """

    source: str
    output: str
    planes: np.ndarray
    input_size: Pair
    channels: int
    kernel_size: Pair
    strides: Pair
    dilation: Pair
    pads: Pair
    size: Pair
    filters: int
    scale: np.ndarray | None = None
    offset: np.ndarray | None = None
    vector: bool = False

    def __post_init__(self) -> None:
        codes = math.prod(self.kernel_size) * -(-self.channels // 4)
        planes = len(self.planes) if self.planes.ndim and len(self.planes) in (1, 2) else 1
        self._expect_array("planes", "uint32", (planes, -(-self.filters // PANEL), -(-codes // 8), PANEL))
        for field in ("scale", "offset"):
            if getattr(self, field) is not None:
                self._expect_array(field, "float32", (self.filters,))
        sides = (*self.input_size, *self.kernel_size, *self.strides, *self.dilation, *self.size, self.channels)
        self._expect(min(sides) >= 1 and min(self.pads) >= 0, "sizes of 1 or more, and pads of 0 or more", sides)
        self._expect(not self.vector or self.size == (1, 1), "one pixel where a vector comes out", self.size)

    @property
    def multiply_adds(self) -> int:
        """How many products it computes, for one image."""
        return math.prod(self.size) * self.filters * math.prod(self.kernel_size) * self.channels

    def run(self, workspace: Workspace) -> None:
        """Writes the numbers."""
        from kerasdl.xnor.real_inputs import convolve_real

        numbers = workspace.read_floats(self.source, (*self.input_size, self.channels))
        out = workspace.floats(self.output, (*self.size, self.filters), self.vector)
        convolve_real(
            numbers, self.planes, self.scale, self.offset, self.kernel_size, self.strides, self.dilation, self.pads, out
        )

    def describe(self) -> str:
        """How it runs."""
        return "floats x bits -> floats"
