"""Do side heads make early features more telling, and whose features serve other tasks, GoogLeNet's or VGG's?

Paper:  [Szegedy et al., 2014](https://arxiv.org/abs/1409.4842), section 5;
        [Alain and Bengio, 2016](https://arxiv.org/abs/1610.01644) for linear probes
Run:    python -m tutorials.transferable_features
Takes:  170 seconds on one core
Expect: no clear gain from side heads: at early stages 1.2 ± 0.6 points more in the kind, 0.5 ± 1.6 in the colour and
        0.2 ± 0.4 in the clothes (three seeds, standard errors). VGG's features serve other tasks worse, contrary to
        what one hears: at the best depth -22.7 ± 5.5 points in the colour and -3.7 ± 1.0 in the clothes. But an
        untrained GoogLeNet does as well there as a trained one (training adds -4.4 ± 2.0 and -1.6 ± 1.5 points): little
        was learned that transfers.

GoogLeNet trains with two side heads on its lower modules. The paper expects that they make the features down there
discriminative; lectures add that they then serve other tasks better. And it is often heard that VGG's features are the
ones to take along to another task. Both are said of large networks, trained for weeks on ImageNet. Here they are put to
the test with narrow networks of the same kinds: a failure here refutes nothing there, but shows how one asks.

A linear probe asks a layer what it knows: freeze the network, average each map over the image, and fit a linear
classifier to these few numbers. What the probe gets right was there to be read off. Three questions are asked at every
depth: the kind of the drawn object, for which the networks were trained; its colour, which they were trained to ignore;
and the kinds of clothes on photographs from another data set altogether.

All three networks name about half of the objects, so none is far ahead in what it was trained for. Yet VGG forgets the
colour on the way up, for it does not help to tell the kind. A likely reason why the modules keep it, not tested here:
their 1x1 convolutions and their pooling hand on what they get, while a stack of 3x3 convolutions has no such way round.
They also give the probe more maps at the same depth, 40 after the first module where VGG has 24. And three seeds are
few: of two more runs with the images in another order, both agreed on the colour, one was not clear about the clothes.

Exercises:

1. Average over the four quarters of the maps instead of the whole (`AveragePooling2D`), and probe for the place of the
   object (`fields=("image", "box")`). How deep can one still tell where it is?
2. The probes of deep layers see more maps than those of early ones. Give all of them as many, by a random projection.
3. Train with side heads of weight 3 instead of 0.3. Which maps change most?
4. Train longer (`--full`) or on more (`--data cifar10`). When does training begin to help with the clothes?
5. Give the narrow VGG its own head, a flattening and dense layers, and find out what it needs to learn.
"""

from pathlib import Path

import keras
import numpy as np
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kerasdl import training
from kerasdl.architectures import inception_block, with_auxiliary_labels
from kerasdl.architectures.auxiliary import auxiliary_head
from kerasdl.architectures.parts import classify, convolve_norm
from kerasdl.data import info, load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import plots

SIDE = 64
WEIGHTS = {"predictions": 1.0, "auxiliary1": 0.3, "auxiliary2": 0.3}
# The highest rates, after the warm-up: on held-out images better than 0.005 with side heads and than 0.003 for VGG.
RATES = {"GoogLeNet": 0.01, "with side heads": 0.01, "VGG": 0.01}
NETWORKS = tuple(RATES)
PROBES = {"kind": "label", "colour": "color", "clothes": "label"}


def narrow_googlenet(classes: int, *, heads: bool) -> keras.Model:
    """A convolution and four inception modules, an eighth as wide as GoogLeNet's, with batch normalisation.

    Args:
        classes: Number of classes.
        heads: Whether two side heads stand on the second and the third module.
    """
    images = keras.Input((SIDE, SIDE, 3), name="images")
    x = convolve_norm(images, 16, 5, 2, name="conv1", relu="stage1_out")
    x = keras.layers.MaxPooling2D(2, name="pool1")(x)
    maps = {}
    for stage, filters in enumerate([(8, 12, 16, 4, 8, 8), *[(16, 16, 24, 4, 12, 12)] * 3], start=2):
        x = inception_block(x, filters, normalized=True, name=f"inception{stage}", out=f"stage{stage}_out")
        maps[stage] = x
        if stage in (2, 4):
            x = keras.layers.MaxPooling2D(2, name=f"pool{stage}")(x)
    predictions = classify(keras.layers.GlobalAveragePooling2D(name="average")(x), classes)
    if not heads:
        return keras.Model(images, predictions, name="googlenet")
    # Made last, so that all other layers start from the same random numbers with heads and without.
    sides = {f"auxiliary{i}": auxiliary_head(maps[i + 2], classes, name=f"auxiliary{i}") for i in (1, 2)}
    return keras.Model(images, {"predictions": predictions, **sides}, name="googlenet_with_heads")


