"""The maximum over windows of bits: their OR, 64 channels at a time."""

from typing import Any

import numba
import numpy as np

from kerasdl.xnor.bits import pack_bits
from kerasdl.xnor.processor import compiled, read_only

# Words to read below which a second thread costs more than it saves.
SMALL = 1 << 15


@compiled()
def _pool_row(
    bits: Any, pool: Any, strides: Any, origin: Any, size: Any, flips: Any, out: Any, top: Any, left: Any, row: Any
) -> None:
    image, y = divmod(row, size[0])
    above, below = origin[0] + y * strides[0], origin[0] + y * strides[0] + pool[0]
    for x in range(size[1]):
        before, behind = origin[1] + x * strides[1], origin[1] + x * strides[1] + pool[1]
        for word in range(bits.shape[3]):
            found = np.uint64(0)
            for row in range(max(above, 0), min(below, bits.shape[1])):
                for column in range(max(before, 0), min(behind, bits.shape[2])):
                    found |= bits[image, row, column, word]
            out[image, top + y, left + x, word] = found ^ flips[word]


@compiled(parallel=True)
def _pool(
    bits: Any, pool: Any, strides: Any, origin: Any, size: Any, flips: Any, out: Any, top: Any, left: Any, threads: Any
) -> None:
    rows = bits.shape[0] * size[0]
    if threads == 1:
        for row in range(rows):
            _pool_row(bits, pool, strides, origin, size, flips, out, top, left, row)
    else:
        for number in numba.prange(rows):
            signed = np.int64(number)
            _pool_row(bits, pool, strides, origin, size, flips, out, top, left, signed)


def pool_bits(
    bits: np.ndarray,
    pool: tuple[int, int],
    strides: tuple[int, int],
    origin: tuple[int, int],
    size: tuple[int, int],
    flips: np.ndarray,
    out: np.ndarray,
    out_origin: tuple[int, int],
) -> None:
    """Writes the OR over each window, `xor flip`, to a tensor of bits, within its border.

    Bits say whether a sum reached a threshold, and the maximum of sums reaches it where any of them did. Where a
    negative factor makes a bit of "not reached", `flips` turns it round after the OR.

    Args:
        bits: Bits, `(N, H, W, words)` uint64; what a window sees beyond them counts as 0.
        pool: Sides of a window.
        strides: Steps from window to window.
        origin: The row and column where the first window begins, which may be negative.
        size: How many windows there are, down and across.
        flips: One per channel, bool.
        out: Bits, `(N, at least size[0], at least size[1], words)` uint64.
        out_origin: The row and column of `out` where the first result goes; what is around them stays as it is.
    """
    fits = (len(bits), out_origin[0] + size[0], out_origin[1] + size[1], bits.shape[3])
    if (
        out.dtype != np.uint64
        or bits.dtype != np.uint64
        or out.ndim != 4
        or min(out_origin) < 0
        or ((out.shape[0], out.shape[3]) != (fits[0], fits[3]) or out.shape[1] < fits[1] or out.shape[2] < fits[2])
    ):
        raise ValueError(
            f"`out` must be uint64 with the shape {fits}, or with more rows or columns, for bits of shape {bits.shape} "
            f"in {size} windows that go to {out_origin}. Received: {out.dtype} of shape {out.shape}."
        )
    words = pack_bits(flips)
    if words.shape != bits.shape[3:]:
        raise ValueError(
            f"`flips` must have one entry for each channel of {bits.shape[3]} words of 64. "
            f"Received: shape {flips.shape}."
        )
    few = len(bits) * size[0] * size[1] * bits.shape[3] * pool[0] * pool[1] < SMALL
    bits, words = read_only(bits, np.uint64), read_only(words, np.uint64)
    _pool(bits, pool, strides, origin, size, words, out, *out_origin, 1 if few else numba.get_num_threads())
