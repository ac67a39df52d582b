"""How well does a network do of which only the last layer is learnt, and how soon is it learnt?

Paper:  [Huang et al., 2006](https://doi.org/10.1016/j.neucom.2005.12.126)
Run:    python -m tutorials.extreme_learning
Takes:  115 seconds on one core
Expect: 83.6 % of the test images right from 2,048 random units, and 86.7 % from 128 random filters, whose pooled
        answers are as many (3.2 ± 0.1 points more, over three seeds). With 1,024 units, solving takes 0.9 seconds for
        82.7 %; ten epochs of Adam on the last layer take 4.6 for 77.6 % (5.1 ± 0.3 points less), and on all layers 17
        for 83.4 %: 0.7 ± 0.7 points more than solving, a difference that is not certain.

An extreme learning machine has a hidden layer of random units that nobody ever trains. What is left, the last linear
layer, minimises a sum of squares, and that needs no descent: its minimum is the solution of one linear system,

    W = (X'X + l2 I)^-1 X'Y,

where the rows of X are what the random units say of each image, and those of Y are one-hot labels. `solve_readout` adds
X'X and X'Y up batch by batch, so millions of images need no more memory than a thousand.

The idea is older than the name, which is disputed for that reason: the hidden weights of [Schmidt et al.,
1992](https://doi.org/10.1109/ICPR.1992.201708), were random, and those of the random vector functional link of [Pao et
al., 1994](https://doi.org/10.1016/0925-2312(94)90053-1).

This lesson asks three things. How many random units does it take? How much is won when they are random *filters*, which
look at neighbours only, and whose answers are pooled? And what does a network win that learns all its weights?

Exercises:

1. Plot the accuracy on the training images as well. Where do the two curves part, and what does a larger `--l2` do?
2. Set `--l2 0` and `--images 500`, and look at the accuracy near 500 units, as many as there are images. It falls, then
   rises again: read about "double descent", and find out why one more unit can hurt.
3. The softmax of least-squares scores makes poor probabilities. How sure is the network of its best class on average,
   and how often is it right? Find the factor on `logits` that makes the two equal.
"""

import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasdl import training
from kerasdl.architectures import extreme_learning_machine, random_feature_cnn, solve_readout
from kerasdl.data import info, load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import plots


class _Clock(keras.callbacks.Callback):
    """Notes the seconds of training at the end of each epoch, without those of validation."""

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.seconds: list[float] = []
        self.pauses, self.begin = 0.0, time.perf_counter()

    def on_test_begin(self, logs: dict | None = None) -> None:
        self.pause = time.perf_counter()

    def on_test_end(self, logs: dict | None = None) -> None:
        self.pauses += time.perf_counter() - self.pause

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.seconds.append(time.perf_counter() - self.begin - self.pauses)


def share_right(model: keras.Model, images: tf.data.Dataset, truth: np.ndarray) -> float:
    """The share of images whose most likely class is the true one."""
    return float(np.mean(model.predict(images, verbose=0).argmax(axis=1) == truth))


