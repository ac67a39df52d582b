"""Tiles of sums of real numbers times signs, computed by looking up sums of four numbers, 16 filters in a vector.

A float processor spends one multiply-add on each weight. Where weights are signs there are only 16 sums of four
inputs, `+-x0 +-x1 +-x2 +-x3`, and half of them are the other half negated. A table of eight is computed once for each
four inputs and serves all filters: the four weights of a filter are the row to read, and one permutation of a register
reads 16 filters' rows at once. So 64 products cost a permutation and an addition.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kerasdl.xnor.bits import PANEL
from kerasdl.xnor.processor import vector_kind
from kerasdl.xnor.weight_codes import CODES

# Numbers in a table.
ROWS = 8
_FLOAT, _INT, _LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_TABLE_BYTES, _WORD_BYTES = 4 * ROWS, 4 * PANEL


def _load(builder: Any, address: Any, element: Any, lanes: int) -> Any:
    kind = ir.VectorType(element, lanes)
    return builder.load(builder.inttoptr(address, kind.as_pointer()), align=4)


def _store(builder: Any, value: Any, address: Any) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=4)


def _constants(values: Any) -> Any:
    return ir.Constant(ir.VectorType(_INT, len(values)), [int(value) for value in values])


def _shuffle(builder: Any, vector: Any, lanes: Any) -> Any:
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), _constants(lanes))


def _negate(builder: Any, numbers: Any, signs: Any) -> Any:
    """Numbers whose sign is flipped where the top bit of `signs` is set."""
    return builder.bitcast(builder.xor(builder.bitcast(numbers, signs.type), signs), numbers.type)


class _Portable:
    """Without a permutation of registers: the table holds the four inputs, whose signs are flipped one by one.

    The order of additions is that of the tables, so that all ways give the same bits.
    """

    lanes = 16

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def table(self, address: Any) -> Any:
        inputs = _load(self.builder, address, _FLOAT, 4)
        return [_shuffle(self.builder, inputs, [place] * self.lanes) for place in range(4)]

    def rows(self, codes: Any) -> Any:
        builder, top = self.builder, _constants([1 << 31] * self.lanes)
        last = builder.shl(codes, _constants([28] * self.lanes))
        others = [builder.xor(last, builder.shl(codes, _constants([31 - bit] * self.lanes))) for bit in range(3)]
        return [builder.and_(bits, top) for bits in (*others, last)]

    def look_up(self, table: Any, rows: Any) -> Any:
        total = _negate(self.builder, table[3], rows[3])
        for place in range(3):
            total = self.builder.fadd(total, _negate(self.builder, table[place], rows[place]))
        return total


class _Eight:
    """AVX2: one register holds the table of eight, and the top bit of a code flips what was read."""

    lanes = 8

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        arguments = [ir.VectorType(_FLOAT, 8), ir.VectorType(_INT, 8)]
        signature = ir.FunctionType(arguments[0], arguments)
        self.permute = cgutils.get_or_insert_function(builder.module, signature, "llvm.x86.avx2.permps")

    def table(self, address: Any) -> Any:
        return _load(self.builder, address, _FLOAT, 8)

    def rows(self, codes: Any) -> Any:
        signs = self.builder.shl(codes, _constants([28] * 8))
        return codes, self.builder.and_(signs, _constants([1 << 31] * 8))

    def look_up(self, table: Any, rows: Any) -> Any:
        return _negate(self.builder, self.builder.call(self.permute, [table, rows[0]]), rows[1])


class _Sixteen:
    """AVX-512: one register holds the table and its negative."""

    lanes = 16

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        arguments = [ir.VectorType(_FLOAT, 16), ir.VectorType(_INT, 16)]
        signature = ir.FunctionType(arguments[0], arguments)
        self.permute = cgutils.get_or_insert_function(builder.module, signature, "llvm.x86.avx512.permvar.sf.512")

    def table(self, address: Any) -> Any:
        half = _load(self.builder, address, _FLOAT, 8)
        twice = _shuffle(self.builder, half, [*range(8), *range(8)])
        return _negate(self.builder, twice, _constants([0] * 8 + [1 << 31] * 8))

    def rows(self, codes: Any) -> Any:
        return codes

    def look_up(self, table: Any, rows: Any) -> Any:
        return self.builder.call(self.permute, [table, rows])


def _way(builder: Any, portable: bool) -> Any:
    kind = "portable" if portable else vector_kind()
    return {"avx512": _Sixteen, "avx512bw": _Sixteen, "avx2": _Eight}.get(kind, _Portable)(builder)


@intrinsic(prefer_literal=True)
def add_products(
    typingctx: Any, portable: Any, pixels: Any, panels: Any, tables: Any, offsets: Any, codes: Any, stride: Any,
    first: Any, count: Any, sums: Any,
) -> Any:  # fmt: skip
    """Adds to `pixels` times `panels` vectors of sums what `count` tables and codes give.

    Args:
        typingctx: Numba's.
        portable: A constant; True keeps to what every processor has.
        pixels: A constant, how many windows.
        panels: A constant, how many times 16 filters.
        tables: Address of the run's tables, one after another.
        offsets: Address of `pixels` int64: where in the tables each window lies, in bytes.
        codes: Address of the first panel's codes.
        stride: Bytes from one panel to the next.
        first: The run's first code, counted from the panel's beginning.
        count: Tables in the run.
        sums: Address of float32 `(pixels, panels, 16)`.
    """
    shape = [portable.literal_value, pixels.literal_value, panels.literal_value]
    rest = [types.int64] * 7
    return types.void(portable, pixels, panels, *rest), _tile_builder(*shape)


def _tile_builder(portable: bool, pixels: int, panels: int) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tables, offsets, codes, stride, first, count, sums = arguments[3:]
        way = _way(builder, portable)
        parts = PANEL // way.lanes
        vector = ir.VectorType(_FLOAT, way.lanes)
        slots = [(panel, part) for panel in range(panels) for part in range(parts)]
        accumulators = {
            (pixel, *slot): cgutils.alloca_once(builder, vector) for pixel in range(pixels) for slot in slots
        }
        place, table = cgutils.alloca_once(builder, _LONG), cgutils.alloca_once(builder, _LONG)
        for accumulator in accumulators.values():
            builder.store(ir.Constant(vector, [0.0] * way.lanes), accumulator)
        builder.store(first, place)
        builder.store(tables, table)
        end = builder.add(first, count)
        starts = [
            builder.load(builder.inttoptr(builder.add(offsets, _LONG(8 * pixel)), _LONG.as_pointer()))
            for pixel in range(pixels)
        ]

        def load_codes() -> dict:
            word = builder.mul(builder.lshr(builder.load(place), _LONG(3)), _LONG(_WORD_BYTES))
            base = builder.add(codes, word)
            found = {}
            for panel, part in slots:
                inner = builder.add(builder.mul(stride, _LONG(panel)), _LONG(4 * way.lanes * part))
                found[panel, part] = _load(builder, builder.add(base, inner), _INT, way.lanes)
            return found

        def add(found: dict, shift: Any, step: int) -> None:
            now = builder.load(table)
            addresses = [builder.add(builder.add(now, start), _LONG(_TABLE_BYTES * step)) for start in starts]
            loaded = [way.table(address) for address in addresses]
            for slot in slots:
                rows = way.rows(builder.lshr(found[slot], shift))
                for pixel in range(pixels):
                    accumulator = accumulators[(pixel, *slot)]
                    total = builder.fadd(builder.load(accumulator), way.look_up(loaded[pixel], rows))
                    builder.store(total, accumulator)

        def advance(steps: int) -> None:
            builder.store(builder.add(builder.load(place), _LONG(steps)), place)
            builder.store(builder.add(builder.load(table), _LONG(_TABLE_BYTES * steps)), table)

        test, body, done = (builder.append_basic_block(name) for name in ("test", "body", "done"))
        builder.branch(test)
        builder.position_at_end(test)
        builder.cbranch(builder.icmp_signed("<", builder.load(place), end), body, done)
        builder.position_at_end(body)
        within = builder.and_(builder.load(place), _LONG(CODES - 1))
        whole = builder.icmp_signed(">=", builder.sub(end, builder.load(place)), _LONG(CODES))
        aligned = builder.icmp_signed("==", within, _LONG(0))
        with builder.if_else(builder.and_(whole, aligned)) as (many, one):
            with many:
                found = load_codes()
                for step in range(CODES):
                    add(found, _constants([4 * step] * way.lanes), step)
                advance(CODES)
            with one:
                shift = builder.trunc(builder.mul(within, _LONG(4)), _INT)
                single = builder.insert_element(
                    ir.Constant(ir.VectorType(_INT, way.lanes), ir.Undefined), shift, _INT(0)
                )
                add(load_codes(), _shuffle(builder, single, [0] * way.lanes), 0)
                advance(1)
        builder.branch(test)
        builder.position_at_end(done)
        for (pixel, panel, part), accumulator in accumulators.items():
            index = (pixel * panels + panel) * PANEL + part * way.lanes
            address = builder.add(sums, _LONG(4 * index))
            old = _load(builder, address, _FLOAT, way.lanes)
            _store(builder, builder.fadd(old, builder.load(accumulator)), address)
        return context.get_dummy_value()

    return generate


@intrinsic(prefer_literal=True)
def write_table(typingctx: Any, portable: Any, inputs: Any, table: Any) -> Any:
    """Writes the table of four inputs: row r is `x3 +- x0 +- x1 +- x2`, with minus where r has a 1.

    Args:
        typingctx: Numba's.
        portable: A constant; True writes the inputs themselves.
        inputs: Address of four float32.
        table: Address of eight float32.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, source, target = arguments
        numbers = _load(builder, source, _FLOAT, 4)
        if isinstance(_way(builder, portable.literal_value), _Portable):
            _store(builder, numbers, target)
            return context.get_dummy_value()
        total = _shuffle(builder, numbers, [3] * ROWS)
        for bit in range(3):
            signs = _constants([(row >> bit & 1) << 31 for row in range(ROWS)])
            total = builder.fadd(total, _negate(builder, _shuffle(builder, numbers, [bit] * ROWS), signs))
        _store(builder, total, target)
        return context.get_dummy_value()

    return types.void(portable, types.int64, types.int64), generate
