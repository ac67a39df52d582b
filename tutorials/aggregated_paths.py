"""What do many narrow paths gain over a single wide one that costs the same, and what do they cost in time?

Paper:  [Xie et al., 2016](https://arxiv.org/abs/1611.05431), Tables 2 and 3
Run:    python -m tutorials.aggregated_paths
Takes:  170 seconds on one core
Expect: on one core a training step of a block with 32 paths takes 1.23 times as long as one with a single path, at the
        same multiply-adds (43.3 ms against 35.1; forward 12.4 against 10.2). What they learn differs by less than three
        standard errors (three seeds): training loss 0.283 with 32 paths and 0.301 with one (-0.019 ± 0.010), test
        images right 83.1 % and 84.2 % (-1.1 ± 0.7 points). So short a training does not show the paper's gain.

A ResNeXt block is a ResNet block of many paths side by side, each with its own little 1x1, 3x3 and 1x1 convolution, all
added up. The paper calls the number of paths *cardinality* and finds that it is better to have more paths than wider
ones at the same cost. "Cost" there means weights and multiply-adds: a row of its Table 2 has about 70,000 weights
whether it is one path of width 64 or 32 of width 4.

Two things are measured here: what the paths do to the accuracy in a short training of small networks, and how long a
block of each row of the table takes at its full size. Multiply-adds are not time.

Exercises:

1. Where does the time go? Replace the grouped convolution by a 1x1 convolution in `aggregated_block` and measure again:
   what remains is the price of the wider 1x1 convolutions and of their normalisations.
2. Paths need not be alike: half of them may see 5x5 pixels instead of 3x3, which is not in the paper. Give
   `aggregated_block` below `kernel_sizes=(3, 5)` and compare. What does a block cost now?
3. The paper's own experiment is `resnext_cifar(8, 64)` on CIFAR-10 for 300 epochs. What does one epoch take here?
"""

import time
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl import training
from kerasdl.architectures.cifar_resnets import cifar_network
from kerasdl.architectures.resnext import aggregated_block, complexity_table
from kerasdl.data import info, load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import plots


