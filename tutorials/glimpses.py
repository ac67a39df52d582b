"""How much does a network see of an image that it looks at through a small window, a few times?

Paper:  [Mnih et al., 2014](https://arxiv.org/abs/1406.6247)
Run:    python -m tutorials.glimpses
Takes:  60 seconds on one core
Expect: after five looks 44 % of the test images right by looking where it likes, 40 % in a fixed scan, 38 % at random
        places and 35 % at the centre alone: 4.5 ± 0.6, 6.4 ± 0.3 and 9.0 ± 1.2 points more (three seeds); after the
        first look it is 33 to 35 % for all. Of the later looks 95 % are on the piece, of those of the scan 27 %. Being
        on the piece is not enough: of the looks at the centre 87 % are. All four know little, for 2,400 pieces and five
        epochs are little: `--images 6000 --epochs 20` takes ten times as long.

We do not see a scene at once: the eye jumps from place to place, sharp in the middle and blurred around it, and what
was seen is put together from memory. Here a recurrent network classifies pieces of clothing like that. They lie
anywhere on a canvas of four times their size, among scraps of other pieces, and the network sees it through a window:

    g_t = what it sees around the place l_t: 12x12 pixels, and around them 36x36 at a third of the sharpness
    h_t = max(0, W [g_t; l_t; h_t-1] + b)        what it remembers
    l_t+1 = tanh(V h_t + c)                      where it looks next

The paper's window jumps by whole pixels, which has no gradient, so it learns where to look by trial and reward. Here
every pixel of the window is a weighted mean of its neighbours in the image (as in a spatial transformer, [Jaderberg et
al., 2015](https://arxiv.org/abs/1506.02025)): the window moves smoothly, and the gradient of the loss tells whether
further to the left would have been better. So where to look is learnt by plain back-propagation through time.

Four networks are compared that differ only in where they look after a first look at the centre: where they like, in a
fixed scan over the canvas, at random places, or at the centre again and again, where the pieces lie most often.

Exercises:

1. Take the blurred surroundings away (`--surroundings 1`). Why does learning where to look get so hard?
2. Give the loss of the last look alone (`probabilities[:, -1]`). Where does the network look first now?
3. Look at the boxes of pieces that were classified wrong. Did it not find them, or not know them?
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl import training
from kerasdl.data import info, load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.tutorials.wanted_data import needs
from kerasdl.visualization import plots

WAYS = {
    "learned": "where it likes",
    "scan": "in a fixed scan",
    "random": "at random places",
    "centre": "at the centre alone",
}
# Rows and columns of the scan, from the centre on: left to right, from top to bottom.
SCAN = [(0, 0), (-0.6, -0.6), (-0.6, 0.6), (0.6, 0.6), (0.6, -0.6)]


class Look(keras.layers.Layer):
    """A square window of images around given places, and wider ones with fewer details.

    Row and column each are a mean of pixels, weighted by a tent as wide as the scale: bilinear where that is 1.
    """

    def __init__(self, size: int, scales: tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size, self.scales = size, scales

    def call(self, inputs: Any) -> Any:
        """Cuts the windows out: `(batch, size, size, channels of all scales)`."""
        images, places = inputs
        windows = []
        for scale in self.scales:
            tents = []
            for axis in (0, 1):
                length = images.shape[1 + axis]
                # A place of -1 or 1 puts the sharp window at the border.
                centers = (length - 1) / 2 + places[:, axis, None] * (length - self.size) / 2
                points = centers + scale * (keras.ops.arange(self.size, dtype="float32") - (self.size - 1) / 2)
                apart = keras.ops.abs(points[..., None] - keras.ops.arange(length, dtype="float32"))
                tents.append(keras.ops.relu(1 - apart / scale) / scale)
            rows = keras.ops.einsum("bph,bhwc->bpwc", tents[0], images)
            windows.append(keras.ops.einsum("bqw,bpwc->bpqc", tents[1], rows))
        return keras.ops.concatenate(windows, axis=-1)


class Elsewhere(keras.layers.Layer):
    """A place that does not depend on what was seen: a fixed one, or where it is None another one each time."""

    def __init__(self, place: tuple[float, float] | None, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.place, self.chance = place, keras.random.SeedGenerator(seed)

    def call(self, inputs: Any) -> Any:
        """A place for each example."""
        shape = (keras.ops.shape(inputs)[0], 2)
        if self.place is None:
            return keras.random.uniform(shape, -1, 1, seed=self.chance)
        return keras.ops.broadcast_to(keras.ops.array(self.place, "float32"), shape)


def looking_network(
    way: str, *, shape: tuple[int, ...], classes: int, looks: int, size: int, scales: tuple[int, ...], units: int
) -> tuple[keras.Model, keras.Model]:
    """Builds a network that looks several times, with the same weights each time.

    Returns:
        The network from images to what it says after each look, `(batch, looks, classes)`; and the same network with a
        second output: where it looked, `(batch, looks, 2)`.
    """
    images = keras.Input(shape)
    look = Look(size, scales, name="look")
    what = keras.layers.Dense(units, activation="relu", name="what")
    where = keras.layers.Dense(units // 4, activation="relu", name="where")
    remember = keras.layers.Dense(units, activation="relu", name="remember")
    # Small weights: in the beginning it looks near the centre.
    move = keras.layers.Dense(2, "tanh", kernel_initializer=keras.initializers.RandomNormal(stddev=0.01), name="move")
    answer = keras.layers.Dense(classes, activation="softmax", name="answer")
    place, memory = Elsewhere((0.0, 0.0))(images), None
    places, answers = [], []
    for step in range(looks):
        places.append(place)
        seen = [what(keras.layers.Flatten()(look([images, place]))), where(place)]
        # Nothing is remembered before the first look.
        before = memory if memory is not None else keras.ops.zeros_like(seen[0])
        memory = remember(keras.layers.Concatenate()([*seen, before]))
        answers.append(answer(memory))
        fixed = {"scan": SCAN[(step + 1) % len(SCAN)], "centre": SCAN[0]}.get(way)
        place = move(memory) if way == "learned" else Elsewhere(fixed, seed=step)(images)
    said = keras.ops.stack(answers, axis=1)
    return keras.Model(images, said), keras.Model(images, [said, keras.ops.stack(places, axis=1)])


def scatter(images: np.ndarray, side: int, rng: np.random.Generator, scraps: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Puts each image at a random place on a black canvas, among scraps of others, a quarter as wide.

    Returns:
        The canvases, and the box of each image: top, left, bottom, right in shares of the canvas.
    """
    count, height, width, channels = images.shape
    canvases = np.zeros((count, side, side, channels), "float32")
    corners = np.stack([rng.integers(0, side - height + 1, count), rng.integers(0, side - width + 1, count)], axis=1)
    scrap = height // 4
    for canvas, image, (top, left) in zip(canvases, images, corners, strict=True):
        for _ in range(scraps):
            other = images[rng.integers(count)]
            y, x = rng.integers(scrap, height - 2 * scrap, 2)
            to_y, to_x = rng.integers(0, side - scrap, 2)
            canvas[to_y : to_y + scrap, to_x : to_x + scrap] = other[y : y + scrap, x : x + scrap]
        part = canvas[top : top + height, left : left + width]
        np.maximum(part, image, out=part)
    return canvases, np.concatenate([corners, corners + np.array([height, width])], axis=1) / side


