"""Does one tower of AlexNet learn colours and the other shapes, when nobody tells them to?

Paper:  [Krizhevsky et al., 2012](https://doi.org/10.1145/3065386), Figures 2 and 3 and the text on them
Run:    python -m tutorials.alexnet_towers
Takes:  150 seconds on one core
Expect: filters divide the work, towers do not. After training 26 % of the first filters are mostly grey (colour is less
        than 0.4 of their energy) and 33 % mostly colour (more than 0.8), but both towers have both kinds. Their shares
        of colour differ by 0.141, and by 0.101 if the same filters are dealt out by lot: 0.040 ± 0.048 over five seeds
        (on two cores, where sums come out in another order, -0.043 ± 0.020), under three standard errors. The
        specialisation of 2012 does not show at this size. Accuracy on new patches: 88 %.

AlexNet did not fit on one graphics card, so it was cut in two: each card has half of the filters, and sees the other's
maps only in the third convolution and in the dense layers. When it had learned, its first layer showed something that
nobody had built in. The 48 filters of one card were edges, nearly all in grey; the 48 of the other were patches of
colour. The paper reports that this happened in every run, whatever the first weights were.

Here a small AlexNet of two towers learns to tell which of nine photographs a patch comes from. Then its filters are
measured: how much of a filter's energy is colour? Two halves of a set of filters always differ a little, so the
difference of the towers is compared with that of halves drawn by lot from the same filters. Edges in grey and patches
of colour do appear, as in AlexNet. Does each kind keep to one tower?

Exercises:

1. Make the images grey before training (`keras.ops.image.rgb_to_grayscale`, three times side by side). How much of a
   filter's energy is colour now, and why is it not nothing?
2. Let the towers cross already at the second convolution (`crosses=True`). Should they specialise less?
3. The paper's towers saw 1.2 million images, and had 48 filters each. What of this could matter? Try `--epochs 40` and
   `--images 12000`, or give `CONVOLUTIONS` 96 filters in the first layer.
4. Switch one tower off in a trained network: set its first kernel to zero, and measure the accuracy on images in
   colour and in grey. Which tower is missed more, where?
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasdl import training
from kerasdl.architectures.alexnets import Convolution, tower_network
from kerasdl.data import load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import plots

SIDE = 48
# AlexNet's pattern for small images: both towers together have a third of the first filters.
CONVOLUTIONS = (
    Convolution(32, 7, strides=2, padding="valid", normalized=True, pooled=True),
    Convolution(64, 5, normalized=True, pooled=True),
    Convolution(96, 3, crosses=True),
    Convolution(64, 3, pooled=True),
)


def patches(split: str, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Patches of the photographs, those for training from their left three quarters, and which photograph it was.

    Args:
        split: "train" or "test".
        count: How many.
        seed: Decides where they are cut.
    """
    photographs = []
    for image, _ in load("photos").as_numpy_iterator():
        scale = 192 / min(image.shape[:2])
        photographs.append(tf.image.resize(image, [round(n * scale) for n in image.shape[:2]], antialias=True).numpy())
    random = np.random.default_rng(seed)
    labels = np.arange(count) % len(photographs)
    images = np.empty((count, SIDE, SIDE, 3), "float32")
    for index, label in enumerate(labels):
        height, width, _ = photographs[label].shape
        border = width * 3 // 4
        first, last = (0, border - SIDE) if split == "train" else (border, width - SIDE)
        top, left = random.integers(height - SIDE + 1), random.integers(first, last + 1)
        images[index] = photographs[label][top : top + SIDE, left : left + SIDE]
    return images, labels


