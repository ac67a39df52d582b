"""The loops that a lesson compares with vectors: that they are convolutions, and have no vectors."""

import platform
import re

import keras
import numba
import numpy as np
import pytest

from kerasdl.tutorials import loops_without_vectors
from kerasdl.tutorials.loops_without_vectors import (
    FLOATS,
    OF_VECTORS,
    Loop,
    bit_loop,
    compiled,
    float_loop,
    measure,
    ones,
    together,
)
from kerasdl.xnor.bits import pack_bits

RANDOM = np.random.default_rng(0)


def test_the_loop_of_floats_is_a_convolution():
    image, kernel = (RANDOM.normal(size=size).astype("float32") for size in ((6, 5, 3), (8, 3, 2, 3)))
    out = np.empty((4, 4, 8), "float32")
    float_loop(image, together(kernel, 4), out)
    expected = keras.ops.conv(image[None], np.moveaxis(kernel, 0, 3), padding="valid")[0]
    np.testing.assert_allclose(out, expected, atol=1e-5)


def test_the_loop_of_bits_counts_where_signs_differ():
    image, kernel = RANDOM.random((4, 5, 70)) < 0.5, RANDOM.random((4, 3, 3, 70)) < 0.5
    out = np.empty((2, 3, 4), np.uint64)
    compiled(bit_loop, pack_bits(image), together(pack_bits(kernel), 4), out)
    for y in range(2):
        for x in range(3):
            np.testing.assert_array_equal(out[y, x], (image[y : y + 3, x : x + 3] != kernel).sum(axis=(1, 2, 3)))


@pytest.mark.parametrize("word", [0, 1, 2**64 - 1, 0xF0F0_1234_0000_8001])
def test_ones_are_counted(word):
    assert ones(np.uint64(word)) == word.bit_count()


def twice(values, out):
    for i in range(len(values)):
        out[i] = values[i] * values[i]


def test_no_vectors_are_made_and_others_get_theirs():
    before = numba.config.LOOP_VECTORIZE, numba.config.SLP_VECTORIZE
    given = np.ones(64, "float32"), np.empty(64, "float32")
    usual = numba.njit(twice)
    usual(*given)
    (assembly,) = usual.inspect_asm().values()
    if platform.machine() == "x86_64":
        assert OF_VECTORS.search(assembly)  # what is looked for is what a compiler writes
    (assembly,) = compiled(twice, *given).inspect_asm().values()
    assert not OF_VECTORS.search(assembly)
    assert before == (numba.config.LOOP_VECTORIZE, numba.config.SLP_VECTORIZE)


def test_a_loop_of_vectors_is_refused(monkeypatch):
    # A compiler that makes vectors whatever it is told.
    monkeypatch.setattr(loops_without_vectors, "OF_VECTORS", re.compile("ret"))
    with pytest.raises(RuntimeError, match=r"^twice was compiled to vectors: ret\.$"):
        compiled(twice, np.ones(4, "float32"), np.empty(4, "float32"))


def test_both_are_measured():
    # About 2 and 0.07 milliseconds: however the machine is disturbed, it is not disturbed so in five turns of nine.
    floats, bits = measure(8, 128, repeats=9)
    assert 0 < bits < floats


def forgets_the_last_filter(image, kernel, out):
    float_loop(image, kernel, out)
    out[..., -1] = 0


def test_a_loop_that_finds_other_sums_is_noticed(monkeypatch):
    monkeypatch.setattr(loops_without_vectors, "compiled", lambda loop, *_: loop)
    wrong = Loop(forgets_the_last_filter, False, 4)
    with pytest.raises(RuntimeError, match=r"^forgets_the_last_filter found other sums than float_loop\.$"):
        measure(1, 64, repeats=1, loops=(FLOATS, wrong))
