"""Does guided backpropagation show what decides, or only what there is to be seen?

Paper:  [Springenberg et al., 2014](https://arxiv.org/abs/1412.6806), section 3.4;
        [Zeiler and Fergus, 2013](https://arxiv.org/abs/1311.2901) for the deconvolution;
        [Adebayo et al., 2018](https://arxiv.org/abs/1810.03292) for the test that it fails
Run:    python -m tutorials.guided_backprop
Takes:  40 seconds on one core
Expect: guided backpropagation shows what is to be seen: asked for another class it orders the pixels nearly as before
        (rank correlation 0.90, on 200 drawn objects, standard errors 0.004), also when the top layer's weights are
        dealt out anew (0.92), or those of four layers out of six (0.75), and even without anything learnt it keeps half
        (0.51). Grad-CAM does change: 0.18, 0.06, 0.19 and 0.09, with standard errors up to 0.03. So does the
        deconvolution, further down: 0.68, 0.75, -0.03 and -0.21. The strength of the plain gradient is hardly better
        than guided backpropagation: 0.87, 0.84, 0.64 and 0.37. But with its signs it has nothing in common with that of
        another class (-0.10 ± 0.02), where guided backpropagation still has 0.85.

Three ways back through the same rectifiers. Forward, a rectifier lets pass what is above zero. The gradient comes back
where it was on. The deconvolution lets back what is above zero itself, wherever it was on. Guided backpropagation asks
for both. What says "less of this" is thrown away at every layer, and what is left is the sharpest picture of the three:
that is what a neuron has seen, part by part, down to the pixels.

Such a picture looks like an explanation. Two questions tell whether it is one. Does it change when another class is
asked for? And does it change when the upper layers' weights are thrown away, their numbers dealt out anew? A map that
explains an answer must, for then there is another answer, or none. What does not change was never about the answer.

How strong a plain gradient is at a pixel depends most of all on which rectifiers are on there, and that is the image's
doing, whatever class is asked for. What the class decides are its signs, and these are what guided backpropagation
throws away. Grad-CAM has only the top layer's weights to weigh the maps by, so it loses all at the first step.

Exercises:

1. Why does so little change? Follow a gradient back by hand: which signs of the upper weights still count after the
   first rectifier, which after the second?
2. Deal out the weights anew from the bottom instead of from the top (`layers[::-1]`). What changes now?
3. Multiply guided backpropagation by Grad-CAM, as the latter's authors do. Which of the two tests does the product
   pass, and thanks to which factor?
4. Look at neurons of the same layer that answer most to your own photograph (`--photo`). Do they agree on the place?
"""

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from scipy.stats import rankdata

from kerasdl.architectures import imagenet_classes, pretrained
from kerasdl.data import load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.photographs import read_photographs
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import activations, deconvolution, grad_cam, guided_backpropagation, plots, saliency
from kerasdl.visualization.__main__ import read_photo
from kerasdl.visualization.gradients import image_gradient


