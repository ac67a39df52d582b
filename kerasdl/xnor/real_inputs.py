"""Convolutions and dense layers of real numbers times weights that are signs, and stay bits while they are used."""

from typing import Any

import numba
import numpy as np

from kerasdl.xnor.bits import PANEL
from kerasdl.xnor.lookup_tiles import ROWS, add_products, write_table
from kerasdl.xnor.processor import compiled, read_only, vector_kind
from kerasdl.xnor.weight_codes import CODES, GROUP

# Windows that share each code that is read, in registers.
PIXELS = 5
# Long sums are summed in blocks of so many tables, or rounding would grow with their length.
BLOCK = 256
# Bytes of tables that a core makes at a time: they stay in its second cache.
TABLES = 384 * 1024


@compiled()
def _add_products(
    portable: Any, pixels: Any, panels: Any, tables: Any, offsets: Any, codes: Any, stride: Any, first: Any, count: Any,
    sums: Any,
) -> None:  # fmt: skip
    # A tile's shape is fixed when it is compiled: its sums are registers.
    if portable:
        if pixels == 1 and panels == 1:
            add_products(True, 1, 1, tables, offsets, codes, stride, first, count, sums)
        elif pixels == 1:
            add_products(True, 1, 4, tables, offsets, codes, stride, first, count, sums)
        else:
            add_products(True, 5, 1, tables, offsets, codes, stride, first, count, sums)
    elif pixels == 1:
        if panels == 1:
            add_products(False, 1, 1, tables, offsets, codes, stride, first, count, sums)
        else:
            add_products(False, 1, 4, tables, offsets, codes, stride, first, count, sums)
    elif panels == 1:
        add_products(False, 5, 1, tables, offsets, codes, stride, first, count, sums)
    else:
        add_products(False, 5, 4, tables, offsets, codes, stride, first, count, sums)


@compiled()
def _write_tables(portable: Any, x: Any, image: Any, top: Any, left: Any, tables: Any) -> None:
    _, height, width, channels = x.shape
    rows, columns, groups, _ = tables.shape
    whole = channels // GROUP
    rest = np.zeros(GROUP, np.float32)
    for row in range(rows):
        for column in range(columns):
            y, z = top + row, left + column
            if y < 0 or y >= height or z < 0 or z >= width:
                tables[row, column] = 0
                continue
            source = x.ctypes.data + (((image * height + y) * width + z) * channels) * 4
            target = tables.ctypes.data + ((row * columns + column) * groups) * ROWS * 4
            for group in range(whole):
                if portable:
                    write_table(True, source + group * GROUP * 4, target + group * ROWS * 4)
                else:
                    write_table(False, source + group * GROUP * 4, target + group * ROWS * 4)
            if groups > whole:
                for channel in range(whole * GROUP, channels):
                    rest[channel - whole * GROUP] = x[image, y, z, channel]
                if portable:
                    write_table(True, rest.ctypes.data, target + whole * ROWS * 4)
                else:
                    write_table(False, rest.ctypes.data, target + whole * ROWS * 4)


@compiled()
def _add_window(
    portable: Any, pixels: Any, panels: Any, tables: Any, offsets: Any, planes: Any, panel: Any, kernel: Any,
    dilation: Any, sums: Any,
) -> None:  # fmt: skip
    _, columns, groups, _ = tables.shape
    width = kernel[1] if dilation[1] == 1 else 1
    run = width * groups
    stride = planes.shape[2] * PANEL * 4
    for plane in range(planes.shape[0]):
        codes = planes.ctypes.data + (plane * planes.shape[1] + panel) * stride
        for y in range(kernel[0]):
            for z in range(0, kernel[1], width):
                place = (y * dilation[0] * columns + z * dilation[1]) * groups
                first = (y * kernel[1] + z) * groups
                for start in range(0, run, BLOCK):
                    _add_products(
                        portable, pixels, panels, tables.ctypes.data + (place + start) * ROWS * 4, offsets.ctypes.data,
                        codes, stride, first + start, min(BLOCK, run - start), sums.ctypes.data,
                    )  # fmt: skip


