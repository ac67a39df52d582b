"""Which part of a picture does the network need?

Paper:  [Zeiler and Fergus, 2013](https://arxiv.org/abs/1311.2901), section 4.2
Run:    python -m tutorials.occlusion
Takes:  40 seconds on one core
Expect: with patches of 8 pixels 98.0 ± 0.7 % of the maps have their maximum on the object, and 59.6 ± 1.2 % of a map
        lies there; with patches of 16, as large as the figures, 81.0 ± 4.8 % and 27.8 %; with 32, 16.6 %. A black patch
        of 14 pixels beside the figure adds 13.7 to the score of "square", one of the picture's mean colour 0.1. On
        three photographs the likeliest class has 69 %; without what is missed most 51 %, without as large a patch that
        is not missed 70 %.

Cover a part of the picture and ask again. If the score of the class falls, that part was needed; if it rises, it spoke
for something else. Nothing is differentiated and no layer is opened: this asks the network only what it is made to
answer, so it works on any, and what it measures is real. It has two knobs that no gradient has.

- **The patch.** A small one takes too little away: what a network sees in one place it sees in the next as well. A
  large one takes the object away wherever it touches it, and the map becomes wide. What is best can be measured where
  one knows where the object is, to the pixel: on the drawn set `shapes/one`.
- **What covers it.** There is no picture of nothing. A black patch is itself a black square, and a network may know
  squares.

The price is one answer of the network per patch, hundreds for one picture.

Exercises:

1. Cover with noise in the place of one colour (`value` takes a whole picture). Is it a better nothing?
2. Where a map is negative, a patch helps. Look for such a place in a photograph, and see what the network says with it
   covered.
3. Cover two places at once, in the example of two eyes. Is the drop the sum of both drops?
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasdl.architectures import imagenet_classes, pretrained
from kerasdl.data import info, load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.photographs import read_photographs
from kerasdl.tutorials.pointing import on_the_object
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import occlusion, plots

PATCHES = (4, 8, 12, 16, 24, 32)
COVERS = {"mean colour": None, "black": 0.0, "grey": 0.5, "white": 1.0}


def positive(maps: Mapping[str, np.ndarray], some: slice) -> dict[str, np.ndarray]:
    """What is above zero in some of the maps under each name.

    Args:
        maps: By name, `(N, H, W)`.
        some: Which.
    """
    return {name: np.maximum(each[some], 0) for name, each in maps.items()}


@lesson
def main(
    *,
    data: str = "shapes/one",
    epochs: int | None = None,
    images: int = 60,
    model: str = "squeezenet1_1",
    weights: str = "published",
    quick: bool = False,
    out: Path = Path("runs/occlusion"),
) -> dict[str, float]:
    """Covers photographs and drawn figures patch by patch, with patches of several sizes and colours.

    Args:
        data: A set of images with masks: shapes/one.
        epochs: Nothing is trained here: how many sizes of patches are tried, from 4 pixels on.
        images: How many of its test images.
        model: The network for the photographs, by its name in `pretrained`.
        weights: "published", or a file with its weights.
        quick: Small photographs and few images, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    images, side = (8, 96) if quick else (images, 224)
    patches = PATCHES[: epochs or (2 if quick else None)]
    metrics: dict[str, float] = {}

    # Photographs first. Each map says by how much the score of the likeliest class falls when a patch over the place is
    # covered. Where it rises the pictures are dark too, so that all of them have the same colours.
    names = ("chelsea",) if quick else ("chelsea", "coffee", "rocket")
    network = pretrained(model, weights=weights, input_shape=(side, side, 3))
    photographs = read_photographs(names, side)
    probabilities = network.predict(photographs, verbose=0)
    likeliest = probabilities.argmax(axis=1)
    maps = {
        f"patches of {size}": occlusion(network, photographs, likeliest, patch=size, stride=size // 2)
        for size in ((24,) if quick else (28, 56, 84))
    }
    words = imagenet_classes()
    titles = [f"{words[each]} ({row[each]:.0%})" for each, row in zip(likeliest, probabilities, strict=True)]
    plots.save(
        plots.compare_maps(
            photographs,
            positive(maps, slice(None)),
            titles,
            title=f"How far the score falls without this place ({model})",
        ),
        out / "figures" / "photographs.png",
    )

    # Is it true? Cover the patch that is missed most, and one that is not missed at all.
    size = side // 4
    coarse = occlusion(network, photographs, likeliest, patch=size, stride=size // 2)
    for which, strength in (("most", coarse), ("least", -np.abs(coarse))):
        covered = photographs.copy()
        for photo, each in zip(covered, strength, strict=True):
            middle = np.unravel_index(each.argmax(), each.shape)
            row, column = (int(np.clip(place - size // 2, 0, side - size)) for place in middle)
            photo[row : row + size, column : column + size] = photo.mean(axis=(0, 1))
        left = network.predict(covered, verbose=0)[np.arange(len(names)), likeliest]
        metrics[f"probability_without_the_{which}_needed"] = left.mean()
    metrics["probability"] = probabilities.max(axis=1).mean()

    # How large a patch? Every size moves by 4 pixels, so that all maps are equally fine. The figures are 12 to 19
    # pixels wide.
    shapes = pretrained("shapes_cnn")
    examples = load(data, split=f"test[:{images}]", fields=("image", "label", "mask"), batch_size=images)
    pictures, labels, masks = (next(iter(examples))[key].numpy() for key in ("image", "label", "mask"))
    masks = masks[..., 0] > 0
    by_size = {size: occlusion(shapes, pictures, labels, patch=size, stride=4) for size in patches}
    measured = {size: on_the_object(each, masks) for size, each in by_size.items()}
    writer = tf.summary.create_file_writer(str(out / "logs"))
    for size, each in measured.items():
        print(
            f"patches of {size:2}: "
            + ", ".join(f"{k} {v.mean():.1%} ± {standard_error(v):.1%}" for k, v in each.items())
        )
        metrics |= {f"patch_{size}_{kind}": values.mean() for kind, values in each.items()}
        with writer.as_default(step=size):
            for kind, values in each.items():
                tf.summary.scalar(kind, values.mean())
    writer.close()
    curves = {"hits": "maximum on the object", "energy": "share of the map on the object"}
    means, errors = (
        {name: [100 * f(measured[size][kind]) for size in patches] for kind, name in curves.items()}
        for f in (np.mean, standard_error)
    )
    plots.save(
        plots.lines(
            means,
            patches,
            x_label="side of the patch in pixels (figures: 12 to 19)",
            y_label="% (± standard error)",
            errors=errors,
            title="The larger the patch, the less exact",
        ),
        out / "figures" / "patch_size.png",
    )
    plots.save(
        plots.compare_maps(
            pictures[3:6],
            positive({f"patches of {size}": each for size, each in by_size.items()}, slice(3, 6)),
            title="The drop of the true class's score",
        ),
        out / "figures" / "shapes.png",
    )

    # What covers? Ask for the class "square" of all figures that are none, and look only where no figure is: what does
    # a patch of 14 pixels there add to the score of a square?
    square = info(data).classes.index("square")
    others = labels != square
    rises = {}
    for name, value in COVERS.items():
        drops = occlusion(shapes, pictures[others], square, patch=14, stride=7, value=value)
        rises[name] = np.array([-each[~mask].mean() for each, mask in zip(drops, masks[others], strict=True)])
        print(f"{name}: {rises[name].mean():+.2f} ± {standard_error(rises[name]):.2f} on the score of a square")
        metrics[f"square_by_{name.split()[-1]}"] = rises[name].mean()
    plots.save(
        plots.bars(
            {"rise": [each.mean() for each in rises.values()]},
            list(rises),
            y_label="change of the score of “square”\n(± standard error)",
            errors={"rise": [standard_error(each) for each in rises.values()]},
            written="{:+.2f}",
            title="A patch beside the figure is a figure itself",
        ),
        out / "figures" / "covers.png",
    )
    return metrics


if __name__ == "__main__":
    command_line(main)