def arrays(data: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """All images of a split, and their classes."""
    batches = load(data, split=split, batch_size=1000).as_numpy_iterator()
    images, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
    return images, labels


def answered_each_look(canvases: np.ndarray, labels: np.ndarray, looks: int) -> tf.data.Dataset:
    """Canvases, and the same answer for every look."""
    return tf.data.Dataset.from_tensor_slices((canvases, np.repeat(labels[:, None], looks, axis=1)))


@lesson
def main(
    *,
    data: str = "fashion_sample",
    images: int = 2400,
    epochs: int = 5,
    looks: int = 5,
    size: int = 12,
    surroundings: int = 3,
    units: int = 128,
    seeds: int = 3,
    quick: bool = False,
    out: Path = Path("runs/glimpses"),
) -> dict[str, float]:
    """Trains networks that look where they like, in a scan, at random or at the centre, and shows where they look.

    Args:
        data: Any image set that kerasdl.data.load knows: fashion_sample, mnist, ...
        images: How many training images to use.
        epochs: Passes over the training images.
        looks: How often a network looks at an image, at least twice: the first look of all is at the centre.
        size: Side of the window in pixels.
        surroundings: How many times wider and more blurred what it sees around the window is; 1 for nothing.
        units: How much the network remembers.
        seeds: How often everything is repeated, with other canvases and other first weights.
        quick: One epoch of 640 images, two looks, 16 units and one seed, whatever is given, only to see that all works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    needs(data, "image", "label", like="fashion_sample")
    if looks < 2:
        raise ValueError(f"`looks` must be at least 2, for all look first at the centre. Received: looks={looks}.")
    if quick:
        images, epochs, looks, units, seeds = 640, 1, 2, 16, 1
    pieces, labels = arrays(data, f"train[:{images}]")
    test_pieces, test_labels = arrays(data, "test[:200]" if quick else "test")
    names, side = info(data).classes, 2 * pieces.shape[1]
    scales = (1, surroundings) if surroundings > 1 else (1,)

    # What the network says is asked for after every look, and every answer counts in the loss: it shall know as much as
    # it can, as early as it can. One training tells the accuracy after each number of looks.
    right = {way: np.zeros((seeds, looks)) for way in WAYS}
    found = {way: np.zeros((seeds, looks)) for way in WAYS}
    shown: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        canvases, _ = scatter(pieces, side, rng)
        test_canvases, boxes = scatter(test_pieces, side, rng)
        train = answered_each_look(canvases, labels, looks).shuffle(len(labels), seed=seed).batch(64)
        test = answered_each_look(test_canvases, test_labels, looks).batch(250)
        for way, name in WAYS.items():
            keras.utils.set_random_seed(seed)
            model, watched = looking_network(
                way, shape=canvases.shape[1:], classes=len(names), looks=looks, size=size, scales=scales, units=units
            )
            rate = keras.optimizers.schedules.CosineDecay(0.003, epochs * len(train))
            model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
            print(f"\nLooks {name}, seed {seed}")
            logs = keras.callbacks.TensorBoard(out / "logs" / f"{way}_seed{seed}")
            training.fit(model, train, epochs=epochs, validation_data=test, callbacks=[logs])
            # Both from one call: what looks at random looks elsewhere in the next.
            probabilities, places = watched.predict(test_canvases, batch_size=250, verbose=0)
            said = probabilities.argmax(axis=-1)
            right[way][seed] = (said == test_labels[:, None]).mean(axis=0)
            # Where the middle of the window was, in shares of the canvas.
            middles = 0.5 + places * (1 - size / side) / 2
            inside = (middles > boxes[:, None, :2]) & (middles < boxes[:, None, 2:])
            found[way][seed] = inside.all(axis=-1).mean(axis=0)
            if seed == 0:
                half = size / side / 2
                shown[way] = said, np.concatenate([middles - half, middles + half], axis=-1)

    spread = {way: standard_error(values) for way, values in right.items()} if seeds > 1 else {}
    plots.save(
        plots.lines(
            {f"looks {name}": 100 * right[way].mean(axis=0) for way, name in WAYS.items()},
            errors={f"looks {WAYS[way]}": 100 * values for way, values in spread.items()},
            x_label="looks",
            y_label="test images right in % (± standard error)",
            title="What one knows after each look",
        ),
        out / "figures" / "looks.png",
    )

    # Where did they look? The same five canvases, once for each network that moves; the first look is at the centre.
    chosen, moving = np.arange(5), [way for way in WAYS if way != "centre"]
    plots.save(
        plots.box_grid(
            np.concatenate([test_canvases[chosen]] * len(moving)),
            np.concatenate([shown[way][1][chosen] for way in moving]),
            [f"{WAYS[way]}\n{names[test_labels[i]]} → {names[shown[way][0][i, -1]]}" for way in moving for i in chosen],
            columns=len(chosen),
            title="Where each network looks, from dark to bright (true → said)",
        ),
        out / "figures" / "places.png",
    )

    metrics = {}
    for way in WAYS:
        metrics[f"{way}_first_look_accuracy"] = right[way][:, 0].mean()
        metrics[f"{way}_last_look_accuracy"] = right[way][:, -1].mean()
        metrics[f"{way}_later_looks_on_the_piece"] = found[way][:, 1:].mean()
    for other in ("scan", "random", "centre"):
        difference = right["learned"][:, -1] - right[other][:, -1]
        metrics[f"learned_minus_{other}"] = difference.mean()
        if seeds > 1:
            metrics[f"learned_minus_{other}_standard_error"] = standard_error(difference)
    return metrics


if __name__ == "__main__":
    command_line(main)