@compiled()
def _compute_unit(
    portable: Any, wide: Any, x: Any, planes: Any, scale: Any, offset: Any, kernel: Any, strides: Any, dilation: Any,
    pads: Any, out: Any, block: Any, unit: Any,
) -> None:  # fmt: skip
    _, height, width, filters = out.shape
    across, parts = -(-width // block[1]), -(-planes.shape[1] // block[2])
    part, unit = unit % parts, unit // parts
    z0, unit = (unit % across) * block[1], unit // across
    down = -(-height // block[0])
    y0, image = (unit % down) * block[0], unit // down
    rows, columns = min(block[0], height - y0), min(block[1], width - z0)
    tall = (rows - 1) * strides[0] + (kernel[0] - 1) * dilation[0] + 1
    broad = (columns - 1) * strides[1] + (kernel[1] - 1) * dilation[1] + 1
    groups = -(-x.shape[3] // GROUP)
    tables = np.empty((tall, broad, groups, ROWS), np.float32)
    _write_tables(portable, x, image, y0 * strides[0] - pads[0], z0 * strides[1] - pads[1], tables)

    pixels, results = rows * columns, out.reshape(-1)
    offsets, targets = np.empty(PIXELS, np.int64), np.empty(PIXELS, np.int64)
    sums = np.empty(PIXELS * 4 * PANEL, np.float32)
    share = np.float32(1 / planes.shape[0])
    panel, end = part * block[2], min((part + 1) * block[2], planes.shape[1])
    while panel < end:
        # Sixteen registers hold the sums of one panel for several windows, thirty-two those of four.
        panels = 4 if end - panel >= 4 and (wide or pixels == 1) else 1
        begin = panel * PANEL
        count = min(panels * PANEL, filters - begin)
        # Loops over slices become vectors; an index that is a sum could be negative, as numba sees it, and do not.
        scales, additions = scale[begin : begin + count], offset[begin : begin + count]
        done, y, z = 0, 0, 0
        while done < pixels:
            # One or two windows at the end are faster one by one, more in a tile whose rest repeats the last.
            together = PIXELS if pixels - done > 2 else 1
            real = min(together, pixels - done)
            for number in range(real):
                offsets[number] = (y * strides[0] * broad + z * strides[1]) * groups * ROWS * 4
                targets[number] = ((image * height + y0 + y) * width + z0 + z) * filters + begin
                z += 1
                if z == columns:
                    y, z = y + 1, 0
            for number in range(real, together):
                offsets[number] = offsets[real - 1]
            for index in range(together * panels * PANEL):
                sums[index] = 0
            _add_window(portable, together, panels, tables, offsets, planes, panel, kernel, dilation, sums)
            for number in range(real):
                found = sums[number * panels * PANEL : number * panels * PANEL + count]
                result = results[targets[number] : targets[number] + count]
                for index in range(count):
                    result[index] = found[index] * share * scales[index] + additions[index]
            done += real
        panel += panels


@compiled(parallel=True)
def _compute(
    portable: Any, wide: Any, x: Any, planes: Any, scale: Any, offset: Any, kernel: Any, strides: Any, dilation: Any,
    pads: Any, out: Any, block: Any, units: Any, threads: Any,
) -> None:  # fmt: skip
    if threads == 1:
        for unit in range(units):
            _compute_unit(portable, wide, x, planes, scale, offset, kernel, strides, dilation, pads, out, block, unit)
    else:
        for number in numba.prange(units):
            # What numba counts with is unsigned, and an unsigned number among signed ones would make floats.
            signed = np.int64(number)
            _compute_unit(portable, wide, x, planes, scale, offset, kernel, strides, dilation, pads, out, block, signed)


def convolve_real(
    x: np.ndarray,
    planes: np.ndarray,
    scale: np.ndarray | None,
    offset: np.ndarray | None,
    kernel_size: tuple[int, int],
    strides: tuple[int, int],
    dilation: tuple[int, int],
    pads: tuple[int, int],
    out: np.ndarray,
    portable: bool = False,
) -> None:
    """Convolves real numbers with signs: `out = (sum of +-x) * scale + offset`.

    Args:
        x: Inputs, `(N, H, W, C)` float32; a dense layer's are `(N, 1, 1, C)`.
        planes: The weights, from `kerasdl.xnor.weight_codes.pack_codes`.
        scale: One per filter; None means 1.
        offset: One per filter; None means 0.
        kernel_size: Sides of the kernel.
        strides: Steps from window to window.
        dilation: Steps between the kernel's taps.
        pads: Rows of zeros above, and columns of zeros to the left; those below and to the right follow from `out`.
        out: Where the result goes, `(N, height, width, filters)` float32.
        portable: Whether to keep to what every processor has; the result is the same, bit for bit.
    """
    _check_fit(x, planes, kernel_size, out)
    filters = out.shape[3]
    scale = read_only(np.ones(filters) if scale is None else scale, np.float32)
    offset = read_only(np.zeros(filters) if offset is None else offset, np.float32)
    if x.shape[1:3] == (1, 1) and out.shape[1:3] == (1, 1) and kernel_size == (1, 1) and pads == (0, 0):
        # The vectors of a batch lie side by side like pixels: those of a tile share each weight that is read. Strides
        # said nothing about one pixel; between vectors they would leave some out.
        x, out = x.reshape(1, 1, len(x), -1), out.reshape(1, 1, len(x), -1)
        strides = (1, 1)
    threads = numba.get_num_threads()
    block, units = _divide(out.shape, -(-x.shape[3] // GROUP), kernel_size, strides, dilation, planes.shape[1], threads)
    wide = not portable and vector_kind().startswith("avx512")
    x, planes = read_only(x, np.float32), read_only(planes, np.uint32)
    threads = 1 if units == 1 else threads
    _compute(portable, wide, x, planes, scale, offset, kernel_size, strides, dilation, pads, out, block, units, threads)


def _check_fit(x: np.ndarray, planes: np.ndarray, kernel_size: tuple[int, int], out: np.ndarray) -> None:
    """Refuses what compiled code would read, or write, beyond the end."""
    if x.ndim != 4 or out.ndim != 4 or len(x) != len(out) or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise ValueError(
            "`x` and `out` must be float32, (N, height, width, channels), with the same N, and `out` in C order. "
            f"Received: {x.dtype} of shape {x.shape}, and {out.dtype} of shape {out.shape}."
        )
    codes = kernel_size[0] * kernel_size[1] * -(-x.shape[3] // GROUP)
    wanted = (-(-out.shape[3] // PANEL), -(-codes // CODES), PANEL)
    if planes.dtype != np.uint32 or planes.shape[1:] != wanted or not len(planes):
        raise ValueError(
            f"`planes` must be uint32 of shape (1 or 2, {', '.join(map(str, wanted))}) for {x.shape[3]} channels, "
            f"{out.shape[3]} filters and a kernel of {kernel_size[0]}x{kernel_size[1]}: use pack_codes(signs). "
            f"Received: {planes.dtype} of shape {planes.shape}."
        )


def _divide(
    shape: tuple[int, ...], groups: int, kernel: Any, strides: Any, dilation: Any, panels: int, threads: int
) -> tuple[tuple[int, int, int], int]:
    """Rows, columns and panels that one core computes at a time, and how many such units there are."""
    batch, height, width, _ = shape
    reach = [(kernel[side] - 1) * dilation[side] + 1 for side in (0, 1)]
    fit = TABLES // (groups * ROWS * 4)
    columns = min(width, max(PIXELS, (fit // reach[0] - reach[1]) // strides[1] + 1))
    broad = (columns - 1) * strides[1] + reach[1]
    rows = min(height, max(1, (fit // broad - reach[0]) // strides[0] + 1))
    # Blocks of nearly the same size, and no core idle at the end.
    down, across = -(-height // rows), -(-width // columns)
    while batch * down * across < 4 * threads and threads > 1 and down < height and -(-height // down) * width > 64:
        down += 1
    rows, columns = -(-height // down), -(-width // across)
    down, across = -(-height // rows), -(-width // columns)
    parts = 1
    while threads > 1 and batch * down * across * parts < 2 * threads and panels // (parts + 1) >= 4:
        parts += 1
    share = -(-panels // parts)
    share = share if parts == 1 else -(-share // 4) * 4
    return (rows, columns, share), batch * down * across * -(-panels // share)
