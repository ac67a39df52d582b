"""What does a convolution compute, why is it fast as a matrix product, and what does it do to a picture that moves?

Paper:  [LeCun et al., 1998](https://doi.org/10.1109/5.726791), section II; the matrix product is from
        [Chellapilla et al., 2006](https://inria.hal.science/inria-00112631)
Run:    python -m tutorials.convolution_from_scratch
Takes:  50 seconds on one core
Expect: the matrix product does in 0.76 ms what the loops do in 1.4 s (128x128, 8 to 16 channels), 1,800 times as fast,
        and Keras needs 0.83 ms. Moved maps equal the maps of the moved picture exactly, but for the border. Pictures
        moved by 2 pixels: 53.8 % right without pooling, 72.1 % with 4x4 pooling (a gain of 18.3 ± 1.7 points over three
        seeds). By 6 pixels: 16.0 % without, 49.1 % with pooling of all places (33.1 ± 2.8 points more), which costs
        23.2 ± 1.0 points where nothing moves.

A convolution multiplies a small window of the picture with a kernel, number by number, adds up, and does the same at
every place. Written down that way it is a loop over height, width and kernel. Written as *one* product of matrices it
is the same sum in another order, and computers are very good at products of matrices: the rows are the windows of the
picture, cut out and laid flat ("im2col"), the columns are the kernels.

The first half of the lesson writes it both ways, checks both against Keras, and takes the time. The second half asks
what one kernel for all places is good for. Move the picture, and the maps move with it: that is *equivariance*. It is
exact but for the border. Nothing yet forgets where a thing was: that is *invariance*, and pooling adds it, bit by bit.

Exercises:

1. Give `windows_as_rows` a `stride`. Which rows are left out? Then shift a picture by one pixel and by two, and compare
   the maps of stride 2: for which shifts is the convolution still equivariant?
2. How much memory do the rows of a 224x224 picture with 64 channels need for a 3x3 kernel, as a multiple of the
   picture's own? Libraries cut out a tile of windows at a time. Do that, and take the time again.
3. Train with pictures that are shifted at random. Which of the three networks gains most, and where?
"""

import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasdl import training
from kerasdl.data import info, load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import plots


