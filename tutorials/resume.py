"""A training that runs all night dies at three o'clock: what is lost?

Paper:  [Eisenman et al., 2022](https://www.usenix.org/conference/nsdi22/presentation/eisenman), on what crashes cost
        where many machines train for weeks, and why saving must be frequent and checked
Run:    python -m tutorials.resume
Takes:  TAKES
Expect: EXPECT

Whoever saves only the weights loses more than the steps since then. A training also is:

| | lost with it |
|---|---|
| what the optimizer remembers | momentum, and the place in the schedule of the learning rate: it warms up once more |
| the random numbers | dropout draws the zeros of the first step again |
| the place in the data | the first examples of the epoch are seen twice, the last ones perhaps never |
| history and callbacks | curves with a gap; `EarlyStopping` waits anew |

This lesson trains a network three times. Once nothing happens. Once the process is killed again and again, at moments
that nobody chose, by the signal that no program can hear (SIGKILL: no handler, no `finally`, nothing is put in order),
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
    arguments = {"data": data, "split": split, "epochs": epochs, "seed": seed}
    killed = out / "killed"
    for folder in (killed, out / "logs" / "killed"):
        shutil.rmtree(folder, ignore_errors=True)  # Or an earlier run of this lesson would be gone on with.

    # First the one that is killed. It saves itself every few steps, and runs in a process of its own, for who is killed
    # cannot tell. It says by itself where it goes on.
    steps = len(load(data, split=split, batch_size=_BATCH_SIZE))
    per_epoch = steps // _BACKUP_EVERY + 1  # Backups: one more after the epoch.
    chance, moments = random.Random(seed), []
    for kill in range(kills):
        print(f"\nProcess {kill + 1}, to be killed")
        process = start(killed, out / "logs" / "killed", arguments)
        # Not before a share of the way is done, and then at any moment: in a step, in a validation, in a backup.
        wait_for_backup(process, killed / "backup", int(per_epoch * epochs * (kill + 1) / (kills + 1)))
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
        process.wait()
        moments.append(newest(killed / "backup") / per_epoch)
    print(f"\nProcess {kills + 1}, the last")
    ended = start(killed, out / "logs" / "killed", arguments)
    if ended.wait():
        raise RuntimeError(f"The training must end well when nobody kills it. It ended with {ended.returncode}.")
    result = json.loads((killed / "result.json").read_text())

    # Then the same without a crash. Not nearly the same: every single bit of weights and history must be equal.
    print("\nNever killed")
    whole = train(out / "logs" / "whole", **arguments)
    with np.load(killed / "weights.npz") as weights:
        pairs = zip(whole.model.get_weights(), weights.values(), strict=True)
        difference = max(float(np.abs(one - other).max()) for one, other in pairs)

    # And what most people do: save the weights after each epoch, and begin from them when the machine is back. Loss and
    # momentum, learning rate, order and dropout then begin again as they were in the first step.
    print("\nOnly the weights were saved")
    losses: list[float] = []
    weights_only = None
    for begin, end in zip([0, *map(int, moments)], [*map(int, moments), epochs], strict=True):
        if end == begin:
            continue
        remaining = {**arguments, "epochs": end - begin}
        part = train(out / "logs" / "weights_only" / f"from_{begin}", weights=weights_only, **remaining)
        losses += part.history["loss"]
        weights_only = part.model.get_weights()

    def figure(cut: list[float], name: str) -> dict[str, list[float]]:
        return {"never killed": whole.history["loss"], name: cut}

    plots.save(
        plots.line_panels(
            {
                "everything saved": figure(result["loss"], "killed"),
                "only the weights saved": figure(losses, "killed"),
            },
            x_label="epoch",
            y_label="training loss",
            y_limits=(0, 1.05 * max(whole.history["loss"] + losses)),
            marks=[moment + 0.5 for moment in moments],
            title=f"A training on {data}, killed where the dotted lines stand",
        ),
        out / "figures" / "losses.png",
    )
    history = [np.abs(np.subtract(whole.history[name], result[name])).max() for name in whole.history]
    lost = np.abs(np.subtract(losses, whole.history["loss"]))
    return {
        "times_killed": kills,
        "greatest_difference_of_weights": difference,
        "greatest_difference_of_history": float(max(history)),
        "greatest_difference_of_loss_with_weights_only": float(
            np.abs(np.subtract(losses, whole.history["loss"])).max()
        ),
        "loss": whole.history["loss"][-1],
        "loss_with_weights_only": losses[-1],
    }


def train(
    logs: Path,
    *,
    data: str,
    split: str,
    epochs: int,
    seed: int,
    weights: list[np.ndarray] | None = None,
    backup_dir: Path | None = None,
) -> keras.callbacks.History:
    """Trains a small network with all that is lost so easily: momentum, a schedule, dropout, a shuffled order.

    Args:
        logs: Folder of the TensorBoard logs.
        data: As in `main`.
        split: Which of the images.
        epochs: Passes over them.
        seed: As in `main`.
        weights: Those to begin with.
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
        epochs=epochs,
        validation_data=test,
        callbacks=[keras.callbacks.TensorBoard(logs)],
        backup_dir=backup_dir,
        backup_every=None if backup_dir is None else _BACKUP_EVERY,
        verbose=2,
    )


def start(folder: Path, logs: Path, arguments: dict[str, Any]) -> subprocess.Popen:
    """Starts the training that saves itself, in a process of its own: always with the same command."""
    script = "import sys; from kerasdl.tutorials import resume; resume.train_and_tell(*sys.argv[1:])"
    return subprocess.Popen([sys.executable, "-c", script, str(folder), str(logs), json.dumps(arguments)])


def train_and_tell(folder: str, logs: str, arguments: str) -> None:
    """What that process does.

    Args:
        folder: For the backups and the result.
        logs: Folder of the TensorBoard logs.
        arguments: Those of `train`, as JSON.
    """
    history = train(Path(logs), backup_dir=Path(folder) / "backup", **json.loads(arguments))
    np.savez(Path(folder) / "weights.npz", *history.model.get_weights())
    (Path(folder) / "result.json").write_text(json.dumps(history.history), encoding="utf-8")


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
