"""Where does a network look, and which of the methods that claim to show it are to be believed?

Paper:  CAM [Zhou et al., 2015](https://arxiv.org/abs/1512.04150);
        Grad-CAM [Selvaraju et al., 2016](https://arxiv.org/abs/1610.02391);
        the pointing game [Zhang et al., 2016](https://arxiv.org/abs/1608.00507);
        sanity checks [Adebayo et al., 2018](https://arxiv.org/abs/1810.03292)
Run:    python -m tutorials.class_activation
Takes:  90 seconds on one core
Expect: the maximum is on the object in 98 % of the maps (200 test images) with guided backpropagation, occlusion and
        SmoothGrad, 94.5 ± 1.6 % with Score-CAM, 92.0 ± 1.9 % with CAM and Grad-CAM, 91 % with saliency, 90.5 % with
        Grad-CAM++. With integrated gradients it is 59 % from black and 99 % from grey, with deconvolution 1 %; a spot
        in the middle has 25 %, random numbers 4.5 %. On all test images (`--images 1000`) Grad-CAM has 89.1 % (rings:
        37 %, whose middle is a hole) and occlusion 98.3 %; within the margin of the pointing game, 15 pixels of a
        photograph and 2 here, it is 95.9 % and 100.0 %. Of the map's sum 63 % is on the object with guided
        backpropagation, 61 % with occlusion, 42 % with CAM. When the weights of the scores are shuffled, a rank
        correlation of 0.92 with the true map is left for guided backpropagation, 0.93 for Score-CAM and 0.05 for
        Grad-CAM; when all weights are, 0.48, 0.50 and 0.03, where the maps of two pictures have 0.19, 0.40 and 0.17.

A network that ends in global average pooling and one dense layer tells by itself where it looks. Its score is a mean
over all places; so each place's part of the score can be written on the map. That is the class activation map, CAM.
Grad-CAM does the same for any network, with gradients in the place of the dense layer's weights. Grad-CAM++ and
Score-CAM find the weights in other ways again, and all the methods that end at single pixels are there besides.

A map that looks convincing proves nothing: people see a cat in the picture and a cat in the map. Two tests are more
than looks.

- **Does it find the object?** In the drawn set `shapes/one` it is known to the pixel where the object is. Is the map's
  maximum on it (the pointing game), and how much of the map's sum? Two maps that know nothing of the network say what
  is to be had for free: random numbers, and a spot in the middle of the picture.
- **Does it depend on the network?** Shuffle the weights, layer by layer from the top, until nothing is left of what was
  learnt. A map that explains the network must change beyond recognition. One that stays shows the picture's edges, and
  would have shown them for any network.

Exercises:

1. One object has one place. Which methods would you trust with two? Put two test images side by side, and ask for the
   class of the left one.
2. Grad-CAM of an earlier layer has more places but knows less of the class (`layer="stage2_conv1_relu"`). Where is the
   best compromise?
3. Shuffle from the bottom in the place of the top. Which methods notice at once?
"""

import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl import visualization
from kerasdl.architectures import imagenet_classes, pretrained
from kerasdl.data import info, load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.photographs import read_photographs
from kerasdl.tutorials.pointing import on_the_object, rank_correlations
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import plots

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "saliency": ("saliency", {}),
    "SmoothGrad": ("smooth_grad", {"samples": 16}),
    "integrated from black": ("integrated_gradients", {"baseline": 0.0, "steps": 16}),
    "integrated from grey": ("integrated_gradients", {"baseline": 0.5, "steps": 16}),
    "guided backprop": ("guided_backpropagation", {}),
    "deconvolution": ("deconvolution", {}),
    "occlusion": ("occlusion", {}),
    "CAM": ("class_activation_map", {}),
    "Grad-CAM": ("grad_cam", {}),
    "Grad-CAM++": ("grad_cam_plus_plus", {}),
    "Score-CAM": ("score_cam", {}),
}
CLASS_MAPS = ("CAM", "Grad-CAM", "Grad-CAM++", "Score-CAM")


def explain(name: str, model: keras.Model, images: np.ndarray, target: np.ndarray | None, steps: int) -> np.ndarray:
    """The maps of a method, `(N, H, W)`; of those with channels the largest absolute value.

    Args:
        name: One of `METHODS`.
        model: The network.
        images: What it looks at.
        target: One class per image, or None for the predicted ones.
        steps: Noisy images or steps, for the methods that take a mean.
    """
    function, options = METHODS[name]
    options = {key: steps if key in ("samples", "steps") else value for key, value in options.items()}
    with warnings.catch_warnings():
        # With shuffled weights a map may be empty: here that is an answer.
        warnings.filterwarnings("ignore", message=".* maps are zero everywhere")
        maps = getattr(visualization, function)(model, images, target, **options)
    return np.abs(maps).max(axis=-1) if maps.ndim == 4 else maps


