"""Does it help to train on attacks, and are networks safer that ask what an image is like?

Paper:  [Goodfellow et al., 2014](https://arxiv.org/abs/1412.6572), sections 6 to 8; PGD is from
        [Madry et al., 2017](https://arxiv.org/abs/1706.06083)
Run:    python -m tutorials.adversarial_training
Takes:  3 minutes on one core
Expect: under PGD that moves each pixel by at most 0.1 the plain network is right on 12 % of the images instead of 82 %,
        one that was trained on FGSM on 54 %, one that was trained on PGD on 59 %. These are gains of 42.0 ± 3.1 and
        47.3 ± 2.6 points (the error of three seeds and 400 images), and both cost 8 points on clean images. The
        readouts on the plain network's features hardly help: RBF keeps 18 % (6.5 ± 2.0, barely over three standard
        errors, and those of three seeds only) and Parzen 11 % (-1.1 ± 1.5). Under FGSM alone Parzen seems to (29 %
        against 17 %). A Parzen density of pixels keeps 31 % (19.3 ± 2.5), and is right on 76 % of clean images. A
        hundred steps leave at most a point less than twenty; the images that fool the plain network leave every other
        one more than its own attacks do; and a radius of 0.5 leaves one image of 1,200 to one Parzen density, and none
        to the others.

A linear score grows without end along its weights, and so an image can be pushed far into any class by small steps of
all its pixels. Two remedies are tried.

*Adversarial training* puts an attack before each step: the network learns from the images that fool it now. The attack
is a step of the fast gradient sign method (FGSM), or five of projected gradient descent (PGD).

*Readouts by distance* do not ask on which side of a plane the features lie but how near they come to what was seen. A
radial basis function (RBF) has one centre per class, the mean of its features. A Parzen density has a small bell on
each of a thousand training images. Both can say that an image is like nothing they know. Here they stand on the
features of the plain network, and a Parzen density on the pixels themselves.

All attacks know the whole network, readout and all. A defence may only *seem* to work because its gradient leads
nowhere ("gradient masking"), so what holds is checked: with five times the steps, with the images that fool the plain
network, and with a radius of 0.5, where an image can be turned into plain grey and nothing may be left.

Exercises:

1. Train on FGSM with an epsilon of 0.2 or 0.3. Does it hold against FGSM and fall to PGD? What has it learnt?
2. Give `ParzenDensity.of_examples` a ten times smaller bandwidth, and take a loss of probabilities instead of log
   densities: the gradient becomes zero. Does the attack from the plain network still get through?
3. Put the readouts by distance on the features of the network that was trained on PGD.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl import training
from kerasdl.adversarial import Adversarial, fgsm, pgd, robust_accuracy
from kerasdl.data import info, load
from kerasdl.layers import EuclideanRBF, ParzenDensity
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import plots

RADII = (0.0, 0.05, 0.1, 0.15, 0.2)


def network(shape: tuple[int, ...], classes: int) -> keras.Model:
    """Two convolutions, 64 features, one linear layer."""
    layers = [
        keras.layers.Conv2D(16, 5, strides=2, activation="relu"),
        keras.layers.Conv2D(32, 5, strides=2, activation="relu"),
        keras.layers.Flatten(name="flat"),
        keras.layers.Dense(64, activation="relu", name="features"),
        keras.layers.Dense(classes, name="logits"),
    ]
    return keras.Sequential([keras.Input(shape), *layers])


def readouts_by_distance(plain: keras.Model, images: np.ndarray, labels: np.ndarray) -> dict[str, keras.Model]:
    """Models that score a class by how near its training images are."""
    inputs = plain.inputs[0]
    features = keras.Model(inputs, plain.get_layer("features").output)
    known = features.predict(images, verbose=0)
    centres = [known[labels == label].mean(axis=0) for label in range(labels.max() + 1)]
    # The nearer the better: the score is minus the squared distance.
    score = keras.layers.Rescaling(-1.0)(EuclideanRBF(codes=centres)(features.output))
    # Parzen's width is found by leaving out one image after the other. A thousand points are enough.
    some, of = slice(1000), labels[:1000]
    pixels = keras.layers.Flatten()(inputs)
    return {
        "RBF": keras.Model(inputs, score),
        "Parzen": keras.Model(inputs, ParzenDensity.of_examples(known[some], of)(features.output)),
        "Parzen of pixels": keras.Model(
            inputs, ParzenDensity.of_examples(images[some].reshape(len(of), -1), of)(pixels)
        ),
    }


def right(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Which images the model gets right."""
    return model.predict(images, verbose=0).argmax(axis=1) == labels


