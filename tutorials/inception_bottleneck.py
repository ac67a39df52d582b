"""What do the 1x1 convolutions of the inception module save, and does the network see less without what they drop?

Paper:  [Szegedy et al., 2014](https://arxiv.org/abs/1409.4842), section 4 and Table 1
Run:    python -m tutorials.inception_bottleneck
Takes:  145 seconds on one core
Expect: inception (3a) with its 1x1 reductions has 2.37 times fewer multiply-adds and is twice as fast; all nine modules
        have 1.10 G instead of 12.09 G. And after four epochs the small network knows more, not less: 64 % of the
        objects against 32 % with naive modules (a difference of 32 ± 8 points, three seeds; 24 ± 2 with the images in
        another order), with a quarter of the parameters.

An inception module looks at its input through windows of 1x1, 3x3 and 5x5 pixels at once, and pools it besides; the
next module sees all of it. Built naively, this explodes. The pooling hands on every map it gets, so that each module
gives more maps than the last, and the 5x5 windows multiply all of them 25 times over.

The paper's way out is a bottleneck: a 1x1 convolution that mixes the maps into fewer before the large windows look, and
another behind the pooling. One would expect a price, for the bottleneck drops what the windows might have wanted. This
lesson counts what is saved, takes the time, and trains a small network of each kind to see the price.

In a short training the price is a gain. Whether it lasts, `--full` would tell (not measured here). What the 1x1
convolutions add may be the reason: each is a layer more, and all maps, also the pooled ones, pass through weights and a
rectifier before the next module.

Exercises:

1. The bottleneck also makes the network deeper: a 1x1 convolution and a rectifier more on each way. Take the rectifier
   of the reductions out. How much of the difference in accuracy is left?
2. Give the naive network fewer filters, until it costs as many multiply-adds as the other one. Which one wins now?
3. `bottleneck_savings((28, 28, 192), ...)` with 8, 16, 32, ... maps between: where does the bottleneck stop saving?
"""

from pathlib import Path

import keras
import numpy as np

from kerasdl import profiling, training
from kerasdl.architectures import bottleneck_savings, inception_block
from kerasdl.architectures.inception import MODULES
from kerasdl.architectures.parts import classify, convolve_norm
from kerasdl.data import info, load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import plots

# The small network's modules: Table 1's 3a and 4a, a quarter to an eighth as wide.
SMALL_MODULES = ((8, 12, 16, 4, 8, 8), (16, 16, 24, 4, 12, 12), (16, 16, 24, 4, 12, 12))

# The highest rates, after the warm-up: for each the best of 0.003, 0.01 and 0.03 on a held-out sixth of the training
# images (naive 25, 27 and 33 % right, reduced 38, 64 and 56 %); at 0.1 the naive one does not learn at all.
RATES = {"naive": 0.03, "reduced": 0.01}


def small_network(shape: tuple[int, int, int], classes: int, *, reduce: bool) -> keras.Model:
    """One convolution and three inception modules, with batch normalisation so that it learns in a minute.

    Args:
        shape: Height, width and channels of the images.
        classes: Number of classes.
        reduce: Whether the modules have their 1x1 reductions.
    """
    images = keras.Input(shape, name="images")
    x = convolve_norm(images, 16, 5, 2, name="conv1", relu="stage1_out")
    x = keras.layers.MaxPooling2D(2, name="pool1")(x)
    for index, filters in enumerate(SMALL_MODULES, start=2):
        name = f"inception{index}"
        x = inception_block(x, filters, reduce, normalized=True, name=name, out=f"stage{index}_out")
        if index == 2:
            x = keras.layers.MaxPooling2D(2, name="pool2")(x)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(images, classify(x, classes), name="reduced" if reduce else "naive")


def single_module(*, reduce: bool) -> keras.Model:
    """Inception (3a) alone, on the maps it gets in GoogLeNet."""
    maps = keras.Input((28, 28, 192), name="maps")
    return keras.Model(maps, inception_block(maps, MODULES["3a"], reduce, name="inception3a"))


