"""A training that runs all night dies at three o'clock: what is lost?

Paper:  [Eisenman et al., 2022](https://www.usenix.org/conference/nsdi22/presentation/eisenman), on what crashes cost
        where many machines train for weeks, and why saving must be frequent and checked
Run:    python -m tutorials.resume
Takes:  85 seconds on one core, 40 where no other program runs
Expect: killed 3 times and started again, the training ends with a loss of 0.323, and no bit of its weights or its
        history differs from the training that nobody killed. With the weights alone it ends with 0.411: the learning
        rate has warmed up four times and never come down.

Whoever saves only the weights loses more than the steps since then. A training also is:

| | lost with it |
|---|---|
| what the optimizer remembers | momentum, and the place in the schedule of the learning rate: it warms up once more |
| the random numbers | dropout draws the zeros of the first step again |
| the place in the data | the first examples of the epoch are seen twice, the last ones perhaps never |
| history and callbacks | curves with a gap; `EarlyStopping` waits anew |

This lesson trains a network three times. Once nothing happens. Once the process is killed again and again, at moments
that nobody chose, by the signal that no program can catch (SIGKILL: no handler, no `finally`, nothing is put in order),
and the same command is simply started again. Once somebody had saved the weights alone.

Exercises:

1. Start `python -m tutorials.lenet` and press Ctrl-C in its middle. What is left of it? Give its `training.fit` a
   `backup_dir`, and try again.
2. Open `runs/resume/logs` in TensorBoard: can you see in the curves of `killed` where the process died?
3. Take the seed from `load(..., seed=...)` in the killed training. What does `training.fit` say, and why does it matter
   less for the result than you may think?
"""

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasdl import training
from kerasdl.data import load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.visualization import plots

_BATCH_SIZE = 32
_BACKUP_EVERY = 5  # steps: a few milliseconds of work, or what one can bear to lose


