"""How little is enough for a weight: 32 bits, or a sign?

Paper:  [Courbariaux et al., 2015](https://arxiv.org/abs/1511.00363);
        [Rastegari et al., 2016](https://arxiv.org/abs/1603.05279), section 3.1
Run:    python -m tutorials.binary_weights
Takes:  80 seconds on one core
Expect: of 1,000 test images 89.8 % right with float weights, 88.9 with ternary, 88.7 with binary ones and 89.1 with
        BinaryConnect: one standard error is 1 point, so a bit does nearly all that 32 do. Packed, the weights of the
        whole network, whose first and last layer stay real, go from 562 kB to 45, 28 and 27, about 20 times fewer with
        one bit, and the file from 581 kB to 63, 46 and 46. The time per image stays that of the float network, 0.10 ms,
        with ternary weights 1.5 times as long (one core). Of the signs of binary weights 27 % turn in the first epoch,
        0.27 % in the last. On all of Fashion-MNIST (`--data fashion_mnist`, 6 epochs): 92.9 % with float weights, 92.4
        with binary ones, 92.8 with BinaryConnect.

A layer with weights of +1 and -1 only adds and subtracts, and its weights are 32 times as small. But gradient descent
takes steps of thousandths, and between +1 and -1 there is nothing to step on.

BinaryConnect found the way: keep real *latent* weights, use their signs forward, and let the gradient of the signs
change the latent weights, as if the sign were not there. Steps too small to turn a sign add up until they do. After
training the latent weights are thrown away.

| | a weight is | bits |
|---|---|---|
| float | any number | 32 |
| ternary (Li and Liu, 2016) | a scale of its filter, times +1, 0 or -1 | 2 |
| binary weights (Rastegari et al., 2016) | a scale of its filter, times +1 or -1 | 1 |
| BinaryConnect (Courbariaux et al., 2015) | +1 or -1 | 1 |

This lesson trains the same small network with each, watches the latent weights move and the signs turn, then packs the
networks and measures what is saved. The maps between the layers stay real: networks whose maps are signs too,
BinaryNet, XNOR and XNOR with K, are in `xnor_networks`, beside the same float network.

Exercises:

1. Take the trained float network and set its kernels to `sign(W) mean|W|` by `layer.kernel.assign`. How much is left of
   its accuracy? That is rounding *after* training. What do the latent weights of the binary network know that these
   do not?
2. Halve the size of the first latent weights (`layer.kernel.assign(layer.kernel / 2)` before training). The signs, and
   so the network of BinaryConnect, are the same. Why do more of them turn in the first epoch? What does a larger first
   weight have in common with a smaller learning rate?
3. The last epochs turn few signs because the learning rate has gone to 0. Keep it constant (0.01 in place of the
   schedule). How many signs turn per epoch then, and what does that do to the accuracy from epoch to epoch?
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl import training
from kerasdl.architectures import binary_cnn
from kerasdl.data import info, load
from kerasdl.tutorials.binary_costs import costs, picture, print_table
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.visualization import plots

NAMES = {
    "float": "float",
    "ternary": "ternary",
    "binary_weight": "binary weights",
    "binary_connect": "BinaryConnect",
}


class SignFlips(keras.callbacks.Callback):
    """Counts the signs that each epoch has turned, and shows TensorBoard these and the weights behind them.

    The first and the last layer, which are real in all networks, are left out.

    Args:
        log_dir: Folder of the logs.
    """

    def __init__(self, log_dir: Path) -> None:
        super().__init__()
        self.log_dir = log_dir
        self.flips: list[float] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Remembers the first signs and the first weights."""
        self.layers = [layer for layer in self.model.layers if hasattr(layer, "kernel")][1:-1]
        self.before = [signs(layer) for layer in self.layers]
        self.first = np.concatenate([np.ravel(layer.kernel) for layer in self.layers])
        self.writer = tf.summary.create_file_writer(str(self.log_dir / "signs"))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Compares the signs with those of the epoch before."""
        now = [signs(layer) for layer in self.layers]
        turned = [one != other for one, other in zip(self.before, now, strict=True)]
        self.flips.append(float(np.concatenate([each.ravel() for each in turned]).mean()))
        self.before = now
        with self.writer.as_default(step=epoch):
            tf.summary.scalar("flips/all", self.flips[-1])
            for layer, each in zip(self.layers, turned, strict=True):
                tf.summary.scalar(f"flips/{layer.name}", each.mean())
                tf.summary.histogram(f"weights/{layer.name}", layer.kernel)
        self.writer.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Keeps the last weights."""
        self.last = np.concatenate([np.ravel(layer.kernel) for layer in self.layers])
        self.writer.close()


def signs(layer: keras.layers.Layer) -> np.ndarray:
    """What a layer multiplies with but for the scale; of an ordinary layer, the signs of its weights."""
    if hasattr(layer, "kernel_signs"):
        return np.asarray(layer.kernel_signs())
    return np.where(np.asarray(layer.kernel) >= 0, 1.0, -1.0)


