"""A program that any number of workers may run, and which tells what its parts cost; `many_workers` starts it.

    python -m kerasdl.training.launch --workers 2 -m tutorials.shared_training --out runs/two
    python -m tutorials.shared_training --out runs/one

Nothing in it says how many workers there are: that is what `training.strategy()` finds out.
"""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import typer

from kerasdl import architectures, training
from kerasdl.data import info, load
from kerasdl.training.cluster import find_cluster

# Each with the highest learning rate that it gets.
NETWORKS = {
    "lenet5": (architectures.lenet5, 0.005),
    "lenet5_modern": (architectures.lenet5_modern, 0.02),
    "resnet20": (lambda **arguments: architectures.resnet_cifar(20, **arguments), 0.02),
}
# How often the sum of the gradients is formed to find out how long it takes.
_SUMS = 30


class StepTimes(keras.callbacks.Callback):
    """Takes the time of a step in each epoch but the first of a process, in which the step is compiled."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.seconds: list[float] = []
        self._is_compiled = False

    def get_state(self) -> dict[str, Any]:
        """What a run that is taken up again needs to know."""
        return {"seconds": self.seconds}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from there."""
        self.seconds = list(state["seconds"])

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the clock."""
        self._begin = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes the time of a step."""
        if self._is_compiled:
            self.seconds.append((time.perf_counter() - self._begin) / self.steps)
        self._is_compiled = True


class Accident(keras.callbacks.Callback):
    """Kills its process after an epoch, as a machine's failure would; where a file says that it did so, never again."""

    def __init__(self, epoch: int, happened: Path) -> None:
        super().__init__()
        self.epoch = epoch
        self.happened = happened

    def get_state(self) -> dict[str, Any]:
        """Nothing goes from epoch to epoch."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Nothing comes back."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Ends the process without a word."""
        if epoch + 1 == self.epoch and not self.happened.exists():
            self.happened.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def train(
    *,
    network: str = "lenet5",
    data: str = "fashion_sample",
    images: int | None = None,
    epochs: int = 3,
    batch_size: int = 60,
    seed: int = 0,
    accident: int | None = None,
    perturb: float = 0.0,
    pin: bool = False,
    out: Path = Path("runs/shared_training"),
) -> None:
    """Trains a network, alone or as one of several workers, and writes into `out/result.json` how it went.

    Args:
        network: Which one.
        data: Any image set that kerasdl.data.load knows.
        images: Train on so many of its images; on all without it.
        epochs: Passes over them.
        batch_size: Images per step, of all workers together.
        seed: Decides the first weights and the order of the images.
        accident: The second worker is killed after this epoch, once.
        perturb: By how much of its value each first weight is changed.
        pin: Whether each worker keeps to one core of its own.
        out: Folder for the result, the backup and the TensorBoard logs.
    """
    cluster = find_cluster()
    workers, index = (cluster.workers, cluster.index) if cluster else (1, 0)
    if pin:
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[index % len(cores)]})
    devices = training.strategy()
    keras.utils.set_random_seed(seed)
    split = "train" if images is None else f"train[:{images}]"
    batches = load(data, split=split, batch_size=batch_size, shuffle=True, seed=seed)
    build, rate = NETWORKS[network]
    steps = epochs * len(batches)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=steps - steps // 10, warmup_target=rate, warmup_steps=steps // 10
    )
    with devices.scope():
        model = build(input_shape=tuple(batches.element_spec[0].shape[1:]), classes=len(info(data).classes))
        optimizer = keras.optimizers.SGD(schedule, momentum=0.9)
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    if perturb:
        for weight in model.trainable_weights:
            weight.assign(weight * (1 + perturb))
    times = StepTimes(len(batches))
    callbacks = [times, keras.callbacks.TensorBoard(out)]
    if accident and index == 1:
        callbacks.append(Accident(accident, out / "accident"))
    history = training.fit(model, batches, epochs=epochs, callbacks=callbacks, backup_dir=out / "backup")
    seconds = seconds_per_sum(devices, model) if workers > 1 else 0.0
    if cluster is None or cluster.is_chief:
        result = {
            "history": history.history,
            "seconds_per_step": float(np.median(times.seconds)) if times.seconds else None,
            "seconds_per_sum": seconds,
            "weights": sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
        }
        (out / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def seconds_per_sum(devices: tf.distribute.Strategy, model: keras.Model) -> float:
    """How long the workers take to sum up gradients of the model's size, without anything else.

    Args:
        devices: The strategy of the workers; all of them must call this.
        model: The model.
    """
    gradients = [tf.random.normal(weight.shape) for weight in model.trainable_weights]

    def add_up() -> list[tf.Tensor]:
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, [gradient * 1.0 for gradient in gradients])

    add_up_once = tf.function(lambda: devices.run(add_up))
    seconds = []
    for _ in range(_SUMS):
        begin = time.perf_counter()
        devices.experimental_local_results(add_up_once()[-1])[0].numpy()
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds[2:]))


if __name__ == "__main__":
    typer.run(train)
