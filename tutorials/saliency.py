"""Which pixels does an answer hang on, and do they lead to the object?

Paper:  [Simonyan et al., 2013](https://arxiv.org/abs/1312.6034), section 3;
        [Smilkov et al., 2017](https://arxiv.org/abs/1706.03825) for SmoothGrad;
        [Sundararajan et al., 2017](https://arxiv.org/abs/1703.01365) for integrated gradients
Run:    python -m tutorials.saliency
Takes:  65 seconds on one core
Expect: a threshold on the saliency shares 62 % of what it marks and what there is with the object (intersection over
        union, 200 objects, standard error 1 %); the colours and the graph cut make it 73 % (11 ± 1 points more, image
        by image). From SmoothGrad, which has 50 % of itself on the object where the plain gradient has 42 %, it is 67 %
        and 74 %; from integrated gradients 25 % and 63 %. But from a hill in the middle, which knows nothing of the
        image, it is 50 %: two thirds of the success are those of the colours.

The gradient of a class's score says how much each pixel would move it: the simplest of all maps, and one pass back
through the network. It is also rough. A pixel's gradient tells of an infinitely small change of this pixel, and from
pixel to pixel it jumps, for the score is full of small kinks. Two ways out: SmoothGrad averages the gradients of noisy
copies of the image; integrated gradients add up those on the way from a black image to this one, so that all pixels'
parts together are what the image adds to the score.

A picture persuades, but does it show the object? On drawn objects the mask is known, so that can be measured. Each map
is turned into a mask without ever seeing one: by a threshold, or as the paper does it, by a model of the colours that
the map marks and a graph cut. What would a map do that knows nothing of the image? A hill in the middle is put through
the same segmentation: what it finds, the colours found alone.

On photographs there is more to go wrong. The dahlia comes out whole from integrated gradients, though the network takes
it for a coral. Of the cat only what its eyes and nose are like in colour is found, and the rocket not at all: the night
sky around it is marked as well, and has the clearer colour.

Exercises:

1. Take your own photograph (`--photo`). Which of its pixels would you have marked?
2. Explain a wrong class: `saliency(model, images, target)` of the second likeliest. How different is the map?
3. Multiply the gradient by the image. Is the map sharper because it explains more, or because the image is sharp?
4. Segment from `grad_cam` of an early and a late layer. Which does better, and why may an early one?
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from kerasdl.architectures import imagenet_classes, pretrained
from kerasdl.data import load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.photographs import read_photographs
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import integrated_gradients, plots, saliency, segment, smooth_grad
from kerasdl.visualization.__main__ import read_photo

PHOTOGRAPHS = ("chelsea", "coffee", "flower", "rocket")


def maps_of(model: keras.Model, images: np.ndarray, count: int, deviation: float) -> dict[str, np.ndarray]:
    """Three maps of the predicted class, more where the answer hangs on a pixel more, without their finest grain."""
    parts = integrated_gradients(model, images, steps=count, batch_size=8)
    maps = {
        "saliency": saliency(model, images, batch_size=8),
        "SmoothGrad": smooth_grad(model, images, samples=count, batch_size=8),
        "integrated gradients": np.abs(parts.sum(axis=-1)),
    }
    return {name: gaussian_filter(each, (0, deviation, deviation)) for name, each in maps.items()}


def above(maps: np.ndarray, quantile: float) -> np.ndarray:
    """Masks of the pixels above this quantile of their map."""
    return maps > np.quantile(maps, quantile, axis=(1, 2), keepdims=True)


def overlap(found: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Intersection over union of each pair of masks: 1 if they are the same, 0 if they have nothing in common."""
    return (found & masks).sum(axis=(1, 2)) / (found | masks).sum(axis=(1, 2))


