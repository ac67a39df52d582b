"""A panel of the binary convolution in plain numba, for every processor."""

from typing import Any

import numba
import numpy as np
from numba.extending import intrinsic


@intrinsic
def population_count(typing_context: Any, word: Any) -> Any:
    """How many bits of a word are set: LLVM's `ctpop`, one instruction on most processors."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return word(word), generate


@numba.njit(nogil=True)
def mismatches(bits, place, panels, panel, taps, counts):  # type: ignore[no-untyped-def]
    """How many signs under the window that begins at word `place` differ from those of each of a panel's 16 filters."""
    for group in range(0, 16, 4):
        # Four at a time: each word of the input is read once for all, and the sums stay in registers.
        first = second = third = fourth = np.uint64(0)
        for word in range(taps.size):
            here = bits[place + taps[word]]
            first += population_count(here ^ panels[panel, word, group])
            second += population_count(here ^ panels[panel, word, group + 1])
            third += population_count(here ^ panels[panel, word, group + 2])
            fourth += population_count(here ^ panels[panel, word, group + 3])
        counts[group] = first
        counts[group + 1] = second
        counts[group + 2] = third
        counts[group + 3] = fourth


@numba.njit(nogil=True)
def to_counts(bits, places, targets, panels, panel, taps, out, pixel, ending):  # type: ignore[no-untyped-def]
    """Writes the mismatches of pixels with the filters of a panel; `ending` says how many filters there are."""
    (filters,) = ending
    counts = np.empty(16, np.int64)
    for i in range(places.size):
        mismatches(bits, places[i], panels, panel, taps, counts)
        begin = targets[i] + 16 * panel
        for f in range(min(16, filters - 16 * panel)):
            out[begin + f] = counts[f]


@numba.njit(nogil=True)
def to_bits(bits, places, targets, panels, panel, taps, out, pixel, ending):  # type: ignore[no-untyped-def]
    """Writes 16 bits of each pixel: whether the mismatches are within the limits, exclusive or the flips."""
    limits, flips = ending
    counts = np.empty(16, np.int64)
    for i in range(places.size):
        mismatches(bits, places[i], panels, panel, taps, counts)
        mask = 0
        for f in range(16 * panel, 16 * panel + 16):
            mask |= np.int64((counts[f - 16 * panel] <= limits[f]) != flips[f]) << (f - 16 * panel)
        out[targets[i] + panel] = mask


@numba.njit(nogil=True)
def to_floats(bits, places, targets, panels, panel, taps, out, pixel, ending):  # type: ignore[no-untyped-def]
    """Writes the sums of products, scaled and shifted in float32, in the order of the Keras layers."""
    filters, length, scale, offset, input_scale, input_step, residual, residual_step = ending
    counts = np.empty(16, np.int64)
    for i in range(places.size):
        mismatches(bits, places[i], panels, panel, taps, counts)
        factor = input_scale[(pixel + i) * input_step]
        begin = targets[i] + 16 * panel
        beside = targets[i] * residual_step + 16 * panel
        for f in range(min(16, filters - 16 * panel)):
            value = np.float32(length - 2 * counts[f]) * scale[16 * panel + f]
            out[begin + f] = (value * factor + offset[16 * panel + f]) + residual[beside + f]
