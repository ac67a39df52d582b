"""From real numbers to bits: `(x >= threshold) xor flip`, 64 channels to a word."""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kerasdl.xnor.bits import WORD, words_for
from kerasdl.xnor.processor import compiled, read_only

# Numbers below which a second thread costs more than it saves.
SMALL = 1 << 17


@intrinsic
def _compare(typingctx: Any, numbers: Any, thresholds: Any, mask: Any) -> Any:
    """A word: for each bit of `mask`, whether the number is at least the threshold; 0 where the mask is.

    Both are addresses of float32, which are read only where the mask has a 1. LLVM makes masks of compared vectors by
    itself in no loop, so the vectors are written out.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes, word = ir.VectorType(ir.FloatType(), WORD), ir.IntType(WORD)
        flags = builder.bitcast(arguments[2], ir.VectorType(ir.IntType(1), WORD))
        kind = ir.FunctionType(lanes, [ir.PointerType(), ir.IntType(32), flags.type, lanes])
        load = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.load.v{WORD}f32.p0")
        zeros, align = ir.Constant(lanes, [0.0] * WORD), ir.Constant(ir.IntType(32), 4)
        pointers = [builder.inttoptr(address, ir.PointerType()) for address in arguments[:2]]
        values = [builder.call(load, [pointer, align, flags, zeros]) for pointer in pointers]
        reached = builder.fcmp_ordered(">=", *values)
        return builder.and_(builder.bitcast(reached, word), arguments[2])

    return types.uint64(types.int64, types.int64, types.uint64), generate


@compiled()
def _binarize_row(x: Any, thresholds: Any, flips: Any, out: Any, top: Any, left: Any, row: Any) -> None:
    _, height, width, channels = x.shape
    image, y = divmod(row, height)
    rest = channels % WORD
    for column in range(width):
        source = x.ctypes.data + (row * width + column) * channels * 4
        for word in range(channels // WORD):
            place = word * WORD * 4
            bits = _compare(source + place, thresholds.ctypes.data + place, np.uint64(0xFFFFFFFFFFFFFFFF))
            out[image, top + y, left + column, word] = bits ^ flips[word]
        if rest:
            word = channels // WORD
            mask = (np.uint64(1) << np.uint64(rest)) - np.uint64(1)
            bits = _compare(source + word * WORD * 4, thresholds.ctypes.data + word * WORD * 4, mask)
            out[image, top + y, left + column, word] = bits ^ flips[word]


@compiled(parallel=True)
def _binarize(x: Any, thresholds: Any, flips: Any, out: Any, top: Any, left: Any, threads: Any) -> None:
    words = np.zeros(out.shape[3], np.uint64)
    for channel in range(x.shape[3]):
        words[channel // WORD] |= np.uint64(flips[channel]) << np.uint64(channel % WORD)
    rows = x.shape[0] * x.shape[1]
    if threads == 1:
        for row in range(rows):
            _binarize_row(x, thresholds, words, out, top, left, row)
    else:
        for number in numba.prange(rows):
            # What numba counts with is unsigned, and an unsigned number among signed ones would make floats.
            signed = np.int64(number)
            _binarize_row(x, thresholds, words, out, top, left, signed)


def binarize(
    x: np.ndarray, thresholds: np.ndarray, flips: np.ndarray, out: np.ndarray, out_origin: tuple[int, int]
) -> None:
    """Writes the bits `(x >= threshold) xor flip` of numbers to a tensor of bits, within its border.

    Args:
        x: Numbers, `(N, H, W, C)` float32. A NaN reaches no threshold.
        thresholds: One per channel, float32; a NaN is never reached.
        flips: One per channel, bool.
        out: Bits, `(N, at least H, at least W, ceil(C / 64))` uint64; bits beyond the last channel become 0.
        out_origin: The row and column of `out` where the first pixel goes; what is around the pixels stays as it is.
    """
    x = read_only(x, np.float32)
    batch, height, width, channels = x.shape
    (top, left), fits = out_origin, (batch, out_origin[0] + height, out_origin[1] + width)
    if (
        out.dtype != np.uint64
        or out.ndim != 4
        or out.shape[3] != words_for(channels)
        or out.shape[0] != batch
        or (min(out_origin) < 0 or out.shape[1] < fits[1] or out.shape[2] < fits[2])
    ):
        raise ValueError(
            f"`out` must be uint64 with the shape {(*fits, words_for(channels))}, or with more rows or columns, for "
            f"numbers of shape {x.shape} that go to {out_origin}. Received: {out.dtype} of shape {out.shape}."
        )
    if thresholds.shape != (channels,) or flips.shape != (channels,):
        raise ValueError(
            f"`thresholds` and `flips` must have one entry for each of {channels} channels. "
            f"Received: shapes {thresholds.shape} and {flips.shape}."
        )
    thresholds, flips = read_only(thresholds, np.float32), read_only(flips, np.bool_)
    threads = 1 if x.size < SMALL else numba.get_num_threads()
    _binarize(x, thresholds, flips, out, top, left, threads)
