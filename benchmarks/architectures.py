"""Are our networks faster than the same networks of stock Keras layers, and as fast as PyTorch's?

    python -m benchmarks.architectures

Three networks, training and inference, float32 and bfloat16. The contenders take turns in one run:

- ours: the network as `kerasdl.architectures` builds it, trained by `training.fit`;
- stock: the same graph, every layer of ours that Keras has as well exchanged for Keras' own, trained by `model.fit`;
- PyTorch, channels last, where it is installed (`pip install torch`), in a program of its own.

What counts is the median time of a step after the first ones (which trace the graph). Takes about ten minutes on two
cores. Last it tells how long the two largest graphs take to build.
"""

import dataclasses
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Annotated

import keras
import numpy as np
import tensorflow as tf
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.training_loop import measure, of_stock_layers, random_images
from kerasdl import architectures

GOALS = "goals: training 1.25 (float32) and 1.7 (bfloat16) to stock Keras, inference 1.2; 1 to PyTorch"
BUILT = {
    "resnet152": (architectures.resnet152, 5.0),
    "vanilla_cnn(10_000)": (lambda: architectures.vanilla_cnn(10_000), 2.0),
}


@dataclasses.dataclass(frozen=True)
class Contest:
    """A network, and what it is fed."""

    name: str
    build: Callable[[], keras.Model]
    side: int
    batch_size: int
    steps: int


CONTESTS = (
    Contest("resnet18", lambda: architectures.resnet18(input_shape=(64, 64, 3), classes=10), 64, 32, 6),
    Contest("resnet_cifar", lambda: architectures.resnet_cifar(20), 32, 64, 20),
    Contest("densenet_cifar", lambda: architectures.densenet_cifar(100, 12), 32, 32, 4),
)


def momentum() -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(0.01, momentum=0.9)


def forward(build: Callable[[], keras.Model], images: np.ndarray, steps: int, policy: str) -> list[float]:
    """The seconds of each compiled forward pass but the first two."""
    keras.utils.clear_session()
    keras.config.set_dtype_policy(policy)
    model = build()
    keras.config.set_dtype_policy("float32")
    run = tf.function(lambda x: model(x, training=False), jit_compile=False)
    batch, seconds = tf.constant(images), []
    for _ in range(2 + steps):
        begin = time.perf_counter()
        run(batch).numpy()
        seconds.append(time.perf_counter() - begin)
    return seconds[2:]


def by_torch(contest: Contest, dtype: str, *, train: bool) -> list[float]:
    """The seconds of each step in PyTorch, of a network that must have as many parameters as ours."""
    command = [sys.executable, "-m", "benchmarks.torch_networks", contest.name, "--side", str(contest.side)]
    command += ["--batch-size", str(contest.batch_size), "--dtype", dtype, "--steps", str(contest.steps)]
    command += ["--train" if train else "--no-train"]
    told = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    keras.utils.clear_session()
    ours = sum(int(np.prod(weight.shape)) for weight in contest.build().trainable_weights)
    if told["parameters"] != ours:
        raise RuntimeError(f"PyTorch's {contest.name} has {told['parameters']} parameters, ours {ours}.")
    return told["seconds"]


def take_turn(contender: str, contest: Contest, dtype: str, *, train: bool) -> list[float]:
    """The seconds of each step of one contender."""
    if contender == "PyTorch":
        return by_torch(contest, dtype, train=train)
    ours = contender == "ours"
    build = contest.build if ours else lambda: of_stock_layers(contest.build())
    policy = "mixed_bfloat16" if dtype == "bfloat16" else dtype
    shape = (contest.side, contest.side, 3)
    if train:
        data = random_images(contest.steps, shape, contest.batch_size)
        epochs = measure(build, data, 2, ours=ours, policy=policy, optimizer=momentum)
        return [seconds / contest.steps for seconds in epochs]
    images = np.random.default_rng(0).random((contest.batch_size, *shape), dtype="float32")
    return forward(build, images, 2 * contest.steps, policy)


def main(
    repeats: Annotated[int, typer.Option(help="How often the contenders take turns.")] = 1,
    networks: Annotated[list[str] | None, typer.Option(help="Only these networks.")] = None,
    torch: Annotated[bool, typer.Option(help="Whether PyTorch takes part.")] = True,
) -> None:
    """Prints the speed of our networks as ratios to stock Keras and to PyTorch."""
    console = Console()
    contenders = ["stock Keras", "ours", "PyTorch"]
    if not torch or importlib.util.find_spec("torch") is None:
        contenders.remove("PyTorch")
        console.print("Without PyTorch, which is not installed." if torch else "Without PyTorch.")
    table = Table(title="How many times as fast as the others ours are", caption=GOALS)
    for column in (
        "network",
        "what",
        "in",
        "ours, ms a step",
        *(f"to {name}" for name in contenders if name != "ours"),
    ):
        table.add_column(column, justify="right" if column[:2] in ("ou", "to") else "left")
    for contest in CONTESTS:
        if networks and contest.name not in networks:
            continue
        for train in (True, False):
            for dtype in ("float32", "bfloat16"):
                what = "training" if train else "inference"
                seconds: dict[str, list[float]] = {contender: [] for contender in contenders}
                for _ in range(repeats):
                    for contender in contenders:
                        with console.status(f"{contest.name}, {what}, {dtype}: {contender}"):
                            seconds[contender] += take_turn(contender, contest, dtype, train=train)
                medians = {contender: statistics.median(values) for contender, values in seconds.items()}
                ours = medians.pop("ours")
                name = f"{contest.name}, {contest.side}x{contest.side}, batch {contest.batch_size}"
                row = [name, what, dtype, f"{1e3 * ours:.0f}", *(f"{each / ours:.2f}" for each in medians.values())]
                table.add_row(*row)
                console.print("  ".join(row))
    console.print(table)

    table = Table("network", "seconds to build", "goal: under")
    for name, (build, goal) in BUILT.items():
        keras.utils.clear_session()
        begin = time.perf_counter()
        build()
        table.add_row(name, f"{time.perf_counter() - begin:.2f}", f"{goal:.0f}")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
