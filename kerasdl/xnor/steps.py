"""The steps of a packed network: each reads values by name, computes one thing, and writes one value.

Only what is made of numbers is in a step, so that it can be written to a file and made again from it: `settings()` and
`arrays()` say all.
"""

import dataclasses
from typing import Any, Self

import numpy as np

from kerasdl.xnor.shapes import BitShape, Border
from kerasdl.xnor.workspaces import Workspace

Pair = tuple[int, int]


@dataclasses.dataclass(kw_only=True)
class Step:
    """What all steps share.

    Args:
        name: The step's own name, such as that of the layer that it stands for.
        layers: The model's layers that it stands for.
        float_bytes: What their weights take in the model.
    """

    name: str
    layers: tuple[str, ...] = ()
    float_bytes: int = 0

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of the values that it needs."""
        return (self.source,)  # type: ignore[attr-defined]

    @property
    def writes(self) -> tuple[str, ...]:
        """The names of the values that it gives."""
        return (self.output,)  # type: ignore[attr-defined]

    @property
    def nbytes(self) -> int:
        """What it holds: weights, thresholds, scales."""
        return sum(array.nbytes for array in self.arrays().values())

    @property
    def multiply_adds(self) -> int:
        """How many products of the network's it computes, for one image."""
        return 0

    def run(self, workspace: Workspace) -> None:
        """Computes its value from those in the workspace."""
        raise NotImplementedError

    def describe(self) -> str:
        """How it runs, in a few words."""
        raise NotImplementedError

    def arrays(self) -> dict[str, np.ndarray]:
        """Its numbers."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}

    def settings(self) -> dict[str, Any]:
        """All else, made of what JSON knows."""
        arrays = self.arrays()
        names = [field.name for field in dataclasses.fields(self) if field.name not in arrays]
        return {name: _plain(getattr(self, name)) for name in names}

    @classmethod
    def from_parts(cls, settings: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        """The step again, from what `settings` and `arrays` said."""
        restored: dict[str, Any] = {name: _restored(value) for name, value in settings.items()}
        return cls(**{**restored, **arrays})

    def _expect(self, correct: bool, expected: str, received: object) -> None:
        if not correct:
            raise ValueError(f"The step {self.name!r} must have {expected}. Received: {received}.")

    def _expect_array(self, field: str, dtype: str, shape: tuple[int, ...]) -> None:
        array = getattr(self, field)
        found = (str(array.dtype), array.shape) if isinstance(array, np.ndarray) else array
        self._expect(found == (dtype, shape), f"`{field}` of {dtype} with the shape {shape}", found)
        setattr(self, field, np.ascontiguousarray(array))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _restored(value: Any) -> Any:
    if isinstance(value, dict) and "border" in value:
        return BitShape(**{**value, "border": Border(**value["border"])})
    return tuple(map(_restored, value)) if isinstance(value, list) else value


@dataclasses.dataclass(kw_only=True)
class Binarize(Step):
    """Numbers to bits: `(x >= threshold) xor flip` of each channel, where a batch normalisation may be in both.

    Args:
        source: Numbers, `(N, H, W, C)` or anything with as many of them.
        output: The bits' name.
        thresholds: One per channel; `-inf` is always reached, `nan` never.
        flips: One per channel.
        shape: The shape of the bits.
    """

    source: str
    output: str
    thresholds: np.ndarray
    flips: np.ndarray
    shape: BitShape

    def __post_init__(self) -> None:
        self._expect_array("thresholds", "float32", (self.shape.channels,))
        self._expect_array("flips", "bool", (self.shape.channels,))

    def run(self, workspace: Workspace) -> None:
        """Writes the bits."""
        from kerasdl.xnor.binarizing import binarize

        shape = self.shape
        numbers = workspace.read_floats(self.source, (shape.height, shape.width, shape.channels))
        binarize(numbers, self.thresholds, self.flips, workspace.bits(self.output, shape), shape.origin)

    def describe(self) -> str:
        """How it runs."""
        return "floats -> bits"


@dataclasses.dataclass(kw_only=True)
class PoolBits(Step):
    """The maximum over windows of bits, which is their OR, then `xor flip` of each channel.

    Args:
        source: Bits; where a window reaches into their border, that must be -1, which no maximum chooses.
        output: The pooled bits' name.
        input: The shape of the source.
        pool: Sides of a window.
        strides: Steps from window to window.
        origin: Where in the array of the source the first window begins; windows may reach beyond the array.
        size: How many windows there are, down and across.
        flips: One per channel.
        shape: The shape of the pooled bits.
    """

    source: str
    output: str
    input: BitShape
    pool: Pair
    strides: Pair
    origin: Pair
    size: Pair
    flips: np.ndarray
    shape: BitShape

    def __post_init__(self) -> None:
        self._expect_array("flips", "bool", (self.shape.channels,))
        self._expect(self.input.channels == self.shape.channels, f"{self.input.channels} channels", self.shape)
        self._expect(min(*self.pool, *self.strides) >= 1, "windows and strides of 1 or more", self.pool + self.strides)
        check_fit(self)

    def run(self, workspace: Workspace) -> None:
        """Writes the pooled bits."""
        from kerasdl.xnor.bit_pooling import pool_bits

        bits = workspace.read_bits(self.source, self.input)
        out = workspace.bits(self.output, self.shape)
        pool_bits(bits, self.pool, self.strides, self.origin, self.size, self.flips, out, self.shape.origin)

    def describe(self) -> str:
        """How it runs."""
        return f"bits -> bits, {self.pool[0]}x{self.pool[1]} maximum"


@dataclasses.dataclass(kw_only=True)
class CopyBits(Step):
    """The same bits with another border.

    Args:
        source: Bits.
        output: The copy's name.
        input: The shape of the source.
        shape: The shape of the copy: the same but for its border.
    """

    source: str
    output: str
    input: BitShape
    shape: BitShape

    def __post_init__(self) -> None:
        same = dataclasses.replace(self.input, border=self.shape.border) == self.shape
        self._expect(same, f"the same pixels and channels as {self.input}", self.shape)

    def run(self, workspace: Workspace) -> None:
        """Writes the copy."""
        (top, left), (to_top, to_left) = self.input.origin, self.shape.origin
        rows, columns = self.shape.height, self.shape.width
        bits = workspace.read_bits(self.source, self.input)[:, top : top + rows, left : left + columns]
        workspace.bits(self.output, self.shape)[:, to_top : to_top + rows, to_left : to_left + columns] = bits

    def describe(self) -> str:
        """How it runs."""
        return "bits -> bits, another border"


def check_windows(step: Any, window: Pair, dilation: Pair) -> None:
    """Refuses a step whose windows would leave the array that they read."""
    for side in (0, 1):
        last = step.origin[side] + (step.size[side] - 1) * step.strides[side] + (window[side] - 1) * dilation[side]
        inside = step.origin[side] >= 0 and last < step.input.array_shape[side]
        correct = inside and min(step.size[side], step.strides[side], window[side], dilation[side]) >= 1
        step._expect(correct, f"windows inside {step.input.array_shape}", f"{step.origin} to {last} on side {side}")


def check_fit(step: Any) -> None:
    """Refuses a step that would not write what the shape of its bits says."""
    step._expect(step.size == (step.shape.height, step.shape.width), f"{step.size} pixels of output", step.shape)