@lesson
def main(
    *,
    data: str = "fashion_sample",
    epochs: int | None = None,
    kills: int | None = None,
    seed: int = 0,
    quick: bool = False,
    out: Path = Path("runs/resume"),
) -> dict[str, float]:
    """Trains without a crash, with crashes, and with nothing but the weights saved.

    Args:
        data: Any image set that kerasdl.data.load knows: fashion_sample, mnist, cifar10, ...
        epochs: Passes over the training images; without it 12, or 4 with `quick`.
        kills: How often the process is killed; without it 3, or once with `quick`.
        seed: Decides the first weights, the order of the images, and when the process is killed.
        quick: A few images only, to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    epochs = epochs or (4 if quick else 12)
    kills = kills or (1 if quick else 3)
    split = "train[:320]" if quick else "train"
    arguments: dict[str, Any] = {"data": data, "split": split, "epochs": epochs, "seed": seed}
    backups = out / "backups"
    for folder in (backups, out / "logs" / "killed"):
        shutil.rmtree(folder, ignore_errors=True)  # Or an earlier run of this lesson would be gone on with.

    # First the one that is killed. It saves itself every few steps, and runs in a process of its own, for who is killed
    # cannot tell. Each time it is started in the same way, and says by itself where it goes on.
    steps = len(load(data, split=split, batch_size=_BATCH_SIZE))
    per_epoch = steps // _BACKUP_EVERY + 1  # Backups: one more after the epoch.
    chance, moments = random.Random(seed), []
    for kill in range(kills):
        print(f"\nProcess {kill + 1}, to be killed")
        process = start(out / "logs" / "killed", {**arguments, "backup_dir": str(backups)})
        # Not before a share of the way is done, and then at any moment: in a step, in a validation, in a backup.
        wait_for_backup(process, backups, int(per_epoch * epochs * (kill + 1) / (kills + 1)))
        time.sleep(chance.uniform(0, 0.1))
        process.kill()
        process.wait()
        moments.append(newest(backups) / per_epoch)
    print(f"\nProcess {kills + 1}, the last: this one")
    killed = train(out / "logs" / "killed", **arguments, backup_dir=backups)

    # Then the same without a crash. Not nearly the same: every single bit of weights and history must be equal.
    print("\nNever killed")
    whole = train(out / "logs" / "whole", **arguments)
    pairs = zip(whole.model.get_weights(), killed.model.get_weights(), strict=True)
    of_weights = max(float(np.abs(one - other).max()) for one, other in pairs)
    differences = [np.abs(np.subtract(whole.history[name], killed.history[name])) for name in whole.history]

    # And what most people do: save the weights after each epoch, and begin from them when the machine is back.
    # Momentum, learning rate, order and dropout then begin again as they were in the first step.
    print("\nOnly the weights were saved")
    losses: list[float] = []
    weights = None
    begins = sorted({0, *(int(moment) for moment in moments if moment < epochs)})
    for begin, end in zip(begins, [*begins[1:], epochs], strict=True):
        part = train(out / "logs" / f"weights_only_{begin}", **arguments, weights=weights, left=end - begin)
        losses += part.history["loss"]
        weights = part.model.get_weights()

    never = {"never killed": whole.history["loss"]}
    plots.save(
        plots.line_panels(
            {
                "everything saved": never | {"killed": killed.history["loss"]},
                "only the weights saved": never | {"killed": losses},
            },
            x_label="epoch",
            y_label="training loss",
            y_limits=(0, 1.05 * max(whole.history["loss"] + losses)),
            marks=moments,
            title="Killed where the dotted lines stand",
        ),
        out / "figures" / "losses.png",
    )
    lost = np.abs(np.subtract(losses, whole.history["loss"]))
    return {
        "times_killed": kills,
        "greatest_difference_of_weights": of_weights,
        "greatest_difference_of_history": float(np.max(differences)),
        "greatest_difference_with_weights_only": float(lost.max()),
        "loss": whole.history["loss"][-1],
        "loss_with_weights_only": losses[-1],
    }


def train(
    logs: str | Path,
    *,
    data: str,
    split: str,
    epochs: int,
    seed: int,
    weights: list[np.ndarray] | None = None,
    left: int | None = None,
    backup_dir: str | Path | None = None,
) -> keras.callbacks.History:
    """Trains a small network with all that is lost so easily: momentum, a schedule, dropout, a shuffled order.

    Args:
        logs: Folder of the TensorBoard logs.
        data: As in `main`.
        split: Which of the images.
        epochs: Passes over them for which the learning rate is planned.
        seed: As in `main`.
        weights: Those to begin with.
        left: How many passes are left; all of them where it is not given.
        backup_dir: Where to save everything, and from where to go on.
    """
    keras.utils.set_random_seed(seed)
    images = load(data, split=split, batch_size=_BATCH_SIZE, shuffle=True, seed=seed)
    test = load(data, split="test[:256]", batch_size=256)
    model = keras.Sequential(
        [
            keras.Input(images.element_spec[0].shape[1:]),
            keras.layers.Conv2D(16, 5, strides=2, activation="relu"),
            keras.layers.Conv2D(32, 3, strides=2, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    steps = epochs * len(images)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, warmup_target=0.05, warmup_steps=steps // 8, decay_steps=steps - steps // 8
    )
    optimizer = keras.optimizers.SGD(schedule, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    if weights is not None:
        model.set_weights(weights)
    return training.fit(
        model,
        images,
        epochs=left or epochs,
        validation_data=test,
        callbacks=[keras.callbacks.TensorBoard(logs)],
        backup_dir=backup_dir,
        backup_every=None if backup_dir is None else _BACKUP_EVERY,
        verbose=2,
    )


def start(logs: Path, arguments: dict[str, Any]) -> subprocess.Popen:
    """Starts `train` in a process of its own."""
    script = (
        "import json, sys; from kerasdl.tutorials import resume; resume.train(sys.argv[1], **json.loads(sys.argv[2]))"
    )
    return subprocess.Popen([sys.executable, "-c", script, str(logs), json.dumps(arguments)])


def wait_for_backup(process: subprocess.Popen, folder: Path, number: int) -> None:
    """Waits until so many backups were made."""
    while newest(folder) < number:
        if process.poll() is not None:
            raise RuntimeError(f"The training must run until it is killed. It ended with {process.returncode}.")
        time.sleep(0.01)


def newest(folder: Path) -> int:
    """How many backups were made; the last three are still there."""
    return max((int(path.name.partition("-")[2]) for path in folder.glob("backup-*")), default=0)


if __name__ == "__main__":
    command_line(main)