def right_where_another_fails(model: keras.Model, attacked: Adversarial, labels: np.ndarray) -> float:
    """The share that the model gets right of the images that fool another one; 1 if there are none."""
    answers = right(model, attacked.images, labels)[attacked.success]
    return float(answers.mean()) if len(answers) else 1.0


def gain_and_error(held: np.ndarray, held_by_plain: np.ndarray) -> tuple[float, float]:
    """By how much more is right, and its standard error, of `(seeds, images)` answers each.

    The error is that of the seeds and that of the images, which all seeds share: rather too large than too small.
    """
    gain = held.astype(float) - held_by_plain
    variances = [means.var(ddof=1) / len(means) for means in (gain.mean(axis=1), gain.mean(axis=0))]
    return float(gain.mean()), float(sum(variances) ** 0.5)


@lesson
def main(
    *,
    data: str = "fashion_sample",
    epochs: int = 5,
    seeds: int = 3,
    epsilon: float = 0.1,
    quick: bool = False,
    out: Path = Path("runs/adversarial_training"),
) -> dict[str, float]:
    """Trains networks with and without attacks, gives the plain one other readouts, and attacks all.

    Args:
        data: Any image set that kerasdl.data.load knows, with pixels from 0 to 1.
        epochs: Passes over the training images.
        seeds: How often all is done, with other first weights.
        epsilon: How far the attacks in training may move a pixel.
        quick: Few images and attacks of few steps, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    radii = [0.0, epsilon] if quick else sorted({*RADII, epsilon})
    epochs, seeds, few, many = (1, 1, 2, 4) if quick else (epochs, seeds, 20, 100)
    split = "train[:300]" if quick else "train"
    seen, test = (
        tuple(
            np.concatenate(parts)
            for parts in zip(*load(data, split=part, batch_size=250).as_numpy_iterator(), strict=True)
        )
        for part in (split, "test[:30]" if quick else "test[:400]")
    )
    images, labels = test

    # What stands before each training step. All else is the same: first weights, and batches in the same order.
    lessons: dict[str, Callable[..., Any] | None] = {
        "plain": None,
        "trained on FGSM": functools.partial(fgsm, epsilon=epsilon),
        "trained on PGD": functools.partial(pgd, epsilon=epsilon, steps=2 if quick else 5),
    }
    attacks: dict[str, Callable[..., Any]] = {"FGSM": fgsm, "PGD": functools.partial(pgd, steps=few)}
    curves: dict[str, dict[str, list[np.ndarray]]] = {"FGSM": {}, "PGD": {}}
    checks: dict[str, dict[str, list[float]]] = {}
    held: dict[str, list[np.ndarray]] = {}
    for seed in range(seeds):
        models: dict[str, keras.Model] = {}
        for name, attack in lessons.items():
            keras.utils.set_random_seed(seed)
            train = load(data, split=split, batch_size=64, shuffle=True, seed=seed)
            model = models[name] = network(images.shape[1:], len(info(data).classes))
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(keras.optimizers.Adam(0.002), loss, metrics=["accuracy"])
            logs = keras.callbacks.TensorBoard(out / "logs" / f"{name.replace(' ', '_')}_{seed}")
            training.fit(model, train, epochs=epochs, attack=attack, callbacks=[logs], verbose=0)
        models |= readouts_by_distance(models["plain"], *seen)

        # White-box attacks of every size, and then the checks of what seems to hold. What fools the plain network is
        # shown to the others, and beside it stands what their own attacks leave of the same images.
        attacked = {name: pgd(model, images, labels, epsilon=epsilon, steps=few) for name, model in models.items()}
        fools_plain = attacked["plain"].success
        for name, model in models.items():
            clean = right(model, images, labels).mean()
            held.setdefault(name, []).append(~(attacked[name].success | attacked[name].already_wrong))
            for kind, method in attacks.items():
                accuracy = robust_accuracy(model, test, method, radii[1:], batch_size=len(labels))
                curves[kind].setdefault(name, []).append(np.array([clean, *accuracy]))
            patient = functools.partial(pgd, steps=many)
            found: dict[str, Any] = {
                "many steps": robust_accuracy(model, test, patient, [epsilon], batch_size=len(labels))[0],
                "from plain": right_where_another_fails(model, attacked["plain"], labels),
                "own instead": held[name][-1][fools_plain].mean() if fools_plain.any() else 1.0,
                "radius 0.5": robust_accuracy(model, test, attacks["PGD"], [0.5], batch_size=len(labels))[0],
            }
            for check, value in found.items():
                checks.setdefault(check, {}).setdefault(name, []).append(float(value))
            last = curves["PGD"][name][-1][radii.index(epsilon)]
            print(f"{name}, seed {seed}: {curves['PGD'][name][-1][0]:.1%} right, {last:.1%} under PGD")
        if seed == 0:
            # What an attack of twice the size paints: specks for one network, whole patches for the other. One that
            # a network has wrong already is not attacked, so those that both have right come first.
            pair = {"plain": models["plain"], "the one trained on PGD": models["trained on PGD"]}
            wrong = [~right(model, images, labels) for model in pair.values()]
            few_images = np.argsort(np.any(wrong, axis=0), kind="stable")[:6]
            shown = {"clean": images[few_images]}
            for name, model in pair.items():
                made = pgd(model, images[few_images], labels[few_images], epsilon=2 * epsilon, steps=few)
                shown[f"against {name}"] = made.images
            figure = plots.image_grid(
                np.concatenate(list(shown.values())),
                [title for title in shown for _ in range(6)],
                columns=6,
                title=f"Attacked by PGD: each pixel moves by at most {2 * epsilon:g}",
            )
            plots.save(figure, out / "figures" / "attacked.png")

    # Means over the seeds. A difference is taken as one where it is over three standard errors.
    at = radii.index(epsilon)
    metrics: dict[str, float] = {}
    for kind, runs in curves.items():
        figure = plots.lines(
            {name: np.mean(values, axis=0) for name, values in runs.items()},
            radii,
            errors={name: standard_error(values) for name, values in runs.items()},
            x_label="largest change of a pixel",
            y_label="accuracy on attacked images (± standard error)",
            title=f"Attacked by {kind}, knowing all of the network",
        )
        plots.save(figure, out / "figures" / f"{kind.lower()}.png")
    for name, pgd_runs in curves["PGD"].items():
        key = name.lower().replace(" ", "_")
        metrics[f"{key}_clean"] = float(np.mean([run[0] for run in pgd_runs]))
        metrics[f"{key}_fgsm"] = float(np.mean([run[at] for run in curves["FGSM"][name]]))
        metrics[f"{key}_pgd"] = float(np.mean([run[at] for run in pgd_runs]))
        for check, found_by in checks.items():
            metrics[f"{key}_{check.replace(' ', '_').replace('.', '')}"] = float(np.mean(found_by[name]))
        if name != "plain":
            metrics[f"{key}_gain"] = metrics[f"{key}_pgd"] - metrics["plain_pgd"]
            if seeds > 1:  # Of one seed nobody knows how far others would lie from it.
                metrics[f"{key}_gain_error"] = gain_and_error(np.array(held[name]), np.array(held["plain"]))[1]
    figure = plots.bars(
        {
            f"PGD, {few} steps": [metrics[f"{name.lower().replace(' ', '_')}_pgd"] for name in curves["PGD"]],
            f"PGD, {many} steps": [np.mean(values) for values in checks["many steps"].values()],
            "only what fools the plain one": [np.mean(values) for values in checks["from plain"].values()],
            "PGD, radius 0.5": [np.mean(values) for values in checks["radius 0.5"].values()],
        },
        [name.replace(" ", "\n") for name in curves["PGD"]],
        y_label="accuracy on attacked images",
        written="{:.2f}",
        title=f"Is a gradient hidden? (largest change {epsilon:g})",
    )
    plots.save(figure, out / "figures" / "checks.png")
    with tf.summary.create_file_writer(str(out / "logs" / "attacked")).as_default():
        for kind, runs in curves.items():
            for name, values in runs.items():
                for radius, accuracy in zip(radii, np.mean(values, axis=0), strict=True):
                    tf.summary.scalar(f"{kind}/{name}", accuracy, step=round(1000 * radius))
    return metrics


if __name__ == "__main__":
    command_line(main)
