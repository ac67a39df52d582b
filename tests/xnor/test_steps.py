import itertools
import json
import re

import keras
import numpy as np
import pytest

from kerasdl.xnor.bits import pack_bits, pack_filters, unpack_bits
from kerasdl.xnor.convolution_steps import ConvolveBits, ConvolveFloats
from kerasdl.xnor.keras_part import KerasPart
from kerasdl.xnor.real_steps import InputScales, RealConvolve
from kerasdl.xnor.shapes import BitShape, Border
from kerasdl.xnor.steps import Binarize, CopyBits, PoolBits
from kerasdl.xnor.weight_codes import pack_codes
from kerasdl.xnor.workspaces import Workspace

RANDOM = np.random.default_rng(0)


def signs(*shape):
    return RANDOM.choice([-1, 1], shape)


def windows(values, kernel_size, strides, dilation, origin, size):
    """The taps of every window, `(N, rows, columns, kernel height, kernel width, C)`, by loops."""
    found = np.empty((len(values), *size, *kernel_size, values.shape[-1]), values.dtype)
    for row, column, y, x in itertools.product(*map(range, (*size, *kernel_size))):
        place = [
            origin[side] + (row, column)[side] * strides[side] + (y, x)[side] * dilation[side] for side in range(2)
        ]
        found[:, row, column, y, x] = values[:, place[0], place[1]]
    return found


def bordered(values, border):
    pads = ((0, 0), (border.top, border.bottom), (border.left, border.right), (0, 0))
    return np.pad(values, pads, constant_values=border.value)


def written(bits, shape):
    """The signs in a tensor of bits, border included; what lies beyond the last channel must be 0."""
    unpacked = unpack_bits(bits, bits.shape[-1] * 64)
    assert not unpacked[..., shape.channels :].any()
    return np.where(unpacked[..., : shape.channels], 1, -1)


def begin(batch=2, **values):
    workspace = Workspace()
    workspace.begin(batch, values)
    return workspace


def again(step):
    """The step made again from what a file would hold of it."""
    settings = json.loads(json.dumps(step.settings()))
    return type(step).from_parts(settings, {name: array.copy() for name, array in step.arrays().items()})


CASES = [
    # channels, filters, kernel, strides, dilation
    (3, 5, (3, 3), (1, 1), (1, 1)),
    (64, 16, (1, 1), (1, 1), (1, 1)),
    (70, 33, (3, 2), (2, 1), (1, 2)),
]