def milliseconds(channels: int, side: int, images: int, repeats: int) -> list[tuple[float, float]]:
    """Time of a block for each row of Table 2: forward, and forward with backward, in milliseconds.

    Args:
        channels: Channels of the block's input and output.
        side: Height and width of its maps.
        images: How many at once.
        repeats: Runs of each block; the median counts. The blocks take turns, so that what else runs disturbs all.
    """
    maps = tf.random.stateless_normal((images, side, side, channels), (0, 0))
    calls = []
    for row in complexity_table(channels, side):
        inputs = keras.Input((side, side, channels))
        paths: dict[str, Any] = {"cardinality": row["cardinality"], "width": row["width"]}
        block = keras.Model(inputs, aggregated_block(inputs, channels // 4, 1, name="block", out="out", **paths))

        @tf.function
        def forward(block: keras.Model = block) -> tf.Tensor:
            return tf.reduce_sum(block(maps, training=False))

        @tf.function
        def both(block: keras.Model = block) -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(maps)
                total = tf.reduce_sum(tf.square(block(maps, training=True)))
            return tape.gradient(total, [maps, *block.trainable_variables])

        # Without a trace of its own for each, TensorFlow would warn of a function that is made anew five times.
        calls.append((forward.get_concrete_function(), both.get_concrete_function()))
    seconds = np.zeros((repeats + 1, len(calls), 2))
    for repeat in range(repeats + 1):
        for index, pair in enumerate(calls):
            for kind, call in enumerate(pair):
                begin = time.perf_counter()
                call()
                seconds[repeat, index, kind] = time.perf_counter() - begin
    # The first run is the one that compiles.
    return [tuple(1000 * row) for row in np.median(seconds[1:], axis=0)]


@lesson
def main(
    *,
    data: str = "fashion_sample",
    epochs: int | None = None,
    side: int = 8,
    seeds: int = 3,
    learning_rate: float = 0.05,
    quick: bool = False,
    out: Path = Path("runs/aggregated_paths"),
) -> dict[str, float]:
    """Times the blocks of Table 2, and trains small networks of one and of many paths.

    Args:
        data: Any image set that kerasdl.data.load knows: fashion_sample, shapes/one, cifar10, ...
        epochs: Passes over the training images; 4 without it.
        side: The images are made this high and wide; small ones make a short experiment.
        seeds: How often the training is repeated, with other first weights and another order of the images.
        learning_rate: The highest rate, after the warm-up.
        quick: Smaller blocks, and one epoch of a few images, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    # First the table. Each row gives the same number of multiply-adds, so if these decided, all bars were as high.
    channels, map_side, images, repeats = (64, 14, 2, 2) if quick else (256, 28, 8, 15)
    rows = complexity_table(channels, map_side)
    timed = milliseconds(channels, map_side, images, repeats)
    names = [f"{row['cardinality']} x {row['width']}" for row in rows]
    metrics = {}
    for row, (forward, both) in zip(rows, timed, strict=True):
        key = f"{row['cardinality']}x{row['width']}d"
        metrics[f"block_{key}_parameters"] = float(row["parameters"])
        metrics[f"block_{key}_forward_ms"], metrics[f"block_{key}_training_ms"] = forward, both
    metrics["training_time_32x4d_over_1x64d"] = timed[-1][1] / timed[0][1]
    plots.save(
        plots.bars(
            {"forward": [pair[0] for pair in timed], "forward and\nbackward": [pair[1] for pair in timed]},
            names,
            y_label=f"milliseconds for {images} images",
            title="Blocks of equal cost, as (paths) x (width of a path)",
        ),
        out / "figures" / "time_of_equal_blocks.png",
    )

    # Then two networks with the same weights and multiply-adds: one path, and 32. They are `resnext_cifar` with half
    # of all widths and two blocks per stage, so that they learn something within a minute.
    epochs = epochs or (1 if quick else 4)
    blocks, seeds = (1, 1) if quick else (2, seeds)
    classes = len(info(data).classes)
    networks = {"ResNet (1 path)": (1, 64), "ResNeXt (32 paths)": (32, 4)}
    results: dict[str, list[dict[str, list[float]]]] = {name: [] for name in networks}
    for seed in range(seeds):
        options: dict[str, Any] = {"image_size": (side, side), "seed": seed}
        train = load(data, split="train[:400]" if quick else "train", batch_size=100, shuffle=True, **options)
        test = load(data, split="test[:200]" if quick else "test", batch_size=200, **options)
        shape = tuple(train.element_spec[0].shape[1:])
        for name, (cardinality, width) in networks.items():
            keras.utils.set_random_seed(seed)
            block = partial(aggregated_block, cardinality=cardinality, width=width)
            stages = [(32, blocks), (64, blocks), (128, blocks)]
            key = f"{cardinality}x{width}d"
            model = cifar_network(shape, classes, f"network_{key}", stem=32, stages=stages, block=block)
            steps = epochs * len(train)
            schedule = keras.optimizers.schedules.CosineDecay(
                0.0, steps - steps // 6, warmup_target=learning_rate, warmup_steps=steps // 6
            )
            optimizer = keras.optimizers.SGD(schedule, momentum=0.9)
            model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
            metrics[f"network_{key}_parameters"] = float(model.count_params())
            print(f"\n{name}, seed {seed}")
            logs = keras.callbacks.TensorBoard(out / "logs" / f"{key}_seed{seed}")
            history = training.fit(model, train, epochs=epochs, validation_data=test, callbacks=[logs])
            results[name].append(history.history)

    # How do they learn? The mean over the seeds, with one standard error as a band.
    accuracy = {name: np.array([run["val_accuracy"] for run in runs]) for name, runs in results.items()}
    loss = {name: np.array([run["loss"] for run in runs]) for name, runs in results.items()}
    plots.save(
        plots.lines(
            {name: values.mean(axis=0) for name, values in loss.items()},
            x_label="epoch",
            y_label="training loss (± standard error)",
            errors={name: standard_error(values) for name, values in loss.items()} if seeds > 1 else None,
            title=f"One path or 32 at equal cost ({data})",
        ),
        out / "figures" / "training_loss.png",
    )

    # Which is better, and is it chance? Each seed gives one difference (the two networks see the images in different
    # orders); their mean should be at least three of its standard errors away from zero.
    for measured, values in (("accuracy", accuracy), ("training_loss", loss)):
        one, many = (values[name][:, -1] for name in networks)
        for (cardinality, width), last in zip(networks.values(), (one, many), strict=True):
            metrics[f"network_{cardinality}x{width}d_{measured}"] = float(last.mean())
        metrics[f"{measured}_difference"] = mean = float((many - one).mean())
        if seeds > 1:
            error = float(standard_error(many - one))
            clear = abs(mean) > 3 * error
            metrics |= {f"{measured}_standard_error": error, f"{measured}_is_clear": float(clear)}
            verdict = "clear" if clear else "not clear: less than three standard errors"
            print(f"{measured} with 32 paths instead of one: {mean:+.4f} ± {error:.4f}, {verdict}.")
    return metrics


if __name__ == "__main__":
    command_line(main)
