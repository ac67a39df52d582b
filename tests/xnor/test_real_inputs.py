import os
import re
import subprocess
import sys

import numba
import numpy as np
import pytest

from kerasdl.xnor.processor import vector_kind
from kerasdl.xnor.real_inputs import convolve_real
from kerasdl.xnor.weight_codes import pack_codes

PLAIN = {"strides": (1, 1), "dilation": (1, 1), "pads": (0, 0)}
CASES = {
    "same": ((3, 3), {**PLAIN, "pads": (1, 1)}, (7, 6)),
    "strides": ((3, 2), {**PLAIN, "strides": (2, 3), "pads": (0, 1)}, (3, 3)),
    "dilation": ((3, 3), {**PLAIN, "dilation": (2, 3), "pads": (2, 3)}, (7, 6)),
    "far outside": ((2, 2), {**PLAIN, "strides": (3, 3), "pads": (4, 5)}, (6, 7)),
    "one window": ((7, 6), PLAIN, (1, 1)),
    "1x1": ((1, 1), PLAIN, (7, 6)),
    "1x1, strides": ((1, 1), {**PLAIN, "strides": (2, 2)}, (4, 3)),
}


def convolution(x, kernel, strides, dilation, pads, size):
    """Tap by tap, in float64."""
    margin = 0 if size == (1, 1) else 40
    padded = np.pad(x.astype("float64"), ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    out = np.zeros((len(x), *size, kernel.shape[3]))
    for tap in np.ndindex(*kernel.shape[:2]):
        first = [margin - pads[side] + tap[side] * dilation[side] for side in (0, 1)]
        rows, columns = (
            slice(first[side], first[side] + (size[side] - 1) * strides[side] + 1, strides[side]) for side in (0, 1)
        )
        out += padded[:, rows, columns] @ kernel[tap]
    return out


def convolved(x, kernel, size, *, scale=None, offset=None, strides, dilation, pads, portable=False):
    out = np.full((len(x), *size, kernel.shape[3]), np.nan, "float32")
    sides = kernel.shape[:2]
    convolve_real(x, pack_codes(kernel), scale, offset, sides, strides, dilation, pads, out, portable)
    return out


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("channels", "filters"), [(1, 17), (3, 1), (63, 40), (65, 15), (64, 80)])
@pytest.mark.parametrize("values", [[-1, 1], [-1, 0, 1]])
def test_sums_of_integers_are_exact(case, channels, filters, values):
    rng = np.random.default_rng(channels)
    sides, arguments, size = CASES[case]
    kernel = rng.choice(values, size=(*sides, channels, filters))
    x = rng.integers(-9, 10, size=(2, 7, 6, channels)).astype("float32")
    expected = convolution(x, kernel, **arguments, size=size)
    for portable in (False, True):
        np.testing.assert_array_equal(convolved(x, kernel, size, **arguments, portable=portable), expected)


@pytest.mark.parametrize("batch", [1, 5, 6])
@pytest.mark.parametrize(("inputs", "units"), [(9216, 70), (33, 128), (1, 1), (1030, 17)])
@pytest.mark.parametrize("values", [[-1, 1], [-1, 0, 1]])
def test_dense_layers_are_as_near_as_float32_can_be(batch, inputs, units, values):
    rng = np.random.default_rng(inputs)
    kernel = rng.choice(values, size=(1, 1, inputs, units))
    x = np.maximum(rng.normal(size=(batch, 1, 1, inputs)), 0).astype("float32")
    scale, offset = rng.normal(size=(2, units)).astype("float32")
    sums = x.reshape(batch, -1).astype("float64") @ kernel[0, 0]
    plain = convolved(x, kernel, (1, 1), **PLAIN)[:, 0, 0]
    # Of one sum, the error is measured against the sums' usual size: some of them are almost 0.
    np.testing.assert_allclose(plain, sums, rtol=1e-5, atol=1e-5 * np.sqrt(np.mean(sums**2)))
    found = convolved(x, kernel, (1, 1), scale=scale, offset=offset, **PLAIN)[:, 0, 0]
    np.testing.assert_array_equal(found, plain * scale + offset)
    only_scaled = convolved(x, kernel, (1, 1), scale=scale, **PLAIN)[:, 0, 0]
    np.testing.assert_array_equal(only_scaled, plain * scale)
    portable = convolved(x, kernel, (1, 1), **PLAIN, portable=True)[:, 0, 0]
    np.testing.assert_array_equal(portable, plain)


@pytest.mark.parametrize("strides", [(2, 2), (1, 2), (3, 1)])
def test_strides_over_one_pixel_leave_no_image_out(strides):
    rng = np.random.default_rng(0)
    kernel = rng.choice([-1, 1], size=(1, 1, 5, 17))
    x = rng.integers(-9, 10, size=(4, 1, 1, 5)).astype("float32")
    found = convolved(x, kernel, (1, 1), **{**PLAIN, "strides": strides})
    np.testing.assert_array_equal(found[:, 0, 0], x[:, 0, 0] @ kernel[0, 0])


def test_rounding_does_not_grow_with_the_length_of_a_sum():
    # One number 36,864 times: added one by one, float32 loses five digits.
    x = np.full((1, 1, 1, 36864), 0.1, "float32")
    found = convolved(x, np.ones((1, 1, 36864, 16)), (1, 1), **PLAIN)
    np.testing.assert_allclose(found, np.float64(np.float32(0.1)) * 36864, rtol=5e-6)
    one_by_one = np.cumsum(x.ravel(), dtype="float32")[-1]
    assert abs(one_by_one / (np.float32(0.1) * 36864) - 1) > 1e-5