def convolution(channels, filters, kernel_size, strides, dilation):
    border = Border(1, 1, 1, 2, -1)
    shape = BitShape(6, 5, channels, border)
    reach = [(kernel_size[side] - 1) * dilation[side] + 1 for side in range(2)]
    origin = (1, 0) if kernel_size == (1, 1) else (0, 0)
    size = tuple((shape.array_shape[side] - origin[side] - reach[side]) // strides[side] + 1 for side in range(2))
    values = signs(2, 6, 5, channels)
    kernel = signs(*kernel_size, channels, filters)
    common = {
        "name": "conv",
        "source": "x",
        "output": "y",
        "panels": pack_filters(kernel),
        "input": shape,
        "kernel_size": kernel_size,
        "strides": strides,
        "dilation": dilation,
        "origin": origin,
        "size": size,
        "filters": filters,
    }
    taps = windows(bordered(values, border), kernel_size, strides, dilation, origin, size)
    sums = np.einsum("nrcyxi,yxif->nrcf", taps, kernel)
    return common, pack_bits(bordered(values, border) > 0), sums


@pytest.mark.parametrize("case", CASES)
def test_signs_times_signs_to_signs(case):
    common, bits, sums = convolution(*case)
    length = np.prod(case[2]) * case[0]
    filters, padded = case[1], -(-case[1] // 16) * 16
    limits, flips = np.full(padded, -1, "int32"), np.zeros(padded, bool)
    limits[:filters] = RANDOM.integers(length // 4, length, filters)
    flips[:filters] = RANDOM.random(filters) < 0.5
    shape = BitShape(*common["size"], filters, Border(1, 0, 2, 1, 1))
    step = ConvolveBits(**common, limits=limits, flips=flips, shape=shape)
    mismatches = (length - sums) // 2
    expected = np.where((mismatches <= limits[:filters]) ^ flips[:filters], 1, -1)
    for tried in (step, again(step)):
        workspace = begin(x=bits)
        tried.run(workspace)
        np.testing.assert_array_equal(written(workspace.values["y"], shape), bordered(expected, shape.border))
    assert step.multiply_adds == np.prod(common["size"]) * filters * length
    assert step.nbytes == -(-filters // 16) * 16 * (np.prod(case[2]) * -(-case[0] // 64) * 8 + 4 + 1)


@pytest.mark.parametrize("case", CASES)
def test_signs_times_signs_to_numbers(case):
    common, bits, sums = convolution(*case)
    filters, rows = case[1], common["size"]
    scale, offset = RANDOM.normal(size=(2, filters)).astype("float32")
    sizes = RANDOM.random((2, *rows), "float32")
    residual = RANDOM.normal(size=sums.shape).astype("float32")
    plain = ConvolveFloats(**common)
    full = ConvolveFloats(**common, scale=scale, offset=offset, input_scale="k", residual="r")
    assert plain.reads == ("x",)
    assert full.reads == ("x", "k", "r")
    for step, expected in (
        (plain, sums.astype("float32")),
        # Each operation is rounded to float32 by itself.
        (again(full), sums.astype("float32") * scale * sizes[..., None] + offset + residual),
    ):
        workspace = begin(x=bits, k=sizes, r=residual)
        step.run(workspace)
        assert workspace.values["y"].dtype == np.float32
        np.testing.assert_array_equal(workspace.values["y"], expected)


def test_numbers_to_bits_with_thresholds_and_flips():
    shape = BitShape(2, 3, 4, Border(1, 1, 1, 1, -1))
    thresholds = np.array([0, -np.inf, np.nan, 0.5], "float32")
    numbers = RANDOM.normal(size=(2, 2, 3, 4)).astype("float32")
    numbers[0, 0, 0] = [-0.0, -1, 3, 0.5]
    flips = np.array([False, False, False, True])
    step = again(Binarize(name="sign", source="x", output="y", thresholds=thresholds, flips=flips, shape=shape))
    workspace = begin(x=numbers.reshape(2, 24))  # As a layer that flattens gave it.
    step.run(workspace)
    positive = np.stack([numbers[..., 0] >= 0, numbers[..., 1] > -9, numbers[..., 2] > 1e9, numbers[..., 3] < 0.5], -1)
    expected = bordered(np.where(positive, 1, -1), shape.border)
    np.testing.assert_array_equal(written(workspace.values["y"], shape), expected)


def test_the_maximum_of_signs_is_their_or():
    border = Border(1, 1, 1, 1, -1)
    source, shape = BitShape(5, 5, 70, border), BitShape(3, 3, 70, Border(0, 1, 0, 0, 1))
    values, flips = signs(2, 5, 5, 70), RANDOM.random(70) < 0.5
    step = PoolBits(
        name="pool", source="x", output="y", input=source, pool=(3, 2), strides=(2, 2), origin=(0, 1), size=(3, 3),
        flips=flips, shape=shape,
    )  # fmt: skip
    workspace = begin(x=pack_bits(bordered(values, border) > 0))
    again(step).run(workspace)
    maxima = windows(bordered(values, border), (3, 2), (2, 2), (1, 1), (0, 1), (3, 3)).max(axis=(3, 4))
    expected = bordered(np.where(flips, -maxima, maxima), shape.border)
    np.testing.assert_array_equal(written(workspace.values["y"], shape), expected)


def test_the_same_signs_with_another_border():
    source, shape = BitShape(2, 3, 5, Border(1, 0, 2, 0, -1)), BitShape(2, 3, 5, Border(0, 1, 1, 1, 1))
    values = signs(2, 2, 3, 5)
    workspace = begin(x=pack_bits(bordered(values, source.border) > 0))
    again(CopyBits(name="copy", source="x", output="y", input=source, shape=shape)).run(workspace)
    np.testing.assert_array_equal(written(workspace.values["y"], shape), bordered(values, shape.border))


def test_the_scales_of_inputs_are_means_over_windows():
    numbers = RANDOM.normal(size=(2, 5, 6, 7)).astype("float32")
    step = InputScales(
        name="k", source="x", output="y", input_size=(5, 6), channels=7, kernel_size=(3, 3), strides=(2, 2),
        pads=(1, 1), size=(3, 2), dilation=(1, 2),
    )  # fmt: skip
    workspace = begin(x=numbers)
    again(step).run(workspace)
    padded = np.pad(np.abs(numbers), ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = windows(padded, (3, 3), (2, 2), (1, 2), (0, 0), (3, 2)).mean(axis=(3, 4, 5))
    np.testing.assert_allclose(workspace.values["y"], expected, rtol=1e-6)


@pytest.mark.parametrize("choices", [[-1, 1], [-1, 0, 1]])
def test_numbers_times_signs(choices):
    numbers = RANDOM.normal(size=(2, 5, 6, 7)).astype("float32")
    kernel = RANDOM.choice(choices, (3, 3, 7, 20))
    scale, offset = RANDOM.normal(size=(2, 20)).astype("float32")
    step = RealConvolve(
        name="conv", source="x", output="y", planes=pack_codes(kernel), input_size=(5, 6), channels=7,
        kernel_size=(3, 3), strides=(1, 2), dilation=(1, 1), pads=(1, 0), size=(5, 3), filters=20, scale=scale,
        offset=offset,
    )  # fmt: skip
    workspace = begin(x=numbers)
    again(step).run(workspace)
    padded = np.pad(numbers, ((0, 0), (1, 1), (0, 1), (0, 0))).astype("float64")
    taps = windows(padded, (3, 3), (1, 2), (1, 1), (0, 0), (5, 3))
    expected = np.einsum("nrcyxi,yxif->nrcf", taps, kernel) * scale + offset
    np.testing.assert_allclose(workspace.values["y"], expected, rtol=1e-4, atol=1e-4)
    assert step.multiply_adds == 15 * 20 * 63
    with pytest.raises(ValueError, match=re.escape("The step 'conv' must have `planes` of uint32 with the shape")):
        RealConvolve.from_parts({**step.settings(), "filters": 40}, step.arrays())


def test_layers_in_keras_are_the_layers():
    given, other = keras.Input((4, 4, 3)), keras.Input((2,), dtype="int32")
    pooled = keras.layers.Conv2D(5, 3, activation="relu")(given)
    inside = keras.Sequential([keras.Input((2,)), keras.layers.Dense(6, name="inside")])
    model = keras.Model([given, other], [pooled, inside(keras.ops.cast(other, "float32"))])
    step = KerasPart(name="part", sources=["a", "b"], outputs=["c", "d"], model=model, reasons={"x": "why"})
    images, numbers = RANDOM.random((2, 4, 4, 3), "float32"), np.array([[1, 2], [3, 4]])
    expected = model.predict([images, numbers], verbose=0)
    for tried in (step, again(step)):
        assert tried.reads == ("a", "b")
        assert tried.writes == ("c", "d")
        assert tried.reasons == {"x": "why"}
        assert tried.multiply_adds == 4 * 27 * 5 + 2 * 6
        assert tried.nbytes == 4 * model.count_params()
        workspace = begin(a=images, b=numbers)
        tried.run(workspace)
        np.testing.assert_array_equal(workspace.values["c"], expected[0])
        np.testing.assert_array_equal(workspace.values["d"], expected[1])
        # With any number of images.
        workspace.begin(1, {"a": images[:1], "b": numbers[:1]})
        tried.run(workspace)
        assert workspace.values["c"].shape == (1, 2, 2, 5)
    with pytest.raises(ValueError, match=re.escape("The step 'part' must have 2 sources, as its model has inputs")):
        KerasPart(name="part", sources=["a"], outputs=["c", "d"], model=model)


def test_memory_is_kept_between_passes_and_borders_are_filled_once():
    shape = BitShape(1, 1, 65, Border(1, 1, 1, 1, 1))
    workspace = begin(4)
    large = workspace.bits("x", shape)
    np.testing.assert_array_equal(written(large, shape), 1)
    assert workspace.floats("y", (1, 1, 3), vector=True).shape == (4, 1, 1, 3)
    assert workspace.values["y"].shape == (4, 3)
    large[:, 1, 1] = 0
    workspace.begin(2, {})
    small = workspace.bits("x", shape)
    assert np.shares_memory(small, large)
    assert small.flags.c_contiguous
    assert small.shape == (2, 3, 3, 2)
    workspace.begin(5, {})
    np.testing.assert_array_equal(written(workspace.bits("x", shape), shape), 1)


def test_steps_that_do_not_fit_are_refused():
    common, bits, _ = convolution(*CASES[0])
    with pytest.raises(ValueError, match=re.escape("The step 'conv' must have `panels` of uint64 with the shape (1, ")):
        ConvolveFloats(**{**common, "panels": common["panels"][:, 1:]})
    with pytest.raises(ValueError, match=re.escape("The step 'conv' must have windows inside (8, 8, 1). Received: ")):
        ConvolveFloats(**{**common, "origin": (0, 4)})
    with pytest.raises(ValueError, match=re.escape("The step 'conv' must have one pixel where a vector comes out.")):
        ConvolveFloats(**common, vector=True)
    limits, flips = np.zeros(16, "int32"), np.zeros(16, bool)
    shape = BitShape(*common["size"], 5)
    with pytest.raises(ValueError, match="The step 'conv' must have no filters beyond the last"):
        ConvolveBits(**common, limits=limits, flips=flips, shape=shape)
    limits[5:] = -1
    with pytest.raises(ValueError, match=re.escape(f"The step 'conv' must have {common['size']} pixels of output.")):
        ConvolveBits(**common, limits=limits, flips=flips, shape=BitShape(1, 1, 5))
    with pytest.raises(ValueError, match=re.escape("The value 'x' must be bits of shape (2, 8, 8, 1). Received: ")):
        ConvolveFloats(**common).run(begin(x=bits[:, 1:]))
    with pytest.raises(ValueError, match=re.escape("The value 'x' must have the shape (2, 5, 6, 7). Received: shape")):
        begin(x=np.zeros((2, 5, 6, 6))).read_floats("x", (5, 6, 7))
    with pytest.raises(ValueError, match=r"A border has a width of 0 or more on each side, and \+1 or -1 in it"):
        Border(value=0)
    with pytest.raises(ValueError, match="A tensor of bits needs pixels and channels"):
        BitShape(0, 1, 1)
