"""One convolution of bits against one of floats: the measuring program that `benchmarks.xnor` runs.

    python -m benchmarks.xnor_layers --threads 1

prints one line of JSON. It is a program of its own because TensorFlow and numba learn at their start how many threads
and which instructions they may use. Every contender computes a chain of four convolutions with weights of their own,
as in a network: what one call from Python costs is shared by four, and each finds its input in the cache as the layer
before left it. The contenders take turns; what counts is the median of the turns.
"""

import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from typing import Annotated, Any

import numba
import numpy as np
import tensorflow as tf
import typer

from benchmarks import popcount_ceiling
from kerasdl.xnor import binarizing, binary_convolution, bits
from kerasdl.xnor.shapes import BitShape, Border

# (height and width, channels = filters), kernels of 3x3.
SHAPES = ((14, 256), (28, 256), (28, 128), (56, 64), (7, 512))
LAYERS = 4
BLOCK = 0.01  # Seconds that a turn lasts at least.
WINDOW = ((3, 3), (1, 1), (1, 1), (0, 0))  # kernel, strides, dilation, origin

Call = Callable[[], object]


def weights(channels: int) -> np.ndarray:
    """Kernels of +1 and -1, `(LAYERS, 3, 3, C, C)`."""
    return np.sign(np.random.default_rng(1).normal(size=(LAYERS, 3, 3, channels, channels))).astype("float32")


