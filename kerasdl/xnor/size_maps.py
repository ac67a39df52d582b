"""The map K of XNOR networks: how large the inputs are that each window of a convolution has read."""

from typing import Any

import numba
import numpy as np

from kerasdl.xnor.processor import compiled, read_only

# Numbers below which a second thread costs more than it saves.
SMALL = 1 << 16


@compiled(fastmath={"reassoc"})
def _mean_size(numbers: Any) -> Any:
    total = np.float32(0)
    for index in range(numbers.size):
        total += abs(numbers[index])
    return total / np.float32(numbers.size)


@compiled()
def _box_row(sizes: Any, kernel: Any, strides: Any, dilation: Any, pads: Any, out: Any, row: Any) -> None:
    _, height, width = sizes.shape
    image, y = divmod(row, out.shape[1])
    share = np.float32(1 / (kernel[0] * kernel[1]))
    for x in range(out.shape[2]):
        total = np.float32(0)
        for tap_row in range(kernel[0]):
            source = y * strides[0] - pads[0] + tap_row * dilation[0]
            if source < 0 or source >= height:
                continue
            for tap in range(kernel[1]):
                column = x * strides[1] - pads[1] + tap * dilation[1]
                if column >= 0 and column < width:
                    total += sizes[image, source, column] * share
        out[image, y, x] = total


@compiled(parallel=True)
def _map_sizes(x: Any, kernel: Any, strides: Any, dilation: Any, pads: Any, sizes: Any, out: Any, threads: Any) -> None:
    pixels = x.reshape((-1, x.shape[3]))
    means = sizes.reshape(-1)
    rows = out.shape[0] * out.shape[1]
    if threads == 1:
        for pixel in range(means.size):
            means[pixel] = _mean_size(pixels[pixel])
        for row in range(rows):
            _box_row(sizes, kernel, strides, dilation, pads, out, row)
    else:
        for pixel in numba.prange(means.size):
            means[pixel] = _mean_size(pixels[pixel])
        for number in numba.prange(rows):
            signed = np.int64(number)
            _box_row(sizes, kernel, strides, dilation, pads, out, signed)


def input_scales(
    x: np.ndarray,
    kernel_size: tuple[int, int],
    strides: tuple[int, int],
    padding: tuple[int, int, int, int],
    dilation: tuple[int, int] = (1, 1),
) -> np.ndarray:
    """The map `K = A * k`, where `A = mean |x|` over channels, and k is `1 / (height width)` all over a window.

    Args:
        x: Inputs, `(N, H, W, C)` float32; a dense layer's are `(N, 1, 1, C)`.
        kernel_size: Sides of the convolution's kernel.
        strides: Steps from window to window.
        padding: Rows above and columns to the left, where A is 0; then how many windows there are, down and across.
        dilation: Steps between the kernel's taps.

    Returns:
        K, `(N, rows, columns)` float32.

    Example:
        >>> input_scales(np.full((1, 3, 3, 2), -4.0, "float32"), (2, 2), (2, 2), (0, 0, 2, 2))[0].tolist()
        [[4.0, 2.0], [2.0, 1.0]]

    Reference:
        [Rastegari et al., 2016](https://arxiv.org/abs/1603.05279), section 3.2
    """
    x = read_only(x, np.float32)
    top, left, rows, columns = padding
    sizes = np.empty(x.shape[:3], np.float32)
    out = np.empty((len(x), rows, columns), np.float32)
    threads = 1 if x.size < SMALL else numba.get_num_threads()
    _map_sizes(x, kernel_size, strides, dilation, (top, left), sizes, out, threads)
    return out
