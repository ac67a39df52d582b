"""How much faster is a binary network than a float one, on this processor and honestly?

    python -m benchmarks.xnor

Layers: a convolution of +1 and -1 by packed words of 64 bits against TensorFlow's convolution of float32 and bfloat16,
and PyTorch's (the faster of its two orders of the axes) where it is installed. A whole layer counts: bits come in, are
multiplied and summed, the sums are compared with thresholds, bits go out, inside a chain of such layers; a layer that
takes and gives floats (signs, packing, product, scale) has a column of its own. Then whole networks, end to end.

All in one run: everybody with as many threads, in turns, medians. At one thread and at all, and once more with numba
and oneDNN kept to AVX2. What the processor could do at best is measured as well (`benchmarks.popcount_ceiling`), and so
are loops without vectors (`benchmarks.scalar_loops`), from which the paper's 58 times come. Takes seven minutes on two
cores; `--quick` two, only to see that all runs.
"""

import importlib.util
import json
import os
import subprocess
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks import xnor_tables as tables

# numba adds the features of the machine to a processor's name unless features are given, and be it none.
AVX2 = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "", "ONEDNN_MAX_CPU_ISA": "AVX2"}
ALWAYS = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "TF_ENABLE_ONEDNN_OPTS": "1"}


def run(
    module: str, *options: object, environment: dict[str, str] | None = None, python: str = sys.executable
) -> dict[str, Any]:
    """What a measuring program prints on its last line."""
    command = [python, "-m", f"benchmarks.{module}", *map(str, options)]
    everything = {**os.environ, **ALWAYS, **(environment or {})}
    done = subprocess.run(command, env=everything, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"`{' '.join(command[1:])}` failed; its errors stand above.")
    return json.loads(done.stdout.splitlines()[-1])


def main(
    quick: Annotated[bool, typer.Option(help="Few turns and one image, only to see that all runs.")] = False,
    layers: Annotated[bool, typer.Option(help="Whether single layers are measured.")] = True,
    networks: Annotated[bool, typer.Option(help="Whether networks are measured.")] = True,
    turns: Annotated[int, typer.Option(help="How often the contenders take turns.")] = 7,
    larq: Annotated[
        str | None, typer.Option(help="A Python that has larq-compute-engine, see `benchmarks.larq_layers`.")
    ] = None,
) -> None:
    """Prints how many times as fast as floats bits are, and which goals are reached."""
    console = Console(width=max(124, Console().width))
    if importlib.util.find_spec("torch") is None:
        console.print("Without PyTorch, which is not installed.")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    counts = [1] if cores == 1 else [1, cores]
    options = ["--turns", 3 if quick else turns, *(["--batches", 1] if quick else [])]
    told: list[dict[str, Any]] = []
    avx2: list[dict[str, Any]] = []
    nets: list[dict[str, Any]] = []
    if layers:
        with console.status("loops without vectors"):
            scalar = run("scalar_loops", "--repeats", 3)
            by_larq = run("larq_layers", "--turns", 3 if quick else turns, python=larq) if larq else None
        for count in counts:
            with console.status(f"layers, {count} threads"):
                told.append(run("xnor_layers", "--threads", count, *options))
            with console.status(f"layers without AVX-512, {count} threads"):
                few = ["--channels", 256, "--no-all-peers", *options]
                avx2.append(run("xnor_layers", "--threads", count, *few, environment=AVX2))
        settings = {tables.threads_of(each): each for each in told}
        settings |= {f"{tables.threads_of(each)}, without AVX-512": each for each in avx2}
        console.print(tables.ceilings(settings))
        for name, each in settings.items():
            console.print(tables.layers(name, each))
        console.print(tables.larq(told[0], by_larq))
        console.print(tables.paper(scalar, told[0]))
    if networks:
        some = ["--networks", "xnor_resnet18", "--networks", "binary_cnn"] if quick else []
        for count in counts:
            with console.status(f"networks, {count} threads"):
                nets.append(run("xnor_networks", "--threads", count, *some, *options))
            console.print(tables.networks(nets[-1]))
    console.print(tables.goals(told, avx2, nets))


if __name__ == "__main__":
    typer.run(main)
