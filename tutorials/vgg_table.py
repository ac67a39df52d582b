"""Where are the 138 million parameters of VGG, where is its work, and why are its filters so small?

Paper:  [Simonyan and Zisserman, 2014](https://arxiv.org/abs/1409.1556), Tables 1 and 2, sections 2.3 and 4.1
Run:    python -m tutorials.vgg_table
Takes:  95 seconds on one core
Expect: the paper's Table 2. The dense layers of VGG-16 hold 89 % of its parameters and do 0.8 % of its work. Three 3x3
        layers see 7x7 pixels with 110,592 weights, where one 7x7 layer needs 200,704. Narrow networks with pairs of 3x3
        layers reach 81.8 %, with single 5x5 layers 82.6 %: a difference of -0.7 ± 1.3 points over three seeds. The
        seven points that small filters gained on ImageNet do not show at this size.

The paper asked one question: what happens if a network for images gets deeper and deeper, and nothing else changes? So
all of its convolutions are as small as they can be and still know left from right, 3x3, and its Table 1 describes six
networks, each with a few layers more than the one before. The deepest have 16 and 19 layers with weights, twice as many
as AlexNet.

This lesson builds the six, counts what Table 2 counts and what it does not, and then takes up the paper's reason for
small filters: two 3x3 layers see 5x5 pixels and three see 7x7, but with fewer weights than one large filter, and with a
rectifier more after each. Is the deeper one of two networks that see the same better, too? On ImageNet it was; here
networks and images are small, and the lesson says whether that is enough to see it.

Exercises:

1. AlexNet's dense layers have 58.6 million weights. How many has VGG-16 in its dense layers, and how many would be left
   if the first of them saw only the average of each map, as in GoogLeNet?
2. Multiply-adds are for one image. At which stage would you begin if you had to make VGG-16 twice as fast? Try
   `--side 112`: which parts of the two pictures change, by how much, and which not at all?
3. Train the narrow networks for longer (`--epochs 20 --seeds 5`). Does the deeper one get ahead? Look at the training
   accuracy in `metrics.json`, too: does it lack practice, or examples?
4. Write a column of your own in the words of `TABLE_1`, with one 7x7 layer in place of three 3x3 ones, and train it
   here.
"""

import re
from pathlib import Path

import keras
import numpy as np
import rich
import rich.table
import tensorflow as tf

from kerasdl import architectures, profiling, training
from kerasdl.architectures.vgg import TABLE_1, vgg_network
from kerasdl.data import info, load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import plots

# Our function for each column of Table 1, and its parameters in Table 2, in millions.
NETWORKS = {
    "A": ("vgg_a", 133),
    "A-LRN": ("vgg_a_lrn", 133),
    "B": ("vgg_b", 133),
    "C": ("vgg_c", 134),
    "D (VGG-16)": ("vgg_d", 138),
    "E (VGG-19)": ("vgg_e", 144),
}
# Section 4.1: column B with one 5x5 layer for each pair of 3x3 layers.
COLUMNS = {"pairs of 3x3": TABLE_1["B"], "single 5x5": re.sub(r"3-(\d+) 3-\1", r"5-\1", TABLE_1["B"])}


def what_a_pixel_sees(kernel_sizes: list[int], channels: int) -> tuple[np.ndarray, int]:
    """How much each pixel of 11x11 counts for the one in the middle, behind a stack of layers, and their weights.

    Args:
        kernel_sizes: The layers' filters, from the first to the last.
        channels: Maps of each layer.
    """
    inputs = x = keras.Input((11, 11, channels))
    for size in kernel_sizes:
        x = keras.layers.Conv2D(channels, size, padding="same", use_bias=False)(x)
    model, images = keras.Model(inputs, x), tf.zeros((1, 11, 11, channels))
    with tf.GradientTape() as tape:
        tape.watch(images)
        middle = tf.reduce_sum(model(images)[0, 5, 5])
    return np.abs(tape.gradient(middle, images)[0]).sum(-1), model.count_params()