def with_loops(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The definition, one multiplication at a time, in plain Python."""
    picture, weights = image.tolist(), kernel.tolist()
    size, channels, filters = len(weights), len(picture[0][0]), len(weights[0][0][0])
    rows, columns = len(picture) - size + 1, len(picture[0]) - size + 1
    maps = [[[0.0] * filters for _ in range(columns)] for _ in range(rows)]
    for row in range(rows):
        for column in range(columns):
            for u in range(size):
                for v in range(size):
                    for channel in range(channels):
                        pixel = picture[row + u][column + v][channel]
                        for f in range(filters):
                            maps[row][column][f] += pixel * weights[u][v][channel][f]
    return np.array(maps)


def windows_as_rows(image: np.ndarray, size: int) -> np.ndarray:
    """Every window of the picture as one row (im2col)."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size), axis=(0, 1))
    return windows.transpose(0, 1, 3, 4, 2).reshape(-1, size * size * image.shape[-1])


def with_one_product(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """One matrix product: windows as rows, kernels as columns."""
    size, filters = len(kernel), kernel.shape[-1]
    rows, columns = image.shape[0] - size + 1, image.shape[1] - size + 1
    return (windows_as_rows(image, size) @ kernel.reshape(-1, filters)).reshape(rows, columns, filters)


@tf.function
def _stock(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    return keras.ops.conv(images, kernel, padding="valid")


def with_keras(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """What all networks use."""
    return _stock(tf.constant(image[None]), tf.constant(kernel))[0].numpy()


def seconds_of(function: Callable, *arguments: np.ndarray) -> float:
    """The shortest of some runs: what disturbs a measurement only ever makes it longer."""
    spent: list[float] = []
    while len(spent) < 2 or (sum(spent) < 0.2 and len(spent) < 50):
        begin = time.perf_counter()
        function(*arguments)
        spent.append(time.perf_counter() - begin)
    return min(spent)


@lesson
def main(
    *,
    data: str = "fashion_sample",
    epochs: int = 5,
    seeds: int = 3,
    quick: bool = False,
    out: Path = Path("runs/convolution_from_scratch"),
) -> dict[str, float]:
    """Computes one convolution in three ways, then moves pictures.

    Args:
        data: Any image set that kerasdl.data.load knows, best with objects on an empty ground.
        epochs: Passes over the training images for the networks at the end.
        seeds: How often these are trained, with other first weights.
        quick: Small pictures and few of them, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    if quick:
        epochs, seeds = 1, 1
    metrics = {}

    # The same numbers in three ways, on pictures of growing size with 8 channels and 16 kernels of 3x3. The sums are
    # added in another order each time, so they differ by round-off and no more.
    random = np.random.default_rng(0)
    kernel = random.normal(size=(3, 3, 8, 16)).astype("float32")
    ways = {
        "loops in Python": with_loops,
        "one matrix product": with_one_product,
        "Keras": with_keras,
    }
    sides = [8, 16] if quick else [8, 16, 32, 64, 128]
    times: dict[str, list[float]] = {name: [] for name in ways}
    for side in sides:
        image = random.normal(size=(side, side, 8)).astype("float32")
        expected = with_keras(image, kernel)
        for name, way in ways.items():
            if np.abs(way(image, kernel) - expected).max() > 1e-3:
                raise RuntimeError(f"{name} computes something else than Keras.")
            times[name].append(1000 * seconds_of(way, image, kernel))
        print(f"{side:4d}x{side}: " + ", ".join(f"{name} {spent[-1]:.3g} ms" for name, spent in times.items()))
    for name, spent in times.items():
        metrics[f"{name.lower().replace(' ', '_')}_milliseconds"] = spent[-1]
    metrics["times_as_fast_as_loops"] = times["loops in Python"][-1] / times["one matrix product"][-1]
    plots.save(
        plots.lines(
            times,
            sides,
            x_label="side of the picture in pixels",
            y_label="milliseconds",
            log_x=True,
            log_y=True,
            title="The same 3x3 convolution, 8 to 16 channels",
        ),
        out / "figures" / "times.png",
    )

    # Three small networks read the same sixteen 5x5 kernels' maps in different ways: every place by itself; the largest
    # of each 4x4 places; the largest of all places.
    train = load(data, split="train[:500]" if quick else "train", batch_size=64, shuffle=True, seed=0)
    test = load(data, split="test[:250]" if quick else "test", batch_size=250)
    images, labels = (np.concatenate(parts) for parts in zip(*test.as_numpy_iterator(), strict=True))
    poolings = {
        "no pooling": keras.layers.Identity,
        "4x4 pooling": lambda: keras.layers.MaxPooling2D(4),
        "pooling of all places": keras.layers.GlobalMaxPooling2D,
    }
    shifts = list(range(7))
    right, changes = ({name: np.zeros((seeds, len(shifts))) for name in poolings} for _ in range(2))
    errors = np.zeros((seeds, 2))
    for seed in range(seeds):
        for name, pooling in poolings.items():
            keras.utils.set_random_seed(seed)
            conv = keras.layers.Conv2D(16, 5, padding="same", activation="relu")
            flat = keras.layers.Flatten()
            head = keras.layers.Dense(len(info(data).classes), activation="softmax")
            model = keras.Sequential([keras.Input(images.shape[1:]), conv, pooling(), flat, head])
            model.compile(keras.optimizers.Adam(0.002), "sparse_categorical_crossentropy", metrics=["accuracy"])
            logs = keras.callbacks.TensorBoard(out / "logs" / f"{name.replace(' ', '_')}_{seed}")
            training.fit(model, train, epochs=epochs, callbacks=[logs], verbose=0)

            # Now the test pictures move to the right; what leaves on one side comes in again on the other, where
            # clothes leave only empty ground. How many are still recognised, and how far do the numbers move that the
            # last layer sees, compared with their length?
            features = keras.Model(model.inputs[0], flat.output)
            still = features.predict(images, verbose=0)
            for shift in shifts:
                moved = np.roll(images, shift, axis=2)
                right[name][seed, shift] = np.mean(model.predict(moved, verbose=0).argmax(axis=1) == labels)
                distances = np.linalg.norm(features.predict(moved, verbose=0) - still, axis=1)
                changes[name][seed, shift] = np.mean(distances / np.linalg.norm(still, axis=1))
            print(f"{name}: {right[name][seed, 0]:.1%} right, {right[name][seed, 2]:.1%} after 2 pixels")

        # Equivariance: the maps of the moved picture are the moved maps of the picture. Exactly so, but for two pixels,
        # the kernel's reach, on both sides of where the border was and is: there the kernel sees zeros.
        maps, of_moved = (np.asarray(conv(np.roll(images[:250], shift, axis=2))) for shift in (0, 4))
        differences = np.abs(of_moved - np.roll(maps, 4, axis=2)).max(axis=(0, 1, 3)) / np.abs(maps).max()
        border = [0, 1, 2, 3, 4, 5, -2, -1]
        errors[seed] = np.delete(differences, border).max(), differences[border].max()
    metrics["equivariance_error_inside"], metrics["equivariance_error_at_border"] = errors.max(axis=0)
    for name, values, label, title in (
        (
            "features",
            changes,
            "change, relative to their length\n(± standard error)",
            "How far the last layer's inputs move",
        ),
        ("accuracy", right, "accuracy on test images (± standard error)", "Pictures that are moved after training"),
    ):
        figure = plots.lines(
            {kind: value.mean(axis=0) for kind, value in values.items()},
            shifts,
            errors={kind: standard_error(value) for kind, value in values.items()},
            x_label="pixels to the right",
            y_label=label,
            title=title,
        )
        plots.save(figure, out / "figures" / f"{name}.png")

    # Is a difference more than chance? It is taken to be, where it is over three standard errors of the repetitions.
    for name in poolings:
        key = name.replace(" ", "_")
        metrics[f"{key}_change_by_2_pixels"] = changes[name][:, 2].mean()
        for shift in (0, 2, 6):
            metrics[f"{key}_accuracy_after_{shift}"] = right[name][:, shift].mean()
    for name, shift in (("4x4 pooling", 2), ("pooling of all places", 6), ("pooling of all places", 0)):
        gain = right[name][:, shift] - right["no pooling"][:, shift]
        error = standard_error(gain)
        verdict = "certain" if seeds > 1 and abs(gain.mean()) > 3 * error else "not certain"
        difference = f"{100 * gain.mean():+.1f} ± {100 * error:.1f} points"
        print(f"After {shift} pixels, {name} minus no pooling: {difference} ({verdict}).")
        key = f"{name.replace(' ', '_')}_gain_after_{shift}"
        metrics |= {key: gain.mean(), f"{key}_error": error}
    return metrics


if __name__ == "__main__":
    command_line(main)
