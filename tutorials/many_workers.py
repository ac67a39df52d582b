"""Do two processes that share the work learn the same as one, and how much sooner?

Paper:  [Goyal et al., 2017](https://arxiv.org/abs/1706.02677), sections 2 to 4;
        [Patarasuk and Yuan, 2009](https://doi.org/10.1016/j.jpdc.2008.09.002), for the ring
Run:    python -m tutorials.many_workers
Takes:  80 seconds on one core, a minute on two
Expect: the loss curves of one worker and of two are about 1e-6 apart, those of one worker with other rounding as much.
        With a worker killed on the way nothing changes at all. Two cores train on 1.5 to 1.6 times as many images per
        second as one (two runs), or on no more, where other programs run beside them; adding up takes a quarter of a
        step.

A network's gradient is a mean over the images of a batch. So a batch can be cut in two: each of two workers computes
the gradients of its own half, both add them up (an *all-reduce*: afterwards each has the sum), and both take the same
step. Nobody holds the weights for the others, and nobody needs the others' images. What all workers do together is what
one would have done with the whole batch, up to the order in which numbers are added.

It is not free. At every step each worker sends and receives about as many numbers as the network has weights, or twice
as many, and nobody goes on before the sum is there. What counts is the ratio: how long does a worker compute on its
part of a batch, and how long does it take to add up the gradients?

How much two gain also depends on what is compared. Here they share the batch of 60 images that one has alone, 30 each,
so that a step becomes shorter. The table of `python -m benchmarks.scaling` gives each worker 30 images of its own, of
today's LeNet: there two take twice the images per step, and the step becomes longer.

Exercises:

1. Give three workers the same batches: `--workers 3`. What changes in the loss curve? And with `--batch-size 7`?
2. Make the batches larger, `--batch-size 600`. What happens to the share of the time that goes into adding up, and what
   to the accuracy after as many epochs? Section 2.1 of the paper says what to do about the latter.
3. `--network lenet5_modern` has kinks, ReLU and max pooling, where this LeNet of 1998 has smooth curves. How far apart
   are the losses now, and whose fault is it? Look at what other rounding does to one worker.
4. Which of these two is worse for two workers: a network with many weights, or one with much to compute? Compare
   `--network resnet20` with LeNet. (`python -m benchmarks.scaling` has a table for many more workers.)
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from kerasdl.training.launch import run_workers
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.visualization import plots


def run(out: Path, workers: int, options: dict[str, Any], restarts: int = 0) -> dict[str, Any]:
    """Runs `tutorials/shared_training.py` as several workers, and returns what the chief wrote down.

    Args:
        out: The program's folder, emptied before: what is left of an earlier run would be taken up again.
        workers: How many processes.
        options: The program's options.
        restarts: How often to start all of them again where one fails.
    """
    shutil.rmtree(out, ignore_errors=True)
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    program = ["-m", "kerasdl.tutorials.shared_training", "--pin", "--out", str(out), *words]
    code = run_workers(program, workers=workers, restarts=restarts)
    if code:
        raise RuntimeError(f"The program must end well; above is what it said. It ended with exit code {code}.")
    return json.loads((out / "result.json").read_text(encoding="utf-8"))


@lesson
def main(
    *,
    data: str = "fashion_sample",
    network: str = "lenet5",
    epochs: int | None = None,
    workers: int = 2,
    batch_size: int = 60,
    seed: int = 0,
    quick: bool = False,
    out: Path = Path("runs/many_workers"),
) -> dict[str, float]:
    """Trains a network by one process, by several, and by several of which one is killed on the way.

    Args:
        data: Any image set that kerasdl.data.load knows: fashion_sample, mnist, cifar10, ...
        network: lenet5, lenet5_modern or resnet20.
        epochs: Passes over the training images; 6 without it.
        workers: How many processes share the work; they do best with a core for each.
        batch_size: Images per step, of all workers together.
        seed: Decides the first weights and the order of the images.
        quick: Two epochs of a few images, and no accident, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    epochs = epochs or (2 if quick else 6)
    if epochs < 2:
        raise ValueError(f"`epochs` must be at least 2: the first, which compiles, is not timed. Received: {epochs}.")
    options = {"data": data, "network": network, "epochs": epochs, "batch_size": batch_size, "seed": seed}
    if quick:
        options["images"] = 600

    # The program that all of them run is `tutorials/shared_training.py`, and it does not know how many they are. Three
    # lines make it fit for many: `devices = training.strategy()` finds out, before anything else, what there is to
    # train on; the model is built and compiled `with devices.scope()`; and `training.fit` does the rest. The batches
    # are those of all workers together: each makes the same ones, from the same seed, and takes its own rows of them.
    #
    # `run_workers` starts the processes on this machine and tells each where the others are. Each keeps to one core, so
    # that two workers have twice what one has. On several machines something else starts them, and the program stays as
    # it is (docs/how_to/several_machines.md).
    results = {"one": run(out / "logs" / "one", 1, options), "many": run(out / "logs" / "many", workers, options)}

    # What if one is killed? The others cannot go on: they wait for its share of the sum. So all are ended, and started
    # again; `training.fit(backup_dir=...)` has kept everything at the last epoch's end, and they take it up from there.
    if not quick:
        accident = options | {"accident": epochs // 2}
        results["killed"] = run(out / "logs" / "killed", workers, accident, restarts=1)

    # Do they learn the same? The curves should lie on one another.
    names = {"one": "1 worker", "many": f"{workers} workers", "killed": f"{workers}, one killed"}
    histories = {name: result["history"] for name, result in results.items()}
    plots.save(
        plots.line_panels(
            {
                title: {names[name]: history[title] for name, history in histories.items()}
                for title in ("loss", "accuracy")
            },
            x_label="epoch",
            y_label="",
            title=f"{network} on {data}",
        ),
        out / "figures" / "curves.png",
    )

    # How far are they apart? Not at all after the accident: who computes what is the same each time. But several
    # workers add up in another order than one, and for floating-point numbers a + (b + c) is not (a + b) + c. For
    # comparison one worker trains once more, with first weights that differ by a ten-millionth: as much as neighbouring
    # numbers do. If its curve is as far from the first one, then rounding is all there is.
    if not quick:
        results["perturbed"] = run(out / "logs" / "perturbed", 1, options | {"perturb": 1e-7})
    losses = {name: np.array(result["history"]["loss"]) for name, result in results.items()}
    apart = {name: np.abs(loss / losses["one"] - 1) for name, loss in losses.items() if name in ("many", "perturbed")}
    labels = {"many": names["many"], "perturbed": "1 worker, other rounding"}
    plots.save(
        plots.lines(
            # Exactly nothing has no place on this axis, and is drawn at 1e-8.
            {labels[name]: np.maximum(values, 1e-8) for name, values in apart.items()},
            x_label="epoch",
            y_label="relative distance from 1 worker's loss",
            log_y=True,
            title=f"{network} on {data}",
        ),
        out / "figures" / "distances.png",
    )

    # What does a step cost? How long the sum alone takes is measured after the training, with nothing else to do.
    milliseconds = {name: 1000 * results[name]["seconds_per_step"] for name in ("one", "many")}
    adding_up = 1000 * results["many"]["seconds_per_sum"]
    plots.save(
        plots.bars(
            {"a step": list(milliseconds.values()), "of it adding up": [0.0, adding_up]},
            [names["one"], names["many"]],
            y_label="milliseconds",
            title=f"{network}, {batch_size} images per step",
        ),
        out / "figures" / "step.png",
    )

    metrics = {
        "loss_difference": float(np.max(apart["many"])),
        "images_per_second_one": 1000 * batch_size / milliseconds["one"],
        "images_per_second_many": 1000 * batch_size / milliseconds["many"],
        "times_as_fast": milliseconds["one"] / milliseconds["many"],
        "share_of_adding_up": adding_up / milliseconds["many"],
    }
    if not quick:
        metrics["loss_difference_of_rounding"] = float(np.max(apart["perturbed"]))
        metrics["loss_difference_after_accident"] = float(np.max(np.abs(losses["killed"] - losses["many"])))
    return metrics


if __name__ == "__main__":
    command_line(main)
