"""What does a network gain when every layer sees all layers before it?

Paper:  [Huang et al., 2016](https://arxiv.org/abs/1608.06993), Figures 3 and 5
Run:    python -m tutorials.dense_connections
Takes:  3 minutes on one core
Expect: 73.7 % of the test images right with the DenseNet (62,110 parameters, 19.4 M multiply-adds) and 75.6 % with the
        ResNet of similar size (75,002; 9.1 M): 1.9 ± 1.0 points apart, less than three standard errors. With the ResNet
        of similar cost (172,218; 20.0 M) 77.4 %, which is clearly more: 3.7 ± 0.8 points. The DenseNet takes 2.3 times
        as long to train as that one. 67 % of what the loss gains without single sources is due to maps older than the
        newest. On two cores, where sums are rounded otherwise: 75.5, 75.8 and 77.5 %, and neither difference is clear.

A residual block adds what it makes to what it got. A dense layer puts it beside: nothing is overwritten, each later
layer can take any earlier map as it was made, and the loss reaches each layer by a path of a few steps. So a layer can
be thin: here it adds 8 maps to those that are there. The paper needs a third of a ResNet's parameters for the same
accuracy, and finds that the maps made early are used until the end.

Is it so for a small network and few images? This lesson trains a DenseNet-BC and two ResNets on the same 1,000 images,
one ResNet with about as many parameters and one with about as many multiply-adds, then cuts connections. The answer
is no: in 120 steps the DenseNet, twice as deep and a fraction as wide, does not catch up, neither on the test images
nor on those it is trained with. The paper's comparison is of networks of 40 layers and more after 300 epochs.

Exercises:

1. Let it learn for longer, and from more: `--epochs 30 --images 6000`. Which of the differences stay?
2. `densenet_cifar(35, 8, bottleneck=False)` is refused, `densenet_cifar(19, 8, bottleneck=False)` is not. What does
   the bottleneck save?
3. Draw the paper's picture: the mean absolute weight of each source in each layer, over that before training. After how
   many epochs do you see anything?
"""

import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasdl import training
from kerasdl.architectures import densenet_cifar, resnet_cifar
from kerasdl.data import info, load
from kerasdl.profiling import profile
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import plots

NETWORKS = {
    "DenseNet": lambda **options: densenet_cifar(34, 8, **options),
    "ResNet, similar size": lambda **options: resnet_cifar(8, **options),
    "ResNet, similar cost": lambda **options: resnet_cifar(14, **options),
}


def use(model: keras.Model, stage: int, loss: Callable[[], tf.Tensor]) -> np.ndarray:
    """What the loss gains when a layer (column) does not see the maps of a source (row).

    The first row is the block's input, the next ones the layers; the last column is what comes after the block.

    Args:
        model: A trained network of `densenet_cifar`; it is left as it was.
        stage: Which block.
        loss: Measures it.
    """
    names = [layer.name for layer in model.layers if layer.name.startswith(f"stage{stage}_layer")]
    names = [name for name in names if name.endswith("_conv1")]
    following = f"stage{stage + 1}_transition_conv" if stage < 3 else "logits"
    kernels = [model.get_layer(name).kernel for name in [*names, following]]
    whole = float(loss())
    begin, growth = kernels[0].shape[-2], kernels[1].shape[-2] - kernels[0].shape[-2]
    table = np.full((len(kernels), len(kernels)), np.nan)
    for column, kernel in enumerate(kernels):
        trained = kernel.numpy()
        for row in range(column + 1):
            without = trained.copy()
            without[..., (begin + growth * (row - 1) if row else 0) : begin + growth * row, :] = 0
            kernel.assign(without)
            table[row, column] = float(loss()) - whole
        kernel.assign(trained)
    return table


def gradient_norms(model: keras.Model, images: tf.Tensor, labels: tf.Tensor) -> np.ndarray:
    """Length of the loss's gradient for each 3x3 kernel over the length of the kernel, input to output.

    Args:
        model: A compiled network.
        images: One batch.
        labels: Its classes.
    """
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    kernels = [layer.kernel for layer in convolutions if layer.kernel_size == (3, 3)]
    with tf.GradientTape() as tape:
        loss = model.compute_loss(y=labels, y_pred=model(images, training=True))
    gradients = tape.gradient(loss, [kernel.value for kernel in kernels])
    return np.array([float(tf.norm(g) / tf.norm(k.value)) for g, k in zip(gradients, kernels, strict=True)])


