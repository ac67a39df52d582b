"""Packed networks against float networks: the measuring program that `benchmarks.xnor` runs.

    python -m benchmarks.xnor_networks --threads 1

prints one line of JSON. Ours is what a user calls, `pack(model).predict(images)`: NumPy in, NumPy out. The float
network is called in the fastest way that TensorFlow has, one compiled graph on a tensor that is there already;
`model.predict`, which most people call, is timed as well. They take turns; what counts is the median.
"""

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import keras
import numba
import numpy as np
import tensorflow as tf
import typer

from benchmarks.xnor_layers import Call, take_turns
from kerasdl import architectures, xnor

# The binary network, its float counterpart, and the sides of the pictures.
CONTESTS: dict[str, tuple[Callable[[], keras.Model], Callable[[], keras.Model]]] = {
    "xnor_resnet18": (architectures.xnor_resnet18, architectures.resnet18),
    "xnor_alexnet": (architectures.xnor_alexnet, architectures.alexnet_single),
    "bwn_resnet18": (architectures.bwn_resnet18, architectures.resnet18),
    "bwn_alexnet": (architectures.bwn_alexnet, architectures.alexnet_single),
    "binary_cnn": (architectures.binary_cnn, lambda: architectures.binary_cnn("float")),
}
PERTURBED = ("gamma", "beta", "moving_mean", "moving_variance")


def build(maker: Callable[[], keras.Model]) -> keras.Model:
    """A network whose normalizations do something, as after training."""
    keras.utils.set_random_seed(0)
    model, random = maker(), np.random.default_rng(0)
    for weight in model.weights:
        if weight.name in PERTURBED:
            spread = random.normal(size=weight.shape)
            weight.assign(np.exp(0.2 * spread) if weight.name in ("gamma", "moving_variance") else 0.2 * spread)
    return model


def calls_of(packed: xnor.PackedModel, model: keras.Model, floats: keras.Model, images: np.ndarray) -> dict[str, Call]:
    """Every contender, ready to be called; the packed network must see the classes that the Keras model sees."""
    size = len(images)
    same = packed.predict(images, batch_size=size).argmax(-1) == model.predict_on_batch(images).argmax(-1)
    if not same.all():
        raise RuntimeError(f"{model.name} sees other classes when it is packed, in {np.mean(~same):.0%} of the images.")
    graph, batch = tf.function(lambda x: floats(x, training=False)), tf.constant(images)
    return {
        "ours": lambda: packed.predict(images, batch_size=size),
        "tensorflow": lambda: graph(batch),
        "model.predict": lambda: floats.predict(images, batch_size=size, verbose=0),
    }


def bytes_on_disk(packed: xnor.PackedModel, floats: keras.Model) -> dict[str, int]:
    """The sizes of both files."""
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "packed.xnor", Path(folder) / "floats.keras"
        packed.save(ours)
        floats.save(theirs)
        return {"ours": ours.stat().st_size, "tensorflow": theirs.stat().st_size}


def torch_seconds(name: str, side: int, batch: int, threads: int, turns: int) -> float | None:
    """PyTorch's time for the same float network, channels last, in a program of its own; None where it has none."""
    if importlib.util.find_spec("torch") is None or name != "resnet18":
        return None
    command = [sys.executable, "-m", "benchmarks.torch_networks", name, "--no-train", "--side", str(side)]
    command += ["--batch-size", str(batch), "--steps", str(max(3, turns))]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    told = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    return statistics.median(json.loads(told.splitlines()[-1])["seconds"])


def main(
    threads: Annotated[int, typer.Option(help="Threads of everybody.")] = 1,
    turns: Annotated[int, typer.Option(help="How often the contenders take turns.")] = 5,
    networks: Annotated[list[str] | None, typer.Option(help="Only these networks.")] = None,
    batches: Annotated[list[int] | None, typer.Option(help="Sizes of the batches.")] = None,
    torch: Annotated[bool, typer.Option(help="Whether PyTorch takes part.")] = True,
) -> None:
    """Prints the seconds of a call for each network, size of batch and contender, and the files' sizes, as JSON."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    numba.set_num_threads(threads)
    rows = []
    for name in networks or CONTESTS:
        model, floats = (build(maker) for maker in CONTESTS[name])
        packed = xnor.pack(model)
        sizes = bytes_on_disk(packed, floats)
        side = model.input_shape[1]
        for batch in batches or (1, 16):
            images = np.random.default_rng(0).random((batch, *model.input_shape[1:]), dtype="float32")
            seconds = take_turns(calls_of(packed, model, floats, images), turns)
            if torch and (found := torch_seconds(floats.name, side, batch, threads, turns)) is not None:
                seconds["torch"] = found
            rows.append({"network": name, "side": side, "batch": batch, "bytes": sizes, "seconds": seconds})
        keras.utils.clear_session()
    print(json.dumps({"threads": threads, "rows": rows}))


if __name__ == "__main__":
    typer.run(main)