def narrow_vgg(classes: int) -> keras.Model:
    """Stacks of 3x3 convolutions with pooling between, with batch normalisation, and GoogLeNet's head.

    VGG's own head, three dense layers, does not learn from so few images (see the exercises).

    Args:
        classes: Number of classes.
    """
    images = keras.Input((SIDE, SIDE, 3), name="images")
    x = convolve_norm(images, 12, 3, 2, name="conv1", relu="stage1_out")
    for stage, filters in ((2, 24), (3, 48), (4, 64)):
        x = keras.layers.MaxPooling2D(2, name=f"pool{stage - 1}")(x)
        x = convolve_norm(x, filters, 3, name=f"conv{stage}_1")
        x = convolve_norm(x, filters, 3, name=f"conv{stage}_2", relu=f"stage{stage}_out")
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(images, classify(x, classes), name="vgg")


def load_probe_data(count: int) -> dict[str, list[dict[str, np.ndarray]]]:
    """Images and labels to probe with, `[train, test]` for drawn objects and for clothes.

    Args:
        count: Training images; half as many to test on.
    """
    found = {}
    for name, fields in (("shapes/one", ("image", "label", "color")), ("fashion_sample", ("image", "label"))):
        found[name] = [
            next(load(name, split=split, batch_size=count, image_size=SIDE, fields=fields).as_numpy_iterator())
            for split in (f"train[:{count}]", f"test[:{count // 2}]")
        ]
    for part in found["fashion_sample"]:
        part["image"] = np.repeat(part["image"], 3, axis=-1)  # grey as the colour it is
    return found


def probe_all(model: keras.Model, data: dict[str, list[dict[str, np.ndarray]]]) -> dict[str, list[float]]:
    """What the probes get right at the end of each stage, a list for each question.

    Args:
        model: The network.
        data: As `load_probe_data` gives.
    """
    stages = sorted(layer.name for layer in model.layers if layer.name.endswith("_out") and "stage" in layer.name)
    averages = {stage: keras.layers.GlobalAveragePooling2D()(model.get_layer(stage).output) for stage in stages}
    reader = keras.Model(model.input, averages)

    def read(images: np.ndarray) -> dict[str, np.ndarray]:
        # Called as it is: to compile a network that is read a few times takes longer than to read it.
        parts = [reader(images[start : start + 250], training=False) for start in range(0, len(images), 250)]
        return {stage: np.concatenate([part[stage] for part in parts]) for stage in stages}

    features = {name: [read(part["image"]) for part in parts] for name, parts in data.items()}
    found = {}
    for question, field in PROBES.items():
        name = "fashion_sample" if question == "clothes" else "shapes/one"
        (train, test), (train_part, test_part) = features[name], data[name]
        probe = make_pipeline(StandardScaler(), RidgeClassifier())
        found[question] = [
            probe.fit(train[stage], train_part[field]).score(test[stage], test_part[field]) for stage in stages
        ]
    return found


