"""Signs as bits: words against sums of powers of two, and back."""

import re

import numpy as np
import pytest

from kerasdl.xnor.bits import PANEL, pack_bits, pack_filters, unpack_bits, words_for


def test_words_for():
    assert [words_for(channels) for channels in (1, 63, 64, 65, 128, 130)] == [1, 1, 1, 2, 2, 3]


@pytest.mark.parametrize("channels", [1, 3, 7, 8, 9, 63, 64, 65, 130])
def test_words_are_sums_of_powers_of_two(channels):
    positive = np.random.default_rng(channels).integers(0, 2, (2, 3, channels)).astype(bool)
    words = pack_bits(positive)
    assert words.dtype == np.uint64
    assert words.flags.c_contiguous
    assert words.shape == (2, 3, words_for(channels))
    for place in np.ndindex(2, 3):
        for word in range(words.shape[-1]):
            part = positive[place][64 * word : 64 * word + 64]
            assert int(words[place][word]) == sum(1 << bit for bit, is_set in enumerate(part.tolist()) if is_set)
    assert np.array_equal(unpack_bits(words, channels), positive)
    assert not unpack_bits(words, 64 * words.shape[-1])[..., channels:].any()


def test_unpacks_words_that_are_not_contiguous():
    words = np.arange(12, dtype=np.uint64).reshape(2, 3, 2)
    assert np.array_equal(unpack_bits(words[:, ::2], 70), unpack_bits(np.ascontiguousarray(words[:, ::2]), 70))


@pytest.mark.parametrize(("channels", "filters"), [(3, 1), (64, 16), (65, 17), (130, 40)])
def test_panels_hold_each_filter_in_the_order_of_the_window(channels, filters):
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (2, 3, channels, filters)).astype("float32")
    panels = pack_filters(signs)
    words = words_for(channels)
    assert panels.shape == (-(-filters // PANEL), 2 * 3 * words, PANEL)
    assert panels.dtype == np.uint64
    assert panels.flags.c_contiguous
    for row, column, f in np.ndindex(2, 3, filters):
        first = (row * 3 + column) * words
        expected = pack_bits(signs[row, column, :, f] > 0)
        assert np.array_equal(panels[f // PANEL, first : first + words, f % PANEL], expected)
    assert not panels.transpose(0, 2, 1).reshape(-1, panels.shape[1])[filters:].any()


def test_refuses_the_kernel_of_a_dense_layer_as_it_is():
    expected = (
        "`pack_filters` takes the kernel of a convolution, (height, width, channels, filters); reshape the kernel of a "
        "dense layer to (1, 1, inputs, units). Received shape: (12, 4)."
    )
    with pytest.raises(ValueError, match=re.escape(expected)):
        pack_filters(np.ones((12, 4)))
