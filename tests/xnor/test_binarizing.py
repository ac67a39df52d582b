import re

import numba
import numpy as np
import pytest

from kerasdl.xnor.binarizing import binarize

MARK = np.uint64(0x123456789ABCDEF0)


def words_of(positive):
    """Packs bools bit by bit, with Python's integers."""
    channels = positive.shape[-1]
    words = np.zeros((*positive.shape[:-1], -(-channels // 64)), np.uint64)
    for channel in range(channels):
        words[..., channel // 64] |= positive[..., channel].astype(np.uint64) << np.uint64(channel % 64)
    return words


def binarized(x, thresholds, flips, margin=(0, 0, 0, 0)):
    """What `binarize` writes into an array that is full of marks, and the array that it should be."""
    top, bottom, left, right = margin
    batch, height, width, channels = x.shape
    out = np.full((batch, top + height + bottom, left + width + right, -(-channels // 64)), MARK)
    expected = out.copy()
    expected[:, top : top + height, left : left + width] = words_of((x >= thresholds) ^ flips)
    binarize(x, thresholds, flips, out, (top, left))
    return out, expected


@pytest.mark.parametrize("channels", [1, 3, 16, 63, 64, 65, 128, 130])
def test_bits_are_those_of_a_comparison_and_the_border_stays(channels):
    rng = np.random.default_rng(channels)
    x = rng.normal(size=(2, 5, 3, channels)).astype("float32")
    thresholds, flips = rng.normal(size=channels).astype("float32"), rng.random(channels) < 0.5
    x[0, 0, 0] = thresholds  # A number that is equal to its threshold reaches it.
    x[0, 0, 1] = np.nextafter(thresholds, np.float32(-np.inf))
    np.testing.assert_array_equal(*binarized(x, thresholds, flips))
    np.testing.assert_array_equal(*binarized(x, thresholds, flips, (1, 2, 0, 1)))


def test_both_zeros_have_the_sign_plus():
    x = np.array([0.0, -0.0, 1e-45, -1e-45], "float32").reshape(1, 1, 1, 4)
    out, _ = binarized(x, np.zeros(4, "float32"), np.zeros(4, bool))
    assert int(out[0, 0, 0, 0]) == 0b0111


def test_infinite_thresholds_are_reached_always_or_hardly_ever_and_nan_never():
    limits = np.array([-np.inf, np.inf, np.nan, 0], "float32")
    x = np.array([[-np.inf, 3e38, 1, np.nan], [0, np.inf, np.inf, 1]], "float32").reshape(1, 1, 2, 4)
    for flips, expected in [(False, [0b0001, 0b1011]), (True, [0b1110, 0b0100])]:
        out, _ = binarized(x, limits, np.full(4, flips))
        assert out.ravel().tolist() == expected


def test_many_numbers_are_shared_among_threads_and_need_not_lie_in_order():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 33, 70, 31)).astype("float32").swapaxes(1, 2)
    thresholds, flips = rng.normal(size=31).astype("float32"), rng.random(31) < 0.5
    assert x.size > 1 << 17
    before = numba.get_num_threads()
    try:
        for threads in {1, min(2, numba.config.NUMBA_NUM_THREADS)}:
            numba.set_num_threads(threads)
            np.testing.assert_array_equal(*binarized(x, thresholds, flips, (1, 1, 1, 1)))
    finally:
        numba.set_num_threads(before)


def test_what_does_not_fit_is_refused():
    x, zeros, flips = np.zeros((1, 2, 2, 65), "float32"), np.zeros(65, "float32"), np.zeros(65, bool)
    message = (
        "`out` must be uint64 with the shape (1, 3, 2, 2), or with more rows or columns, for numbers of shape "
        "(1, 2, 2, 65) that go to (1, 0). Received: uint64 of shape (1, 2, 2, 2)."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        binarize(x, zeros, flips, np.zeros((1, 2, 2, 2), np.uint64), (1, 0))
    for shape, dtype, origin in [
        ((1, 2, 2, 1), np.uint64, (0, 0)),
        ((1, 2, 2, 2), np.int64, (0, 0)),
        ((2, 2, 2, 2), np.uint64, (0, 0)),
        ((1, 3, 3, 2), np.uint64, (-1, 0)),
    ]:
        with pytest.raises(ValueError, match="`out` must be uint64"):
            binarize(x, zeros, flips, np.zeros(shape, dtype), origin)
    message = "`thresholds` and `flips` must have one entry for each of 65 channels. Received: shapes (64,) and (65,)."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        binarize(x, zeros[:64], flips, np.zeros((1, 2, 2, 2), np.uint64), (0, 0))