@lesson
def main(
    *,
    data: str = "fashion_sample",
    epochs: int | None = None,
    side: int = 224,
    seeds: int = 3,
    quick: bool = False,
    out: Path = Path("runs/vgg_table"),
) -> dict[str, float]:
    """Counts parameters and multiply-adds, measures receptive fields, and trains narrow networks.

    Args:
        data: Any image set that kerasdl.data.load knows: fashion_sample, shapes/one, cifar10, ...
        epochs: Passes over the training images; 5 without it.
        side: Of the images for which the six networks are built; the paper's is 224.
        seeds: How often the narrow networks are trained, with other first weights and another order of the images.
        quick: Small images, one seed and one epoch of few images, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    metrics: dict[str, float] = {}
    epochs = 1 if quick else epochs or 5
    if quick:
        side, seeds = 32, 1

    # Table 1 is code here: `kerasdl.architectures.vgg.TABLE_1` has its columns nearly letter for letter. Each is built
    # as it was for ImageNet, and asked what its layers hold and how often they multiply for one image.
    table = rich.table.Table("network", "parameters", "paper", "multiply-adds")
    parts = ["stage 1", "stage 2", "stage 3", "stage 4", "stage 5", "dense layers"]
    parameters: dict[str, list[float]] = {part: [] for part in parts}
    work: dict[str, list[float]] = {part: [] for part in parts}
    columns = ["A", "D (VGG-16)"] if quick else list(NETWORKS)
    for name, millions in (NETWORKS[column] for column in columns):
        costs = profiling.profile(getattr(architectures, name)(input_shape=(side, side, 3)), repeats=0)
        table.add_row(
            name,
            f"{costs.parameters / 1e6:.1f} M",
            f"{millions} M" if side == 224 else "",
            f"{costs.multiply_adds / 1e9:.2f} G",
        )
        metrics[f"{name}_parameters"], metrics[f"{name}_multiply_adds"] = costs.parameters, costs.multiply_adds
        for part in parts:
            inside = [layer for layer in costs.layers if part_of(layer.path) == part]
            parameters[part].append(sum(layer.parameters for layer in inside) / 1e6)
            work[part].append(sum(layer.multiply_adds or 0 for layer in inside) / 1e9)
    rich.print(table)

    # The two pictures have nearly nothing in common. Nine tenths of the parameters are in the dense layers, and most of
    # those in the first of them, where each of 4,096 units looks at each of 7x7x512 values. Nearly all of the work is
    # in the convolutions, which use each weight again at every pixel. So a network can be made much smaller, or much
    # faster, but seldom by the same change.
    plots.save(
        plots.stacked_bars(parameters, columns, y_label="parameters, millions", title="Where VGG keeps its parameters"),
        out / "figures" / "parameters.png",
    )
    plots.save(
        plots.stacked_bars(work, columns, y_label="multiply-adds, billions", title="Where VGG does its work"),
        out / "figures" / "multiply_adds.png",
    )
    for what, counts in (("parameters", parameters), ("work", work)):
        of_vgg16 = {part: values[columns.index("D (VGG-16)")] for part, values in counts.items()}
        metrics[f"vgg16_share_of_{what}_in_dense_layers"] = of_vgg16["dense layers"] / sum(of_vgg16.values())

    # Which pixels does a unit see? Those for which its value has a gradient. Two layers of 3x3 see 5x5, three see 7x7,
    # as one layer of 7x7 does; but for C maps in and out three have 27 C² weights, and one has 49 C². The picture shows
    # a difference, too: behind a stack the pixels in the middle count for more, for more ways lead from them.
    keras.utils.set_random_seed(0)
    seen = {}
    for title, kernel_sizes in {"one 3x3": [3], "two 3x3": [3, 3], "three 3x3": [3, 3, 3], "one 7x7": [7]}.items():
        shades, weights = what_a_pixel_sees(kernel_sizes, channels=64)
        width = int((shades > 0).any(axis=0).sum())
        metrics[f"{title.replace(' ', '_')}_sees_pixels"] = width
        metrics[f"{title.replace(' ', '_')}_weights"] = weights
        seen[f"{title}: sees {width}x{width}\n{weights:,} weights"] = shades / shades.max()
    plots.save(
        plots.image_grid(np.stack(list(seen.values())), list(seen), columns=4, title="What the middle unit sees"),
        out / "figures" / "receptive_fields.png",
    )

    # Section 4.1 of the paper puts that to the test: column B against a network in which each pair of 3x3 layers is one
    # 5x5 layer. On ImageNet the shallow one had a top-1 error higher by seven points. Here both have an eighth of the
    # maps, so that they train in seconds, and see small images.
    test = load(data, split="test[:256]" if quick else "test", batch_size=256, image_size=32)
    shape = tuple(test.element_spec[0].shape[1:])
    accuracies: dict[str, list[float]] = {name: [] for name in COLUMNS}
    training_accuracies: dict[str, list[float]] = {name: [] for name in COLUMNS}
    histories: dict[str, keras.callbacks.History] = {}
    for seed in range(seeds):
        split = "train[:640]" if quick else "train"
        train = load(data, split=split, batch_size=32, image_size=32, shuffle=True, seed=seed)
        for name, column in COLUMNS.items():
            print(f"\n{name}, seed {seed}")
            keras.utils.set_random_seed(seed)
            narrow = re.sub(r"-(\d+)", lambda filters: f"-{int(filters[1]) // 8}", column)
            label = name.replace(" ", "_")
            model = vgg_network(shape, len(info(data).classes), label, column=narrow, dense_units=128)
            schedule = keras.optimizers.schedules.CosineDecay(1e-3, epochs * len(train))
            model.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"])
            logs = keras.callbacks.TensorBoard(out / "logs" / f"{label}_{seed}")
            history = training.fit(model, train, epochs=epochs, validation_data=test, callbacks=[logs])
            histories.setdefault(name, history)
            accuracies[name].append(history.history["val_accuracy"][-1])
            training_accuracies[name].append(history.history["accuracy"][-1])
            metrics[f"{label}_parameters"] = model.count_params()
    plots.save(
        plots.training_curves(histories, "accuracy", title=f"The same view, two depths, on {data} (seed 0)"),
        out / "figures" / "accuracy.png",
    )

    # One training is one throw of the dice. The difference counts only where it is more than three times as large as
    # the error of its mean.
    deep, shallow = (np.array(values) for values in accuracies.values())
    gain = deep - shallow
    error = standard_error(gain)
    for name, values in accuracies.items():
        metrics[f"{name.replace(' ', '_')}_accuracy"] = float(np.mean(values))
        metrics[f"{name.replace(' ', '_')}_training_accuracy"] = float(np.mean(training_accuracies[name]))
    metrics["gain_of_small_filters"], metrics["gain_standard_error"] = gain.mean(), error
    metrics["gain_is_clear"] = float(seeds > 1 and abs(gain.mean()) > 3 * error)
    verdict = "which is clear" if metrics["gain_is_clear"] else "under three standard errors: nothing is shown"
    print(f"\nGain of two 3x3 layers over one 5x5: {100 * gain.mean():+.2f} ± {100 * error:.2f} points, {verdict}.")
    return metrics


def part_of(path: str) -> str:
    """Which bar a layer belongs to."""
    return f"stage {path[5]}" if path.startswith("stage") else "dense layers"


if __name__ == "__main__":
    command_line(main)
