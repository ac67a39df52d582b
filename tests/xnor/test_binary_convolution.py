"""Convolutions of bits against sums of products of signs in NumPy, by plain loops and by vectors, over odd shapes."""

import itertools
import os
import subprocess
import sys

import numba
import numpy as np
import pytest

from kerasdl.xnor import binary_convolution
from kerasdl.xnor.binary_convolution import convolve_to_bits, convolve_to_counts, convolve_to_floats
from kerasdl.xnor.bits import pack_bits, pack_filters, unpack_bits, words_for
from kerasdl.xnor.processor import compiled, vector_kind

CHANNELS = (1, 3, 63, 64, 65, 130)
FILTERS = (1, 15, 16, 17, 40)
KERNELS = ((1, 1), (3, 3), (2, 3), (5, 5))
# Strides, dilation, where the first window begins, images, rows and columns of the output.
GEOMETRIES = (
    ((1, 1), (1, 1), (0, 0), 1, (5, 6)),
    ((2, 2), (1, 1), (1, 1), 3, (3, 2)),
    ((1, 2), (2, 2), (0, 2), 1, (4, 3)),
    ((2, 1), (1, 3), (1, 0), 3, (1, 7)),
    ((1, 1), (2, 1), (0, 0), 1, (1, 1)),
)
CASES = [
    (channels, filters, kernel, *GEOMETRIES[i % len(GEOMETRIES)])
    for i, (channels, filters, kernel) in enumerate(itertools.product(CHANNELS, FILTERS, KERNELS))
]
# Larger ones: more pixels than a block, one pixel and many filters, a picture of one pixel with its border.
CASES += [
    (64, 16, (3, 3), (1, 1), (1, 1), (0, 0), 3, (13, 17)),
    (200, 256, (1, 1), (1, 1), (1, 1), (0, 0), 1, (1, 1)),
    (2048, 17, (3, 3), (1, 1), (1, 1), (0, 0), 1, (1, 1)),
]


def products(signs, kernel, strides, dilation, origin, size):
    """Sums of products of the windows, in whole numbers."""
    sums = np.zeros((len(signs), *size, kernel.shape[3]), np.int64)
    for row, column in np.ndindex(kernel.shape[:2]):
        top, left = origin[0] + row * dilation[0], origin[1] + column * dilation[1]
        rows = slice(top, top + (size[0] - 1) * strides[0] + 1, strides[0])
        columns = slice(left, left + (size[1] - 1) * strides[1] + 1, strides[1])
        sums += np.rint(signs[:, rows, columns].astype("float64") @ kernel[row, column]).astype(np.int64)
    return sums


def example(case, seed=0):
    """Signs with a border of +1 below and -1 at the right, a kernel, and the sums of products."""
    channels, filters, kernel_size, strides, dilation, origin, images, size = case
    random = np.random.default_rng(seed)
    extents = [
        o + (n - 1) * s + (k - 1) * d + 1
        for o, n, s, k, d in zip(origin, size, strides, kernel_size, dilation, strict=True)
    ]
    signs = random.choice([-1, 1], (images, *extents, channels))
    signs[:, -1], signs[:, :, -1] = 1, -1
    kernel = random.choice([-1, 1], (*kernel_size, channels, filters))
    return signs, kernel, products(signs, kernel, strides, dilation, origin, size)


def counts_of(case, signs, kernel, portable):
    _, filters, kernel_size, strides, dilation, origin, images, size = case
    out = np.full((images, *size, filters), -7, np.int32)
    convolve_to_counts(
        pack_bits(signs > 0), pack_filters(kernel), filters, kernel_size, strides, dilation, origin, out, portable
    )
    return out


def bits_of(case, signs, kernel, limits, flips, portable):
    """The whole tensor of bits, every one set beforehand."""
    _, filters, kernel_size, strides, dilation, origin, images, size = case
    out = np.full((images, size[0] + 3, size[1] + 2, words_for(filters)), 2**64 - 1, np.uint64)
    panels = pack_filters(kernel)
    beyond = 16 * len(panels) - filters
    padded = np.pad(limits, (0, beyond), constant_values=-1).astype(np.int32), np.pad(flips, (0, beyond))
    convolve_to_bits(
        pack_bits(signs > 0), panels, *padded, kernel_size, strides, dilation, origin, out, (2, 1), size, portable
    )
    return out


def floats_of(case, signs, kernel, operands, portable):
    channels, filters, kernel_size, strides, dilation, origin, images, size = case
    out = np.full((images, *size, filters), np.nan, np.float32)
    length = kernel_size[0] * kernel_size[1] * channels
    convolve_to_floats(
        pack_bits(signs > 0), pack_filters(kernel), filters, length, *operands,
        kernel_size, strides, dilation, origin, out, portable,
    )  # fmt: skip
    return out