def strength(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """The same maps without their signs and colours, `(N, height, width)`."""
    return lambda *arguments: np.abs(function(*arguments)).max(axis=-1)


METHODS: dict[str, Callable[..., np.ndarray]] = {
    "guided backpropagation": strength(guided_backpropagation),
    "deconvolution": strength(deconvolution),
    "gradient": saliency,
    "Grad-CAM": grad_cam,
}


def alike(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The rank correlation of each pair of maps: 1 if they order the pixels alike, 0 if they have nothing to do."""
    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second)]
    a, b = (each - each.mean(axis=1, keepdims=True) for each in ranks)
    # A map that is the same everywhere orders nothing.
    return (a * b).sum(axis=1) / np.maximum(np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1)), 1e-12)


def strongest(model: keras.Model, image: np.ndarray, layer: str) -> tuple[int, int, int]:
    """Where this layer answers most to the image, away from the border: (row, column, channel)."""
    maps = activations(model, image[None], layer)[0]
    edge = len(maps) // 8
    inner = maps[edge:-edge, edge:-edge] if edge else maps
    row, column, channel = np.unravel_index(inner.argmax(), inner.shape)
    return int(row) + edge, int(column) + edge, int(channel)


def patches(image: np.ndarray, maps: list[np.ndarray], side: int = 96) -> tuple[list[np.ndarray], int]:
    """The part of the image that reaches a neuron, and that part of its maps, drawn in one size; and its true size."""
    touched = np.any([np.abs(each).sum(axis=2) > 0 for each in maps], axis=0)
    rows, columns = np.flatnonzero(touched.any(axis=1)), np.flatnonzero(touched.any(axis=0))
    size = int(max(np.ptp(rows), np.ptp(columns))) + 1
    top, left = (int(np.clip(each.min(), 0, len(image) - size)) for each in (rows, columns))
    found = []
    for picture in (image, *(0.5 + each / (2 * np.quantile(np.abs(each[touched]), 0.99)) for each in maps)):
        part = picture[top : top + size, left : left + size]
        found.append(np.clip(tf.image.resize(part, (side, side), method="nearest").numpy(), 0, 1))
    return found, size


@lesson
def main(
    *,
    data: str = "shapes/one",
    epochs: int = 3,
    images: int = 200,
    photo: Path | None = None,
    model: str = "squeezenet1_1",
    weights: Path | None = None,
    quick: bool = False,
    out: Path = Path("runs/guided_backprop"),
) -> dict[str, float]:
    """Looks at classes and single neurons, then measures what the pictures depend on.

    Args:
        data: Images that the network of drawn objects knows: shapes/one.
        epochs: Nothing is trained: how often the weights are dealt out anew.
        images: How many drawn objects are measured on.
        photo: A photograph of one's own, in the place of those that ship.
        model: The network that looks at photographs, any that kerasdl.architectures.pretrained knows.
        weights: A file with its weights; not needed for squeezenet1_1.
        quick: Few images, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    if quick:
        epochs, images = 1, 10
    network = pretrained(model) if weights is None else pretrained(model, weights=weights)
    size = network.input_shape[1]
    wanted = ("chelsea",) if quick else ("chelsea", "coffee", "flower")
    photographs = read_photographs(wanted, size) if photo is None else read_photo(photo, size, size)[None]
    probabilities = network.predict(photographs, verbose=0)
    names = [f"{imagenet_classes()[each.argmax()]} {each.max():.0%}" for each in probabilities]

    # The three ways back from the likeliest class, in the colours of the image; mid-grey is zero. The regular dots are
    # SqueezeNet's own: its first layers take every second pixel.
    likeliest = probabilities.argmax(axis=1)
    gradient = image_gradient(network, tf.constant(photographs), tf.constant(likeliest, tf.int32)).numpy()
    plots.save(
        plots.compare_maps(
            photographs,
            {
                "gradient": gradient,
                "deconvolution": deconvolution(network, photographs),
                "guided backpropagation": guided_backpropagation(network, photographs),
            },
            names,
            title="Three ways back from the likeliest class",
        ),
        out / "figures" / "three_ways.png",
    )

    # Single neurons: of every stage the one that answers most, and what it has seen. The deeper, the larger the part of
    # the image that reaches it, and the more of an object.
    stages = [layer.name for layer in network.layers if re.fullmatch(r"stage\d_out", layer.name)]
    stages = stages[:2] if quick else stages
    for number, image in enumerate(photographs[:2], 1):
        rows: list[list[np.ndarray]] = [[], [], []]
        titles = []
        for stage in stages:
            unit = (stage, strongest(network, image, stage))
            ways = [way(network, image[None], unit=unit)[0] for way in (guided_backpropagation, deconvolution)]
            parts, seen = patches(image, ways)
            for row, part in zip(rows, parts, strict=True):
                row.append(part)
            titles.append(f"{stage.replace('_out', '')}, {seen}x{seen} pixels")
        titles += ["guided"] * len(stages) + ["deconvolution"] * len(stages)
        plots.save(
            plots.image_grid(
                rows[0] + rows[1] + rows[2], titles, columns=len(stages), title="What single neurons have seen"
            ),
            out / "figures" / f"neurons_{number}.png",
        )

    # First question: does the picture change with the class? Here for the likeliest class and for the least likely one.
    picked = {"likeliest class": likeliest[0], "least likely class": probabilities[0].argmin()}
    both = (guided_backpropagation, grad_cam)
    plots.save(
        plots.overlay_grid(
            photographs[:1],
            [way(network, photographs[:1], class_)[0] for way in both for class_ in picked.values()],
            [f"{way}, {name}" for way in ("guided", "Grad-CAM") for name in picked],
            columns=4,
            title="Ask for another class: what changes?",
        ),
        out / "figures" / "two_classes.png",
    )

    # In numbers, on drawn objects: how alike do the maps of the predicted class and of another one order the pixels?
    network = pretrained("shapes_cnn")
    pictures, _ = next(load(data, split=f"test[:{images}]", batch_size=images).as_numpy_iterator())
    classes = network.predict(pictures, verbose=0).argmax(axis=1)
    random = np.random.default_rng(0)
    others = (classes + random.integers(1, 10, size=images)) % 10
    metrics: dict[str, float] = {}
    whole = {name: method(network, pictures, classes) for name, method in METHODS.items()}
    with warnings.catch_warnings():
        # Nothing may speak for the other class: then the map is empty, and unlike any other.
        warnings.simplefilter("ignore", UserWarning)
        of_classes = {name: alike(each, METHODS[name](network, pictures, others)) for name, each in whole.items()}

    # So far by strength. And with their signs, each colour of each pixel?
    both_classes = [tf.constant(each, tf.int32) for each in (classes, others)]
    signed = {
        "gradient": [image_gradient(network, tf.constant(pictures), each).numpy() for each in both_classes],
        "guided backpropagation": [guided_backpropagation(network, pictures, each) for each in both_classes],
    }
    with_signs = {name: alike(*each) for name, each in signed.items()}

    # Second question: does it change when what the network learnt is taken away, layer by layer from the top? Each
    # layer's numbers are dealt out anew: the same numbers, in other places. Every time, the network below is the same.
    layers = [layer for layer in reversed(network.layers) if hasattr(layer, "kernel")]
    learnt = [layer.kernel.numpy() for layer in layers]
    stays = {name: np.ones((epochs, len(layers) + 1, images)) for name in METHODS}
    for draw in range(epochs):
        for layer, kernel in zip(layers, learnt, strict=True):
            layer.kernel.assign(kernel)
        for step, (layer, kernel) in enumerate(zip(layers, learnt, strict=True), 1):
            layer.kernel.assign(random.permutation(kernel.ravel()).reshape(kernel.shape))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                for name, method in METHODS.items():
                    stays[name][draw, step] = alike(whole[name], method(network, pictures, classes))

    measured = {
        "another class": of_classes,
        "top layer dealt anew": {name: each[:, 1].mean(axis=0) for name, each in stays.items()},
        "all layers dealt anew": {name: each[:, -1].mean(axis=0) for name, each in stays.items()},
    }
    for question, values in (measured | {"another class with signs": with_signs}).items():
        for name, each in values.items():
            key = f"{name}_{question}".lower().replace(" ", "_").replace("-", "_")
            metrics |= {key: each.mean(), f"{key}_error": standard_error(each)}
    plots.save(
        plots.bars(
            {question: [each.mean() for each in values.values()] for question, values in measured.items()},
            ["guided\nbackprop", "decon-\nvolution", "gradient", "Grad-CAM"],
            y_label="rank correlation with the map\n(± standard error)",
            errors={
                question: [standard_error(each) for each in values.values()] for question, values in measured.items()
            },
            written="{:.2f}",
            title="What stays the same with …",
        ),
        out / "figures" / "in_common.png",
    )
    means = {name: each.mean(axis=(0, 2)) for name, each in stays.items()}
    plots.save(
        plots.lines(
            means,
            range(len(layers) + 1),
            x_label="layers dealt anew, from the top",
            y_label="rank correlation with the true map\n(± standard error)",
            errors={name: each.mean(axis=0).std(axis=1, ddof=1) / np.sqrt(images) for name, each in stays.items()},
            title="What is left when the network forgets",
        ),
        out / "figures" / "forgetting.png",
    )
    with tf.summary.create_file_writer(str(out / "logs")).as_default():
        for name, values in means.items():
            for step, value in enumerate(values):
                tf.summary.scalar(f"in_common/{name.replace(' ', '_')}", value, step=step)
    return metrics


if __name__ == "__main__":
    command_line(main)
