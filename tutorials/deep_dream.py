"""What does a network see in a picture of something else, if it may draw what it sees?

Paper:  [Mordvintsev et al., 2015](https://research.google/blog/inceptionism-going-deeper-into-neural-networks/)
Run:    python -m tutorials.deep_dream
Takes:  40 seconds on one core
Expect: with four octaves 16.0 % of what fire7 draws is larger than 16 pixels, with the same 48 steps on one size 9.4 %:
        6.5 ± 1.7 points more over six photographs. On one size the norm of what the layer gives grows more, 10-fold
        against 6.5-fold: octaves are no better way up, but one to larger patterns. On one photograph it grows 3.6-fold
        (stage2_out), 3.1-fold (fire5), 5.8-fold (fire7) and 6.2-fold (stage4_out).

Let a network look at clouds, take what a layer gives, and change the picture so that the layer gives more of it: with
half of the squared activation as the score, the gradient with respect to the activation is the activation itself. What
is strong becomes stronger, what is not there stays away. A faint likeness of an eye gets a little more of an eye, is
seen better for it, and in the next step gets more. So a dream shows what a layer looks for, in pictures of anything.

Nothing tells the network how large an eye is, and a unit of a layer sees no more than its receptive field. To fill a
picture with patterns of all sizes one begins with a small copy of it. What is dreamt there is enlarged, put onto the
next larger copy, which still has the picture's own detail, and dreamt on. These sizes are called octaves.

Exercises:

1. Take a photograph of your own (`--photo FILE`) and other layers (`--layers fire2,fire8`). Which one makes the eyes?
2. Zoom into a dream: dream, cut out the middle 90 %, enlarge it to the old size, dream again, fifty times. Make a film.
3. With `--model resnet50 --weights FILE --layers stage3_out,stage4_out` a better network dreams. What does it see that
   SqueezeNet does not, and what does that say about what the two have learnt?
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasdl.architectures import pretrained
from kerasdl.data import load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.photographs import middle_square
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import activations, deep_dream, plots
from kerasdl.visualization.__main__ import read_photo


def coarse_share(changes: np.ndarray, cell: int = 16) -> np.ndarray:
    """What share of each change's squares is left when it is averaged over cells: that of what is larger than these.

    Args:
        changes: `(N, height, width, channels)`.
        cell: Side of a cell in pixels.
    """
    means = tf.nn.avg_pool2d(changes, cell, cell, "VALID").numpy()
    kept = changes[:, : means.shape[1] * cell, : means.shape[2] * cell]
    return np.square(means).mean(axis=(1, 2, 3)) / np.square(kept).mean(axis=(1, 2, 3))


@lesson
def main(
    *,
    data: str = "photos",
    epochs: int = 12,
    layers: str = "stage2_out,fire5,fire7,stage4_out",
    octaves: int = 4,
    side: int = 320,
    photo: Path | None = None,
    model: str = "squeezenet1_1",
    weights: str = "published",
    seed: int = 0,
    quick: bool = False,
    out: Path = Path("runs/deep_dream"),
) -> dict[str, float]:
    """Dreams on a photograph with several layers, then asks what octaves are good for.

    Args:
        data: Pictures in colour that kerasdl.data.load knows; the first six are taken.
        epochs: Steps in each octave: nothing is trained here.
        layers: Names of layers, with commas between them, from the first to the last.
        octaves: Sizes that are dreamt on.
        side: Of each picture the square in the middle is taken and made this wide.
        photo: A picture of one's own, in the place of the one of the first figures.
        model: The network: squeezenet1_1, resnet50, ...
        weights: "published", or a file with its weights.
        seed: Decides the noise, and how the picture is shifted in each step.
        quick: A small picture and few steps, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    names = layers.split(",")
    if quick:
        names, epochs, octaves, side = names[:1], 2, 2, 96
    network = pretrained(model, weights=weights, input_shape=(side, side, 3))
    pictures = np.stack([middle_square(x, side) for x, _ in load(data, split="train[:2]" if quick else "train[:6]")])
    first = pictures[2 % len(pictures)] if photo is None else read_photo(photo, side, side)
    log = tf.summary.create_file_writer(str(out / "logs"))
    metrics: dict[str, float] = {}

    # One photograph, dreamt on by layers of several depths. Early layers see edges and draw strokes; later ones see
    # parts of things, and draw them where there is something a little like it.
    dreams = {name: deep_dream(network, first[None], name, octaves=octaves, steps=epochs, seed=seed) for name in names}
    for name, dream in dreams.items():
        before, after = (
            np.linalg.norm(activations(network, np.clip(image, 0, 1), name)) for image in (first[None], dream)
        )
        metrics[f"{name}_norm_grows"] = float(after / before)
        print(f"{name:12s} the activation's norm grows {after / before:.2f}-fold")
        with log.as_default():
            tf.summary.image(name, dream, 0)
            tf.summary.scalar("norm_grows", after / before, names.index(name))
        (out / "dreams").mkdir(exist_ok=True)
        keras.utils.save_img(out / "dreams" / f"{name}.png", 255 * dream[0], scale=False)
    plots.save(
        plots.image_grid(
            [first, *(dream[0] for dream in dreams.values())],
            ["the photograph", *names],
            columns=max(3, 1 + len(names)),
            title="What layers see in a photograph",
        ),
        out / "figures" / "layers.png",
    )

    # What are octaves good for? The same layer, with as many steps in all: once on the full picture alone, once octave
    # by octave. What counts is how much of what was drawn is larger than a cell of 16x16 pixels.
    middle = names[len(names) // 2]
    kinds = {"one size": (1, epochs * octaves), f"{octaves} octaves": (octaves, epochs)}
    shares, shown = {}, [[first], [pictures[1]]]
    for name, (count, steps) in kinds.items():
        dreamt = deep_dream(network, pictures, middle, octaves=count, steps=steps, seed=seed)
        shares[name] = coarse_share(dreamt - pictures)
        shown[0].append(deep_dream(network, first[None], middle, octaves=count, steps=steps, seed=seed)[0])
        shown[1].append(dreamt[1])
        grows = np.linalg.norm(activations(network, dreamt, middle)) / np.linalg.norm(
            activations(network, pictures, middle)
        )
        key = name.replace(" ", "_")
        metrics |= {f"{key}_coarse_share": float(shares[name].mean()), f"{key}_norm_grows": float(grows)}
    gain = np.subtract(*reversed(shares.values()))
    error = float(standard_error(gain))
    metrics |= {"octaves_gain": float(gain.mean()), "octaves_gain_error": error}
    verdict = "clear" if abs(gain.mean()) > 3 * error else "not clear: less than three standard errors"
    difference = f"{100 * gain.mean():+.1f} ± {100 * error:.1f} points"
    print(f"Octaves: {difference} in the share of what is drawn that is larger than 16 pixels, {verdict}.")
    plots.save(
        plots.image_grid(
            [*shown[0], *shown[1]],
            ["the photograph", *kinds] * 2,
            columns=3,
            title=f"{epochs * octaves} steps with {middle}, two ways",
        ),
        out / "figures" / "octaves.png",
    )

    # And if there is nothing to see? In noise, and in noise alone, a network sees only what it has learnt.
    noise = np.random.default_rng(seed).uniform(0.4, 0.6, size=(1, side, side, 3)).astype("float32")
    blank = [deep_dream(network, noise, name, octaves=octaves, steps=2 * epochs, seed=seed)[0] for name in names]
    plots.save(
        plots.image_grid(
            [noise[0], *blank],
            ["noise", *names],
            columns=max(3, 1 + len(names)),
            title="What layers see in noise",
        ),
        out / "figures" / "noise.png",
    )
    return metrics


if __name__ == "__main__":
    command_line(main)
