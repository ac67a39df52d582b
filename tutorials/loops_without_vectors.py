"""One convolution in loops without vectors, of which the XNOR paper speaks: of floats, and of words of 64 signs."""

import re
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numba
import numpy as np

from kerasdl.xnor.bits import pack_bits

# Multiplications, additions and population counts of whole vectors of floats or words.
OF_VECTORS = re.compile(r"\bv?(?:mulps|addps|fmadd\d+ps|popcntq|paddq|pxorq?|pshufb)\b(?=.*[xyz]mm)")


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


class Loop(NamedTuple):
    """A convolution in a loop.

    Args:
        code: A function `(image, kernel, out)`.
        of_bits: Whether it takes words of 64 signs and counts where they differ; otherwise it takes floats.
        together: How many filters it computes side by side: the last axis of its kernel, which one alone does not have.
    """

    code: Callable[..., None]
    of_bits: bool
    together: int


FLOATS, BITS = Loop(float_loop, False, 4), Loop(bit_loop, True, 4)


def compiled(loop: Callable[..., None], *arguments: Any) -> Any:
    """The loop compiled for such arguments, without the steps by which the compiler makes vectors of loops.

    Args:
        loop: The code of a loop.
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
    (assembly,) = made.inspect_asm().values()
    if vectors := OF_VECTORS.search(assembly):
        raise RuntimeError(f"{loop.__name__} was compiled to vectors: {vectors.group()}.")
    return made


def together(kernel: np.ndarray, filters: int) -> np.ndarray:
    """A kernel whose first axis are the filters, with so many of them side by side in its last axis.

    Args:
        kernel: `(filters, height, width, channels)`.
        filters: How many a loop computes side by side.
    """
    return np.ascontiguousarray(np.moveaxis(kernel.reshape(-1, filters, *kernel.shape[1:]), 1, -1))


def measure(side: int, channels: int, repeats: int, loops: Sequence[Loop] = (FLOATS, BITS)) -> list[float]:
    """The median milliseconds of each loop, of a 3x3 convolution with as many filters as channels, on one thread.

    Args:
        side: Height and width of the image.
        channels: A multiple of 64.
        repeats: How often each is timed.
        loops: The loops, which take turns.
    """
    random = np.random.default_rng(0)
    image, kernel = random.random((side + 2, side + 2, channels)) < 0.5, random.random((channels, 3, 3, channels)) < 0.5
    floats = tuple(np.where(bits, 1, -1).astype("float32") for bits in (image, kernel))
    words = pack_bits(image), pack_bits(kernel)
    given = []
    for loop in loops:
        pixels, weights = words if loop.of_bits else floats
        weights = together(weights, loop.together) if loop.together > 1 else weights
        out = np.empty((side, side, channels), np.uint64 if loop.of_bits else np.float32)
        given.append((compiled(loop.code, pixels, weights, out[:1, :1]), pixels, weights, out))
    taken: list[list[float]] = [[] for _ in loops]
    for _ in range(repeats):
        for (run, *arguments), each in zip(given, taken, strict=True):
            begin = time.perf_counter()
            run(*arguments)
            each.append(1000 * (time.perf_counter() - begin))
    products = 9 * channels
    sums = [
        products - 2 * out.astype("float32") if loop.of_bits else out
        for loop, (*_, out) in zip(loops, given, strict=True)
    ]
    for loop, found in zip(loops, sums, strict=True):
        if not np.array_equal(found, sums[0]):
            raise RuntimeError(f"{loop.code.__name__} found other sums than {loops[0].code.__name__}.")
    return [float(np.median(each)) for each in taken]
