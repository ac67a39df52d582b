"""Which of fifty layers does a highway network use?

Paper:  [Srivastava et al., 2015](https://arxiv.org/abs/1507.06228), sections 2, 3.1 and 4
Run:    python -m tutorials.highway_gates
Takes:  100 seconds on one core
Expect: at depth 50 the training loss after 12 epochs is 1.07 without gates and 0.31 with them (difference 0.76 ± 0.06,
        mean and standard error of 3 seeds), at depth 10 0.38 and 0.32. The gates of the trained network are nearly
        closed: only 0.7 % of their values are above a half. The lower third of the layers is open by 5.1 %, the upper
        by 2.4 %. No layer alone is worth 1 point of the accuracy, nor are all above the ninth together.

A deep chain of dense layers is hard to train: each layer mixes everything that comes from below, and after fifty of
them neither the image nor the gradient can be recognised. Skip connections are the usual answer. Highway networks, a
few months older than residual ones, have skip connections with a valve: each unit has a gate T between 0 and 1,
computed from the layer's input, and gives `H T + x (1 - T)`, something new or what it got or a mixture.

Since the gates can be read, one can see what the network does with its depth. The paper takes single layers out of
trained networks of fifty: on MNIST it can spare most of those above the fifteenth, on CIFAR-100 hardly any of the first
forty. The network decides by itself how deep it is. This lesson looks how deep that is for small pictures of clothes.

Exercises:

1. Start with gates that are open wider (`--gate-bias -2`): learning begins late. Compute what is left of a signal that
   49 gates in a row pass on by `1 - sigmoid(-2)` each, and compare with -4.
2. Let go of the coupling: `highway_mlp(carry="independent")` has a carry gate of its own. Do the two gates still add up
   to 1 after training?
3. Shut the lowest layers instead of the uppermost, one more each time. How many can be spared now?
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import keras
import numpy as np

from kerasdl import training
from kerasdl.architectures import highway_mlp
from kerasdl.architectures.parts import classify
from kerasdl.data import info, load
from kerasdl.layers import HighwayDense
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import plots


def plain_mlp(
    depth: int, units: int = 71, *, input_shape: tuple[int, int, int], classes: int, name: str = "plain_mlp"
) -> keras.Model:
    """The same chain of dense layers without gates."""
    x = inputs = keras.Input(input_shape)
    x = keras.layers.Flatten()(x)
    for _ in range(depth):
        x = keras.layers.Dense(units, "relu", kernel_initializer="he_normal")(x)
    return keras.Model(inputs, classify(x, classes), name=name)


def accuracy_without(model: keras.Model, layers: list[HighwayDense], images: np.ndarray, labels: np.ndarray) -> float:
    """The accuracy with the gates of some layers shut, so that they pass everything on."""
    biases = [layer.transform_bias.numpy() for layer in layers]
    for layer, bias in zip(layers, biases, strict=True):
        layer.transform_bias.assign(np.full_like(bias, -1e4))
    accuracy = model.evaluate(images, labels, batch_size=1000, verbose=0)[1]
    for layer, bias in zip(layers, biases, strict=True):
        layer.transform_bias.assign(bias)
    return accuracy


@lesson
def main(
    *,
    data: str = "fashion_sample",
    epochs: int = 12,
    gate_bias: float = -4.0,
    seeds: int = 3,
    quick: bool = False,
    out: Path = Path("runs/highway_gates"),
) -> dict[str, float]:
    """Trains plain and highway networks of two depths, and looks into the gates of the deep one.

    Args:
        data: Any image set that kerasdl.data.load knows.
        epochs: Passes over the training images.
        gate_bias: The first bias of the transform gates.
        seeds: How many times everything is trained.
        quick: One epoch of a few images, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    epochs, seeds, depth = (1, 1, 12) if quick else (epochs, seeds, 50)
    train = load(data, split="train[:640]" if quick else "train", batch_size=100, shuffle=True)
    test = load(data, split="test[:200]" if quick else "test", batch_size=1000)
    class_names = info(data).classes
    shape = tuple(train.element_spec[0].shape[1:])

    # All networks are thin. A highway layer has two matrices, one for what it does and one for its gate, so its 50
    # units cost as much as 71 plain ones: about 5,000 parameters a layer in either.
    #
    # Each learning rate is the best of at least three, by the training loss after 6 epochs with one seed. For fifty
    # plain layers: 1.40 at 0.001, 1.25 at 0.003, 1.46 at 0.01, and at 0.03 they learn nothing; for fifty highway layers
    # 0.59 at 0.01, 0.49 at 0.03, 0.42 at 0.1. The gates begin at a bias of -4, 1.8 % open; at -2 the best loss is 1.07.
    builders: dict[str, Callable] = {"plain": plain_mlp, "highway": partial(highway_mlp, gate_bias=gate_bias)}
    rates = {("plain", 10): 0.01, ("highway", 10): 0.1, ("plain", depth): 0.003, ("highway", depth): 0.1}
    losses: dict[str, list[list[float]]] = {f"{kind}, {layers} layers": [] for kind, layers in rates}
    accuracies: dict[str, list[float]] = {name: [] for name in losses}
    for seed in range(seeds):
        for name, ((kind, layers), rate) in zip(losses, rates.items(), strict=True):
            print(f"\n{name}, seed {seed}")
            keras.utils.set_random_seed(seed)
            model = builders[kind](layers, input_shape=shape, classes=len(class_names), name=f"{kind}_{layers}")
            optimizer = keras.optimizers.SGD(rate, momentum=0.9)
            model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
            logs = keras.callbacks.TensorBoard(out / "logs" / f"{model.name}_seed{seed}", write_graph=False)
            history = training.fit(model, train, epochs=epochs, validation_data=test, callbacks=[logs], verbose=2)
            losses[name].append(history.history["loss"])
            accuracies[name].append(history.history["val_accuracy"][-1])

    # The training loss is what to look at: who cannot learn the training images need not be asked about others.
    plots.save(
        plots.lines(
            {name: np.mean(runs, axis=0) for name, runs in losses.items()},
            x_label="epoch",
            y_label="training loss",
            title=f"{depth} layers with gates and without",
        ),
        out / "figures" / "loss.png",
    )
    difference = np.subtract(*(np.array(losses[f"{kind}, {depth} layers"])[:, -1] for kind in ("plain", "highway")))
    error = standard_error(difference)
    print(f"\nTraining loss, plain minus highway at depth {depth}: {difference.mean():.3f} ± {error:.3f}")

    # The last network trained is the deep highway network. What do its gates do for the test images? A value of 0 means
    # that the unit passes on what it got from the layer below, 1 that it computes something new.
    images, labels = (np.concatenate(part) for part in zip(*test.as_numpy_iterator(), strict=True))
    highways = [layer for layer in model.layers if isinstance(layer, HighwayDense)]
    below = keras.Model(model.input, [layer.input for layer in highways]).predict(images, batch_size=1000, verbose=0)
    gates = np.stack([layer.gates(inputs)[0] for layer, inputs in zip(highways, below, strict=True)])
    openness = gates.mean(axis=1)
    plots.save(
        plots.heatmap(
            openness.T,
            x_label="highway layer",
            y_label="unit",
            value_label="transform gate, mean",
            title="How far the gates are open: 0 passes on, 1 transforms",
        ),
        out / "figures" / "gates.png",
    )

    # The same for each class: how far, typically, is a gate's mean for the images of this class from its mean for all
    # images? Were the routes through the network fixed, all would be 0.
    present = np.unique(labels)
    by_class = np.stack([gates[:, labels == label].mean(axis=1) for label in present])
    plots.save(
        plots.heatmap(
            np.sqrt(((by_class - openness) ** 2).mean(axis=-1)),
            x_label="highway layer",
            y_label="class",
            value_label="difference from all classes",
            row_names=[class_names[label] for label in present],
            title="How much the gates of each layer depend on the class",
        ),
        out / "figures" / "classes.png",
    )

    # And what would be lost without a layer? Its gates are shut by hand, so that it passes everything on, and the test
    # images are classified again: without this layer alone, and without this one and all above it.
    whole = accuracy_without(model, [], images, labels)
    alone = np.array([accuracy_without(model, [layer], images, labels) for layer in highways])
    above = np.array([accuracy_without(model, highways[index:], images, labels) for index in range(len(highways))])
    plots.save(
        plots.lines(
            {"this layer": alone, "this and all above": above},
            x_label="highway layer",
            y_label="test accuracy",
            title="What is left when layers are shut",
        ),
        out / "figures" / "shut.png",
    )

    metrics = {"loss_difference": difference.mean(), "loss_difference_error": error}
    for name, runs in losses.items():
        key = name.removesuffix(" layers").replace(", ", "_")
        metrics[f"{key}_loss"] = np.mean([run[-1] for run in runs])
        metrics[f"{key}_accuracy"] = np.mean(accuracies[name])
    third = len(highways) // 3
    metrics["gates_first_third"], metrics["gates_last_third"] = openness[:third].mean(), openness[-third:].mean()
    metrics["gates_open_over_half"] = (gates > 0.5).mean()
    metrics["layers_worth_a_percent"] = np.sum(alone < whole - 0.01)
    # The lowest layer from which on all can be shut for less than one percent.
    metrics["layers_needed"] = np.flatnonzero(np.append(above, whole) > whole - 0.01)[0]
    return metrics


if __name__ == "__main__":
    command_line(main)
