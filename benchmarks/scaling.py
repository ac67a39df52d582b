"""How much of the work of several workers goes into adding up gradients, and what does that mean for many of them?

    python -m benchmarks.scaling

First measured: one process on one core, two on a core each that know nothing of each other, and two that train together
and talk over the loopback address; each gets the same number of images per step, and the contenders take turns. Then
calculated: the time of a step for 8 to 256 machines, from the bytes that each sends and the multiply-adds that each
computes. The machines and their network are what the options say; the model is written out below the table. Takes about
four minutes on two cores.
"""

import concurrent.futures
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import keras
import typer
from rich.console import Console
from rich.table import Table

from kerasdl import architectures, profiling
from kerasdl.training.launch import run_workers

WORKERS = (8, 16, 32, 64, 128, 256)
NETWORKS: dict[str, tuple[Callable[[], keras.Model], int]] = {
    # With so many images per worker and step.
    "LeNet-5": (lambda: architectures.lenet5_modern(input_shape=(28, 28, 1), classes=10), 256),
    "ResNet-50": (architectures.resnet50, 32),
    "VGG-16": (architectures.vgg16, 32),
}
CONSOLE = Console()


def measure(network: str, batch_size: int, steps: int, repeats: int) -> None:
    """Prints how many images per second one worker and two train on, and what part of a step the sum takes.

    Args:
        network: One that tutorials/shared_training.py knows.
        batch_size: Images per step and worker.
        steps: Steps of an epoch; a turn has four, of which the first is not counted.
        repeats: How often the contenders take turns.
    """
    contenders: dict[str, Callable[[], dict]] = {
        "1": lambda: _train(network, 1, batch_size, steps),
        "2, apart": lambda: _two_apart(network, batch_size, steps),
        "2, together": lambda: _train(network, 2, batch_size, steps),
    }
    results: dict[str, list[dict]] = {name: [] for name in contenders}
    for repeat in range(repeats):
        for name, run in contenders.items():
            CONSOLE.print(f"{network}: turn {repeat + 1} of {repeats}, {name}")
            results[name].append(run())
    step = {name: statistics.median(result["seconds_per_step"] for result in found) for name, found in results.items()}
    adding_up = statistics.median(result["seconds_per_sum"] for result in results["2, together"])
    megabytes = 4e-6 * results["1"][0]["weights"]
    table = Table(title=f"{network}, {batch_size} images per step and worker, one core for each worker")
    for column in ("workers", "images/s", "ratio to 1", "step, ms", "sum alone, ms", "its share", "MB/s"):
        table.add_column(column, justify="right")
    for name, seconds in step.items():
        images = batch_size * int(name[0])
        row = [name, f"{images / seconds:,.0f}", f"{int(name[0]) * step['1'] / seconds:.2f}", f"{1000 * seconds:.2f}"]
        if name == "2, together":
            # In a ring of two each sends half of the gradients twice.
            row += [f"{1000 * adding_up:.2f}", f"{adding_up / seconds:.1%}", f"{megabytes / adding_up:,.0f}"]
        table.add_row(*row)
    CONSOLE.print(table)
    CONSOLE.print(
        f"Working together costs {1 - step['2, apart'] / step['2, together']:.0%} of the time: the sum, waiting for "
        "the slower one, and the rows of every batch that are made for the other one."
    )


def _two_apart(network: str, batch_size: int, steps: int) -> dict:
    """Two processes at the same time that know nothing of each other: what the cores give when both are busy."""

    def run_on(core: int) -> dict:
        os.sched_setaffinity(0, {core})  # of this thread, and of what it starts
        return _train(network, 1, batch_size, steps)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = list(pool.map(run_on, (sorted(os.sched_getaffinity(0)) * 2)[:2]))
    return max(found, key=lambda result: result["seconds_per_step"])