@lesson
def main(
    *,
    data: str = "shapes/one",
    epochs: int | None = None,
    seeds: int = 3,
    quick: bool = False,
    full: bool = False,
    out: Path = Path("runs/inception_bottleneck"),
) -> dict[str, float]:
    """Counts and times the modules, then trains a small network of each.

    Args:
        data: Any image set that kerasdl.data.load knows: shapes/one, fashion_sample, cifar10, ...
        epochs: Passes over the training images; 4 without it, 20 with `full`.
        seeds: How often the training is repeated, with other first weights and another order of the images.
        quick: One epoch of a few images, only to see that everything works.
        full: Trains longer, which takes about four times as long.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    # First the paper's own module, inception (3a), branch by branch. It gets 192 maps of 28x28 pixels.
    print("inception (3a): maps and million multiply-adds, naive -> with 1x1 reductions")
    for branch, cost in bottleneck_savings((28, 28, 192), MODULES["3a"]).items():
        maps = f"{cost.naive_channels:4d} -> {cost.channels:4d} maps"
        print(f"{branch:>6}: {maps}, {cost.naive_multiply_adds / 1e6:6.1f} -> {cost.multiply_adds / 1e6:6.1f} M")
    metrics = {
        "naive_3a_channels": float(cost.naive_channels),
        "reduced_3a_channels": float(cost.channels),
        "naive_3a_multiply_adds": float(cost.naive_multiply_adds),
        "reduced_3a_multiply_adds": float(cost.multiply_adds),
    }

    # Now all nine. A naive module gets what the naive one before it gave, and that is more every time.
    sides = {"3": 28, "4": 14, "5": 7}
    channels: dict[str, list[int]] = {"naive": [192], "with 1x1 reductions": [192]}
    millions: dict[str, list[float]] = {"naive": [], "with 1x1 reductions": []}
    for module, filters in MODULES.items():
        side = sides[module[0]]
        for name, kind in (("naive", "naive_"), ("with 1x1 reductions", "")):
            total = bottleneck_savings((side, side, channels[name][-1]), filters)["total"]
            channels[name].append(getattr(total, f"{kind}channels"))
            millions[name].append(getattr(total, f"{kind}multiply_adds") / 1e6)
    metrics["naive_network_multiply_adds"] = 1e6 * sum(millions["naive"])
    metrics["reduced_network_multiply_adds"] = 1e6 * sum(millions["with 1x1 reductions"])
    plots.save(
        plots.bars(
            millions,
            list(MODULES),
            y_label="million multiply-adds",
            written="{:.0f}",
            title="The nine modules of GoogLeNet, for one image",
        ),
        out / "figures" / "multiply_adds.png",
    )
    plots.save(
        plots.lines(
            channels,
            range(10),
            x_label="modules so far",
            y_label="maps",
            title="Naive modules hand on all that they get",
        ),
        out / "figures" / "maps.png",
    )

    # A multiply-add saved need not be time saved: small convolutions keep a processor less busy than large ones.
    for name, reduce in (("naive", False), ("reduced", True)):
        seconds = profiling.profile(single_module(reduce=reduce), 8, repeats=3 if quick else 20).seconds_per_example
        metrics[f"{name}_3a_milliseconds"] = 1000 * (seconds or 0.0)
    speed_up = metrics["naive_3a_milliseconds"] / metrics["reduced_3a_milliseconds"]
    saved = metrics["naive_3a_multiply_adds"] / metrics["reduced_3a_multiply_adds"]
    print(f"With its reductions, (3a) has {saved:.2f} times fewer multiply-adds and is {speed_up:.2f} times as fast.")

    # What does it cost in accuracy? Two networks that differ in nothing else learn to name drawn objects.
    # Each has the learning rate that served it best on held-out images. Batch normalisation is needed, for without it
    # neither network learns much in so few steps.
    epochs = epochs or (1 if quick else 20 if full else 4)
    seeds = 1 if quick else seeds
    classes = len(info(data).classes)
    runs: dict[str, list[list[float]]] = {"naive": [], "reduced": []}
    test = load(data, split="test[:100]" if quick else "test", batch_size=250)
    for seed in range(seeds):
        for name in runs:
            # Loaded after the seed is set, the images come in the same order for both.
            keras.utils.set_random_seed(seed)
            train = load(data, split="train[:160]" if quick else "train", batch_size=32, shuffle=True, seed=seed)
            shape = tuple(train.element_spec[0].shape[1:])
            model = small_network(shape, classes, reduce=name == "reduced")
            steps = epochs * len(train)
            schedule = keras.optimizers.schedules.CosineDecay(
                0.0, steps - steps // 10, warmup_target=RATES[name], warmup_steps=steps // 10
            )
            model.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"])
            print(f"\n{name}, seed {seed}")
            logs = keras.callbacks.TensorBoard(out / "logs" / f"{name}_seed{seed}")
            history = training.fit(model, train, epochs=epochs, validation_data=test, callbacks=[logs])
            runs[name].append(history.history["val_accuracy"])
            if seed == 0:
                metrics[f"{name}_parameters"] = float(model.count_params())
                metrics[f"{name}_multiply_adds"] = float(profiling.profile(model, repeats=0).multiply_adds)

    accuracy = {name: 100 * np.array(values) for name, values in runs.items()}
    plots.save(
        plots.lines(
            {
                f"{name}\n{metrics[f'{name}_multiply_adds'] / 1e6:.1f} M multiply-adds": values.mean(axis=0)
                for name, values in accuracy.items()
            },
            x_label="epoch",
            y_label="test images right, %",
            title=f"Three small inception modules on {data}, {seeds} seed{'s' if seeds > 1 else ''}",
        ),
        out / "figures" / "accuracy.png",
    )

    # Both networks of a seed saw the same batches, so it is their difference that counts.
    for name, values in accuracy.items():
        metrics[f"{name}_accuracy"] = float(values[:, -1].mean() / 100)
    difference = (accuracy["reduced"] - accuracy["naive"])[:, -1] / 100
    metrics["accuracy_difference"] = float(difference.mean())
    if seeds > 1:
        error = float(standard_error(difference))
        clear = abs(difference.mean()) > 3 * error
        metrics |= {"accuracy_standard_error": error, "accuracy_is_clear": float(clear)}
        verdict = "clear" if clear else "not clear: less than three standard errors"
        print(f"\nWith reductions {100 * difference.mean():+.1f} ± {100 * error:.1f} points, {verdict}.")
    return metrics


if __name__ == "__main__":
    command_line(main)