@lesson
def main(
    *,
    data: str = "shapes/one",
    epochs: int | None = None,
    images: int = 200,
    model: str = "squeezenet1_1",
    weights: str = "published",
    shuffles: int = 3,
    seed: int = 0,
    quick: bool = False,
    out: Path = Path("runs/class_activation"),
) -> dict[str, float]:
    """Looks at photographs with four kinds of class maps, then plays the pointing game with every method.

    Args:
        data: A set of images with masks: shapes/one.
        epochs: Nothing is trained here: the number of noisy images of SmoothGrad and of steps of integrated gradients.
        images: How many test images the pointing game is played on.
        model: The network for the photographs, by its name in `pretrained`; it must end in global average pooling.
        weights: "published", or a file with its weights.
        shuffles: How often all weights are shuffled, each time in another way.
        seed: Decides the shuffling and the random maps.
        quick: Small photographs and few images, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    steps = epochs or (2 if quick else 16)
    images, side = (20, 64) if quick else (images, 224)
    metrics: dict[str, float] = {}
    rng = np.random.default_rng(seed)

    # What speaks for the class that the network finds likeliest? For CAM and Grad-CAM at the same layer the answer is
    # the same, up to a number: the gradient of a mean is the weight over the number of places, everywhere. Grad-CAM
    # leaves out what speaks against the class, where CAM is below zero.
    network = pretrained(model, input_shape=(side, side, 3), weights=weights)
    photographs = read_photographs(("chelsea",) if quick else ("chelsea", "coffee", "rocket"), side)
    probabilities = network.predict(photographs, verbose=0)
    likeliest = probabilities.argmax(axis=1)
    stage = [layer.name for layer in network.layers if layer.name.endswith("_out")][-1]
    maps = {}
    for name in CLASS_MAPS:
        options = {"layer": stage} if name in ("Grad-CAM++", "Score-CAM") else {}
        maps[name] = getattr(visualization, METHODS[name][0])(network, photographs, likeliest, **options)
    ratio = maps["Grad-CAM"] / np.maximum(maps["CAM"], 1e-6)
    evident = maps["CAM"] > 0.1 * maps["CAM"].max(axis=(1, 2), keepdims=True)
    metrics["cam_over_grad_cam"] = 1 / ratio[evident].mean()
    metrics["cam_over_grad_cam_spread"] = float(np.ptp(ratio[evident]) / ratio[evident].mean())
    words = imagenet_classes()
    titles = [f"{words[each]} ({row[each]:.0%})" for each, row in zip(likeliest, probabilities, strict=True)]
    plots.save(
        plots.compare_maps(photographs, maps, titles, title=f"What speaks for the likeliest class ({model})"),
        out / "figures" / "photographs.png",
    )

    # Now where the truth is known. The network has learnt the ten figures, on textures and between clutter that is none
    # of them; the question is always for the figure that is there.
    shapes = pretrained("shapes_cnn")
    examples = load(data, split=f"test[:{images}]", fields=("image", "label", "mask"), batch_size=images)
    pictures, labels, masks = (next(iter(examples))[key].numpy() for key in ("image", "label", "mask"))
    masks = masks[..., 0] > 0
    metrics["accuracy"] = np.mean(shapes.predict(pictures, verbose=0).argmax(axis=1) == labels)
    print(
        f"{images} images, {metrics['accuracy']:.1%} recognised; the object covers {masks.mean():.1%} of a picture.\n"
    )

    # The two maps that look at nothing come last. Integrated gradients are asked twice, for they explain a difference,
    # the way from a baseline to the picture. What is as in the baseline has no part in it: from black, a black figure
    # has none, and from white no white one. Few figures are as grey as the middle of all colours. Deconvolution forgets
    # which rectifiers were off; on its way back through strides of two a grid is left that hardly knows the picture.
    maps = {name: explain(name, shapes, pictures, labels, steps) for name in METHODS}
    rows, columns = np.mgrid[: masks.shape[1], : masks.shape[2]] - (masks.shape[1] - 1) / 2
    spot = np.exp(-(rows**2 + columns**2) / (2 * (masks.shape[1] / 8) ** 2))
    maps |= {"a spot in the middle": np.broadcast_to(spot, masks.shape), "random numbers": rng.random(masks.shape)}
    measured = {name: on_the_object(each, masks) for name, each in maps.items()}
    order = sorted(measured, key=lambda name: -measured[name]["hits"].mean())
    print(f"{'method':22} maximum on the object   within 2 pixels   share of the map on the object")
    for name in order:
        mean, spread = (
            {kind: 100 * f(each) for kind, each in measured[name].items()} for f in (np.mean, standard_error)
        )
        print(
            f"{name:22} {mean['hits']:14.1f} ± {spread['hits']:3.1f} % {mean['near']:13.1f} ± {spread['near']:3.1f} %"
            f" {mean['energy']:24.1f} ± {spread['energy']:3.1f} %"
        )
        metrics |= {f"{key_of(name)}_{kind}": each.mean() for kind, each in measured[name].items()}
    for kind, what in (("hits", "Maps whose maximum is on the object"), ("energy", "Share of the map on the object")):
        means, errors = ([100 * f(measured[name][kind]) for name in order] for f in (np.mean, standard_error))
        figure = plots.bars(
            {what: means}, order, y_label="% (± standard error)", errors={what: errors}, written="{:.0f}", title=what
        )
        plots.save(figure, out / "figures" / f"{kind}.png")

    # Which figures does Grad-CAM miss? A place of the last maps sees more than a line's width; the best place to see
    # all of a ring from is its empty middle.
    names = info(data).classes
    by_kind = [measured["Grad-CAM"]["hits"][labels == index].mean() for index in range(0 if quick else len(names))]
    for index in np.argsort(by_kind)[:3]:
        print(f"Grad-CAM on {names[index]}: {by_kind[index]:.0%}")
        metrics[f"grad_cam_hits_{names[index]}"] = by_kind[index]

    # The same picture in the eyes of all of them.
    plots.save(
        plots.compare_maps(
            pictures[3:4],
            {name: maps[name][3:4] for name in order},
            title="One picture, from the surest to the baselines",
        ),
        out / "figures" / "methods.png",
    )

    # Does the map depend on what the network has learnt? From the top down, the weights of a layer, and of its
    # normalisation, change places among themselves: their sizes stay, what they know is lost. How alike two maps are is
    # the correlation of the ranks of their pixels; those of two different pictures, by the network as it was, say what
    # means nothing.
    some, shuffles = (slice(0, 6), 1) if quick else (slice(0, 12), shuffles)
    before = {name: maps[name][some] for name in METHODS}
    other = {name: rank_correlations(each, np.roll(each, 1, axis=0)).mean() for name, each in before.items()}
    learnt, layers = shapes.get_weights(), [layer for layer in reversed(shapes.layers) if layer.weights]
    alike: dict[str, list[list[float]]] = {name: [[1.0] for _ in range(shuffles)] for name in METHODS}
    for shuffle in range(shuffles):
        for layer in layers:
            layer.set_weights([rng.permutation(each.reshape(-1)).reshape(each.shape) for each in layer.get_weights()])
            if layer is layers[-1] or (isinstance(layer, keras.layers.Dense | keras.layers.Conv2D) and not quick):
                for name, each in before.items():
                    after = explain(name, shapes, pictures[some], labels[some], steps)
                    alike[name][shuffle].append(rank_correlations(each, after).mean())
        shapes.set_weights(learnt)
    print(f"\n{'method':22} another picture   scores shuffled    all weights shuffled")
    for name, rows in alike.items():
        top, last = np.array(rows)[:, 1], np.array(rows)[:, -1]
        cells = [f"{x.mean():.2f} ± {standard_error(x) if shuffles > 1 else 0:.2f}" for x in (top, last)]
        print(f"{name:22} {other[name]:15.2f} {cells[0]:>17} {cells[1]:>22}")
        metrics[f"{key_of(name)}_alike_shuffled"] = last.mean()

    # Grad-CAM turns at once: its weights are those of the class. Score-CAM's weights are all positive, and Grad-CAM++
    # takes only positive gradients; their sums show where the maps are strong at all, whatever the class. Guided
    # backpropagation follows the picture's own edges back. All three point at the object well, because in these
    # pictures it is what stands out; that is no proof that they show why the network decides as it does.
    shown = [name for name in METHODS if name not in ("SmoothGrad", "integrated from black", "CAM", "Grad-CAM++")]
    plots.save(
        plots.lines(
            {name: np.mean(alike[name], axis=0) for name in shown},
            range(len(alike["CAM"][0])),
            x_label="layers whose weights were shuffled, from the top",
            y_label="rank correlation with the true map",
            title="Guided backprop hardly notices what is lost",
        ),
        out / "figures" / "shuffled.png",
    )
    with tf.summary.create_file_writer(str(out / "logs")).as_default(step=0):
        for name, value in metrics.items():
            tf.summary.scalar(name, value)
    return metrics


def key_of(name: str) -> str:
    """A method's name as one of a metric.

    Args:
        name: One of `METHODS`, or of the baselines.
    """
    return name.lower().replace("++", "_plus_plus").replace(" ", "_").replace("-", "_")


if __name__ == "__main__":
    command_line(main)
