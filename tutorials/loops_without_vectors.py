"""One convolution in loops without vectors, of which the XNOR paper speaks: of floats, and of words of 64 signs."""

import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from kerasdl.xnor.bits import pack_bits


def float_loop(image: np.ndarray, kernel: np.ndarray, out: np.ndarray) -> None:
    """A multiplication and an addition of floats for each channel, of four filters side by side.

    With one filter alone each addition would wait for the one before.

    Args:
        image: `(height, width, channels)`, with its border.
        kernel: `(filters / 4, height, width, channels, 4)`.
        out: `(height, width, filters)`.
    """
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            for f in range(kernel.shape[0]):
                sum0 = sum1 = sum2 = sum3 = np.float32(0)
                for i in range(kernel.shape[1]):
                    for j in range(kernel.shape[2]):
                        for c in range(kernel.shape[3]):
                            value = image[y + i, x + j, c]
                            sum0 += value * kernel[f, i, j, c, 0]
                            sum1 += value * kernel[f, i, j, c, 1]
                            sum2 += value * kernel[f, i, j, c, 2]
                            sum3 += value * kernel[f, i, j, c, 3]
                out[y, x, 4 * f], out[y, x, 4 * f + 1] = sum0, sum1
                out[y, x, 4 * f + 2], out[y, x, 4 * f + 3] = sum2, sum3


@numba.njit
def ones(word: np.uint64) -> np.uint64:
    """The number of ones in a word: in pairs of bits, in fours, in eights, then the sum of the eight bytes.

    The compiler knows this sequence, and takes the one instruction that the processor has for it.

    Args:
        word: 64 bits.
    """
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


def bit_loop(image: np.ndarray, kernel: np.ndarray, out: np.ndarray) -> None:
    """An exclusive or, a count of ones and an addition for each word of 64 channels; `out` counts where signs differ.

    Args:
        image: `(height, width, words)`, with its border.
        kernel: `(filters / 4, height, width, words, 4)`.
        out: `(height, width, filters)`.
    """
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            for f in range(kernel.shape[0]):
                sum0 = sum1 = sum2 = sum3 = np.uint64(0)
                for i in range(kernel.shape[1]):
                    for j in range(kernel.shape[2]):
                        for c in range(kernel.shape[3]):
                            word = image[y + i, x + j, c]
                            sum0 += ones(word ^ kernel[f, i, j, c, 0])
                            sum1 += ones(word ^ kernel[f, i, j, c, 1])
                            sum2 += ones(word ^ kernel[f, i, j, c, 2])
                            sum3 += ones(word ^ kernel[f, i, j, c, 3])
                out[y, x, 4 * f], out[y, x, 4 * f + 1] = sum0, sum1
                out[y, x, 4 * f + 2], out[y, x, 4 * f + 3] = sum2, sum3


def compiled(loop: Callable[..., None], *arguments: Any) -> Any:
    """The loop compiled for such arguments, without the steps by which the compiler makes vectors of loops.

    Args:
        loop: One of the two.
        *arguments: Small ones will do; they are computed with.
    """
    config: Any = numba.config
    settings = config.LOOP_VECTORIZE, config.SLP_VECTORIZE
    config.LOOP_VECTORIZE = config.SLP_VECTORIZE = 0
    try:
        made = numba.njit(loop)
        made(*arguments)
    finally:
        config.LOOP_VECTORIZE, config.SLP_VECTORIZE = settings
    return made


def measure(side: int, channels: int, repeats: int) -> tuple[float, float]:
    """The median milliseconds of both loops, of a 3x3 convolution with as many filters as channels, on one thread.

    Args:
        side: Height and width of the image.
        channels: A multiple of 64.
        repeats: How often each is timed.
    """
    random = np.random.default_rng(0)
    image, kernel = random.random((side + 2, side + 2, channels)) < 0.5, random.random((channels, 3, 3, channels)) < 0.5
    given: list[tuple[Any, ...]] = [
        (float_loop, *(np.where(bits, 1, -1).astype("float32") for bits in (image, kernel)), np.float32),
        (bit_loop, pack_bits(image), pack_bits(kernel), np.uint64),
    ]
    times, sums = [], []
    for loop, pixels, weights, kind in given:
        weights = np.ascontiguousarray(np.moveaxis(weights.reshape(-1, 4, *weights.shape[1:]), 1, -1))
        out = np.empty((side, side, channels), kind)
        run = compiled(loop, pixels, weights, out[:1, :1])
        taken = []
        for _ in range(repeats):
            begin = time.perf_counter()
            run(pixels, weights, out)
            taken.append(1000 * (time.perf_counter() - begin))
        times.append(float(np.median(taken)))
        sums.append(out)
    if not np.array_equal(sums[0], 9 * channels - 2 * sums[1].astype("float32")):
        raise RuntimeError("The loop of bits found other sums than the loop of floats.")
    return times[0], times[1]
