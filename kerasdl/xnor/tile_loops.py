"""The loops of a binary convolution around its tiles, compiled once for each kind of output."""

import zlib
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import overload

from kerasdl.xnor import portable_tiles, vector_tiles
from kerasdl.xnor.portable_tiles import to_bits, to_counts, to_floats
from kerasdl.xnor.processor import compiled
from kerasdl.xnor.vector_tiles import vector_panel

BLOCK = 256
"""Pixels that are computed with one panel before the next panel is fetched; a multiple of 8."""


def compute_panel(*arguments: Any) -> None:
    """Stands for what compiled code finds by the type of the output and of the last argument.

    The output is int32 for counts, uint16 for bits, float32 for floats; the last argument is True for plain loops and
    None for vectors.
    """


@overload(compute_panel)
def _choose(bits, places, targets, panels, panel, taps, out, pixel, ending, portable):  # type: ignore[no-untyped-def]
    endings = {types.int32: to_counts, types.uint16: to_bits, types.float32: to_floats}
    chosen = vector_panel if isinstance(portable, types.NoneType) else endings[out.dtype]

    def call(bits, places, targets, panels, panel, taps, out, pixel, ending, portable):  # type: ignore[no-untyped-def]
        chosen(bits, places, targets, panels, panel, taps, out, pixel, ending)

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


def _one_from_sources(stamp: str) -> Any:
    # Numba keeps compiled code for as long as this file stays as it is. What is compiled stands in other files, too:
    # their stamp is a variable of the function, and by its variables, too, kept code is told apart.

    @compiled()
    def convolve_piece(piece, pieces, bits, panels, taps, walk, pixels, out, out_walk, ending, portable):  # type: ignore[no-untyped-def]
        stamp  # noqa: B018
        first, last, first_panel, last_panel = _share(piece, pieces, pixels, panels.shape[0])
        for start in range(first, last, BLOCK):
            places = np.empty(min(BLOCK, last - start), np.int64)
            targets = np.empty_like(places)
            _locate(places, start, walk)
            _locate(targets, start, out_walk)
            for panel in range(first_panel, last_panel):
                compute_panel(bits, places, targets, panels, panel, taps, out, start, ending, portable)

    return convolve_piece


def _all_from_sources(stamp: str) -> Any:
    @compiled(parallel=True)
    def convolve_pieces(pieces, bits, panels, taps, walk, pixels, out, out_walk, ending, portable):  # type: ignore[no-untyped-def]
        stamp  # noqa: B018
        for piece in numba.prange(pieces):
            # As the type of a number that comes from Python, or the piece would be compiled once more.
            convolve_piece(np.int64(piece), pieces, bits, panels, taps, walk, pixels, out, out_walk, ending, portable)

    return convolve_pieces


_STAMP = "".join(
    f"{zlib.crc32(Path(str(module.__file__)).read_bytes()):08x}" for module in (portable_tiles, vector_tiles)
)
convolve_piece = _one_from_sources(_STAMP)
"""One piece of a convolution: block by block, and in it panel by panel."""
convolve_pieces = _all_from_sources(_STAMP)
"""All pieces, shared out among numba's threads."""
