"""Tiles of the binary convolution in explicit vectors, as LLVM's intermediate code.

The loop that a compiler makes of plain code keeps the sums in memory and takes vectors of half the width. Here a tile
is written out: so many pixels times the 16 filters of a panel as there are registers for their sums. Each word of the
input is read once and compared with all 16 filters, each vector of the panel with all pixels of the tile.

With AVX-512 (VPOPCNTDQ) a tile has 8 pixels, 16 sums of 8 x 64 bits, and a step is exclusive or, population count and
addition. With older AVX-512 and with AVX2 there is no such instruction: LLVM counts the bits of each byte by two
shuffles, which look them up in a table of 16; the sums are bytes, too, and are added up to words before they could
overflow.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kerasdl.xnor.bits import PANEL
from kerasdl.xnor.processor import vector_kind

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_FLOAT = ir.FloatType()
FLUSH = 31
"""Words after which sums of bytes are emptied: each adds at most 8, and 31 x 8 is the most that a byte holds."""


def _call(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def _splat(builder: Any, value: Any, lanes: int) -> Any:
    vector = ir.VectorType(value.type, lanes)
    single = builder.insert_element(ir.Constant(vector, ir.Undefined), value, _I32(0))
    zeros = ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes)
    return builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), zeros)


def _joined(builder: Any, vectors: list) -> Any:
    """One vector of all lanes of vectors of equal length, two by two."""
    while len(vectors) > 1:
        lanes = ir.Constant(ir.VectorType(_I32, 2 * vectors[0].type.count), list(range(2 * vectors[0].type.count)))
        vectors = [builder.shuffle_vector(a, b, lanes) for a, b in zip(vectors[::2], vectors[1::2], strict=True)]
    return vectors[0]


def _vector_at(builder: Any, pointer: Any, vector: Any) -> Any:
    return builder.bitcast(pointer, vector.as_pointer())


def _load(builder: Any, pointer: Any, vector: Any) -> Any:
    """Sixteen numbers, aligned as each of them is."""
    return builder.load(_vector_at(builder, pointer, vector), align=4)


class _Panel:
    """What the tiles of one panel share: where its words are, and how many there are."""

    def __init__(self, builder: Any, bits: Any, panels: Any, panel: Any, taps: Any, words: Any) -> None:
        self.bits, self.taps, self.words = bits, taps, words
        self.weights = builder.gep(panels, [builder.mul(panel, builder.mul(words, _I64(PANEL)))])

    def word(self, builder: Any, starts: list, at: Any) -> list:
        """The word of each pixel that meets word `at` of the panel."""
        tap = builder.load(builder.gep(self.taps, [at]))
        return [builder.load(builder.gep(start, [tap])) for start in starts]

    def vectors(self, builder: Any, at: Any, lanes: int) -> Iterator[Any]:
        """Word `at` of the 16 filters, as vectors of so many of 64 bits."""
        for first in range(0, PANEL, lanes):
            pointer = builder.gep(self.weights, [builder.add(builder.mul(at, _I64(PANEL)), _I64(first))])
            yield builder.load(_vector_at(builder, pointer, ir.VectorType(_I64, lanes)), align=8)


def _sums(builder: Any, starts: list, vector: Any, parts: int) -> list:
    """A place for each pixel and each part of the panel, reserved on the stack; LLVM keeps it in a register."""
    return [[cgutils.alloca_once(builder, vector) for _ in range(parts)] for _ in starts]


def _clear(builder: Any, sums: list, vector: Any) -> None:
    for pointer in (pointer for row in sums for pointer in row):
        builder.store(ir.Constant(vector, [0] * vector.count), pointer)


def _add(builder: Any, pointer: Any, value: Any) -> None:
    builder.store(builder.add(builder.load(pointer), value), pointer)


def _totals(builder: Any, sums: list, parts: int) -> list:
    narrow = ir.VectorType(_I32, PANEL // parts)
    return [_joined(builder, [builder.trunc(builder.load(pointer), narrow) for pointer in row]) for row in sums]


def _count_words(builder: Any, panel: _Panel, starts: list) -> list:
    """Vectors of 8 x 64 bits, for which there is one instruction that counts."""
    vector = ir.VectorType(_I64, 8)
    sums = _sums(builder, starts, vector, 2)
    _clear(builder, sums, vector)
    with cgutils.for_range(builder, panel.words) as loop:
        weights = list(panel.vectors(builder, loop.index, 8))
        for pair, word in zip(sums, panel.word(builder, starts, loop.index), strict=True):
            spread = _splat(builder, word, 8)
            for pointer, weight in zip(pair, weights, strict=True):
                unlike = _call(builder, "llvm.ctpop.v8i64", vector, builder.xor(spread, weight))
                _add(builder, pointer, unlike)
    return _totals(builder, sums, 2)


def _count_bytes(builder: Any, panel: _Panel, starts: list, lanes: int) -> list:
    """Vectors of so many words, seen as bytes; the sums of bytes are emptied into sums of words in time."""
    octets, wide, parts = ir.VectorType(_I8, 8 * lanes), ir.VectorType(_I64, lanes), PANEL // lanes
    add_bytes = {4: "llvm.x86.avx2.psad.bw", 8: "llvm.x86.avx512.psad.bw.512"}[lanes]
    sums, small = _sums(builder, starts, wide, parts), _sums(builder, starts, octets, parts)
    _clear(builder, sums, wide)
    with cgutils.for_range_slice(builder, _I64(0), panel.words, _I64(FLUSH), _I64) as (begin, _):
        _clear(builder, small, octets)
        left = builder.sub(panel.words, begin)
        count = builder.select(builder.icmp_signed("<", left, _I64(FLUSH)), left, _I64(FLUSH))
        with cgutils.for_range(builder, count) as loop:
            at = builder.add(begin, loop.index)
            spread = [_splat(builder, word, lanes) for word in panel.word(builder, starts, at)]
            for part, weight in enumerate(panel.vectors(builder, at, lanes)):
                for row, word in zip(small, spread, strict=True):
                    unlike = builder.bitcast(builder.xor(word, weight), octets)
                    _add(builder, row[part], _call(builder, f"llvm.ctpop.v{8 * lanes}i8", octets, unlike))
        none = ir.Constant(octets, [0] * octets.count)
        for row, few in zip(sums, small, strict=True):
            for pointer, part in zip(row, few, strict=True):
                _add(builder, pointer, _call(builder, add_bytes, wide, builder.load(part), none))
    return _totals(builder, sums, parts)


# How many pixels a tile takes, at the end fewer, and how it counts.
WAYS: dict[str, tuple[tuple[int, ...], Callable[..., list]]] = {
    "avx512": ((8, 4, 2, 1), _count_words),
    "avx512bw": ((8, 4, 2, 1), functools.partial(_count_bytes, lanes=8)),
    "avx2": ((2, 1), functools.partial(_count_bytes, lanes=4)),
}


class _Filters:
    """The filters of a panel that there are: all 16, or in the last panel the first few."""

    def __init__(self, builder: Any, filters: Any, first: Any) -> None:
        self.left = builder.trunc(builder.sub(filters, first), _I32)
        self.whole = builder.icmp_signed(">=", self.left, _I32(PANEL))
        lanes = ir.Constant(ir.VectorType(_I32, PANEL), list(range(PANEL)))
        self.mask = builder.icmp_signed("<", lanes, _splat(builder, self.left, PANEL))

    def store(self, builder: Any, value: Any, pointer: Any, name: str) -> None:
        pointer = _vector_at(builder, pointer, value.type)
        with builder.if_else(self.whole, likely=True) as (then, otherwise):
            with then:
                builder.store(value, pointer, align=4)
            with otherwise:
                _call(builder, f"llvm.masked.store.v16{name}.p0", ir.VoidType(), value, pointer, _I32(4), self.mask)

    def load(self, builder: Any, pointer: Any, vector: Any) -> Any:
        pointer = _vector_at(builder, pointer, vector)
        with builder.if_else(self.whole, likely=True) as (then, otherwise):
            with then:
                whole = builder.load(pointer, align=4)
                then_block = builder.block
            with otherwise:
                none = ir.Constant(vector, [0.0] * PANEL)
                part = _call(builder, "llvm.masked.load.v16f32.p0", vector, pointer, _I32(4), self.mask, none)
                otherwise_block = builder.block
        value = builder.phi(vector)
        value.add_incoming(whole, then_block)
        value.add_incoming(part, otherwise_block)
        return value


def _to_counts(builder: Any, out: Any, first: Any, panel: Any, filters: Any) -> Any:
    there = _Filters(builder, filters, first)

    def write(counts: Any, target: Any, pixel: Any) -> None:
        there.store(builder, counts, builder.gep(out, [builder.add(target, first)]), "i32")

    return write


def _to_bits(builder: Any, out: Any, first: Any, panel: Any, limits: Any, flips: Any) -> Any:
    limit = _load(builder, builder.gep(limits, [first]), ir.VectorType(_I32, PANEL))
    octets = ir.VectorType(_I8, PANEL)
    flip = builder.load(_vector_at(builder, builder.gep(flips, [first]), octets), align=1)
    flip = builder.bitcast(builder.icmp_unsigned("!=", flip, ir.Constant(octets, [0] * PANEL)), _I16)

    def write(counts: Any, target: Any, pixel: Any) -> None:
        mask = builder.bitcast(builder.icmp_signed("<=", counts, limit), _I16)
        builder.store(builder.xor(mask, flip), builder.gep(out, [builder.add(target, panel)]))

    return write


def _to_floats(
    builder: Any, out: Any, first: Any, panel: Any, filters: Any, length: Any, scale: Any, offset: Any,
    input_scale: Any, input_step: Any, residual: Any, residual_step: Any,
) -> Any:  # fmt: skip
    vector = ir.VectorType(_FLOAT, PANEL)
    there = _Filters(builder, filters, first)
    lengths = _splat(builder, builder.trunc(length, _I32), PANEL)
    scales = _load(builder, builder.gep(scale, [first]), vector)
    offsets = _load(builder, builder.gep(offset, [first]), vector)

    def write(counts: Any, target: Any, pixel: Any) -> None:
        # No operation is marked as one that may be contracted: each rounds by itself, as in the Keras layers.
        value = builder.sitofp(builder.sub(lengths, builder.add(counts, counts)), vector)
        factor = builder.load(builder.gep(input_scale, [builder.mul(pixel, input_step)]))
        value = builder.fmul(builder.fmul(value, scales), _splat(builder, factor, PANEL))
        beside = builder.gep(residual, [builder.add(builder.mul(target, residual_step), first)])
        value = builder.fadd(builder.fadd(value, offsets), there.load(builder, beside, vector))
        there.store(builder, value, builder.gep(out, [builder.add(target, first)]), "f32")

    return write


_ENDINGS: dict[Any, Callable[..., Any]] = {types.int32: _to_counts, types.uint16: _to_bits, types.float32: _to_floats}


@intrinsic
def vector_panel(  # type: ignore[no-untyped-def]
    typing_context, bits, places, targets, panels, panel, taps, out, pixel, ending
) -> Any:
    """Computes the pixels at `places` with one panel; `pixel` is the number of the first, their output at `targets`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        def opened(kind: Any, value: Any) -> Any:
            """The pointer of an array, the number itself."""
            return context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value

        kinds = signature.args[:-1]
        bits_at, places_at, targets_at, panels_at, number, taps_at, out_at, first_pixel = (
            opened(kind, value) for kind, value in zip(kinds, arguments[:-1], strict=True)
        )
        last = [opened(kind, builder.extract_value(arguments[-1], i)) for i, kind in enumerate(signature.args[-1])]
        words = context.make_array(taps)(context, builder, arguments[5]).nitems
        pixels = context.make_array(places)(context, builder, arguments[1]).nitems
        shared = _Panel(builder, bits_at, panels_at, number, taps_at, words)
        write = _ENDINGS[out.dtype](builder, out_at, builder.mul(number, _I64(PANEL)), number, *last)
        sizes, count = WAYS[vector_kind()]
        done: Any = _I64(0)
        for size in sizes:
            tiles = builder.udiv(builder.sub(pixels, done), _I64(size))
            with cgutils.for_range(builder, tiles) as loop:
                row = builder.add(done, builder.mul(loop.index, _I64(size)))
                rows = [builder.add(row, _I64(i)) for i in range(size)]
                starts = [builder.gep(bits_at, [builder.load(builder.gep(places_at, [at]))]) for at in rows]
                for at, counts in zip(rows, count(builder, shared, starts), strict=True):
                    write(counts, builder.load(builder.gep(targets_at, [at])), builder.add(first_pixel, at))
            done = builder.add(done, builder.mul(tiles, _I64(size)))

    return types.void(bits, places, targets, panels, panel, taps, out, pixel, ending), generate
