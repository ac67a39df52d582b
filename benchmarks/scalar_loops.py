"""A convolution by loops that use one number at a time: where the 58 times of the XNOR-Net paper come from.

    python -m benchmarks.scalar_loops

The paper compares a convolution of bits, 64 in a word, with one of floats, one at a time, in a loop without vectors,
and leaves out what memory costs: if each takes one clock, 64 * 9 * 256 / (9 * 256 + 64) = 62 times. Both loops are
measured twice: as one writes them at first, where the loop of floats waits for each addition before the next, and with
four filters side by side, where neither waits. The latter are those of the lesson on XNOR networks, which also compiles
all four without the vectorizer and looks at what was compiled. Takes a few seconds.
"""

import json
from typing import Annotated

import numpy as np
import typer

from kerasdl.tutorials import loops_without_vectors
from kerasdl.tutorials.loops_without_vectors import BITS, FLOATS, Loop, ones


def one_float_loop(image: np.ndarray, kernel: np.ndarray, out: np.ndarray) -> None:
    """A filter after the other: each addition waits for the one before."""
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            for f in range(kernel.shape[0]):
                total = np.float32(0)
                for i in range(kernel.shape[1]):
                    for j in range(kernel.shape[2]):
                        for c in range(kernel.shape[3]):
                            total += image[y + i, x + j, c] * kernel[f, i, j, c]
                out[y, x, f] = total


def one_bit_loop(image: np.ndarray, kernel: np.ndarray, out: np.ndarray) -> None:
    """The same for words of 64 channels; `out` counts where signs differ."""
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            for f in range(kernel.shape[0]):
                total = np.uint64(0)
                for i in range(kernel.shape[1]):
                    for j in range(kernel.shape[2]):
                        for c in range(kernel.shape[3]):
                            total += ones(image[y + i, x + j, c] ^ kernel[f, i, j, c])
                out[y, x, f] = total


LOOPS = {
    "floats": Loop(one_float_loop, False, 1),
    "words": Loop(one_bit_loop, True, 1),
    "four_floats": FLOATS,
    "four_words": BITS,
}


def measure(size: int, channels: int, repeats: int) -> dict[str, float]:
    """The median seconds of each loop, for one image and a kernel of 3x3 with as many filters as channels."""
    taken = loops_without_vectors.measure(size, channels, repeats, tuple(LOOPS.values()))
    return {name: milliseconds / 1000 for name, milliseconds in zip(LOOPS, taken, strict=True)}


def main(
    size: Annotated[int, typer.Option(help="Height and width.")] = 14,
    channels: Annotated[int, typer.Option(help="Channels and filters, a multiple of 64.")] = 256,
    repeats: Annotated[int, typer.Option(help="How often each loop is timed.")] = 5,
) -> None:
    """Prints the seconds of each loop as JSON."""
    print(json.dumps(measure(size, channels, repeats)))


if __name__ == "__main__":
    typer.run(main)
