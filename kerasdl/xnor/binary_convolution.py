"""Convolutions of signs with signs, straight from tensors of bits: exclusive or, population count, addition.

The sum of the products of two vectors of n signs is `n - 2 m`, where m counts the places in which they differ. Nothing
is laid out anew for the product (no im2col): a window is a few runs of words inside the bordered tensor. The unit of
work is a tile of up to 8 output pixels times the 16 filters of a panel, whose sums stay in registers until they are
complete; a panel is used for a block of pixels before the next is fetched, so that both stay in the first cache.

Three functions differ in what becomes of the counts. `bits` is a tensor of bits with its border, (N, height, width,
words) uint64; `panels` are the filters as `pack_filters` lays them out; `origin` is where in the bordered input the
first window begins. `portable` chooses plain numba (True) or vectors (False); None asks the processor. Outputs are
written in place. The first call of each compiles, a second or two, and what is compiled is kept on disk.
"""

import functools

import numba
import numpy as np

from kerasdl.xnor.bits import PANEL
from kerasdl.xnor.processor import read_only, vector_kind
from kerasdl.xnor.tile_loops import convolve_piece, convolve_pieces

SMALL = 1 << 24
"""Products of signs below which a second thread costs more than it saves."""
Pair = tuple[int, int]


def convolve_to_counts(
    bits: np.ndarray,
    panels: np.ndarray,
    filters: int,
    kernel_size: Pair,
    strides: Pair,
    dilation: Pair,
    origin: Pair,
    out: np.ndarray,
    portable: bool | None = None,
) -> None:
    """Counts the mismatches, `popcount(x xor w)` over each window: `out` is (N, rows, columns, filters) int32."""
    _check_out(out, np.int32, filters, panels)
    _run(
        bits,
        panels,
        kernel_size,
        strides,
        dilation,
        origin,
        out,
        _dense_walk(out),
        out.shape[1:3],
        (filters,),
        portable,
    )


def convolve_to_bits(
    bits: np.ndarray,
    panels: np.ndarray,
    limits: np.ndarray,
    flips: np.ndarray,
    kernel_size: Pair,
    strides: Pair,
    dilation: Pair,
    origin: Pair,
    out: np.ndarray,
    out_origin: Pair,
    size: Pair,
    portable: bool | None = None,
) -> None:
    """Compares the mismatches with limits: `bit = (mismatches <= limits[f]) xor flips[f]`.

    `limits` (int32) and `flips` (bool) have one entry for each filter of the panels; beyond the last filter the limit
    is -1 and the flip False, so that those bits are 0. `out` is a tensor of bits with its own border; the picture of
    `size` is written at `out_origin`, and the border stays as it is.
    """
    filters = PANEL * panels.shape[0]
    if limits.shape != (filters,) or flips.shape != (filters,):
        raise ValueError(
            f"`limits` and `flips` need one entry for each of the {filters} filters of the panels. "
            f"Received shapes: {limits.shape}, {flips.shape}."
        )
    if out.dtype != np.uint64 or not out.flags.c_contiguous:
        raise ValueError("`out` must be a contiguous tensor of bits, uint64. Received: " + _described(out))
    _, height, width, words = out.shape
    (top, left), (rows, columns) = out_origin, size
    if top + rows > height or left + columns > width or panels.shape[0] > 4 * words:
        raise ValueError(
            f"{rows} x {columns} pixels of {filters} bits do not fit at {out_origin}. Received `out`: {_described(out)}"
        )
    # A panel's 16 bits are a quarter of a word: words are little-endian on every processor for which numba compiles.
    quarters = 4 * words
    if panels.shape[0] < quarters:
        out.view(np.uint16)[:, top : top + rows, left : left + columns, panels.shape[0] :] = 0
    walk = ((top * width + left) * quarters, height * width * quarters, width * quarters, quarters, rows, columns)
    ending = read_only(limits, np.int32), read_only(flips, bool)
    _run(bits, panels, kernel_size, strides, dilation, origin, out.view(np.uint16), walk, size, ending, portable)


def convolve_to_floats(
    bits: np.ndarray,
    panels: np.ndarray,
    filters: int,
    length: int,
    scale: np.ndarray | None,
    offset: np.ndarray | None,
    input_scale: np.ndarray | None,
    residual: np.ndarray | None,
    kernel_size: Pair,
    strides: Pair,
    dilation: Pair,
    origin: Pair,
    out: np.ndarray,
    portable: bool | None = None,
) -> None:
    """Scales the sums: `out = float32(length - 2 mismatches) * scale[f] * input_scale[n, y, x] + offset[f] + residual`.

    In float32 and in this order, each operation rounded by itself, as the Keras layers do it; what is None is left out.
    `out` is (N, rows, columns, filters) float32, `residual` of the same shape and nowhere in the same memory.
    """
    _check_out(out, np.float32, filters, panels)
    for name, value, shape in (
        ("scale", scale, (filters,)),
        ("offset", offset, (filters,)),
        ("input_scale", input_scale, out.shape[:3]),
        ("residual", residual, out.shape),
    ):
        if value is not None and (value.shape != shape or value.dtype != np.float32 or not value.flags.c_contiguous):
            raise ValueError(f"`{name}` must be contiguous float32 of shape {shape}. Received: {_described(value)}")
    if residual is not None and np.may_share_memory(out, residual):
        raise ValueError("`out` must not share memory with `residual`: give it an array of its own.")
    whole = PANEL * panels.shape[0]
    ending = (
        filters,
        length,
        _constant(whole, 1.0) if scale is None else read_only(_padded(scale, whole)),
        _constant(whole, -0.0) if offset is None else read_only(_padded(offset, whole)),
        _constant(1, 1.0) if input_scale is None else read_only(input_scale.reshape(-1)),
        0 if input_scale is None else 1,
        _constant(whole, -0.0) if residual is None else read_only(residual.reshape(-1)),
        0 if residual is None else 1,
    )
    _run(bits, panels, kernel_size, strides, dilation, origin, out, _dense_walk(out), out.shape[1:3], ending, portable)


