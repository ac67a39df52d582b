"""Why does a deeper network learn its training images worse, and what do shortcuts change?

Paper:  [He et al., 2015](https://arxiv.org/abs/1512.03385), Figures 1 and 6
Run:    python -m tutorials.residual_degradation
Takes:  4 minutes on one core
Expect: without shortcuts 56 layers end with 47.7 % training error and 20 layers with 16.7 %: 31.0 ± 6.1 points more
        (three seeds). With shortcuts it is 13.2 % and 12.5 %: 0.6 ± 0.3 points, under three standard errors. Before the
        first step the plain network's gradients grow 630-fold on their way to the input, the residual one's 3-fold.

A deeper network can do whatever a shallower one does: let the added layers hand on what they get. So it should never
have the higher *training* error. It does: this is the degradation problem, and it is no overfitting, for an overfitted
network has a low training error. Gradient descent just does not find the identity with stacks of layers.

A residual block adds its input to what its layers give. To do nothing it must only give zero, and that is easy to
learn. The two kinds of network compared here have the same layers and the same number of parameters: the shortcuts are
identities, and where the maps get smaller and more they take every second pixel and add empty maps.

Exercises:

1. The paper's own experiment is `--data cifar10 --side 32 --epochs 160` (hours on a CPU). Does the plain network of 56
   layers catch up when it is trained for longer? Try `--epochs 12` first.
2. Which depth does a plain network stand? Try `--deep 32` and `--deep 44`.
3. Take the batch normalisation out of both kinds (copy `basic_block`). Which of them still learns?
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasdl import training
from kerasdl.architectures import plain_cifar, resnet_cifar
from kerasdl.data import info, load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import plots

KINDS = {"plain": plain_cifar, "residual": resnet_cifar}


def gradient_norms(model: keras.Model, images: tf.Tensor, labels: tf.Tensor) -> np.ndarray:
    """Length of the loss's gradient for each 3x3 kernel, over the length of the kernel, from the first to the last.

    Args:
        model: A compiled network.
        images: One batch.
        labels: Its classes.
    """
    kernels = [layer.kernel for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    with tf.GradientTape() as tape:
        loss = model.compute_loss(y=labels, y_pred=model(images, training=True))
    gradients = tape.gradient(loss, [kernel.value for kernel in kernels])
    return np.array([float(tf.norm(g) / tf.norm(k.value)) for g, k in zip(gradients, kernels, strict=True)])


@lesson
def main(
    *,
    data: str = "fashion_sample",
    epochs: int | None = None,
    shallow: int = 20,
    deep: int = 56,
    side: int = 8,
    seeds: int = 3,
    learning_rate: float = 0.01,
    quick: bool = False,
    out: Path = Path("runs/residual_degradation"),
) -> dict[str, float]:
    """Trains a shallow and a deep network, with shortcuts and without, and compares their training errors.

    Args:
        data: Any image set that kerasdl.data.load knows: fashion_sample, shapes/one, cifar10, ...
        epochs: Passes over the training images; 4 without it.
        shallow: Layers of the shallow networks: 6n + 2.
        deep: Layers of the deep ones: 6n + 2.
        side: The images are made this high and wide; small ones make a short experiment.
        seeds: How often everything is repeated, with other first weights and another order of the images.
        learning_rate: The highest rate, after the warm-up.
        quick: One epoch of a few images with shallower networks, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    epochs = epochs or (1 if quick else 4)
    if quick:
        shallow, deep, seeds = 8, 14, 1
    classes = len(info(data).classes)
    names = {(kind, depth): f"{kind}, {depth} layers" for kind in KINDS for depth in (shallow, deep)}

    # All four learn by the same recipe: gradient descent with momentum, with a learning rate that rises for a sixth of
    # the steps and falls along a cosine. The warm-up is there for the deep plain one: at 0.05 without it, it stays
    # at chance, and the other three learn. A lower rate does not help it: with images of 14x14, 0.003 ends with 36 % of
    # the training images right where 0.01 ends with 55 %. It is not that the steps are too long.
    errors: dict[tuple[str, int], list[list[float]]] = {key: [] for key in names}
    norms: dict[str, np.ndarray] = {}
    for seed in range(seeds):
        split = "train[:400]" if quick else "train"
        train = load(data, split=split, batch_size=100, shuffle=True, seed=seed, image_size=(side, side))
        shape = tuple(train.element_spec[0].shape[1:])
        for (kind, depth), name in names.items():
            keras.utils.set_random_seed(seed)
            model = KINDS[kind](depth, input_shape=shape, classes=classes)
            steps = epochs * len(train)
            schedule = keras.optimizers.schedules.CosineDecay(
                0.0, steps - steps // 6, warmup_target=learning_rate, warmup_steps=steps // 6
            )
            optimizer = keras.optimizers.SGD(schedule, momentum=0.9)
            model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
            if seed == 0 and depth == deep:
                norms[f"{kind}, {depth} layers"] = gradient_norms(model, *next(iter(train)))
            print(f"\n{name}, seed {seed}")
            logs = keras.callbacks.TensorBoard(out / "logs" / f"{kind}_{depth}_seed{seed}")
            history = training.fit(model, train, epochs=epochs, callbacks=[logs])
            errors[kind, depth].append([1 - accuracy for accuracy in history.history["accuracy"]])

    # The error on the images that the networks are trained with: the higher curve learns worse, and there is nothing
    # to overfit. Bands are one standard error over the seeds.
    curves = {key: np.array(value) for key, value in errors.items()}
    spread = {key: standard_error(value) for key, value in curves.items()} if seeds > 1 else {}
    plots.save(
        plots.lines(
            {name: 100 * curves[key].mean(axis=0) for key, name in names.items()},
            x_label="epoch",
            y_label="training error in % (± standard error)",
            errors={names[key]: 100 * value for key, value in spread.items()},
            title=f"Deeper is worse without shortcuts ({data})",
        ),
        out / "figures" / "training_error.png",
    )

    # Do the gradients vanish on their way through 56 layers? Not with batch normalisation: before the first step those
    # of the plain network *grow* on their way to the input, several hundredfold. No one learning rate fits both ends.
    # Along the shortcuts they stay as they are.
    plots.save(
        plots.lines(
            norms,
            x_label="convolution, from the input to the output",
            y_label="length of gradient / length of kernel",
            log_y=True,
            markers=False,
            title="Gradients before the first step",
        ),
        out / "figures" / "gradient_norms.png",
    )

    # Two differences, one with shortcuts and one without: how much more error does the deeper network have?
    metrics = {}
    for kind in KINDS:
        last = {depth: curves[kind, depth][:, -1] for depth in (shallow, deep)}
        difference = last[deep] - last[shallow]
        for depth, values in last.items():
            metrics[f"{kind}_{depth}_training_error"] = float(values.mean())
        metrics[f"{kind}_deeper_minus_shallower"] = float(difference.mean())
        if seeds > 1:
            error = float(standard_error(difference))
            metrics[f"{kind}_standard_error"] = error
            clear = abs(difference.mean()) > 3 * error
            metrics[f"{kind}_is_clear"] = float(clear)
            verdict = "clear" if clear else "not clear: less than three standard errors"
            print(
                f"{kind}: {100 * difference.mean():+.1f} ± {100 * error:.1f} points of training error "
                f"from {shallow} to {deep} layers, {verdict}."
            )
    first = {name: values[0] / values[-1] for name, values in norms.items()}
    metrics |= {f"{name.split(',')[0]}_gradient_first_over_last": float(ratio) for name, ratio in first.items()}
    return metrics


if __name__ == "__main__":
    command_line(main)
