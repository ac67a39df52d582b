import keras
import numba
import numpy as np
import pytest

from kerasdl.layers import XnorConv2D, XnorDense
from kerasdl.xnor.size_maps import input_scales


def map_by_definition(x, kernel_size, strides, pads, size, dilation=(1, 1)):
    """The mean of |x| over what each window reads, in float64; zeros outside."""
    sizes = np.pad(np.abs(x.astype("float64")).mean(-1), ((0, 0), (40, 40), (40, 40)))
    out = np.zeros((len(x), *size))
    for y, z in np.ndindex(*size):
        rows = 40 - pads[0] + y * strides[0] + np.arange(kernel_size[0]) * dilation[0]
        columns = 40 - pads[1] + z * strides[1] + np.arange(kernel_size[1]) * dilation[1]
        out[:, y, z] = sizes[:, rows][:, :, columns].mean((1, 2))
    return out


@pytest.mark.parametrize("channels", [1, 3, 63, 65])
@pytest.mark.parametrize(
    ("kernel_size", "strides", "pads", "size", "dilation"),
    [
        ((3, 3), (1, 1), (1, 1), (7, 9), (1, 1)),
        ((2, 3), (2, 1), (0, 1), (3, 9), (1, 1)),
        ((3, 3), (1, 1), (2, 3), (7, 9), (2, 3)),
        ((7, 9), (1, 1), (0, 0), (1, 1), (1, 1)),
        ((1, 1), (1, 1), (0, 0), (7, 9), (1, 1)),
    ],
)
def test_is_the_mean_over_windows(channels, kernel_size, strides, pads, size, dilation):
    x = np.random.default_rng(channels).normal(size=(2, 7, 9, channels)).astype("float32")
    found = input_scales(x, kernel_size, strides, (*pads, *size), dilation)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, map_by_definition(x, kernel_size, strides, pads, size, dilation), rtol=1e-6)


def test_large_inputs_are_shared_among_threads():
    x = np.random.default_rng(0).normal(size=(3, 20, 21, 64)).astype("float32")
    expected = map_by_definition(x, (3, 3), (1, 1), (1, 1), (20, 21))
    before = numba.get_num_threads()
    try:
        for threads in {1, min(2, numba.config.NUMBA_NUM_THREADS)}:
            numba.set_num_threads(threads)
            np.testing.assert_allclose(input_scales(x, (3, 3), (1, 1), (1, 1, 20, 21)), expected, rtol=1e-6)
    finally:
        numba.set_num_threads(before)


def test_is_what_the_layers_multiply_by():
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 5)).astype("float32")
    scaled, plain = (XnorConv2D(1, 3, strides=2, padding="same", use_bias=False, input_scale=k) for k in (True, False))
    for layer in (scaled, plain):
        layer.build(x.shape)
        layer.set_weights([np.ones((3, 3, 5, 1))])
    sums = np.asarray(plain(x))[..., 0]
    kept = sums != 0
    found = np.asarray(scaled(x))[..., 0][kept] / sums[kept]
    np.testing.assert_allclose(input_scales(x, (3, 3), (2, 2), (0, 0, 4, 4))[kept], found, rtol=1e-6)

    rows = x.reshape(2, -1)[:, :319]
    dense = XnorDense(1, use_bias=False, input_scale=True, kernel_initializer=keras.initializers.Ones())
    ratio = np.asarray(dense(rows))[:, 0] / np.where(rows >= 0, 1, -1).sum(1)
    np.testing.assert_allclose(
        input_scales(rows[:, None, None], (1, 1), (1, 1), (0, 0, 1, 1)).ravel(), ratio, rtol=1e-6
    )