def colour_shares(kernels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each filter of `(height, width, 3, filters)`, how much of its energy is not grey, and its energy."""
    grey = kernels.mean(axis=2, keepdims=True)
    energy = np.square(kernels).sum((0, 1, 2))
    return np.square(kernels - grey).sum((0, 1, 2)) / energy, energy


def halves(shares: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """The share of colour in the first and in the second half of the filters: those of much energy count for more."""
    colour = (shares * energy).reshape(*energy.shape[:-1], 2, -1).sum(-1)
    return colour / energy.reshape(*energy.shape[:-1], 2, -1).sum(-1)


def difference(shares: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """How much the two halves differ in it."""
    return np.abs(np.diff(halves(shares, energy))[..., 0])


@lesson
def main(
    *,
    data: str = "photos",
    epochs: int | None = None,
    seeds: int = 5,
    images: int = 3000,
    quick: bool = False,
    out: Path = Path("runs/alexnet_towers"),
) -> dict[str, float]:
    """Trains small networks of two towers, and measures how much colour each tower carries.

    Args:
        data: photos, cut into patches, or any set of images in colour that kerasdl.data.load knows: shapes/one, ...
        epochs: Passes over the training images; 10 without it.
        seeds: How many networks are trained, with other first weights and other patches.
        images: How many patches of the photographs.
        quick: One epoch of a few images, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    epochs = 1 if quick else epochs or 10
    if quick:
        seeds, images = 2, 320
    results = []
    for seed in range(seeds):
        if data == "photos":
            train = tf.data.Dataset.from_tensor_slices(patches("train", images, seed))
            train = train.shuffle(images, seed=seed).batch(32)
            test = tf.data.Dataset.from_tensor_slices(patches("test", 450, seed)).batch(150)
        else:
            split = "train[:320]" if quick else "train"
            train = load(data, split=split, batch_size=32, image_size=SIDE, shuffle=True, seed=seed)
            test = load(data, split="test[:256]" if quick else "test", batch_size=256, image_size=SIDE)
        classes = 1 + int(max(labels.max() for _, labels in train.as_numpy_iterator()))

        # AlexNet saw images minus their mean; here they are also divided by about their deviation. The first kernels
        # start small, so that what is in them at the end has been learned and is not the noise of the beginning: for
        # noise, two thirds of the energy is colour, for two of three directions in the space of colours are.
        keras.utils.set_random_seed(seed)
        model = tower_network(
            (SIDE, SIDE, 3), classes, "towers", towers=2, convolutions=CONVOLUTIONS, dense_units=(256,)
        )
        first = [model.get_layer(f"conv1_tower{tower}").kernel for tower in (1, 2)]
        for kernel in first:
            kernel.assign(kernel / 4)
        train, test = (part.map(lambda x, y: ((x - 0.45) / 0.25, y)).prefetch(2) for part in (train, test))
        steps = epochs * len(train)
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0, steps - steps // 10, warmup_target=0.02, warmup_steps=steps // 10
        )
        model.compile(
            keras.optimizers.SGD(schedule, momentum=0.9, weight_decay=5e-4),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        print(f"\nseed {seed}")
        logs = keras.callbacks.TensorBoard(out / "logs" / f"seed_{seed}")
        history = training.fit(model, train, epochs=epochs, validation_data=test, callbacks=[logs])

        # How much colour is in each tower, and how much would two halves differ that were drawn by lot?
        kernels = np.concatenate([kernel.numpy() for kernel in first], axis=-1)
        shares, energy = colour_shares(kernels)
        lots = np.random.default_rng(seed).permuted(np.tile(np.arange(len(shares)), (10_000, 1)), axis=1)
        by_lot = difference(shares[lots], energy[lots])
        results.append(
            {
                "accuracy": history.history["val_accuracy"][-1],
                "towers": halves(shares, energy),
                "difference": difference(shares, energy),
                "by_lot": by_lot.mean(),
                "grey": np.mean(shares < 0.4),
                "colour": np.mean(shares > 0.8),
                "as_large_by_lot": np.mean(by_lot >= difference(shares, energy)),
            }
        )
        if seed == 0:
            half = len(shares) // 2
            order = [*np.argsort(shares[:half]), *half + np.argsort(shares[half:])]
            drawn = np.moveaxis(kernels, -1, 0)[order]
            figure = plots.image_grid(
                drawn / np.abs(drawn).max((1, 2, 3), keepdims=True),
                [f"tower {1 + index // half}: {shares[index]:.0%}" for index in order],
                columns=8,
                symmetric=True,
                title="The towers' first filters, and how much of each is colour (seed 0)",
            )
            plots.save(figure, out / "figures" / "filters.png")

    # A number for each network: by how much the towers differ beyond what halves drawn by lot differ. One network alone
    # may be an accident; over all of them the mean has to be more than three times as large as its error.
    table = {name: np.array([result[name] for result in results]) for name in results[0]}
    names = [f"seed {seed}" for seed in range(seeds)]
    bars = {"tower 1": table["towers"][:, 0], "tower 2": table["towers"][:, 1]}
    figure = plots.bars(bars, names, y_label="share of colour", written="{:.2f}", title="Colour in the first filters")
    plots.save(figure, out / "figures" / "towers.png")
    bars = {"towers": table["difference"], "by lot": table["by_lot"]}
    figure = plots.bars(
        bars,
        names,
        y_label="difference of the shares",
        written="{:.3f}",
        title="Towers, and halves drawn by lot",
    )
    plots.save(figure, out / "figures" / "differences.png")
    excess = table["difference"] - table["by_lot"]
    error = standard_error(excess)
    clear = seeds > 1 and excess.mean() > 3 * error
    verdict = "they specialise" if clear else "under three standard errors: no specialisation is shown"
    print(f"\nBeyond halves drawn by lot the towers differ by {excess.mean():.3f} ± {error:.3f}: {verdict}.")
    return {
        "accuracy": table["accuracy"].mean(),
        "share_of_colour": table["towers"].mean(),
        "filters_mostly_grey": table["grey"].mean(),
        "filters_mostly_colour": table["colour"].mean(),
        "difference_of_towers": table["difference"].mean(),
        "difference_by_lot": table["by_lot"].mean(),
        "excess": excess.mean(),
        "excess_standard_error": error,
        "specialisation_is_clear": float(clear),
        "smallest_chance_by_lot": table["as_large_by_lot"].min(),
    }


if __name__ == "__main__":
    command_line(main)
