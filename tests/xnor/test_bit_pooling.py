import re

import numba
import numpy as np
import pytest

from kerasdl.xnor.bit_pooling import pool_bits
from kerasdl.xnor.bits import pack_bits, unpack_bits

MARK = np.uint64(0x123456789ABCDEF0)


def largest(flags, pool, strides, origin, size):
    """The maximum over each window, one by one; what is outside counts as False."""
    out = np.zeros((len(flags), *size, flags.shape[3]), bool)
    for y in range(size[0]):
        for x in range(size[1]):
            top, left = origin[0] + y * strides[0], origin[1] + x * strides[1]
            window = flags[:, max(top, 0) : max(top + pool[0], 0), max(left, 0) : max(left + pool[1], 0)]
            out[:, y, x] = window.any((1, 2)) if window.size else False
    return out


@pytest.mark.parametrize("channels", [1, 63, 64, 65, 200])
@pytest.mark.parametrize(
    ("pool", "strides", "origin", "size"),
    [
        ((2, 2), (2, 2), (0, 0), (3, 4)),
        ((3, 3), (2, 2), (1, 1), (2, 3)),  # "valid" inside a border of one
        ((3, 3), (2, 2), (-1, -1), (4, 5)),  # "same" with nothing around the pixels
        ((1, 1), (1, 1), (0, 0), (7, 9)),  # a copy
        ((2, 3), (3, 1), (1, 0), (2, 7)),
        ((7, 9), (1, 1), (0, 0), (1, 1)),
    ],
)
def test_is_the_maximum_over_windows(channels, pool, strides, origin, size):
    rng = np.random.default_rng(channels)
    flags, flips = rng.random((2, 7, 9, channels)) < 0.2, rng.random(channels) < 0.5
    out = np.full((2, size[0] + 3, size[1] + 1, -(-channels // 64)), MARK)
    expected = out.copy()
    expected[:, 1 : 1 + size[0], 1:] = pack_bits(largest(flags, pool, strides, origin, size) ^ flips)
    pool_bits(pack_bits(flags), pool, strides, origin, size, flips, out, (1, 1))
    np.testing.assert_array_equal(out, expected)


def test_many_words_are_shared_among_threads():
    rng = np.random.default_rng(0)
    flags, flips = rng.random((3, 61, 60, 130)) < 0.2, np.zeros(130, bool)
    before = numba.get_num_threads()
    try:
        for threads in {1, min(2, numba.config.NUMBA_NUM_THREADS)}:
            numba.set_num_threads(threads)
            out = np.zeros((3, 30, 29, 3), np.uint64)
            pool_bits(pack_bits(flags), (3, 3), (2, 2), (0, 0), (30, 29), flips, out, (0, 0))
            expected = largest(flags, (3, 3), (2, 2), (0, 0), (30, 29))
            np.testing.assert_array_equal(unpack_bits(out, 130), expected)
    finally:
        numba.set_num_threads(before)


def test_what_does_not_fit_is_refused():
    bits, flips = np.zeros((1, 4, 4, 2), np.uint64), np.zeros(100, bool)
    message = (
        "`out` must be uint64 with the shape (1, 3, 2, 2), or with more rows or columns, for bits of shape "
        "(1, 4, 4, 2) in (2, 2) windows that go to (1, 0). Received: uint64 of shape (1, 2, 2, 2)."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        pool_bits(bits, (2, 2), (2, 2), (0, 0), (2, 2), flips, np.zeros((1, 2, 2, 2), np.uint64), (1, 0))
    for shape in [(1, 2, 2, 1), (2, 2, 2, 2), (1, 2, 1, 2)]:
        with pytest.raises(ValueError, match="`out` must be uint64"):
            pool_bits(bits, (2, 2), (2, 2), (0, 0), (2, 2), flips, np.zeros(shape, np.uint64), (0, 0))
    message = "`flips` must have one entry for each channel of 2 words of 64. Received: shape (64,)."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        pool_bits(bits, (2, 2), (2, 2), (0, 0), (2, 2), flips[:64], np.zeros((1, 2, 2, 2), np.uint64), (0, 0))