def ours(size: int, channels: int, batch: int) -> dict[str, Call]:
    """A chain from bits to bits; the integer sums alone; and layers that take and give floats."""
    random = np.random.default_rng(0)
    shape = BitShape(size, size, channels, Border(1, 1, 1, 1))
    one, other = shape.bordered(batch), shape.bordered(batch)
    one[:, 1:-1, 1:-1] = bits.pack_bits(random.random((batch, size, size, channels)) < 0.5)
    floats = random.normal(size=(batch, size, size, channels)).astype("float32")
    signs = weights(channels)
    panels = [bits.pack_filters(kernel) for kernel in signs]
    counts, out = np.empty(floats.shape, "int32"), np.empty(floats.shape, "float32")
    padded = panels[0].shape[0] * 16
    limits, flips = np.full(padded, 9 * channels // 2, "int32"), np.zeros(padded, bool)
    scale, offset = np.full(channels, 0.01, "float32"), np.zeros(channels, "float32")
    thresholds, no_flips = np.zeros(channels, "float32"), np.zeros(channels, bool)

    def chain() -> None:
        source, target = one, other
        for panel in panels:
            binary_convolution.convolve_to_bits(source, panel, limits, flips, *WINDOW, target, (1, 1), (size, size))
            source, target = target, source

    def product() -> None:
        for panel in panels:
            binary_convolution.convolve_to_counts(one, panel, channels, *WINDOW, counts)

    def from_floats() -> None:
        source = floats
        for panel in panels:
            binarizing.binarize(source, thresholds, no_flips, other, (1, 1))
            binary_convolution.convolve_to_floats(
                other, panel, channels, 9 * channels, scale, offset, None, None, *WINDOW, out
            )
            source = out

    pictures = 1 - 2 * np.unpackbits(one[:1].view("uint8"), axis=-1, bitorder="little").astype("float32")
    expected = tf.nn.conv2d(-pictures[..., :channels], signs[-1], 1, "VALID").numpy()
    product()
    if not np.array_equal(9 * channels - 2 * counts[:1], expected):
        raise RuntimeError(f"The packed product differs from TensorFlow's at size {size}, {channels} channels.")
    return {"chain": chain, "product": product, "from floats": from_floats}


def by_tensorflow(size: int, channels: int, batch: int, dtype: str) -> Call:
    """The same chain of float convolutions in one compiled graph, the weights constant in it."""
    images = np.random.default_rng(0).normal(size=(batch, size, size, channels))
    kernels = weights(channels) / (9 * channels) ** 0.5

    @tf.function
    def chain(x: tf.Tensor) -> tf.Tensor:
        for kernel in kernels:
            x = tf.nn.conv2d(x, tf.constant(kernel, dtype), 1, "SAME")
        return x

    x = tf.constant(images, dtype)
    return lambda: chain(x)


def by_torch(size: int, channels: int, batch: int, layout: str) -> Call:
    """The same chain in PyTorch, in either order of the axes."""
    import torch

    order = getattr(torch, layout)
    images = np.random.default_rng(0).normal(size=(batch, channels, size, size)).astype("float32")
    kernels = weights(channels).transpose(0, 4, 3, 1, 2) / (9 * channels) ** 0.5
    x = torch.from_numpy(images).to(memory_format=order)
    filters = [torch.from_numpy(np.ascontiguousarray(kernel)).to(memory_format=order) for kernel in kernels]

    def chain() -> Any:
        with torch.inference_mode():
            y = x
            for kernel in filters:
                y = torch.nn.functional.conv2d(y, kernel, padding=1)
        return y

    return chain


def take_turns(calls: dict[str, Call], turns: int, block: float = BLOCK) -> dict[str, float]:
    """The median seconds of each contender's calls.

    Each time another one begins. A turn is, after a pause in which the threads of the one before fall asleep, a call
    that is not timed, where calls are so short that it matters, and then as many calls as fill the block.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    often, short = {}, {}
    for name, call in calls.items():
        call()
        begin = time.perf_counter()
        call()
        taken = time.perf_counter() - begin
        often[name], short[name] = max(1, round(block / taken)), taken < 10 * block
    names = list(calls)
    for turn in range(turns):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            time.sleep(0.01)
            if short[name]:
                calls[name]()
            begin = time.perf_counter()
            for _ in range(often[name]):
                calls[name]()
            seconds[name].append((time.perf_counter() - begin) / often[name])
    return {name: statistics.median(each) for name, each in seconds.items()}


def cost_of_a_call() -> dict[str, float]:
    """The seconds of calls that have nothing to compute: a compiled graph, and one of our kernels on one pixel."""
    nothing, number = tf.function(lambda x: x + 1), tf.constant(1.0)
    pixel, panels = np.zeros((1, 1, 1, 1), "uint64"), np.zeros((1, 1, 16), "uint64")
    counts = np.zeros((1, 1, 1, 16), "int32")
    window = ((1, 1), (1, 1), (1, 1), (0, 0))
    calls: dict[str, Call] = {
        "tensorflow": lambda: nothing(number),
        "ours": lambda: binary_convolution.convolve_to_counts(pixel, panels, 16, *window, counts),
    }
    return take_turns(calls, 7)


def main(
    threads: Annotated[int, typer.Option(help="Threads of everybody.")] = 1,
    turns: Annotated[int, typer.Option(help="How often the contenders take turns.")] = 7,
    channels: Annotated[list[int] | None, typer.Option(help="Only layers of so many channels.")] = None,
    batches: Annotated[list[int] | None, typer.Option(help="Sizes of the batches.")] = None,
    all_peers: Annotated[bool, typer.Option(help="Whether bfloat16 and PyTorch take part.")] = True,
) -> None:
    """Prints the seconds of a layer for each shape and contender, and the processor's ceiling, as JSON."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    numba.set_num_threads(threads)
    layouts = []
    if all_peers and importlib.util.find_spec("torch") is not None:
        import torch

        torch.set_num_threads(threads)
        layouts = ["contiguous_format", "channels_last"]
    ceiling = popcount_ceiling.measure(threads)
    rows = []
    for batch in batches or (1, 16):
        for size, width in SHAPES:
            if channels and width not in channels:
                continue
            calls = ours(size, width, batch)
            calls["tensorflow"] = by_tensorflow(size, width, batch, "float32")
            if all_peers:
                calls["tensorflow bfloat16"] = by_tensorflow(size, width, batch, "bfloat16")
            for layout in layouts:
                calls[f"torch, {layout}"] = by_torch(size, width, batch, layout)
            seconds = {name: each / LAYERS for name, each in take_turns(calls, turns).items()}
            products = batch * size * size * width * width * 9
            rows.append({"size": size, "channels": width, "batch": batch, "products": products, "seconds": seconds})
    told = {"threads": threads, "rows": rows, "call": cost_of_a_call(), "ceiling": vars(ceiling)}
    print(json.dumps(told))


if __name__ == "__main__":
    typer.run(main)