@lesson
def main(
    *,
    data: str = "fashion_sample",
    epochs: int = 6,
    images: int = 1000,
    seeds: int = 3,
    learning_rate: float = 0.05,
    quick: bool = False,
    out: Path = Path("runs/dense_connections"),
) -> dict[str, float]:
    """Trains a DenseNet and two ResNets on few images, and looks at which earlier maps each layer uses.

    Args:
        data: Any image set that kerasdl.data.load knows: fashion_sample, shapes/one, cifar10, ...
        epochs: Passes over the training images.
        images: Number of training images.
        seeds: How often everything is repeated, with other first weights and another order of the images.
        learning_rate: The highest rate, after the warm-up.
        quick: The DenseNet and one ResNet, one epoch of a few images, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    names = list(NETWORKS)
    if quick:
        names, epochs, images, seeds = names[:2], 1, 100, 1
    classes = len(info(data).classes)
    test = load(data, split="test[:100]" if quick else "test", batch_size=100)

    # The paper's recipe, made short: gradient descent with momentum 0.9 and a weight decay of 0.0001, which takes away
    # weights that nobody needs. The rate rises for a tenth of the steps and falls along a cosine. It is the same for
    # all three networks.
    accuracy: dict[str, list[float]] = {name: [] for name in names}
    metrics: dict[str, float] = {}
    histories, norms, first = {}, {}, names[0]
    for seed in range(seeds):
        train = load(data, split=f"train[:{images}]", batch_size=50, shuffle=True, seed=seed)
        steps = epochs * len(train)
        for name in names:
            keras.utils.set_random_seed(seed)
            model = NETWORKS[name](input_shape=tuple(train.element_spec[0].shape[1:]), classes=classes)
            schedule = keras.optimizers.schedules.CosineDecay(
                0.0, steps - steps // 10, warmup_target=learning_rate, warmup_steps=steps // 10
            )
            optimizer = keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True, weight_decay=1e-4)
            model.compile(
                optimizer,
                loss="sparse_categorical_crossentropy",
                metrics=["accuracy"],
                run_eagerly=quick,  # compiling takes longer than a few steps
            )
            if seed == 0 and name == first:
                dense = model
            if seed == 0:
                norms[name] = gradient_norms(model, *next(iter(train)))
                cost = profile(model, repeats=0)
                metrics[f"{short(name)}_parameters"] = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
                metrics[f"{short(name)}_multiply_adds"] = cost.multiply_adds
            print(f"\n{name}, seed {seed}")
            logs = keras.callbacks.TensorBoard(out / "logs" / f"{short(name)}_seed{seed}")
            begin = time.perf_counter()
            history = training.fit(model, train, epochs=epochs, validation_data=test, callbacks=[logs]).history
            accuracy[name].append(history["val_accuracy"][-1])
            if seed == 0:
                histories[name] = history
                metrics[f"{short(name)}_training_seconds"] = time.perf_counter() - begin

    plots.save(
        plots.training_curves(histories, "accuracy", title=f"{images:,} images of {data}"),
        out / "figures" / "accuracy.png",
    )

    # Which earlier maps does a layer use? Each column is a layer, each row where its maps come from, the block's input
    # at the top. The paper draws the mean absolute weight. In a short training the weights stay near where they began,
    # so here the weights from one source are set to zero, one source and one layer at a time, and the loss on test
    # images says how much is missed. The lowest maps in a column are the newest, those above are used once more.
    seen, labels = next(iter(test.unbatch().batch(100 if quick else 250)))
    loss = tf.function(lambda: dense.compute_loss(y=labels, y_pred=dense(seen, training=False)))
    tables = {stage: use(dense, stage, loss) for stage in (1, 2, 3)}
    for stage, table in tables.items():
        strongest = float(np.nanmax(np.abs(table)))
        plots.save(
            plots.heatmap(
                table,
                x_label="layer (the last column: what follows the block)",
                y_label="where the maps come from",
                value_label="loss added without these",
                row_names=["block's input", *(f"layer {index}" for index in range(1, len(table)))],
                symmetric=True,
                limits=(-strongest, strongest),
                title=f"Which maps the layers of block {stage} use",
            ),
            out / "figures" / f"use_block{stage}.png",
        )

    # How far does the loss reach, before the first step? A ratio of one for all layers would be ideal: then one
    # learning rate suits all of them.
    plots.save(
        plots.lines(
            norms,
            {name: np.linspace(0, 1, len(values)) for name, values in norms.items()},
            x_label="depth of the 3x3 convolution, input (0) to output (1)",
            y_label="length of gradient / length of kernel",
            log_y=True,
            title="Gradients before the first step",
        ),
        out / "figures" / "gradient_norms.png",
    )

    # How much of what is missed in all are maps that some layer in between has seen already?
    newest = float(sum(np.trace(table[1:, 1:]) for table in tables.values()))
    everything = float(sum(np.nansum(table[:, 1:]) for table in tables.values()))
    metrics["share_of_older_maps"] = 1 - newest / everything
    for name in names:
        metrics[f"{short(name)}_accuracy"] = float(np.mean(accuracy[name]))
        metrics[f"{short(name)}_largest_over_smallest_gradient"] = norms[name].max() / norms[name].min()
    for name in names[1:] if seeds > 1 else []:
        difference = np.subtract(accuracy[first], accuracy[name])
        mean, error = difference.mean(), standard_error(difference)
        clear = abs(mean) > 3 * error
        key = f"densenet_minus_{short(name)}"
        metrics |= {key: mean, f"{key}_standard_error": error, f"{key}_is_clear": clear}
        verdict = "clear" if clear else "not clear: less than three standard errors"
        print(f"DenseNet against {name}: {100 * mean:+.1f} ± {100 * error:.1f} points, {verdict}.")
    return metrics


def short(name: str) -> str:
    """A name for files and metrics.

    Args:
        name: As in `NETWORKS`.
    """
    return name.lower().replace(", ", "_").replace(" ", "_")


if __name__ == "__main__":
    command_line(main)
