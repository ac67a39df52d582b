"""How many bits can this processor compare and count in a second, and how many floats can it multiply and add?

    python -m benchmarks.popcount_ceiling

Loops that stay in registers, written in LLVM's own words so that no compiler can find less to do: nothing is read from
memory and nothing written to it. A product of bits takes three instructions for every vector (exclusive or, population
count, add), a product of floats takes one (a fused multiply-add). So there are two ceilings for bits: that of the
three together, which a kernel could reach at best, and that of the population count alone, as if the other two were
free. The ratio of bits to floats is the most that a binary network can gain from the processor. Takes a few seconds.
"""

import dataclasses
import json
import time
from collections.abc import Callable
from typing import Annotated, Any

import numba
import numpy as np
import typer
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

# Lanes of a vector, and how many sums run beside each other: enough to hide an instruction's latency, few enough for 16
# or 32 registers. The best of them is the ceiling. AVX2 has no population count of vectors: there it is looked up byte
# by byte, and bytes are what a kernel adds up as long as it can.
OF_WORDS = ((1, 6), (1, 8), (4, 8), (4, 16), (8, 8), (8, 16))
OF_BYTES = ((32, 6), (32, 8), (64, 6))
OF_FLOATS = ((8, 8), (16, 6), (16, 8))
ROUNDS = 400_000


@dataclasses.dataclass(frozen=True)
class Ceiling:
    """What all threads together reach in a second.

    Args:
        product_bits: Bits by exclusive or, population count and add.
        counted_bits: Bits by the population count alone; where the processor has none for vectors, by the
            instructions that stand for it.
        multiply_adds: Multiply-adds of float32.
    """

    product_bits: float
    counted_bits: float
    multiply_adds: float


def in_registers(lane: ir.Type, lanes: int, sums: int, body: Callable[..., ir.Value]) -> Callable[[int, int], int]:
    """A compiled function (rounds, number) that applies `body` to each of `sums` vectors in every round."""
    vector = ir.VectorType(lane, lanes) if lanes > 1 else lane

    @intrinsic
    def loop(typing: Any, rounds: Any, number: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
            count, seed = arguments
            integer = ir.VectorType(ir.IntType(64), lanes * width_of(lane) // 64)
            places, constant = [], None
            for index in range(sums + 1):
                word = builder.add(seed, ir.Constant(ir.IntType(64), index * 0x9E3779B9))
                whole = ir.Constant(integer, ir.Undefined)
                for position in range(integer.count):
                    whole = builder.insert_element(whole, word, ir.Constant(ir.IntType(32), position))
                value = builder.bitcast(whole, vector)
                if index == sums:
                    constant = value
                else:
                    places.append(cgutils.alloca_once_value(builder, value))
            with cgutils.for_range(builder, count):
                for place in places:
                    builder.store(body(builder, builder.load(place), constant), place)
            total = ir.Constant(ir.IntType(64), 0)
            for place in places:
                whole = builder.bitcast(builder.load(place), integer)
                for position in range(integer.count):
                    part = builder.extract_element(whole, ir.Constant(ir.IntType(32), position))
                    total = builder.add(total, part)
            return total

        return types.int64(types.int64, types.int64), generate

    @numba.njit(parallel=True)
    def run(rounds: int, number: int) -> int:
        total = np.int64(0)
        for _ in numba.prange(numba.get_num_threads()):
            total += loop(rounds, number)
        return total

    return run


def width_of(lane: ir.Type) -> int:
    return lane.width if isinstance(lane, ir.IntType) else 32


def llvm(builder: ir.IRBuilder, name: str, *values: ir.Value) -> ir.Value:
    """A call of one of LLVM's own functions, whose name says what it is for: `llvm.ctpop.v8i64`."""
    kind = values[0].type
    lane = kind.element if isinstance(kind, ir.VectorType) else kind
    lanes = f"v{kind.count}" if isinstance(kind, ir.VectorType) else ""
    suffix = str(lane) if isinstance(lane, ir.IntType) else "f32"
    function = ir.FunctionType(kind, [kind] * len(values))
    return builder.call(
        cgutils.get_or_insert_function(builder.module, function, f"llvm.{name}.{lanes}{suffix}"), values
    )


def compare_and_count(builder: ir.IRBuilder, value: ir.Value, constant: ir.Value) -> ir.Value:
    return builder.add(value, llvm(builder, "ctpop", builder.xor(value, constant)))


def count(builder: ir.IRBuilder, value: ir.Value, constant: ir.Value) -> ir.Value:
    return llvm(builder, "ctpop", value)


def multiply_add(builder: ir.IRBuilder, value: ir.Value, constant: ir.Value) -> ir.Value:
    return llvm(builder, "fma", value, constant, constant)


def fastest(run: Callable[[int, int], int], rounds: int, repeats: int) -> float:
    """The least seconds of a call, of as many as it takes until the system has given each thread a core of its own."""
    run(2, 0)
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run(rounds, 0)
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def measure(threads: int, repeats: int = 30, rounds: int = ROUNDS) -> Ceiling:
    """The ceiling of so many threads: the best over single words, and vectors of 256 and 512 bits."""
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        best = {compare_and_count: 0.0, count: 0.0, multiply_add: 0.0}
        for body, lane, shapes in (
            (compare_and_count, ir.IntType(64), OF_WORDS),
            (compare_and_count, ir.IntType(8), OF_BYTES),
            (count, ir.IntType(64), OF_WORDS),
            (multiply_add, ir.FloatType(), OF_FLOATS),
        ):
            for lanes, sums in shapes:
                done = threads * rounds * sums * lanes * (1 if body is multiply_add else width_of(lane))
                seconds = fastest(in_registers(lane, lanes, sums, body), rounds, repeats)
                best[body] = max(best[body], done / seconds)
    finally:
        numba.set_num_threads(before)
    return Ceiling(best[compare_and_count], best[count], best[multiply_add])


def main(
    threads: Annotated[int | None, typer.Option(help="How many threads; all by default.")] = None,
) -> None:
    """Prints the ceiling as JSON, in billions a second."""
    ceiling = dataclasses.asdict(measure(threads or numba.config.NUMBA_NUM_THREADS))
    print(json.dumps({name: round(value / 1e9, 1) for name, value in ceiling.items()}))


if __name__ == "__main__":
    typer.run(main)