def _train(network: str, workers: int, batch_size: int, steps: int) -> dict:
    batch_size *= workers
    with tempfile.TemporaryDirectory() as folder:
        options = {
            "network": network,
            "batch-size": batch_size,
            "images": batch_size * steps,
            "epochs": 4,
            "out": folder,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        code = run_workers(["-m", "kerasdl.tutorials.shared_training", "--pin", *words], workers=workers)
        if code:
            sys.exit(code)
        return json.loads((Path(folder) / "result.json").read_text())


def seconds_of_sum(weights: int, workers: int, gigabits: float, latency: float) -> float:
    """The time of an all-reduce around a ring: 2 (n - 1) messages one after the other, each of one n-th of the bytes.

    Args:
        weights: How many numbers of 4 bytes are added up.
        workers: How many workers, n.
        gigabits: Bits per second that a machine sends, in thousand millions.
        latency: Seconds until a message arrives.

    Example:
        >>> round(seconds_of_sum(25_000_000, 2, 0.8, 0.0), 3)  # 100 MB at 100 MB/s
        1.0
    """
    bytes_per_message = 4 * weights / workers
    return 2 * (workers - 1) * (bytes_per_message / (gigabits * 1e9 / 8) + latency)


def project(teraflops: float, gigabits: float, latency: float) -> None:
    """Prints how much of each worker's time is left for computing, network by network.

    Args:
        teraflops: What a worker really computes, in million million operations per second.
        gigabits: As in `seconds_of_sum`.
        latency: Likewise.
    """
    table = Table(
        title=f"Share of the time spent computing: workers of {teraflops:g} TFLOP/s, "
        f"{gigabits:g} Gbit/s, {1e6 * latency:g} us"
    )
    for column in ("network", "images each", "MB of gradients", "compute, ms", "sum for 8, ms", *map(str, WORKERS)):
        table.add_column(column, justify="left" if column == "network" else "right")
    for name, (build, images) in NETWORKS.items():
        cost = profiling.profile(build(), repeats=0)
        # A multiply-add is two operations, and the way back costs twice the way there.
        compute = 3 * 2 * cost.multiply_adds * images / (teraflops * 1e12)
        weights = cost.trainable_parameters
        sums = {workers: seconds_of_sum(weights, workers, gigabits, latency) for workers in WORKERS}
        table.add_row(
            name,
            str(images),
            f"{4e-6 * weights:,.2f}",
            f"{1000 * compute:,.3g}",
            f"{1000 * sums[8]:,.3g}",
            *(f"{compute / (compute + seconds):.0%}" for seconds in sums.values()),
        )
    CONSOLE.print(table)
    keras.utils.clear_session()


def main(
    repeats: Annotated[int, typer.Option(help="How often the contenders take turns; 0 measures nothing.")] = 3,
    teraflops: Annotated[float, typer.Option(help="What one of many workers computes, 10^12 operations/s.")] = 20.0,
    gigabits: Annotated[list[float] | None, typer.Option(help="What it sends, 10^9 bits/s; 10 and 100.")] = None,
    microseconds: Annotated[float, typer.Option(help="Until a message arrives.")] = 25.0,
) -> None:
    """Measures two workers against one, and calculates what many would do."""
    if repeats:
        if len(os.sched_getaffinity(0)) < 2:
            CONSOLE.print("There is only one core: two workers share it, and the ratios say little.")
        measure("lenet5_modern", 30, 100, repeats)
        measure("resnet20", 30, 12, repeats)
    for speed in gigabits or (10.0, 100.0):
        project(teraflops, speed, 1e-6 * microseconds)
    CONSOLE.print(
        "compute = 6 x multiply-adds x images / speed (forward once, backward twice); sum for n workers = 2 (n - 1) "
        "messages of 1/n of the bytes, each bytes / bandwidth + latency. kerasdl forms the sum when all gradients are "
        "there: share = compute / (compute + sum). It assumes workers of equal speed, and data that are there in time."
    )


if __name__ == "__main__":
    typer.run(main)
