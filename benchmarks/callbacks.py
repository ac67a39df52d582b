"""What does watching cost? An epoch of ResNet-20 with `monitor`'s default set, and without.

    python -m benchmarks.callbacks

The two take turns in one run; what counts is the median time of an epoch after the first, in which all is traced. A
second table says where the time goes. Takes about twenty minutes on one core.
"""

import statistics
import tempfile
import time
from typing import Annotated

import keras
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.training_loop import BATCH_SIZE, EpochTimes, random_images, resnet20
from kerasdl import training
from kerasdl.callbacks import monitor

GOAL = 0.05


class Clock(keras.callbacks.Callback):
    """Stands between two callbacks and takes down when one has ended and the next begins."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.ends.append(time.perf_counter())


def measure(steps: int, epochs: int, *, watched: bool, with_keras: bool) -> tuple[list[float], dict[str, list[float]]]:
    """The seconds of each epoch but the first, and those that each callback took at its end."""
    keras.utils.clear_session()
    model = resnet20(of_stock=False)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    data = random_images(steps, (32, 32, 3))
    times, begin = EpochTimes(), Clock()
    clocks: dict[str, Clock] = {}
    with tempfile.TemporaryDirectory() as folder:
        chosen: list[keras.callbacks.Callback] = [begin]
        callbacks = monitor(folder, data) if watched else []
        for callback in callbacks:
            clocks[type(callback).__name__] = Clock()
            chosen += [callback, clocks[type(callback).__name__]]
        chosen.append(times)  # The last, so that its epoch ends after all others.
        if with_keras:
            watcher = callbacks[0].watch(data) if watched else data
            model.fit(watcher, epochs=epochs + 1, callbacks=chosen, verbose=0, shuffle=False)
        else:
            training.fit(model, data, epochs=epochs + 1, callbacks=chosen, verbose=0)
    costs, before = {}, begin
    for name, clock in clocks.items():
        costs[name] = [end - start for start, end in zip(before.ends[1:], clock.ends[1:], strict=True)]
        before = clock
    return times.seconds, costs


def main(
    turns: Annotated[int, typer.Option(help="How often the two take turns.")] = 3,
    epochs: Annotated[int, typer.Option(help="Epochs that count, in a turn.")] = 3,
    steps: Annotated[int, typer.Option(help="Steps in an epoch.")] = 200,
    with_keras: Annotated[bool, typer.Option("--model-fit", help="model.fit instead of training.fit.")] = False,
) -> None:
    """Prints what an epoch takes with `monitor` and without, and what each callback takes of it."""
    console = Console()
    seconds: dict[bool, list[float]] = {False: [], True: []}
    costs: dict[str, list[float]] = {}
    for turn in range(turns):
        for watched in (turn % 2 == 0, turn % 2 == 1):
            with console.status(f"turn {turn + 1} of {turns}, {'watched' if watched else 'alone'}"):
                taken, shares = measure(steps, epochs, watched=watched, with_keras=with_keras)
            seconds[watched] += taken
            for name, values in shares.items():
                costs.setdefault(name, []).extend(values)
    alone, watched_time = statistics.median(seconds[False]), statistics.median(seconds[True])
    loop = "model.fit" if with_keras else "training.fit"
    table = Table(title=f"{loop}: {steps} steps of ResNet-20, {BATCH_SIZE} images of 32x32 each")
    for column in ("epoch", "seconds", "fastest", "slowest", "ratio"):
        table.add_column(column, justify="left" if column == "epoch" else "right")
    for name, watched in (("alone", False), ("with monitor", True)):
        taken = seconds[watched]
        numbers = [f"{number:.2f}" for number in (statistics.median(taken), min(taken), max(taken))]
        table.add_row(name, *numbers, f"{watched_time / alone:.3f}" if watched else "")
    console.print(table)
    table = Table(title="of which at the end of an epoch")
    for column in ("callback", "milliseconds", "share of the epoch"):
        table.add_column(column, justify="left" if column == "callback" else "right")
    medians = {name: statistics.median(values) for name, values in costs.items()}
    medians = {**dict(sorted(medians.items(), key=lambda item: -item[1])), "all": sum(medians.values())}
    for name, median in medians.items():
        table.add_row(name, f"{1000 * median:.0f}", f"{median / alone:.1%}")
    console.print(table)
    console.print(
        f"{watched_time / alone - 1:.1%} longer with monitor, of which {medians['all'] / alone:.1%} at the ends of the "
        f"epochs; the goal is {GOAL:.0%} at most."
    )


if __name__ == "__main__":
    typer.run(main)