@pytest.mark.parametrize(
    ("shape", "filters", "side"), [((2, 30, 31, 64), 64, 3), ((1, 7, 7, 512), 200, 3), ((40, 1, 1, 3000), 90, 1)]
)
def test_work_is_divided_without_a_trace(shape, filters, side):
    rng = np.random.default_rng(0)
    kernel = rng.choice([-1, 1], size=(side, side, shape[3], filters))
    x = rng.normal(size=shape).astype("float32")
    arguments = {**PLAIN, "pads": (side // 2, side // 2)}
    expected = convolution(x, kernel, **arguments, size=shape[1:3])
    found = []
    before = numba.get_num_threads()
    try:
        for threads in {1, min(2, numba.config.NUMBA_NUM_THREADS)}:
            numba.set_num_threads(threads)
            found.append(convolved(x, kernel, shape[1:3], **arguments))
    finally:
        numba.set_num_threads(before)
    np.testing.assert_allclose(found[0], expected, rtol=1e-5, atol=1e-5 * expected.std())
    np.testing.assert_array_equal(found[0], found[-1])


def test_inputs_need_not_lie_in_order_and_infinities_stay():
    rng = np.random.default_rng(0)
    x = rng.integers(-9, 10, size=(6, 2, 7, 5)).astype("float32").transpose(1, 2, 0, 3)
    kernel = rng.choice([-1, 1], size=(3, 3, 5, 4))
    arguments = {**PLAIN, "pads": (1, 1)}
    expected = convolution(x, kernel, **arguments, size=(7, 6))
    np.testing.assert_array_equal(convolved(x, kernel, (7, 6), **arguments), expected)
    x[0, 0, 0, 0] = np.inf
    found = convolved(x, kernel, (7, 6), **arguments)
    np.testing.assert_array_equal(found[0, 0, 0], np.inf * kernel[1, 1, 0])
    np.testing.assert_array_equal(found[0, 2:], expected[0, 2:])


def test_what_does_not_fit_is_refused():
    x, planes = np.zeros((1, 4, 4, 8), "float32"), pack_codes(np.ones((3, 3, 8, 20)))
    message = (
        "`planes` must be uint32 of shape (1 or 2, 2, 3, 16) for 8 channels, 20 filters and a kernel of 3x3: "
        "use pack_codes(signs). Received: uint32 of shape (1, 2, 1, 16)."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        convolve_real(x, planes[:, :, :1], None, None, (3, 3), *PLAIN.values(), np.zeros((1, 2, 2, 20), "float32"))
    message = (
        "`x` and `out` must be float32, (N, height, width, channels), with the same N, and `out` in C order. "
        "Received: float32 of shape (1, 4, 4, 8), and float64 of shape (1, 2, 2, 20)."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        convolve_real(x, planes, None, None, (3, 3), *PLAIN.values(), np.zeros((1, 2, 2, 20)))


# Which of these it is, numba is told by the environment when it starts.
SCRIPT = """
import sys
import numpy as np
from kerasdl.xnor.processor import vector_kind
from kerasdl.xnor.real_inputs import convolve_real
data = np.load(sys.argv[1])
image, vector = np.full((2, 9, 8, 70), np.nan, "float32"), np.full((1, 1, 1, 70), np.nan, "float32")
for x, planes, side, out in [(data["x"], data["planes"], 3, image), (data["row"], data["dense"], 1, vector)]:
    convolve_real(x, planes, None, None, (side, side), (1, 1), (1, 1), (side // 2, side // 2), out)
np.savez(sys.argv[2], image=image, vector=vector, kind=vector_kind())
"""


@pytest.mark.slow  # Each processor's compiled code takes its ten seconds.
@pytest.mark.parametrize(
    ("processor", "kind", "needed"),
    [
        ("haswell", "avx2", ("avx512", "avx512bw", "avx2")),
        ("skylake-avx512", "avx512bw", ("avx512", "avx512bw")),
        ("generic", "portable", ("avx512", "avx512bw", "avx2", "portable")),
    ],
)
def test_other_processors_give_the_same_bits(processor, kind, needed, tmp_path):
    if vector_kind() not in needed:
        pytest.skip(f"this processor cannot run what is compiled for {processor}")
    rng = np.random.default_rng(0)
    x, row = rng.normal(size=(2, 9, 8, 65)).astype("float32"), rng.normal(size=(1, 1, 1, 1000)).astype("float32")
    kernel, dense = rng.choice([-1, 0, 1], size=(3, 3, 65, 70)), rng.choice([-1, 1], size=(1, 1, 1000, 70))
    np.savez(tmp_path / "in.npz", x=x, planes=pack_codes(kernel), row=row, dense=pack_codes(dense))
    environment = {**os.environ, "NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": ""}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "in.npz"), str(tmp_path / "out.npz")]
    subprocess.run(command, env=environment, check=True, timeout=900)
    found = np.load(tmp_path / "out.npz")
    assert found["kind"] == kind
    np.testing.assert_array_equal(found["image"], convolved(x, kernel, (9, 8), **{**PLAIN, "pads": (1, 1)}))
    np.testing.assert_array_equal(found["vector"], convolved(row, dense, (1, 1), **PLAIN))