def check(case, portable):
    """All three kinds of output of one case."""
    signs, kernel, sums = example(case)
    channels, filters, kernel_size = case[:3]
    length = kernel_size[0] * kernel_size[1] * channels
    mismatches = (length - sums) // 2
    assert np.array_equal(counts_of(case, signs, kernel, portable), mismatches)

    random = np.random.default_rng(1)
    # From "never" to "always", and where a count is equal to its limit.
    limits = random.integers(-1, length + 1, filters)
    limits[-1] = mismatches[0, 0, 0, -1]
    flips = random.integers(0, 2, filters).astype(bool)
    bits = bits_of(case, signs, kernel, limits, flips, portable)
    expected = np.ones((*bits.shape[:3], 64 * bits.shape[3]), bool)
    expected[:, 2:-1, 1:-1] = False
    expected[:, 2:-1, 1:-1, :filters] = (mismatches <= limits) ^ flips
    assert np.array_equal(unpack_bits(bits, expected.shape[3]), expected)

    scale, offset = random.normal(size=(2, filters)).astype(np.float32)
    input_scale = random.random(sums.shape[:3], np.float32)
    residual = random.normal(size=sums.shape).astype(np.float32)
    for present in ((0, 0, 0, 0), (1, 1, 0, 0), (1, 0, 1, 0), (1, 1, 1, 1)):
        operands = [
            value if there else None
            for value, there in zip((scale, offset, input_scale, residual), present, strict=True)
        ]
        wanted = sums.astype(np.float32)
        wanted = wanted * scale if present[0] else wanted
        wanted = wanted * input_scale[..., None] if present[2] else wanted
        wanted = wanted + offset if present[1] else wanted
        wanted = wanted + residual if present[3] else wanted
        # Seen as whole numbers: also -0 and 0 differ.
        found = floats_of(case, signs, kernel, operands, portable)
        assert np.array_equal(found.view(np.uint32), wanted.view(np.uint32))


@pytest.fixture
def threads():
    before = numba.get_num_threads()
    yield numba.set_num_threads
    numba.set_num_threads(before)


@pytest.mark.parametrize("portable", [True, False])
def test_equals_sums_of_products_over_odd_shapes(portable):
    if not portable and vector_kind() == "portable":
        pytest.skip("this processor has neither AVX2 nor AVX-512 with VPOPCNTDQ")
    for case in CASES:
        check(case, portable)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="numba has one thread only")
def test_two_threads_compute_what_one_does(threads, monkeypatch):
    monkeypatch.setattr(binary_convolution, "SMALL", 0)
    for case in CASES[::7] + CASES[-3:]:
        signs, kernel, sums = example(case)
        limits, flips = sums[0, 0, 0] * 0 + case[0], np.zeros(case[1], bool)
        found = []
        for number in (1, 2):
            threads(number)
            found.append(bits_of(case, signs, kernel, limits, flips, None))
        assert np.array_equal(*found)


def test_the_processor_chooses_the_path(monkeypatch):
    seen = []
    monkeypatch.setattr(binary_convolution, "convolve_piece", lambda *job: seen.append(job[-1]))
    case = CASES[0]
    signs, kernel, _ = example(case)
    for kind in ("portable", "avx2", "avx512"):
        monkeypatch.setattr(binary_convolution, "vector_kind", lambda kind=kind: kind)
        counts_of(case, signs, kernel, None)
    assert seen == [True, None, None]


ELSEWHERE = """
import sys
import kerasdl.xnor.processor, test_binary_convolution as test
assert kerasdl.xnor.processor.vector_kind() == sys.argv[1], kerasdl.xnor.processor.vector_kind()
for case in test.CASES:
    test.check(case, None)
"""


@pytest.mark.slow  # Each processor's compiled code takes its ten seconds.
@pytest.mark.parametrize(
    ("processor", "kind", "needed"),
    [
        ("haswell", "avx2", ("avx512", "avx512bw", "avx2")),
        ("skylake-avx512", "avx512bw", ("avx512", "avx512bw")),
        ("generic", "portable", ("avx512", "avx512bw", "avx2")),
    ],
)
def test_other_processors_compute_the_same(processor, kind, needed, tmp_path):
    if vector_kind() not in needed:
        pytest.skip(f"this processor cannot run what is compiled for {processor}")
    paths = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    # The name alone would keep this processor's features: empty, they follow from the name.
    environment = os.environ | {
        "NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": "", "PYTHONPATH": paths,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, kind], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


CACHED = """
import numpy as np, test_binary_convolution as test
from kerasdl.xnor.tile_loops import convolve_piece
case = test.CASES[0]
signs, kernel, _ = test.example(case)
test.counts_of(case, signs, kernel, None)
print(sum(convolve_piece.stats.cache_hits.values()), sum(convolve_piece.stats.cache_misses.values()))
"""


@pytest.mark.slow
def test_a_second_process_compiles_nothing(tmp_path):
    paths = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": paths}
    found = [
        subprocess.run(
            [sys.executable, "-c", CACHED], env=environment, capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert [text.split() for text in found] == [["0", "1"], ["1", "0"]]


def test_compiles_without_a_folder_to_keep_code_in(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    space = {}
    # A source that is no file of a folder: numba has nowhere to keep its code.
    exec(compile("def double(x):\n    return x + x", "/proc/nowhere/source.py", "exec"), space)
    with pytest.raises(RuntimeError, match="cannot cache function 'double'"):
        numba.njit(cache=True)(space["double"])
    assert compiled()(space["double"])(21) == 42