def _described(value: np.ndarray) -> str:
    contiguous = "" if value.flags.c_contiguous else ", not contiguous"
    return f"{value.shape} {value.dtype}{contiguous}."


@functools.lru_cache(maxsize=256)
def _constant(size: int, value: float) -> np.ndarray:
    """What stands for an operand that is left out: 1, or -0, for x + (-0) is x for every x, and +0 turns -0 into +0."""
    return read_only(np.full(size, value, np.float32))


def _padded(values: np.ndarray, size: int) -> np.ndarray:
    """Values for whole panels, for they are read as such; beyond the last filter nothing is written."""
    return values if values.size == size else np.concatenate([values, np.zeros(size - values.size, np.float32)])


def _dense_walk(out: np.ndarray) -> tuple[int, ...]:
    _, height, width, channels = out.shape
    return 0, height * width * channels, width * channels, channels, height, width


def _check_out(out: np.ndarray, dtype: type, filters: int, panels: np.ndarray) -> None:
    if out.ndim != 4 or out.dtype != dtype or not out.flags.c_contiguous or out.shape[3] != filters:
        raise ValueError(
            f"`out` must be contiguous {np.dtype(dtype)}, (images, rows, columns, {filters}). "
            f"Received: {_described(out)}"
        )
    if -(-filters // PANEL) != panels.shape[0]:
        raise ValueError(
            f"{filters} filters need {-(-filters // PANEL)} panels of {PANEL}. Received: {panels.shape[0]}."
        )


def _run(
    bits: np.ndarray,
    panels: np.ndarray,
    kernel_size: Pair,
    strides: Pair,
    dilation: Pair,
    origin: Pair,
    out: np.ndarray,
    out_walk: tuple[int, ...],
    size: Pair,
    ending: tuple,
    portable: bool | None,
) -> None:
    """Hands the compiled loops the tensors as runs of words."""
    for value in (bits, panels):
        if value.dtype != np.uint64 or not value.flags.c_contiguous:
            raise ValueError("`bits` and `panels` must be contiguous uint64. Received: " + _described(value))
    taps, walk = _layout(bits.shape, panels.shape, kernel_size, strides, dilation, origin, size)
    if out.shape[0] != bits.shape[0]:
        raise ValueError(f"`bits` holds {bits.shape[0]} images and `out` {out.shape[0]}; they must be as many.")
    pixels = bits.shape[0] * size[0] * size[1]
    pieces = 1 if pixels * panels.size * 64 < SMALL else numba.get_num_threads()
    if portable is None:
        portable = vector_kind() == "portable"
    read = read_only(bits.reshape(-1)), read_only(panels), taps
    job = *read, walk, pixels, out.reshape(-1), out_walk, ending, portable or None
    if pieces == 1:
        convolve_piece(0, 1, *job)
    else:
        convolve_pieces(pieces, *job)


@functools.lru_cache(maxsize=1024)
def _layout(
    shape: tuple[int, ...],
    panels: tuple[int, ...],
    kernel_size: Pair,
    strides: Pair,
    dilation: Pair,
    origin: Pair,
    size: Pair,
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Where the words of a window stand, seen from its first, and where the windows do; once for each layer."""
    _, height, width, words = shape
    if panels[1:] != (kernel_size[0] * kernel_size[1] * words, PANEL):
        raise ValueError(
            f"A {kernel_size[0]} x {kernel_size[1]} kernel over {words} words needs panels of shape "
            f"(panels, {kernel_size[0] * kernel_size[1] * words}, {PANEL}). Received: {panels}."
        )
    for axis, extent in enumerate((height, width)):
        end = origin[axis] + (size[axis] - 1) * strides[axis] + (kernel_size[axis] - 1) * dilation[axis] + 1
        if end > extent or origin[axis] < 0:
            raise ValueError(
                f"The windows reach from {origin[axis]} to {end}, beyond the input of {extent} along axis {axis + 1}, "
                "border included. Give the input a wider border or ask for a smaller output."
            )
    # The filters have their words in the same order: rows, columns, channels.
    row, column = dilation[0] * width * words, dilation[1] * words
    rows = np.arange(kernel_size[0], dtype=np.int64) * row
    columns = np.arange(kernel_size[1], dtype=np.int64) * column
    taps = (rows[:, None, None] + columns[:, None] + np.arange(words, dtype=np.int64)).reshape(-1)
    first = (origin[0] * width + origin[1]) * words
    walk = (first, height * width * words, strides[0] * width * words, strides[1] * words, size[0], size[1])
    return read_only(taps), walk