@lesson
def main(
    *,
    data: str = "shapes/one",
    epochs: int | None = None,
    seeds: int = 3,
    quick: bool = False,
    full: bool = False,
    out: Path = Path("runs/transferable_features"),
) -> dict[str, float]:
    """Trains narrow networks on the kinds of objects, then probes every depth.

    Args:
        data: What to train on, any set of colour images that kerasdl.data.load knows: shapes/one, cifar10, ...
        epochs: Passes over the training images; 3 without it, 20 with `full`.
        seeds: How often all is repeated, with other first weights and another order of the images.
        quick: One epoch of a few images, only to see that everything works.
        full: Trains longer, which takes about six times as long.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    epochs = epochs or (1 if quick else 20 if full else 3)
    seeds = 1 if quick else seeds
    classes = len(info(data).classes)
    probe_data = load_probe_data(100 if quick else 1500)
    test = load(data, split="test[:100]" if quick else "test", batch_size=250, image_size=SIDE)

    # Three networks for each seed. The two GoogLeNets start from the same weights and see the same batches; only the
    # side heads differ. An untrained network is probed as well: what it knows, nobody has taught it.
    accuracy: dict[str, list[float]] = {name: [] for name in NETWORKS}
    found: dict[str, list[dict[str, list[float]]]] = {name: [] for name in (*NETWORKS, "untrained")}
    for seed in range(seeds):
        for name in NETWORKS:
            # Loaded after the seed is set, the images come in the same order for all.
            keras.utils.set_random_seed(seed)
            split = "train[:160]" if quick else "train"
            train = load(data, split=split, batch_size=32, image_size=SIDE, shuffle=True, seed=seed)
            heads = name == "with side heads"
            model = narrow_vgg(classes) if name == "VGG" else narrow_googlenet(classes, heads=heads)
            if name == "GoogLeNet":
                found["untrained"].append(probe_all(model, probe_data))
            steps = epochs * len(train)
            schedule = keras.optimizers.schedules.CosineDecay(
                0.0, steps - steps // 10, warmup_target=RATES[name], warmup_steps=steps // 10
            )
            loss = "sparse_categorical_crossentropy"
            model.compile(
                keras.optimizers.Adam(schedule),
                loss=dict.fromkeys(WEIGHTS, loss) if heads else loss,
                loss_weights=WEIGHTS if heads else None,
                metrics={"predictions": ["accuracy"]} if heads else ["accuracy"],
                run_eagerly=quick,  # compiling takes longer than a few steps
            )
            print(f"\n{name}, seed {seed}")
            logs = keras.callbacks.TensorBoard(out / "logs" / f"{name.replace(' ', '_')}_seed{seed}")
            parts = [with_auxiliary_labels(part) if heads else part for part in (train, test)]
            history = training.fit(model, parts[0], epochs=epochs, validation_data=parts[1], callbacks=[logs]).history
            accuracy[name].append(history["val_predictions_accuracy" if heads else "val_accuracy"][-1])
            found[name].append(probe_all(model, probe_data))

    # What can be read off at which depth? A dot is the end of a stage, from the first convolution to the last maps.
    # The band is one standard error over the seeds.
    results = {
        question: {name: np.array([run[question] for run in runs]) for name, runs in found.items()}
        for question in PROBES
    }
    for question, values in results.items():
        plots.save(
            plots.lines(
                {name: 100 * value.mean(axis=0) for name, value in values.items()},
                {name: np.linspace(0, 1, value.shape[1]) for name, value in values.items()},
                x_label="depth, from the first convolution (0) to the last maps (1)",
                y_label="test images right, % (± standard error)",
                errors={name: 100 * standard_error(value) for name, value in values.items()},
                title=f"What a linear probe reads off: {question}",
            ),
            out / "figures" / f"probe_{question}.png",
        )

    # Two claims, two differences for each question. Side heads: the mean over the stages up to the lower head.
    # Transfer: each network at its best depth, for that is where one would cut it. And a third difference, without
    # which the others say little: the best depth of the trained GoogLeNet against that of the untrained one.
    metrics = {f"{name.replace(' ', '_')}_accuracy": float(np.mean(values)) for name, values in accuracy.items()}
    for question, values in results.items():
        early = (values["with side heads"] - values["GoogLeNet"])[:, :3].mean(axis=1)
        best = values["VGG"].max(axis=1) - values["GoogLeNet"].max(axis=1)
        trained = values["GoogLeNet"].max(axis=1) - values["untrained"].max(axis=1)
        differences = {"heads_gain_early": early, "vgg_gain_best": best, "training_gain_best": trained}
        for claim, difference in ((f"{name}_{question}", values) for name, values in differences.items()):
            metrics[claim] = float(difference.mean())
            if seeds > 1:
                error = float(standard_error(difference))
                clear = bool(abs(difference.mean()) > 3 * error)
                metrics |= {f"{claim}_error": error, f"{claim}_is_clear": float(clear)}
                verdict = "clear" if clear else "not clear: less than three standard errors"
                points = f"{100 * difference.mean():+.1f} ± {100 * error:.1f} points"
                print(f"{claim.replace('_', ' ')}: {points}, {verdict}")
    return metrics


if __name__ == "__main__":
    command_line(main)
