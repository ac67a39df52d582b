"""What does each layer of a network still know of an image?

Paper:  [Mahendran and Vedaldi, 2014](https://arxiv.org/abs/1412.0035), sections 3 and 5
Run:    python -m tutorials.feature_inversion
Takes:  90 seconds on one core
Expect: of the noise's distance in features are left 1.5 % at conv1, 3.3 % at fire3, 5.9 % at fire5, 10.6 % at fire7 and
        22.1 % at the last maps. In pixels, where 1 is the mean colour's distance: 0.03, 0.36, 0.96, 1.49 and 1.69. Up
        to fire3 one sees the photograph, at fire5 a drawing of it, above that eyes somewhere near their places. Right
        behind the first pooling 9.5 % are left, more than two layers later: of the values that are pooled only the
        largest gets a gradient, and the search comes to rest where another should have been it.

A layer turns an image into features, and the layers above see nothing else. So ask: which images have the same
features? Begin with noise, and change its pixels, not the weights, until the layer's features are those of the image:

    |F(x) - F(image)|^2 / |F(image)|^2  +  weight * (squared differences of neighbouring pixels)

The second term is a prior. Of the many images with the same features, most look like noise, and the prior asks for a
smooth one among them. What comes out shows what the layer has kept. What it has not kept is up to chance and the prior:
so the lesson begins from several noises, and looks where the results agree.

Two distances are measured at every depth: in feature space, which says whether the search has found what it looked
for, and in pixels, which says what the features still determine. Where the first is small and the second large, the
layer has forgotten. Where the first is large too, one cannot tell: the search may have failed, not the layer.

Exercises:

1. Leave out the prior (`--smoothness 0`). At which depth do you miss it first? What happens to both distances?
2. Turn the image by 90 degrees, or mirror it. Which of its inversions turn with it?
3. Invert the average of two images' features. Which layers give a double exposure, which one thing made of both?
4. `--model vgg16 --weights FILE` has smaller steps between its layers. Up to which do you recognise the image?
"""

from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasdl.architectures import pretrained
from kerasdl.data import info, load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.photographs import middle_square
from kerasdl.visualization import invert_features, plots
from kerasdl.visualization.__main__ import read_photo

# From the lowest to the highest, by the network's name.
LAYERS = {
    "squeezenet1_1": ("conv1", "stage1_out", "fire3", "fire5", "fire7", "stage4_out", "logits"),
    "vgg16": ("stage1_conv2", "stage2_conv2", "stage3_conv3", "stage4_conv3", "stage5_conv3"),
}


def square_image(data: str, label: str, photo: Path | None, side: int) -> np.ndarray:
    """The middle of a file's picture, or of the first image with a label, as a square."""
    if photo is not None:
        return read_photo(photo, side, side)
    names = info(data).classes
    if label not in names:
        raise ValueError(f"`label` must be one of {', '.join(names)}. Received: {label!r}.")
    return middle_square(next(x for x, y in load(data).as_numpy_iterator() if y == names.index(label)), side)


@lesson
def main(
    *,
    data: str = "photos",
    label: str = "chelsea",
    photo: Path | None = None,
    model: str = "squeezenet1_1",
    weights: Path | None = None,
    side: int = 128,
    epochs: int = 300,
    noises: int = 3,
    smoothness: float = 3.0,
    seed: int = 0,
    quick: bool = False,
    out: Path = Path("runs/feature_inversion"),
) -> dict[str, float]:
    """Makes one image again from the features of every depth.

    Args:
        data: Any set of colour images that kerasdl.data.load knows.
        label: The class of which the first image is taken.
        photo: A file to be taken instead.
        model: squeezenet1_1 or vgg16.
        weights: A file with the network's weights; without it those that ship, or are downloaded.
        side: Height and width to which the middle of the image is brought.
        epochs: Steps of the search; nothing is trained.
        noises: From how many noises it begins.
        smoothness: Weight of the prior.
        seed: Decides the noises.
        quick: Few steps on a small image, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    if model not in LAYERS:
        raise ValueError(f"`model` must be one of {', '.join(LAYERS)}. Received: {model!r}.")
    if quick:
        side, epochs, noises = 48, 5, 2
    network = pretrained(model, weights="imagenet" if weights is None else weights, input_shape=(side, side, 3))
    image = square_image(data, label, photo, side)
    layers = LAYERS[model][::3] if quick else LAYERS[model]

    # One search per depth, from all noises at once. The yardstick for features is their distance at the start, when
    # nothing but noise is there. The yardstick for pixels is what one knows without any feature: the mean colour.
    metrics: dict[str, float] = {}
    made, curves = {}, {}
    blank = float(np.sqrt(np.mean((image - image.mean(axis=(0, 1))) ** 2)))
    for layer in layers:
        found, losses = invert_features(
            network,
            np.repeat(image[None], noises, axis=0),
            layer,
            total_variation=smoothness,
            steps=epochs,
            seed=seed,
            return_losses=True,
        )
        made[layer] = found
        distances = np.sqrt(losses["features"])
        curves[layer] = (distances / distances[:, :1]).mean(axis=0)
        with tf.summary.create_file_writer(str(out / "logs" / layer)).as_default():
            for step, value in enumerate(curves[layer]):
                tf.summary.scalar("feature_distance", value, step=step)
        pixels = np.sqrt(np.mean((found - image) ** 2, axis=(1, 2, 3)))
        # How far one result is from the mean of all, in the same unit.
        spread = np.sqrt(np.mean(found.var(axis=0, ddof=1)))
        metrics |= {
            f"{layer}_feature_distance": curves[layer][-1],
            f"{layer}_pixel_distance": pixels.mean() / blank,
            f"{layer}_disagreement": spread / blank,
        }
        print(
            f"{layer}: {curves[layer][-1]:.1%} of the noise's distance left in features, in pixels "
            f"{pixels.mean() / blank:.0%} of that to the mean colour, results differ by {spread / blank:.0%}"
        )

    # The same image, as far as each layer can tell.
    plots.save(
        plots.image_grid(
            np.stack([image, *(found[0] for found in made.values())]),
            ["the image", *(f"{layer}\n{curves[layer][-1]:.1%} left" for layer in layers)],
            columns=4,
            title="One image, made again from each layer's features alone",
        ),
        out / "figures" / "inversions.png",
    )

    # Both distances over the depth.
    plots.save(
        plots.bars(
            {
                name: [metrics[f"{layer}_{key}"] for layer in layers]
                for name, key in (
                    ("in features, of the\nnoise's distance", "feature_distance"),
                    ("in pixels, of the mean\ncolour's distance", "pixel_distance"),
                )
            },
            layers,
            y_label="distance",
            written="{:.2f}",
            title="Deeper features determine fewer of the pixels",
        ),
        out / "figures" / "distances.png",
    )
    plots.save(
        plots.lines(
            curves,
            range(epochs + 1),
            x_label="step",
            y_label="distance in features, of the noise's",
            log_y=True,
            markers=False,
            title="How near the search comes",
        ),
        out / "figures" / "search.png",
    )
    return metrics


if __name__ == "__main__":
    command_line(main)
