"""What the lessons on binary networks are compared by: bytes, milliseconds, and whether packing changes an answer."""

import dataclasses
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import rich
import rich.table
import tensorflow as tf

from kerasdl.visualization import plots
from kerasdl.xnor import PackedModel, pack


@dataclasses.dataclass(frozen=True)
class Costs:
    """What a network costs in Keras and packed.

    Args:
        keras_bytes: The weights that Keras holds, four bytes each.
        packed_bytes: What the packed network holds: bits, scales, thresholds and real weights.
        file_bytes: The file of the packed network, with the description of what to do with them.
        keras_milliseconds: A compiled call, per image, with all threads.
        packed_milliseconds: The packed network, per image, with as many threads.
        same_classes: The share of the images of which both say the same class.
    """

    keras_bytes: int
    packed_bytes: int
    file_bytes: int
    keras_milliseconds: float
    packed_milliseconds: float
    same_classes: float


def costs(models: dict[str, keras.Model], images: np.ndarray, *, batch_size: int, rounds: int) -> dict[str, Costs]:
    """Packs networks and measures both forms: on all images what they say, on the first batch how long they take.

    Args:
        models: The networks.
        images: Images for all of them.
        batch_size: Images in a call.
        rounds: How often each is timed; the median counts.
    """
    packed = {name: pack(model) for name, model in models.items()}
    times = milliseconds(models, packed, images[:batch_size], rounds)
    found = {}
    for name, model in models.items():
        parts = np.array_split(images, -(-len(images) // 250))
        one = np.concatenate([np.asarray(model(part, training=False)).argmax(axis=1) for part in parts])
        same = float((one == packed[name].predict(images, batch_size=250).argmax(axis=1)).mean())
        found[name] = Costs(4 * model.count_params(), packed[name].nbytes, file_bytes(packed[name]), *times[name], same)
    return found


def file_bytes(packed: PackedModel) -> int:
    """How large the file of a packed network is.

    Args:
        packed: The network.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network"
        packed.save(path)
        return path.stat().st_size


def milliseconds(
    models: dict[str, keras.Model], packed: dict[str, PackedModel], images: np.ndarray, rounds: int
) -> dict[str, tuple[float, float]]:
    """The median time per image in Keras and packed, both with all threads.

    All are called in turn, so that what else runs for a moment disturbs them alike.

    Args:
        models: The networks in Keras.
        packed: The same, packed.
        images: One batch.
        rounds: How often each is called.
    """
    batch = tf.constant(images)
    calls: dict[tuple[str, str], Callable[[], Any]] = {}
    for name, model in models.items():
        compiled = tf.function(partial(model, training=False))
        calls[name, "keras"] = partial(compiled, batch)
        calls[name, "packed"] = partial(packed[name].predict, images, batch_size=len(images))
    taken: dict[tuple[str, str], list[float]] = {key: [] for key in calls}
    for repeat in range(rounds + 2):
        for key, call in calls.items():
            call()  # brings back what the others have driven out of the caches
            begin = time.perf_counter()
            np.asarray(call())
            # The first calls compile and warm up.
            if repeat >= 2:
                taken[key].append(1000 * (time.perf_counter() - begin) / len(images))
    medians = {key: float(np.median(values)) for key, values in taken.items()}
    return {name: (medians[name, "keras"], medians[name, "packed"]) for name in models}


def picture(accuracies: dict[str, float], found: dict[str, Costs], count: int, title: str) -> Any:
    """Right answers over bytes, with the time as the area.

    Args:
        accuracies: The share of test images that each network has right.
        found: What each network costs.
        count: How many test images there are, for the standard error of a share.
        title: A title above all.
    """
    mean = float(np.mean(list(accuracies.values())))
    error = 100 * (mean * (1 - mean) / count) ** 0.5
    return plots.scatter(
        [cost.packed_bytes / 1000 for cost in found.values()],
        [100 * accuracies[name] for name in found],
        [f"{name}, {cost.packed_milliseconds:.3f} ms" for name, cost in found.items()],
        x_label="packed weights, kB",
        y_label=f"test images right, % (± {error:.1f})",
        sizes=[cost.packed_milliseconds for cost in found.values()],
        size_label="time per image, packed",
        log_x=True,
        title=title,
    )


def print_table(accuracies: dict[str, float], found: dict[str, Costs]) -> None:
    """One line per network: right answers, bytes and milliseconds.

    Args:
        accuracies: The share of test images that each network has right.
        found: What each network costs.
    """
    titles = ("right", "kB", "packed", "file", "ms", "packed")
    columns = [rich.table.Column(title, justify="right") for title in titles]
    caption = "kB: weights in Keras, packed, and as a file. ms: per image in Keras and packed, both with all threads."
    table = rich.table.Table("network", *columns, caption=caption)
    for name, cost in found.items():
        sizes = (f"{size / 1000:.1f}" for size in (cost.keras_bytes, cost.packed_bytes, cost.file_bytes))
        times = (cost.keras_milliseconds, cost.packed_milliseconds)
        table.add_row(name, f"{accuracies[name]:.1%}", *sizes, *(f"{each:.3f}" for each in times))
    rich.print(table)
