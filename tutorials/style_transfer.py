"""Can a network tell what an image shows from how it is painted?

Paper:  [Gatys et al., 2015](https://arxiv.org/abs/1508.06576), A neural algorithm of artistic style
Run:    python -m tutorials.style_transfer
Takes:  35 seconds on one core
Expect: of the losses of noise, 3.2 % are left in the content and 1.9 % in the style of the coffee, 8.8 % and 6.3 % in
        that of the flower: all fall by more than 90 %. A tenth of the style's weight leaves 0.8 % of the content loss
        and 9.5 % of the style loss, ten times the weight 11.3 % and 0.4 %: the rest is a matter of taste.

A network trained to name things must not care how they are painted; it has to take the two apart. Gatys and his
colleagues said where to find them: *what is shown* is in the features of a higher layer, place by place, and *how* is
in the Gram matrices of lower ones, which say which features stand together, but not where. So one can ask for both at
once, from two images, and search for the pixels that have them:

    content weight * |F(x) - F(content)|^2 / |F(content)|^2  +  style weight * |G(x) - G(style)|^2 / |G(style)|^2

Both cannot be had entirely. The weights say which counts more, and a curve over the weights says what one costs in
terms of the other. Nothing is trained: the network stays, the pixels move.

The losses are measured against those of noise, where neither content nor style is there; a fall of 90 % leaves a tenth.
A search that begins at the content has lost nothing of it at first, so for the measurement all begin at noise. The
pictures of mixtures begin at the content: it is lost sight of less easily.

Exercises:

1. Give all weight to the lowest layer, then to the highest (`style_layers={"conv1": 1}`). What is style at each?
2. Begin at the style (`start=` takes images). Does the search end elsewhere? Compare the losses at the end.
3. Keep the content's colours: take only the brightness of the result, and hue and saturation of the content.
4. `--model vgg16 --weights FILE` is what the paper used, and slower. What does it paint better, and where do the losses
   say so?
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.architectures import pretrained
from kerasdl.data import info, load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.photographs import middle_square
from kerasdl.visualization import plots, transfer_style
from kerasdl.visualization.__main__ import read_photo

# Where the content is read, high enough that colours and strokes are free, and where the styles are, below.
LAYERS = {
    "squeezenet1_1": ("fire7", ("conv1", "fire2", "fire3")),
    "vgg16": ("stage4_conv2", ("stage1_conv1", "stage2_conv1", "stage3_conv1", "stage4_conv1")),
}


def squares(data: str, labels: list[str], side: int) -> np.ndarray:
    """The middle of the first image of each class."""
    names, found = info(data).classes, {}
    for label in labels:
        if label not in names:
            raise ValueError(f"`content` and `styles` must be among {', '.join(names)}. Received: {label!r}.")
    for image, label in load(data).as_numpy_iterator():
        if names[label] not in found:
            found[names[label]] = middle_square(image, side)
    return np.stack([found[label] for label in labels])


def with_mean_pooling(model: keras.Model) -> keras.Model:
    """The same network, with the mean of what is pooled in the place of the largest."""

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        is_largest = isinstance(layer, keras.layers.MaxPooling2D)
        return (keras.layers.AveragePooling2D if is_largest else type(layer)).from_config(layer.get_config())

    twin = keras.models.clone_model(model, clone_function=copy)
    twin.set_weights(model.get_weights())
    return twin


@lesson
def main(
    *,
    data: str = "photos",
    content: str = "chelsea",
    styles: str = "coffee,flower",
    photo: Path | None = None,
    style_photo: Path | None = None,
    model: str = "squeezenet1_1",
    weights: Path | None = None,
    side: int = 128,
    epochs: int = 300,
    style_weight: float = 2.0,
    smoothness: float = 1.0,
    seed: int = 0,
    quick: bool = False,
    out: Path = Path("runs/style_transfer"),
) -> dict[str, float]:
    """Paints one image in the style of two others, and of their mixture.

    Args:
        data: Any set of colour images that kerasdl.data.load knows.
        content: The class of which the first image is taken for the content.
        styles: Two classes, for the styles.
        photo: A file to be taken for the content instead.
        style_photo: A file to be taken for the first style instead.
        model: squeezenet1_1 or vgg16.
        weights: A file with the network's weights; without it those that ship, or are downloaded.
        side: Height and width to which the middle of the images is brought.
        epochs: Steps of the search; nothing is trained.
        style_weight: What the style counts, where the content counts one.
        smoothness: Weight of the squared differences of neighbouring pixels.
        seed: Decides the noise.
        quick: Few steps on small images, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    names = styles.split(",")
    if len(names) != 2:
        raise ValueError(f"`styles` must be two names with a comma between. Received: {styles!r}.")
    if model not in LAYERS:
        raise ValueError(f"`model` must be one of {', '.join(LAYERS)}. Received: {model!r}.")
    if quick:
        side, epochs = 48, 5
    # Where the network takes the largest of pooled values, only one in nine or four gets a gradient, and a grid appears
    # in the picture. The authors took the mean instead, though the network was trained otherwise; so does this lesson.
    network = with_mean_pooling(
        pretrained(model, weights="imagenet" if weights is None else weights, input_shape=(side, side, 3))
    )
    images = squares(data, [content, *names], side)
    if photo is not None:
        images[0] = read_photo(photo, side, side)
    if style_photo is not None:
        images[1] = read_photo(style_photo, side, side)
    target, painters = images[:1], images[1:]
    above, below = LAYERS[model]
    options: dict[str, Any] = {
        "content_layers": above,
        "style_layers": below,
        "total_variation": smoothness,
        "steps": epochs,
        "seed": seed,
    }

    # From noise, for each style: how much of both losses is left?
    metrics: dict[str, float] = {}
    curves, painted = {}, []
    for name, painter in zip(names, painters, strict=True):
        made, losses = transfer_style(
            network, target, painter[None], style_weight=style_weight, start="noise", return_losses=True, **options
        )
        painted.append(made[0])
        with tf.summary.create_file_writer(str(out / "logs" / name)).as_default():
            for loss in ("content", "style"):
                left = losses[loss][0] / losses[loss][0, 0]
                curves[f"{name}: {loss}"] = left
                metrics[f"{name}_{loss}_left"] = left[-1]
                for step, value in enumerate(left):
                    tf.summary.scalar(f"{loss}_loss_left", value, step=step)
        print(f"{name}: of noise's losses are left {metrics[f'{name}_content_left']:.1%} in the content, ", end="")
        print(f"{metrics[f'{name}_style_left']:.1%} in the style")
    plots.save(
        plots.lines(
            curves,
            range(epochs + 1),
            x_label="step",
            y_label="loss, of that of noise",
            log_y=True,
            markers=False,
            title="From noise to an image with both",
        ),
        out / "figures" / "losses.png",
    )

    # What one costs in terms of the other: the style counts more and more.
    tried = [style_weight * factor for factor in ((0.1, 10.0) if quick else (0.1, 1.0, 10.0))]
    frontier, row = [], []
    for weight in tried:
        made, losses = transfer_style(
            network,
            target,
            painters[:1],
            style_weight=weight,
            start="noise",
            return_losses=True,
            **options,
        )
        row.append(made[0])
        frontier.append([losses[loss][0, -1] / losses[loss][0, 0] for loss in ("content", "style")])
        for loss, left in zip(("content", "style"), frontier[-1], strict=True):
            metrics[f"{names[0]}_{loss}_left_at_{weight:g}"] = left
    plots.save(
        plots.image_grid(
            np.stack([target[0], *row, painters[0]]),
            ["content", *(f"style weighs {weight:g}" for weight in tried), f"style: {names[0]}"],
            columns=len(row) + 2,
            title="From the content to the style",
        ),
        out / "figures" / "weights.png",
    )
    plots.save(
        plots.lines(
            dict(zip(("content", "style"), np.transpose(frontier), strict=True)),
            tried,
            x_label="weight of the style, where the content's is 1",
            y_label="loss left, of that of noise",
            log_x=True,
            title="What is given to the style is taken from the content",
        ),
        out / "figures" / "frontier.png",
    )

    # Several styles at once: the losses are added, with a weight for each. These searches begin at the content.
    mixtures = [(1.0, 0.0), (0.5, 0.5), (0.0, 1.0)]
    mixed = [
        transfer_style(network, target, painters, style_weight=[style_weight * share for share in shares], **options)[0]
        for shares in mixtures
    ]
    plots.save(
        plots.image_grid(
            np.stack([target[0], *mixed, *painters]),
            [content, f"as {names[0]}", "half and half", f"as {names[1]}", *names],
            columns=6,
            title="One content, two styles and their mixture",
        ),
        out / "figures" / "styles.png",
    )
    return metrics


if __name__ == "__main__":
    command_line(main)
