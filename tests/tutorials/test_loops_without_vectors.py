"""The loops that a lesson compares with vectors: that they are convolutions, and have no vectors."""

import re

import keras
import numba
import numpy as np
import pytest

from kerasdl.tutorials.loops_without_vectors import bit_loop, compiled, float_loop, measure, ones
from kerasdl.xnor.bits import pack_bits

# Multiplications, additions and population counts of whole vectors of floats or words.
OF_VECTORS = re.compile(r"\bv?(?:mulps|addps|fmadd\d+ps|popcntq|paddq|pxorq?|pshufb)\b(?=.*[xyz]mm)")
RANDOM = np.random.default_rng(0)


def by_four(kernel):
    """Filters first, to what the loops take."""
    return np.ascontiguousarray(np.moveaxis(kernel.reshape(-1, 4, *kernel.shape[1:]), 1, -1))


def test_the_loop_of_floats_is_a_convolution():
    image, kernel = (RANDOM.normal(size=size).astype("float32") for size in ((6, 5, 3), (8, 3, 2, 3)))
    out = np.empty((4, 4, 8), "float32")
    float_loop(image, by_four(kernel), out)
    expected = keras.ops.conv(image[None], np.moveaxis(kernel, 0, 3), padding="valid")[0]
    np.testing.assert_allclose(out, expected, atol=1e-5)


def test_the_loop_of_bits_counts_where_signs_differ():
    image, kernel = RANDOM.random((4, 5, 70)) < 0.5, RANDOM.random((4, 3, 3, 70)) < 0.5
    out = np.empty((2, 3, 4), np.uint64)
    compiled(bit_loop, pack_bits(image), by_four(pack_bits(kernel)), out)
    for y in range(2):
        for x in range(3):
            np.testing.assert_array_equal(out[y, x], (image[y : y + 3, x : x + 3] != kernel).sum(axis=(1, 2, 3)))


@pytest.mark.parametrize("word", [0, 1, 2**64 - 1, 0xF0F0_1234_0000_8001])
def test_ones_are_counted(word):
    assert ones(np.uint64(word)) == word.bit_count()


@pytest.mark.parametrize(("loop", "dtype"), [(float_loop, np.float32), (bit_loop, np.uint64)])
def test_no_vectors_are_in_them_and_others_get_theirs(loop, dtype):
    before = numba.config.LOOP_VECTORIZE, numba.config.SLP_VECTORIZE
    arguments = (np.ones((3, 3, 4), dtype), np.ones((1, 3, 3, 4, 4), dtype), np.empty((1, 1, 4), dtype))
    (assembly,) = compiled(loop, *arguments).inspect_asm().values()
    assert not OF_VECTORS.search(assembly)
    assert before == (numba.config.LOOP_VECTORIZE, numba.config.SLP_VECTORIZE)


def test_both_are_measured():
    floats, bits = measure(2, 64, repeats=1)
    assert 0 < bits < floats
