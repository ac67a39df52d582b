"""Is `training.fit` faster than `model.fit`, and the fused batch normalisation faster than Keras' own?

    python -m benchmarks.training_loop

The contenders take turns in one run, several times; what counts is the median time of an epoch after the first (which
traces the graph). Takes about five minutes on two cores.
"""

import statistics
import time
from collections.abc import Callable
from typing import Annotated

import keras
import numpy as np
import tensorflow as tf
import typer
from rich.console import Console
from rich.table import Table

from kerasdl import architectures, layers, training

BATCH_SIZE = 64


class EpochTimes(keras.callbacks.Callback):
    """Takes the time of every epoch but the first."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.begin = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if epoch > 0:
            self.seconds.append(time.perf_counter() - self.begin)


class LookAtEveryBatch(keras.callbacks.Callback):
    """Looks at the loss after each batch, as many callbacks do."""

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        float(logs["loss"])


def resnet20(of_stock: bool) -> keras.Model:
    """ResNet-20 for CIFAR-10 with projections, of our layers or of Keras' own."""
    model = architectures.resnet_cifar(20, shortcut="B")
    return of_stock_layers(model) if of_stock else model


def random_images(batches: int, shape: tuple[int, int, int], batch_size: int = BATCH_SIZE) -> tf.data.Dataset:
    """Images of noise: the time of a step does not depend on what they show."""
    random = np.random.default_rng(0)
    images = random.random((batches * batch_size, *shape), dtype="float32")
    labels = random.integers(0, 10, len(images))
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(batch_size).cache().prefetch(2)


def of_stock_layers(model: keras.Model) -> keras.Model:
    """The same graph, with Keras' own layer where ours is a faster one of the same maths."""
    stock = {
        layers.FusedBatchNormalization: keras.layers.BatchNormalization,
        layers.FastConv2D: keras.layers.Conv2D,
        layers.GroupedConv2D: keras.layers.Conv2D,
    }

    def exchange(layer: keras.layers.Layer) -> keras.layers.Layer:
        return stock.get(type(layer), type(layer)).from_config(layer.get_config())

    return keras.models.clone_model(model, clone_function=exchange)


def measure(
    build: Callable[[], keras.Model],
    data: tf.data.Dataset,
    epochs: int,
    *,
    ours: bool,
    policy: str = "float32",
    every_batch: bool = False,
    optimizer: str | Callable[[], keras.optimizers.Optimizer] = "adam",
    **compile_arguments: int,
) -> list[float]:
    """The seconds of each epoch but the first."""
    keras.utils.clear_session()
    keras.config.set_dtype_policy(policy)
    model = build()
    keras.config.set_dtype_policy("float32")
    chosen = optimizer() if callable(optimizer) else optimizer
    model.compile(chosen, "sparse_categorical_crossentropy", metrics=["accuracy"], **compile_arguments)
    times = EpochTimes()
    callbacks = [times, LookAtEveryBatch()] if every_batch else [times]
    if ours:
        training.fit(model, data, epochs=epochs + 1, verbose=0, callbacks=callbacks)
    else:
        model.fit(data, epochs=epochs + 1, verbose=0, callbacks=callbacks, shuffle=False)
    return times.seconds


def compare(
    title: str, contenders: dict[str, Callable[[], list[float]]], images: int, repeats: int, baselines: dict[str, str]
) -> None:
    """Lets the contenders take turns and prints each one's speed, and its ratio to its baseline.

    The ratio is that of median epochs. Where a loop waits at the end of some epochs, as `model.fit` does until the
    iterator of its data is freed, that shows in the ratio of the means, and in the slowest epoch as a multiple of the
    median.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    console = Console()
    for repeat in range(repeats):
        for name, run in contenders.items():
            with console.status(f"{title}: turn {repeat + 1} of {repeats}, {name}"):
                seconds[name] += run()
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    means = {name: statistics.mean(values) for name, values in seconds.items()}
    table = Table(title=title)
    for column in ("contender", "images/s", "ratio", "of means", "slowest", "to"):
        table.add_column(column, justify="left" if column in ("contender", "to") else "right")
    for name, median in medians.items():
        baseline = baselines.get(name)
        ratios = [f"{of[baseline] / of[name]:.2f}" if baseline else "" for of in (medians, means)]
        slowest = f"{max(seconds[name]) / median:.2f}"
        table.add_row(name, f"{images / median:,.0f}", *ratios, slowest, baseline or "")
    console.print(table)


def main(
    repeats: Annotated[int, typer.Option(help="How often the contenders take turns.")] = 5,
    steps: Annotated[int, typer.Option(help="Steps in an epoch of ResNet-20; LeNet takes five times as many.")] = 20,
) -> None:
    """Prints the speed of `training.fit` and of the fused layer, as ratios to stock Keras."""
    digits, pictures = random_images(5 * steps, (28, 28, 1)), random_images(steps, (32, 32, 3))

    def lenet(**arguments: int | bool) -> Callable[[], list[float]]:
        build = lambda: architectures.lenet5_modern(input_shape=(28, 28, 1))  # noqa: E731
        return lambda: measure(build, digits, 4, **arguments)

    stock = "model.fit"
    contenders = {stock: lenet(ours=False)}
    contenders |= {
        f"model.fit, steps_per_execution={count}": lenet(ours=False, steps_per_execution=count) for count in (10, 50)
    }
    contenders |= {
        "training.fit": lenet(ours=True),
        "model.fit, callback per batch": lenet(ours=False, every_batch=True),
        "training.fit, callback per batch": lenet(ours=True, every_batch=True),
    }
    baselines = {name: stock for name in contenders if "callback" not in name and name != stock}
    baselines["training.fit, callback per batch"] = "model.fit, callback per batch"
    compare("LeNet-5 (modern), batch 64", contenders, 5 * steps * BATCH_SIZE, repeats, baselines)

    for policy in ("float32", "mixed_bfloat16"):

        def network(of_stock: bool, ours: bool, policy: str = policy) -> Callable[[], list[float]]:
            return lambda: measure(lambda: resnet20(of_stock), pictures, 2, ours=ours, policy=policy)

        contenders = {
            "stock layers, model.fit": network(of_stock=True, ours=False),
            "fused layer, model.fit": network(of_stock=False, ours=False),
            "fused layer, training.fit": network(of_stock=False, ours=True),
        }
        baselines = dict.fromkeys(list(contenders)[1:], "stock layers, model.fit")
        compare(f"ResNet-20, batch 64, {policy}", contenders, steps * BATCH_SIZE, max(2, repeats - 2), baselines)


if __name__ == "__main__":
    typer.run(main)