@lesson
def main(
    *,
    data: str = "fashion_sample",
    epochs: int | None = None,
    width: int = 32,
    batch_size: int = 64,
    seed: int = 0,
    quick: bool = False,
    out: Path = Path("runs/binary_weights"),
) -> dict[str, float]:
    """Trains a network with weights of 32, 2 and 1 bits, watches the weights, and packs it.

    Args:
        data: Any image set that kerasdl.data.load knows: fashion_sample, mnist, fashion_mnist, cifar10, ...
        epochs: Passes over the training images; without it 8 for a small set, 6 for one of 20,000 images or more.
        width: Filters of the first two convolutions; the others have twice as many.
        batch_size: Images per step.
        seed: Decides the first weights and the order of the images.
        quick: One network, one epoch of a few images, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    train = load(data, split="train[:320]" if quick else "train", batch_size=batch_size, shuffle=True, seed=seed)
    test = load(data, split="test[:128]" if quick else "test", batch_size=256)
    shape, classes = tuple(train.element_spec[0].shape[1:]), len(info(data).classes)
    names = NAMES
    if quick:
        epochs, width, names = 1, 8, {"binary_weight": NAMES["binary_weight"]}
    elif epochs is None:
        epochs = 6 if len(train) * batch_size >= 20_000 else 8

    # The network is the same in all four: batch normalisation, rectifier, convolution, four times over, and two dense
    # layers. Only what stands for a weight differs, in all layers but the first and the last: these have few weights,
    # and the network hears and speaks through them.
    #
    # Adam's rate falls to 0 along half a cosine, so that in the end the signs come to rest. It was chosen on the last
    # 1,000 training images, held out, in 12 epochs: with 0.001, 0.003 and 0.01 the float network has 86.1, 87.4 and
    # 88.0 % of them right, the one with binary weights 84.1, 87.0 and 88.8 % (and with 0.03 87.0 %). Small steps turn
    # few signs.
    #
    # After each step the latent weights are clipped to -1 and 1: beyond, they would only take longer to come back.
    # Rastegari et al. also subtract from each weight of a filter the mean over its input channels, before the clip, and
    # so do the binary weights here; BinaryConnect and ternary weights are only clipped.
    models: dict[str, keras.Model] = {}
    histories, watched = {}, {}
    for kind, name in names.items():
        print(f"\n{name}")
        keras.utils.set_random_seed(seed)
        model = binary_cnn(kind, width, input_shape=shape, classes=classes, name=kind)
        rate = keras.optimizers.schedules.CosineDecay(0.01, epochs * len(train))
        optimizer = keras.optimizers.Adam(rate)
        model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        logs = out / "logs" / kind
        watched[name] = SignFlips(logs)
        histories[name] = training.fit(
            model,
            train,
            epochs=epochs,
            validation_data=test,
            callbacks=[keras.callbacks.TensorBoard(logs, write_graph=False), watched[name]],
            verbose=2,
        )
        models[name] = model
    plots.save(
        plots.lines(
            {name: history.history["val_accuracy"] for name, history in histories.items()},
            x_label="epoch",
            y_label="accuracy on the test images",
            title=f"Weights of 32, 2 and 1 bits on {data}",
        ),
        out / "figures" / "accuracy.png",
    )

    # How many signs does an epoch turn? Early many, while the latent weights are small and the rate is high; a sign
    # that many examples agree on is soon out of reach. The float network's signs turn too, though nobody looks at them.
    plots.save(
        plots.lines(
            {name: 100 * np.array(each.flips) for name, each in watched.items()},
            x_label="epoch",
            y_label="signs that turned, %",
            title="How many signs does an epoch turn?",
        ),
        out / "figures" / "flips.png",
    )

    # And the weights behind the signs? All begin as the same bell and grow wider: Adam's steps are as large for small
    # gradients as for large ones. Only the latent weights of one bit have a peak at 0. Where neither sign is right, the
    # gradient turns with the sign, and the weight goes to and fro across 0. A float weight can stop near 0, and a
    # ternary one *be* 0.
    edges = np.linspace(-0.5, 0.5, 101)
    middles = (edges[:-1] + edges[1:]) / 2
    densities = {
        name: {
            when: np.histogram(weights, edges)[0] / len(weights) / (edges[1] - edges[0])
            for when, weights in (("before training", each.first), ("after", each.last))
        }
        for name, each in watched.items()
    }
    highest = max(float(density.max()) for each in densities.values() for density in each.values())
    plots.save(
        plots.line_panels(
            densities,
            middles,
            x_label="weight",
            y_label="density",
            y_limits=(0.0, 1.1 * highest),
            markers=False,
            title="The weights behind the signs",
        ),
        out / "figures" / "weights.png",
    )

    # What is saved? Packed, a binary weight is one bit and a ternary one two. The maps are real, so every bit still
    # stands for one addition of a float, and the processor can multiply floats as fast as it adds them: such a network
    # is small, and hardly faster.
    images = np.concatenate([batch for batch, _ in test.as_numpy_iterator()])
    found = costs(models, images, batch_size=8 if quick else 64, rounds=2 if quick else 20)
    accuracies = {name: history.history["val_accuracy"][-1] for name, history in histories.items()}
    print_table(accuracies, found)
    plots.save(
        picture(accuracies, found, len(images), f"What a bit less costs, on {data}"),
        out / "figures" / "costs.png",
    )
    metrics = {}
    for (kind, name), cost in zip(names.items(), found.values(), strict=True):
        metrics[f"{kind}_accuracy"] = accuracies[name]
        metrics[f"{kind}_flips_first_epoch"], metrics[f"{kind}_flips_last_epoch"] = (
            watched[name].flips[0],
            watched[name].flips[-1],
        )
        metrics |= {f"{kind}_{key}": value for key, value in vars(cost).items()}
    return metrics


if __name__ == "__main__":
    command_line(main)
