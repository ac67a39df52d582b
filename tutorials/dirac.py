"""Can a deep network do without shortcuts?

Paper:  [Zagoruyko and Komodakis, 2017](https://arxiv.org/abs/1706.00388)
Run:    python -m tutorials.dirac
Takes:  155 seconds on one core
Expect: with 36 convolutions the training loss after 8 epochs is 1.20 plain, 0.43 Dirac and 0.44 residual (mean of 3
        seeds): plain minus Dirac is 0.78 ± 0.09, mean and standard error; residual minus Dirac, 0.02 ± 0.03, says
        nothing. Folding changes no probability by more than 0.00001, and DiracNet-18 on one image of 64x64 is then 3.9
        times as fast, on 32 at a time 1.3 times.

Residual networks add a block's input to its output, and so can be a hundred layers deep. A DiracNet has no shortcuts.
Instead it writes the identity into the weights: each convolution has the kernel `a I + b W`, where `I` is the Dirac
delta of convolution, a kernel that copies its input. At the start `a` is 1 and `b` is 0.1: every layer nearly copies,
as a residual block does, and learns by how much to deviate.

After training, `a I + b W` is just a kernel. So is, with it, the batch normalisation behind it. What remains is a chain
of ordinary convolutions and rectifiers like a network of 2014, which needs no memory for shortcuts.

Exercises:

1. Take twelve convolutions instead of 36 (`BLOCKS = 2`). How much of the difference is left?
2. Begin with `a = 0`: what is a Dirac convolution then, compared with the plain one?
3. Fold the network after 4 epochs and train on for 4 more. The outputs are the same; does it learn as before?
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl import training
from kerasdl.architectures import diracnet18, fold_dirac
from kerasdl.architectures.cifar_resnets import cifar_network, zero_padding
from kerasdl.architectures.diracnet import dirac_block
from kerasdl.architectures.resnet import basic_block
from kerasdl.data import info, load
from kerasdl.layers import DiracConv2D
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import plots

# In each of three stages; two convolutions each.
BLOCKS = 6


def milliseconds(models: dict[str, keras.Model], images: np.ndarray, rounds: int) -> dict[str, float]:
    """The median time of a compiled call; in turn, so that what else runs for a moment disturbs all alike."""
    calls = {name: tf.function(partial(model, training=False)) for name, model in models.items()}
    batch = tf.constant(images)
    times: dict[str, list[float]] = {name: [] for name in models}
    for repeat in range(rounds + 2):
        for name, call in calls.items():
            begin = time.perf_counter()
            call(batch).numpy()
            # The first calls compile and warm up.
            if repeat >= 2:
                times[name].append(1000 * (time.perf_counter() - begin))
    return {name: float(np.median(values)) for name, values in times.items()}


@lesson
def main(
    *,
    data: str = "fashion_sample",
    epochs: int = 8,
    images: int = 2000,
    seeds: int = 3,
    quick: bool = False,
    out: Path = Path("runs/dirac"),
) -> dict[str, float]:
    """Trains a plain, a Dirac and a residual network that differ in nothing else, and folds the Dirac one.

    Args:
        data: Any image set that kerasdl.data.load knows; the images are made 12x12.
        epochs: Passes over the training images.
        images: How many of the training images are used.
        seeds: How many times everything is trained.
        quick: One epoch of a few images and a few layers, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    epochs, images, seeds, blocks = (1, 200, 1, 1) if quick else (epochs, images, seeds, BLOCKS)
    options: dict[str, Any] = {"batch_size": 100, "image_size": (12, 12)}
    train = load(data, split=f"train[:{images}]", shuffle=True, **options)
    test = load(data, split="test[:200]" if quick else "test", **options)
    shape, classes = tuple(train.element_spec[0].shape[1:]), len(info(data).classes)

    # All three are the same chain: a first convolution, 36 more in three stages, batch normalisation and a rectifier
    # behind each. Only the block differs. The residual shortcuts have no weights, so even the parameters are the same,
    # but for the two numbers `a` and `b` that a Dirac convolution has for each of its maps.
    #
    # The learning rate is 0.1 for all: of 0.03, 0.1 and 0.3 the best for the plain network, by the training loss after
    # 5 epochs of 1,000 images with one seed (1.99, 1.85, 1.97). The Dirac one would rather have 0.3 (1.74, 1.00, 0.65),
    # the residual one 0.03 (0.52, 0.58, 1.70), so what follows does not flatter them.
    blocks_of: dict[str, Callable] = {
        "plain": partial(dirac_block, conv=keras.layers.Conv2D),
        "Dirac": dirac_block,
        "residual": partial(basic_block, shortcut=zero_padding),
    }
    stages = [(filters, blocks) for filters in (8, 16, 32)]
    losses: dict[str, list[list[float]]] = {name: [] for name in blocks_of}
    accuracies: dict[str, list[float]] = {name: [] for name in blocks_of}
    trained = {}
    for seed in range(seeds):
        for name, block in blocks_of.items():
            print(f"\n{name}, seed {seed}")
            keras.utils.set_random_seed(seed)
            model = cifar_network(shape, classes, name.lower(), stem=8, stages=stages, block=block)
            optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
            model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
            logs = keras.callbacks.TensorBoard(out / "logs" / f"{model.name}_seed{seed}", write_graph=False)
            history = training.fit(model, train, epochs=epochs, callbacks=[logs], verbose=2)
            losses[name].append(history.history["loss"])
            accuracies[name].append(model.evaluate(test, verbose=0)[1])
            trained[name] = model

    means = {name: np.mean(runs, axis=0) for name, runs in losses.items()}
    errors = {name: standard_error(runs) for name, runs in losses.items() if seeds > 1}
    plots.save(
        plots.lines(
            means,
            x_label="epoch",
            y_label="training loss (± standard error)",
            errors=errors,
            title=f"{6 * blocks} convolutions deep: who learns?",
        ),
        out / "figures" / "loss.png",
    )
    metrics = {}
    for name, runs in losses.items():
        metrics[f"{name.lower()}_loss"] = means[name][-1]
        metrics[f"{name.lower()}_accuracy"] = np.mean(accuracies[name])
        if name != "Dirac":
            # Run by run. The images come in another order in each, and that luck is part of the error.
            difference = np.array(runs)[:, -1] - np.array(losses["Dirac"])[:, -1]
            error = standard_error(difference)
            metrics[f"{name}_minus_dirac"], metrics[f"{name}_minus_dirac_error"] = difference.mean(), error
            metrics[f"{name}_and_dirac_differ"] = differ = abs(difference.mean()) > 3 * error > 0
            verdict = "" if differ else ": too near to say who is better"
            print(f"Training loss, {name} minus Dirac: {difference.mean():.3f} ± {error:.3f}{verdict}")

    # How much of each layer still copies? `a` says how much of the input passes, `b` how long the filters are that are
    # added to it. They began at 1 and 0.1 in all layers.
    dirac = [layer for layer in trained["Dirac"].layers if isinstance(layer, DiracConv2D)]
    plots.save(
        plots.lines(
            {
                "a: copies": [float(np.abs(layer.alpha).mean()) for layer in dirac],
                "b: transforms": [float(np.abs(layer.beta).mean()) for layer in dirac],
            },
            x_label="Dirac convolution",
            y_label="mean over the maps",
            title="How much of each kernel copies its input",
        ),
        out / "figures" / "identity.png",
    )
    metrics["mean_a"] = np.mean([np.abs(layer.alpha).mean() for layer in dirac])
    metrics["mean_b"] = np.mean([np.abs(layer.beta).mean() for layer in dirac])

    # Folded, the network has fewer layers and parameters, and says the same.
    folded = fold_dirac(trained["Dirac"])
    pictures = np.concatenate([batch for batch, _ in test.as_numpy_iterator()])
    before, after = (network.predict(pictures, verbose=0) for network in (trained["Dirac"], folded))
    metrics["folded_largest_difference"] = np.abs(before - after).max()
    metrics["parameters"], metrics["folded_parameters"] = trained["Dirac"].count_params(), folded.count_params()

    # And it is faster. A Dirac convolution puts its kernel together in every call, which costs the same for one image
    # as for many; so the gain is largest where the images come one by one. It is measured on DiracNet-18.
    network = diracnet18(input_shape=(32, 32, 3) if quick else (64, 64, 3), classes=10)
    networks = {"as trained": network, "folded": fold_dirac(network)}
    batches = (1, 4) if quick else (1, 32)
    random = np.random.default_rng(0)
    latencies = {
        batch: milliseconds(networks, random.random((batch, *network.input_shape[1:]), "float32"), 3 if quick else 15)
        for batch in batches
    }
    plots.save(
        plots.bars(
            {name: [latencies[batch][name] / batch for batch in batches] for name in networks},
            [f"{batch} at a time" for batch in batches],
            y_label="milliseconds per image",
            title="DiracNet-18: folding saves time",
        ),
        out / "figures" / "speed.png",
    )
    for batch in batches:
        metrics[f"speed_up_{batch}"] = latencies[batch]["as trained"] / latencies[batch]["folded"]
    return metrics


if __name__ == "__main__":
    command_line(main)
