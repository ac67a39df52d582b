"""The loops of a binary convolution around its tiles, compiled once for each kind of output."""

from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import overload

from kerasdl.xnor import portable_tiles

BLOCK = 256
"""Pixels that are computed with one panel before the next panel is fetched; a multiple of 8."""


def tile(*arguments: Any) -> None:
    """Stands for the tile that compiled code finds by the type of the output and of the last argument.

    The output is int32 for counts, uint16 for bits, float32 for floats; the last argument is True for the portable tile
    and None for that of vectors.
    """


@overload(tile)
def _choose(rows, bits, places, targets, row, panels, panel, taps, run, out, pixel, ending, portable):  # type: ignore[no-untyped-def]
    chosen = {
        types.int32: portable_tiles.counts_tile,
        types.uint16: portable_tiles.bits_tile,
        types.float32: portable_tiles.floats_tile,
    }[out.dtype]

    def call(rows, bits, places, targets, row, panels, panel, taps, run, out, pixel, ending, portable):  # type: ignore[no-untyped-def]
        chosen(rows, bits, places, targets, row, panels, panel, taps, run, out, pixel, ending)

    return call


@numba.njit(nogil=True)
def _share(piece, pieces, pixels, panels):  # type: ignore[no-untyped-def]
    """The pixels and panels of one piece of the work: pixels are shared out, or panels where pixels are few."""
    if pixels >= 16 * pieces:
        tiles = (pixels + 7) // 8
        return min(pixels, piece * tiles // pieces * 8), min(pixels, (piece + 1) * tiles // pieces * 8), 0, panels
    return 0, pixels, piece * panels // pieces, (piece + 1) * panels // pieces


@numba.njit(nogil=True)
def _locate(places, first, walk):  # type: ignore[no-untyped-def]
    """Where the pixels from `first` on stand: `origin + image * image_step + row * row_step + column * column_step`."""
    origin, image_step, row_step, column_step, height, width = walk
    image, rest = divmod(first, height * width)
    row, column = divmod(rest, width)
    for i in range(places.size):
        places[i] = origin + image * image_step + row * row_step + column * column_step
        column += 1
        if column == width:
            column = 0
            row += 1
            if row == height:
                row = 0
                image += 1


@numba.njit(nogil=True)
def _compute(piece, pieces, bits, panels, taps, run, walk, pixels, out, out_walk, ending, portable):  # type: ignore[no-untyped-def]
    """One piece of the work: block by block, in it panel by panel, in that tile by tile."""
    first, last, first_panel, last_panel = _share(piece, pieces, pixels, panels.shape[0])
    for start in range(first, last, BLOCK):
        places = np.empty(min(BLOCK, last - start), np.int64)
        targets = np.empty_like(places)
        _locate(places, start, walk)
        _locate(targets, start, out_walk)
        for panel in range(first_panel, last_panel):
            row = 0
            while row < places.size:
                left = places.size - row
                # At the end of a block that is not whole: 4, 2, 1.
                rows = 8 if left >= 8 else 4 if left >= 4 else 2 if left >= 2 else 1
                tile(
                    rows, bits, places, targets, row, panels, panel, taps, run, out, start + row, ending, portable
                )  # fmt: skip
                row += rows


@numba.njit(parallel=True, nogil=True, cache=True)
def convolve(pieces, bits, panels, taps, run, walk, pixels, out, out_walk, ending, portable):  # type: ignore[no-untyped-def]
    """The whole convolution, in `pieces` that threads take."""
    if pieces == 1:
        _compute(0, 1, bits, panels, taps, run, walk, pixels, out, out_walk, ending, portable)
    else:
        for piece in numba.prange(pieces):
            _compute(piece, pieces, bits, panels, taps, run, walk, pixels, out, out_walk, ending, portable)
