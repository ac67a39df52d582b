"""A convolution by loops that use one number at a time: where the 58 times of the XNOR-Net paper come from.

    python -m benchmarks.scalar_loops

The paper compares a convolution of bits, 64 in a word, with one of floats, one at a time, in a loop without vectors,
and leaves out what memory costs: if each takes one clock, 64 * 9 * 256 / (9 * 256 + 64) = 62 times. Both loops stand
here, compiled by numba without its vectorizer (what was compiled is looked at, to see that it holds no vector
instruction), and both twice: as one writes them at first, where the loop of floats waits for each addition before the
next, and with four filters side by side, where neither waits. Takes a few seconds.
"""

import json
import os
import re
import statistics
import time
from typing import Annotated, Any

# Read by numba when it is first imported.
os.environ["NUMBA_LOOP_VECTORIZE"] = "0"
os.environ["NUMBA_SLP_VECTORIZE"] = "0"

import numba
import numpy as np
import typer
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

# Multiplications, additions and population counts of whole vectors of floats or words.
OF_VECTORS = re.compile(r"\bv?(?:mulps|addps|fmadd\d+ps|popcntq|paddq|pxorq?|pshufb)\b(?=.*[xyz]mm)")


@intrinsic
def ones(typing: Any, word: Any) -> Any:
    """The number of ones in a word of 64 bits."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        kind = ir.FunctionType(ir.IntType(64), [ir.IntType(64)])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.ctpop.i64"), arguments)

    return types.int64(types.uint64), generate


@numba.njit
def floats(x, w, out):  # x (H, W, C) with its border; w (F, kernel, kernel, C); out (H, W, F)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for f in range(w.shape[0]):
                total = np.float32(0)
                for di in range(w.shape[1]):
                    for dj in range(w.shape[2]):
                        for k in range(w.shape[3]):
                            total += x[i + di, j + dj, k] * w[f, di, dj, k]
                out[i, j, f] = total


@numba.njit
def words(x, w, out):  # the same for words of 64 channels; out counts where bits differ
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for f in range(w.shape[0]):
                total = np.int64(0)
                for di in range(w.shape[1]):
                    for dj in range(w.shape[2]):
                        for k in range(w.shape[3]):
                            total += ones(x[i + di, j + dj, k] ^ w[f, di, dj, k])
                out[i, j, f] = total


@numba.njit
def four_floats(x, w, out):  # w (F / 4, kernel, kernel, C, 4)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for f in range(w.shape[0]):
                a = b = c = d = np.float32(0)
                for di in range(w.shape[1]):
                    for dj in range(w.shape[2]):
                        for k in range(w.shape[3]):
                            value = x[i + di, j + dj, k]
                            a += value * w[f, di, dj, k, 0]
                            b += value * w[f, di, dj, k, 1]
                            c += value * w[f, di, dj, k, 2]
                            d += value * w[f, di, dj, k, 3]
                out[i, j, 4 * f], out[i, j, 4 * f + 1], out[i, j, 4 * f + 2], out[i, j, 4 * f + 3] = a, b, c, d


@numba.njit
def four_words(x, w, out):
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for f in range(w.shape[0]):
                a = b = c = d = np.int64(0)
                for di in range(w.shape[1]):
                    for dj in range(w.shape[2]):
                        for k in range(w.shape[3]):
                            value = x[i + di, j + dj, k]
                            a += ones(value ^ w[f, di, dj, k, 0])
                            b += ones(value ^ w[f, di, dj, k, 1])
                            c += ones(value ^ w[f, di, dj, k, 2])
                            d += ones(value ^ w[f, di, dj, k, 3])
                out[i, j, 4 * f], out[i, j, 4 * f + 1], out[i, j, 4 * f + 2], out[i, j, 4 * f + 3] = a, b, c, d


LOOPS = (floats, words, four_floats, four_words)


def operands(size: int, channels: int, filters: int) -> dict[str, tuple[np.ndarray, ...]]:
    """What each loop takes: the same +1 and -1, as floats and as bits."""
    random = np.random.default_rng(0)

    def packed(positive: np.ndarray) -> np.ndarray:
        return np.packbits(positive, axis=-1, bitorder="little").view(np.uint64)

    pixels = random.random((size + 2, size + 2, channels)) < 0.5
    weights = random.random((filters, 3, 3, channels)) < 0.5
    taken = {}
    for name, x, w, kind in (
        ("floats", *(np.where(each, 1, -1).astype("float32") for each in (pixels, weights)), np.float32),
        ("words", packed(pixels), packed(weights), np.int64),
    ):
        by_four = np.ascontiguousarray(np.moveaxis(w.reshape(filters // 4, 4, *w.shape[1:]), 1, -1))
        taken[name] = (x, w, np.empty((size, size, filters), kind))
        taken[f"four_{name}"] = (x, by_four, np.empty((size, size, filters), kind))
    return taken


def measure(size: int, channels: int, filters: int, repeats: int = 5) -> dict[str, float]:
    """The median seconds of each loop, for one image and a kernel of 3x3, on one thread."""
    taken = operands(size, channels, filters)
    seconds: dict[str, list[float]] = {loop.__name__: [] for loop in LOOPS}
    for repeat in range(1 + repeats):
        for loop in LOOPS:
            begin = time.perf_counter()
            loop(*taken[loop.__name__])
            if repeat:
                seconds[loop.__name__].append(time.perf_counter() - begin)
    expected = taken["floats"][2]
    for loop in LOOPS:
        found = taken[loop.__name__][2]
        if not np.array_equal(found if "floats" in loop.__name__ else 9 * channels - 2 * found, expected):
            raise RuntimeError(f"{loop.__name__} found other sums than floats.")
        (assembly,) = loop.inspect_asm().values()
        if vectors := OF_VECTORS.search(assembly):
            raise RuntimeError(f"{loop.__name__} was compiled to vectors: {vectors.group()}.")
    return {name: statistics.median(values) for name, values in seconds.items()}


def main(
    size: Annotated[int, typer.Option(help="Height and width.")] = 14,
    channels: Annotated[int, typer.Option(help="Channels, a multiple of 64.")] = 256,
    filters: Annotated[int, typer.Option(help="Filters, a multiple of 4.")] = 256,
    repeats: Annotated[int, typer.Option(help="How often each loop is timed.")] = 5,
) -> None:
    """Prints the seconds of each loop as JSON."""
    print(json.dumps(measure(size, channels, filters, repeats)))


if __name__ == "__main__":
    typer.run(main)
