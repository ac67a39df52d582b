"""Convolutions of bits refuse arrays that do not fit together."""

import re

import numpy as np
import pytest

from kerasdl.xnor.binary_convolution import convolve_to_bits, convolve_to_counts, convolve_to_floats


def refused(text, change):
    """Calls a small convolution, changed, and expects the text."""
    arguments = {
        "bits": np.zeros((1, 4, 4, 2), np.uint64), "panels": np.zeros((1, 18, 16), np.uint64), "filters": 5,
        "kernel_size": (3, 3), "strides": (1, 1), "dilation": (1, 1), "origin": (0, 0),
        "out": np.zeros((1, 2, 2, 5), np.int32),
    }  # fmt: skip
    convolve_to_counts(**arguments)
    with pytest.raises(ValueError, match="^" + re.escape(text) + "$"):
        convolve_to_counts(**(arguments | change))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"bits": np.zeros((1, 4, 4, 2), np.int64)},
            "`bits` and `panels` must be contiguous uint64. Received: (1, 4, 4, 2) int64.",
        ),
        (
            {"panels": np.zeros((1, 18, 16), np.uint64)[:, ::2]},
            "`bits` and `panels` must be contiguous uint64. Received: (1, 9, 16) uint64, not contiguous.",
        ),
        (
            {"panels": np.zeros((1, 9, 16), np.uint64)},
            "A 3 x 3 kernel over 2 words needs panels of shape (panels, 18, 16). Received: (1, 9, 16).",
        ),
        (
            {"panels": np.zeros((2, 18, 16), np.uint64)},
            "5 filters need 1 panels of 16. Received: 2.",
        ),
        (
            {"origin": (0, 1)},
            "The windows reach from 1 to 5, beyond the input of 4 along axis 2, border included. Give the input a "
            "wider border or ask for a smaller output.",
        ),
        (
            {"bits": np.zeros((2, 4, 4, 2), np.uint64)},
            "`bits` holds 2 images and `out` 1; they must be as many.",
        ),
        (
            {"out": np.zeros((1, 2, 2, 5), np.int64)},
            "`out` must be contiguous int32, (images, rows, columns, 5). Received: (1, 2, 2, 5) int64.",
        ),
    ],
)
def test_refuses_what_does_not_fit(change, text):
    refused(text, change)


def test_bits_and_floats_refuse_what_does_not_fit():
    bits, panels = np.zeros((1, 4, 4, 2), np.uint64), np.zeros((1, 18, 16), np.uint64)
    window = (3, 3), (1, 1), (1, 1), (0, 0)
    limits, flips = np.zeros(16, np.int32), np.zeros(16, bool)
    out = np.zeros((1, 3, 3, 1), np.uint64)
    text = "`limits` and `flips` need one entry for each of the 16 filters of the panels. Received shapes: (5,), (16,)."
    with pytest.raises(ValueError, match=re.escape(text)):
        convolve_to_bits(bits, panels, limits[:5], flips, *window, out, (0, 0), (2, 2))
    text = "2 x 2 pixels of 16 bits do not fit at (2, 0). Received `out`: (1, 3, 3, 1) uint64."
    with pytest.raises(ValueError, match=re.escape(text)):
        convolve_to_bits(bits, panels, limits, flips, *window, out, (2, 0), (2, 2))
    text = "`out` must be a contiguous tensor of bits, uint64. Received: (1, 3, 3, 1) int64."
    with pytest.raises(ValueError, match=re.escape(text)):
        convolve_to_bits(bits, panels, limits, flips, *window, out.view(np.int64), (0, 0), (2, 2))
    floats = np.zeros((1, 2, 2, 5), np.float32)
    text = "`scale` must be contiguous float32 of shape (5,). Received: (5,) float64."
    with pytest.raises(ValueError, match=re.escape(text)):
        convolve_to_floats(bits, panels, 5, 9, np.ones(5), None, None, None, *window, floats)
    text = "`out` must not share memory with `residual`: give it an array of its own."
    with pytest.raises(ValueError, match=re.escape(text)):
        convolve_to_floats(bits, panels, 5, 9, None, None, None, floats, *window, floats)