def on_object(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """The share of each map that lies on the object."""
    return (maps * masks).sum(axis=(1, 2)) / maps.sum(axis=(1, 2))


@lesson
def main(
    *,
    data: str = "shapes/one",
    epochs: int = 16,
    images: int = 200,
    photo: Path | None = None,
    model: str = "squeezenet1_1",
    weights: Path | None = None,
    quick: bool = False,
    out: Path = Path("runs/saliency"),
) -> dict[str, float]:
    """Looks at photographs, then cuts drawn objects out and measures how well.

    Args:
        data: Images with masks: shapes/one.
        epochs: Nothing is trained: noisy copies in SmoothGrad, and steps in integrated gradients.
        images: How many drawn objects are cut out.
        photo: A photograph of one's own, in the place of the four that ship.
        model: The network that looks at photographs, any that kerasdl.architectures.pretrained knows.
        weights: A file with its weights; not needed for squeezenet1_1.
        quick: Few images and copies, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    if quick:
        epochs, images = 2, 10
    # The photographs first. SqueezeNet takes every second pixel in its first layers, which leaves a grid in the
    # gradient, as fine as the pixels. Each map is blurred by two pixels, or a slide shows nothing but that grid.
    network = pretrained(model) if weights is None else pretrained(model, weights=weights)
    size = network.input_shape[1]
    photographs = read_photographs(PHOTOGRAPHS, size) if photo is None else read_photo(photo, size, size)[None]
    photographs = photographs[:1] if quick else photographs
    probabilities = network.predict(photographs, verbose=0)
    names = [f"{imagenet_classes()[each.argmax()]} {each.max():.0%}" for each in probabilities]
    maps = maps_of(network, photographs, epochs, deviation=2)
    plots.save(
        plots.compare_maps(photographs, maps, names, title="Where the answer hangs on the image"),
        out / "figures" / "photographs.png",
    )

    # The paper's segmentation: the pixels of the five hundredths with the highest saliency tell the colours of the
    # object, the three tenths with the lowest tell those of the rest; a graph cut joins what belongs together.
    # Photographs have no masks: here one can only look.
    pieces = {name: segment(each, photographs) for name, each in maps.items()}
    plots.save(
        plots.compare_maps(photographs, pieces, names, title="Cut out by the colours that each map marks"),
        out / "figures" / "photographs_cut_out.png",
    )

    # Now what can be measured. The thresholds are chosen on other images than those on which they are judged, and with
    # the masks of those: an advantage that the segmentation does not have. For one who knows nothing, the box in the
    # middle is the best threshold, and its segmentation begins from a hill in the middle.
    network = pretrained("shapes_cnn")
    trained, tested = (
        next(load(data, split=f"{split}[:{images}]", batch_size=images, fields=("image", "mask")).as_numpy_iterator())
        for split in ("train", "test")
    )
    masks = tested["mask"][..., 0] > 0
    side = masks.shape[1]
    row, column = np.mgrid[:side, :side] - (side - 1) / 2
    middle = np.broadcast_to(np.exp(-np.maximum(abs(row), abs(column)) / side), masks.shape)
    # (Here too the first layers take every second pixel, so the maps are blurred as well.)
    chosen, judged = (
        maps_of(network, part["image"], epochs, 1.5) | {"the middle": middle} for part in (trained, tested)
    )
    quantiles = np.arange(0.7, 0.99, 0.01)
    cut_by_threshold, cut_by_colours = {}, {}
    for name, each in judged.items():
        tried = [overlap(above(chosen[name], quantile), trained["mask"][..., 0] > 0).mean() for quantile in quantiles]
        cut_by_threshold[name] = above(each, quantiles[int(np.argmax(tried))])
        cut_by_colours[name] = segment(each, tested["image"])
    shown = slice(0, 4)
    plots.save(
        plots.compare_maps(
            tested["image"][shown],
            {
                "SmoothGrad": judged["SmoothGrad"][shown],
                "threshold": cut_by_threshold["SmoothGrad"][shown],
                "graph cut": cut_by_colours["SmoothGrad"][shown],
                "the object": masks[shown],
            },
            title="Cut out without a mask",
        ),
        out / "figures" / "objects.png",
    )

    # How much of what was found and what there is do they share? And is the difference between the two ways clear,
    # image by image: more than three standard errors?
    metrics: dict[str, float] = {}
    ways = {"threshold": cut_by_threshold, "graph cut": cut_by_colours}
    shares = {way: np.stack([overlap(each, masks) for each in found.values()]) for way, found in ways.items()}
    errors = {way: each.std(axis=1, ddof=1) / np.sqrt(images) for way, each in shares.items()}
    for index, name in enumerate(judged):
        key = name.lower().replace(" ", "_")
        gain = shares["graph cut"][index] - shares["threshold"][index]
        error = standard_error(gain)
        for way, short in zip(ways, ("threshold", "cut"), strict=True):
            metrics[f"{key}_{short}"] = shares[way][index].mean()
            metrics[f"{key}_{short}_error"] = errors[way][index]
        metrics |= {f"{key}_gain": gain.mean(), f"{key}_gain_error": error}
        verdict = "clear" if abs(gain.mean()) > 3 * error else "no difference: less than three standard errors"
        print(f"{name}: the graph cut shares {gain.mean():+.3f} ± {error:.3f} more, {verdict}")
    plots.save(
        plots.bars(
            {way: each.mean(axis=1) for way, each in shares.items()},
            [name.replace(" ", "\n") for name in judged],
            y_label="intersection over union (± standard error)",
            errors=errors,
            written="{:.2f}",
            title=f"How well {images} objects are cut out",
        ),
        out / "figures" / "overlap.png",
    )

    # How many noisy copies does SmoothGrad need? What share of the map lies on the object, which covers but a few
    # hundredths of the image?
    counts = [2**power for power in range(int(np.log2(epochs)) + 1)]
    inside = np.stack([on_object(smooth_grad(network, tested["image"], samples=count), masks) for count in counts])
    plain = on_object(saliency(network, tested["image"]), masks)
    metrics |= {"saliency_on_object": plain.mean(), "smoothgrad_on_object": inside[-1].mean(), "object": masks.mean()}
    plots.save(
        plots.lines(
            {
                "SmoothGrad": 100 * inside.mean(axis=1),
                "saliency": np.full(len(counts), 100 * plain.mean()),
                "area of the object": np.full(len(counts), 100 * masks.mean()),
            },
            counts,
            x_label="noisy copies",
            y_label="of the map on the object, % (± standard error)",
            errors={"SmoothGrad": 100 * inside.std(axis=1, ddof=1) / np.sqrt(images)},
            log_x=True,
            title="How many noisy copies it takes",
        ),
        out / "figures" / "noisy_copies.png",
    )
    with tf.summary.create_file_writer(str(out / "logs")).as_default():
        for count, values in zip(counts, inside, strict=True):
            tf.summary.scalar("smoothgrad_on_object", values.mean(), step=count)
    return metrics


if __name__ == "__main__":
    command_line(main)
