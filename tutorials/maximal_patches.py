"""What does a unit of a network look for?

Paper:  [Zeiler and Fergus, 2013](https://arxiv.org/abs/1311.2901), section 4; what excites a unit most is
        also shown by [Le et al., 2011](https://arxiv.org/abs/1112.6209) and, as patches, by
        [Girshick et al., 2013](https://arxiv.org/abs/1311.2524), section 3.1
Run:    python -m tutorials.maximal_patches
Takes:  25 seconds on one core
Expect: the share of the most frequent figure among the nine best patches grows from layer to layer: 27.8 ± 1.8 %, 35.2
        ± 2.4 %, 44.4 ± 2.6 %, 68.1 ± 2.7 % and 86.6 ± 2.2 % (means over the units of a layer with their standard
        errors). Chance gives 28.6 %. In the first two layers that is no difference, at most three errors; from the
        third layer on it is one. With random weights no layer differs from chance: 29.2 to 31.3 %, each with an error
        of 1.0 to 1.9. The fields grow from 5x5 over 9x9, 13x13 and 21x21 to 29x29 pixels.

The simplest way to find out what a unit has learnt is to show it thousands of pictures and to write down where it was
most active. A unit of an early layer sees only a few pixels: its *receptive field*. It grows from layer to layer, by
the kernel's reach times the strides so far. What lies inside is all that the unit can know; to show more of the picture
would invite us to see reasons where there are none. So the patches here are cut out exactly.

Do units of later layers see *things*? The lesson counts it: of the nine patches that excite a unit most, how many show
the figure that is most frequent among them? If a unit does not care for figures at all, that is what nine draws by
chance give: about 2.6 of 9 for ten figures. And since any filter at all, even a random one, prefers some patches to
others, the same is counted in a network that has learnt nothing.

Exercises:

1. Take `k=1`: the single most exciting patch. Why is one patch a bad witness, and nine are better?
2. A unit with nine stars may be a unit for stars, or one for sharp tips that stars have. Look at what comes *after* the
   first nine (`k=100`, every tenth), and decide.
3. Compute the receptive field of `stage3_out` of `squeezenet1_1` by hand, from `kerasdl/architectures/squeezenet.py`,
   and compare it with `kerasdl.visualization.receptive_field`.
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasdl import training
from kerasdl.architectures import pretrained, shapes_cnn
from kerasdl.data import info, load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import maximally_activating_patches, plots, receptive_field


def purity(kinds: np.ndarray, classes: int) -> np.ndarray:
    """Of each row of classes the share of the most frequent one."""
    return np.array([np.bincount(row, minlength=classes).max() / len(row) for row in kinds])


@lesson
def main(
    *,
    data: str = "shapes/one",
    epochs: int = 15,
    seed: int = 0,
    quick: bool = False,
    out: Path = Path("runs/maximal_patches"),
) -> dict[str, float]:
    """Shows each unit of a network all pictures, and looks at what excites it most.

    Args:
        data: The images; for shapes/one a trained network ships, for any other set of images one is trained first.
        epochs: Passes over the training images, where the network has to be trained.
        seed: Decides the random weights.
        quick: Few images, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    images = load(data, split="train[:400]" if quick else "train", batch_size=100)
    class_names = info(data).classes
    labels = np.concatenate([batch for _, batch in images.as_numpy_iterator()])

    keras.utils.set_random_seed(seed)
    untrained = shapes_cnn(input_shape=images.element_spec[0].shape[1:], classes=len(class_names))
    if data == "shapes/one":
        trained = pretrained("shapes_cnn")
    else:
        trained = keras.models.clone_model(untrained)
        trained.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        training.fit(trained, images.shuffle(100, seed=seed), epochs=1 if quick else epochs)

    # Every rectifier of the network is a layer of units. How much of a picture does each see?
    layers = [layer.name for layer in trained.layers if isinstance(layer, keras.layers.ReLU)]
    fields = {layer: receptive_field(trained, layer) for layer in layers}

    # All pictures run through once per layer. Of each unit the nine best patches are kept, from nine pictures. A unit
    # that is never on has no patches worth the name and is left out.
    found = {}
    shares: dict[str, list[np.ndarray]] = {"trained": [], "untrained": []}
    for name, model in (("trained", trained), ("untrained", untrained)):
        for layer in layers:
            best = maximally_activating_patches(model, images, layer, k=9, fill=0.5)
            alive = best.scores[:, -1] > 0
            shares[name].append(purity(labels[best.images[alive]], len(class_names)))
            found[name, layer] = best, alive
            print(f"{name:9} {layer:18} sees {fields[layer].size[0]:2d} pixels, {alive.sum():2d} units: ", end="")
            print(f"{shares[name][-1].mean():.1%} of the nine patches show the same kind")

    # The error is that of a mean over units. What chance alone gives is drawn, not reckoned.
    random = np.random.default_rng(seed)
    chance = purity(random.choice(labels, size=(20_000, 9)), len(class_names)).mean()
    means = {name: [share.mean() for share in of_layers] for name, of_layers in shares.items()}
    errors = {name: [standard_error(share) for share in of_layers] for name, of_layers in shares.items()}
    names = [
        f"conv {number}\n{fields[layer].size[0]}x{fields[layer].size[1]}" for number, layer in enumerate(layers, 1)
    ]
    plots.save(
        plots.bars(
            {**means, "by chance": [chance] * len(layers)},
            names,
            errors=errors,
            y_label="share of the most frequent class\namong the 9 best patches (± standard error)",
            written="{:.2f}",
            title="Deeper units choose by what a thing is (below: how much a unit sees)",
        ),
        out / "figures" / "purity.png",
    )

    # Four layers, from small fields to large ones: of each the four units with the purest patches of all classes, a row
    # each. In the first layer these are a few pixels: an edge, a colour. Grey is where a unit sees beyond the border.
    for layer in (layers[0], layers[1], layers[-2], layers[-1]):
        best, alive = found["trained", layer]
        kinds = labels[best.images]
        share = np.where(alive, purity(kinds, len(class_names)), 0)
        # The purest unit for each class, so that one class does not fill the picture.
        favourite = np.array([np.bincount(row).argmax() for row in kinds])
        chosen: list[int] = []
        for unit in np.argsort(-share, kind="stable"):
            if len(chosen) < 4 and favourite[unit] not in favourite[chosen]:
                chosen.append(int(unit))
        rows = best.patches[chosen, :8].reshape(-1, *best.patches.shape[2:])
        titles = [
            f"unit {unit}:\n{class_names[kind]}" if rank == 0 else class_names[kind]
            for unit in chosen
            for rank, kind in enumerate(kinds[unit, :8])
        ]
        size = fields[layer].size[0]
        plots.save(
            plots.image_grid(
                rows, titles, columns=8, title=f"{layer}: what excites four units most ({size}x{size} pixels)"
            ),
            out / "figures" / f"{layer}.png",
        )

    metrics = {"by_chance": float(chance)}
    with tf.summary.create_file_writer(str(out / "logs")).as_default():
        for step, layer in enumerate(layers):
            metrics[f"{layer}_field"] = fields[layer].size[0]
            for name in means:
                metrics[f"{layer}_{name}"] = means[name][step]
                metrics[f"{layer}_{name}_error"] = errors[name][step]
                tf.summary.scalar(f"purity/{name}", means[name][step], step=step)
    return metrics


if __name__ == "__main__":
    command_line(main)