@lesson
def main(
    *,
    data: str = "fashion_sample",
    images: int = 6000,
    units: int = 2048,
    l2: float = 0.1,
    epochs: int = 10,
    seeds: int = 3,
    quick: bool = False,
    out: Path = Path("runs/extreme_learning"),
) -> dict[str, float]:
    """Solves readouts of ever more random units, then trains the same network by gradient.

    Args:
        data: Any image set that kerasdl.data.load knows: fashion_sample, mnist, cifar10, ...
        images: How many training images to use.
        units: The largest number of features that the last layer sees; the others are halves of it.
        l2: Penalty on the squares of the readout's weights.
        epochs: Passes over the training images when training by gradient.
        seeds: How often everything is repeated with other random units.
        quick: Few images, units and epochs, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    if quick:
        images, units, epochs, seeds = 500, 1024, 1, 1
    train = load(data, split=f"train[:{images}]", batch_size=250).cache()
    test = load(data, split="test[:250]" if quick else "test", batch_size=250).cache()
    shape, classes = tuple(train.element_spec[0].shape[1:]), len(info(data).classes)
    truth = np.concatenate([labels for _, labels in test.as_numpy_iterator()])

    # The last layer of both networks sees the same number of features: 2,048 units, or 128 filters with 16 places
    # each, so what is learnt has the same size. The penalty was chosen on a fifth of the training images, held out: of
    # 0.01, 0.1 and 1 it is 0.1 for the filters (86.8, 87.5, 87.3 %), and hardly matters for the units (82.7, 83.6,
    # 83.9 %). The random units and filters are other ones in each repetition.
    counts = [units // 2**halving for halving in range(6, -1, -1)]
    kinds = {
        "random units": lambda count, seed: extreme_learning_machine(
            count, input_shape=shape, classes=classes, seed=seed
        ),
        "random filters": lambda count, seed: random_feature_cnn(
            max(count // 16, 1), input_shape=shape, classes=classes, seed=seed
        ),
    }
    found = {kind: np.zeros((seeds, len(counts))) for kind in kinds}
    for kind, build in kinds.items():
        for place, count in enumerate(counts):
            for seed in range(seeds):
                model = build(count, 100 * seed)
                solve_readout(model, train, l2)
                found[kind][seed, place] = share_right(model, test, truth)
            print(f"{count:5d} {kind}: {found[kind][:, place].mean():.1%} right")
    plots.save(
        plots.lines(
            {kind: values.mean(axis=0) for kind, values in found.items()},
            counts,
            errors={kind: standard_error(values) for kind, values in found.items()},
            x_label="features that the last layer sees",
            y_label="accuracy on test images (± standard error)",
            log_x=True,
            title="Nothing is learnt but the last layer",
        ),
        out / "figures" / "units.png",
    )

    # Now the race. Three networks have the same shape and the same random units in the beginning. One is solved. In one
    # Adam trains the last layer, in the other all layers, both to a small cross-entropy. On the held-out images the
    # rate 0.003 is the best of 0.001, 0.003 and 0.01 for both (mean of the last three of ten epochs: 74.4, 77.4, 74.6 %
    # and 82.9, 83.8, 79.5 %). Compiling is part of everybody's time, validation of nobody's.
    race: dict[str, list] = {"solved": [], "last layer by gradient": [], "all layers by gradient": []}
    shuffled = train.unbatch().shuffle(images, seed=0).batch(64)
    for seed in range(seeds):
        for name, runs in race.items():
            keras.utils.set_random_seed(seed)
            model = extreme_learning_machine(units // 2, input_shape=shape, classes=classes, seed=100 * seed)
            if name == "solved":
                begin = time.perf_counter()
                solve_readout(model, train, l2)
                seconds = time.perf_counter() - begin
                runs.append(([seconds], [share_right(model, test, truth)]))
                continue
            model.get_layer("hidden").trainable = name.startswith("all")
            model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])
            logs, clock = out / "logs" / f"{name.split()[0]}_{seed}", _Clock()
            history = training.fit(
                model,
                shuffled,
                epochs=epochs,
                validation_data=test,
                callbacks=[clock, keras.callbacks.TensorBoard(logs)],
                verbose=0,
            )
            runs.append((clock.seconds, history.history["val_accuracy"]))
            print(f"{name}, seed {seed}: {runs[-1][1][-1]:.1%} right after {clock.seconds[-1]:.1f} seconds")
    plots.save(
        plots.lines(
            {name: np.mean([accuracies for _, accuracies in runs], axis=0) for name, runs in race.items()},
            {name: np.mean([seconds for seconds, _ in runs], axis=0) for name, runs in race.items()},
            x_label="seconds",
            y_label="accuracy on test images (± standard error)",
            log_x=True,
            title=f"One linear system against {epochs} epochs, {units // 2:,} units",
        ),
        out / "figures" / "race.png",
    )

    # A difference counts where it is more than three times its standard error over the repetitions.
    last = {name: np.array([accuracies[-1] for _, accuracies in runs]) for name, runs in race.items()}
    last |= {kind: values[:, -1] for kind, values in found.items()}
    metrics = {f"{name.replace(' ', '_')}_accuracy": values.mean() for name, values in last.items()}
    for name, runs in race.items():
        metrics[f"{name.replace(' ', '_')}_seconds"] = np.mean([seconds[-1] for seconds, _ in runs])
    for better, worse in (
        ("random filters", "random units"),
        ("solved", "last layer by gradient"),
        ("all layers by gradient", "solved"),
    ):
        differences = last[better] - last[worse]
        error = standard_error(differences)
        verdict = "seen" if seeds > 1 and abs(differences.mean()) > 3 * error else "not certain"
        print(f"{better} minus {worse}: {100 * differences.mean():+.1f} ± {100 * error:.1f} points ({verdict})")
        key = f"{better}_minus_{worse}".replace(" ", "_")
        metrics |= {key: differences.mean(), f"{key}_error": error}
    return metrics


if __name__ == "__main__":
    command_line(main)
