"""The memory that a packed network computes in: kept between calls, with its borders filled once."""

from typing import Any

import numpy as np

from kerasdl.xnor.shapes import BitShape


class Workspace:
    """The values of one pass through a network, by name, and the buffers that they are written to.

    Buffers grow to the largest batch that was ever asked for and stay: a smaller batch uses their first part, and a
    second call allocates nothing. What lies around the pixels of a tensor of bits is written when the buffer is made;
    no step writes there again.
    """

    def __init__(self) -> None:
        self.batch = 0
        self.values: dict[str, Any] = {}
        self._buffers: dict[str, np.ndarray] = {}

    def begin(self, batch: int, values: dict[str, np.ndarray]) -> None:
        """Starts a pass with so many images: the values that come from outside."""
        self.batch = batch
        self.values = dict(values)

    def end(self) -> None:
        """Lets go of what the pass did not write to a buffer."""
        self.values = {}

    def bits(self, name: str, shape: BitShape) -> np.ndarray:
        """A tensor of bits to write to, its border filled: `(batch, top + H + bottom, left + W + right, words)`."""
        buffer = self._buffers.get(name)
        if buffer is None or len(buffer) < self.batch:
            buffer = shape.bordered(self.batch)
            self._buffers[name] = buffer
        out = self.values[name] = buffer[: self.batch]
        return out

    def floats(self, name: str, shape: tuple[int, ...], vector: bool = False) -> np.ndarray:
        """Numbers to write to, `(batch, *shape)`; what reads them later sees `(batch, last)` if they are a vector."""
        buffer = self._buffers.get(name)
        if buffer is None or len(buffer) < self.batch:
            buffer = np.empty((self.batch, *shape), "float32")
            self._buffers[name] = buffer
        out = buffer[: self.batch]
        self.values[name] = out.reshape(self.batch, shape[-1]) if vector else out
        return out

    def read_bits(self, name: str, shape: BitShape) -> np.ndarray:
        """A tensor of bits that an earlier step wrote."""
        found = self.values[name]
        wanted = (self.batch, *shape.array_shape)
        if found.dtype != np.uint64 or found.shape != wanted:
            raise ValueError(
                f"The value {name!r} must be bits of shape {wanted}. Received: {found.dtype} of shape {found.shape}. "
                "Two steps of the plan do not fit each other: pack the model again."
            )
        return found

    def read_floats(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Float32 numbers that an earlier step wrote, seen as `(batch, *shape)`."""
        found = self.values[name]
        wanted = (self.batch, *shape)
        if found.shape != wanted:
            if found.shape[:1] != wanted[:1] or found.size != np.prod(wanted):
                raise ValueError(
                    f"The value {name!r} must have the shape {wanted}. Received: shape {found.shape}. Two steps of the "
                    "plan do not fit each other: pack the model again."
                )
            found = found.reshape(wanted)
        return np.ascontiguousarray(found, "float32")
