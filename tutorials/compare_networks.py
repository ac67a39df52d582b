"""What does a network's accuracy cost: in weights, in operations, in time?

Paper:  [Canziani et al., 2016](https://arxiv.org/abs/1605.07678)
Run:    python -m tutorials.compare_networks
Takes:  100 seconds on one core
Expect: a million weights buy 47 % top-1 accuracy in SqueezeNet 1.1, and 0.5 % in VGG-19. The time per image follows the
        operations (correlation of the logarithms 0.99 over six networks), and much less the weights (0.36). Batches of
        16 make AlexNet 2.1 times as fast per image as single ones, ResNet-50 1.3 times.

The table of ImageNet results knows one number per network. Who wants to use one asks for others: does it fit into the
memory of a telephone, how many images a second does it manage, is a camera's single image as cheap as one of many?
Canziani and his colleagues drew these numbers into one picture, which every course on deep learning has shown since:
accuracy over operations, with balls as large as the networks have weights.

This lesson counts the weights and the operations of the course's networks, layer by layer, takes the accuracies from
where they were published, and measures the time where it runs. It needs no trained weights: an untrained network
takes just as long.

Exercises:

1. `print(kerasdl.profiling.profile(kerasdl.architectures.alexnet()).by_layer())`. Which layers have the weights, and
   which the operations? The same for `vgg16` and `squeezenet1_1`: what did SqueezeNet leave out?
2. A network that keeps fewer activations can take larger images. Which of the networks has the highest peak, and in
   which layer? Compare a VGG with a ResNet.
3. `python -m kerasdl.profiling alexnet resnet18 --batch-size 1 --batch-size 64`. Does AlexNet go on gaining beyond the
   16 images of this lesson? What would you expect of `vgg16`, most of whose weights are in dense layers as well?
"""

import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasdl import architectures
from kerasdl.data import load
from kerasdl.profiling import compare
from kerasdl.profiling.accuracies import PUBLISHED_TOP1
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.visualization import plots

SOME = (
    *("alexnet", "vgg_a", "vgg16", "vgg19", "googlenet", "squeezenet1_1", "densenet121", "densenet201"),
    *(
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
        "resnext50_32x4d",
        "convnext_tiny",
        "convnext_base",
    ),
)
TIMED = ("alexnet", "squeezenet1_1", "googlenet", "resnet18", "resnet50", "densenet121")
BATCH_SIZES = (1, 2, 4, 8, 16)


@lesson
def main(
    *,
    data: str = "photos",
    epochs: int = 5,
    quick: bool = False,
    full: bool = False,
    out: Path = Path("runs/compare_networks"),
) -> dict[str, float]:
    """Counts, measures and draws.

    Args:
        data: Any image set that kerasdl.data.load knows; its images are what the networks look at.
        epochs: How often each network is timed with each size of batch; the median counts.
        quick: Three networks and two sizes of batches, only to see that everything works.
        full: Every network whose accuracy is known; VGG-16 is timed as well.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    names: tuple[str, ...] = tuple(PUBLISHED_TOP1) if full else SOME
    timed_names: tuple[str, ...] = (*TIMED, "vgg16") if full else TIMED
    sizes: tuple[int, ...] = BATCH_SIZES
    if quick:
        names, timed_names, sizes, epochs = ("squeezenet1_1", "resnet18"), ("squeezenet1_1", "resnet18"), (1, 2), 1

    # Counting needs no trained weights and no images. A convolution multiplies every weight of its kernel with a pixel
    # at every place that it visits, so early layers with few weights and large maps have most of the operations, and
    # dense layers, which visit one place, most of the weights.
    comparison = compare(names, repeats=0, progress=print)
    print(comparison)
    plots.save(comparison.figures()["accuracy"], out / "figures" / "accuracy.png")
    costs = {each.name: each for each in comparison.profiles}

    # How much accuracy does a million weights buy? The paper calls it information density. It says little about how
    # good a network is, and much about how wasteful: VGG's three dense layers hold nine tenths of its weights.
    density = {name: PUBLISHED_TOP1[name].top1 / (costs[name].trainable_parameters / 1e6) for name in names}
    ranked = sorted(density, key=density.__getitem__, reverse=True)
    plots.save(
        plots.bars(
            {"density": [density[name] for name in ranked]},
            ranked,
            y_label="top-1 accuracy, % per million weights",
            written="{:.1f}",
            title="What a million weights buy",
        ),
        out / "figures" / "density.png",
    )

    # Time is measured, not counted, and measuring has rules: compile first, do not count the first calls, let the
    # networks take turns (what else runs for ten seconds then disturbs all of them), and report the median,
    # which one slow call does not move.
    pictures = [image for image, _ in load(data, split="train", batch_size=None).take(max(sizes)).as_numpy_iterator()]
    pictures = [pictures[index % len(pictures)] for index in range(max(sizes))]
    forward = {name: compiled(name) for name in timed_names}
    seconds = time_in_turns(forward, pictures, sizes, epochs)
    milliseconds = {name: [1e3 * seconds[name][size] / size for size in sizes] for name in timed_names}
    plots.save(
        plots.lines(
            milliseconds,
            sizes,
            x_label="images in a batch",
            y_label="forward time per image, ms",
            log_x=True,
            log_y=True,
            title="What batches save",
        ),
        out / "figures" / "time.png",
    )
    with tf.summary.create_file_writer(str(out / "logs")).as_default():
        for name, values in milliseconds.items():
            for size, value in zip(sizes, values, strict=True):
                tf.summary.scalar(f"milliseconds_per_image/{name}", value, step=size)

    # A batch helps where the weights are what costs: they come from memory once, however many images they then meet.
    # AlexNet reads 61 million weights, nearly all of them for three matrix products; a ResNet uses every weight of its
    # convolutions at hundreds of places, so one image keeps the processor busy by itself.
    #
    # The paper found operations a good guess of the time, and the number of weights a bad one. Both as correlations
    # of logarithms:
    metrics = {f"{name}_saved_by_batches": values[0] / values[-1] for name, values in milliseconds.items()}
    times = np.log([values[-1] for values in milliseconds.values()])
    for what in ("multiply_adds", "trainable_parameters"):
        counted = np.log([getattr(costs[name], what) for name in timed_names])
        metrics[f"time_follows_{what}"] = float(np.corrcoef(counted, times)[0, 1])
    metrics["most_per_million_weights"] = density[ranked[0]]
    metrics["least_per_million_weights"] = density[ranked[-1]]
    return metrics


def compiled(name: str) -> Callable[[list[np.ndarray]], float]:
    """A function of pictures that runs a network on them and gives the seconds that this took."""
    model = getattr(architectures, name)()
    shape = model.input_shape
    # One graph for all sizes of batches.
    run = tf.function(
        lambda images: model(images, training=False), autograph=False, input_signature=[tf.TensorSpec(shape)]
    )

    def seconds(pictures: list[np.ndarray]) -> float:
        images = tf.stack([tf.image.resize(picture, shape[1:3]) for picture in pictures])
        begin = time.perf_counter()
        run(images).numpy()
        return time.perf_counter() - begin

    return seconds


def time_in_turns(
    forward: dict[str, Callable[[list[np.ndarray]], float]],
    pictures: list[np.ndarray],
    sizes: tuple[int, ...],
    rounds: int,
) -> dict[str, dict[int, float]]:
    """The median seconds of each network with each size of batch."""
    taken: dict[str, dict[int, list[float]]] = {name: {size: [] for size in sizes} for name in forward}
    progress = keras.utils.Progbar(len(forward) * len(sizes) * (rounds + 1))
    for round_ in range(rounds + 1):
        for name, seconds in forward.items():
            for size in sizes:
                value = seconds(pictures[:size])
                if round_:  # the first calls trace the graph and warm up
                    taken[name][size].append(value)
                progress.add(1)
    return {name: {size: float(np.median(values)) for size, values in of.items()} for name, of in taken.items()}


if __name__ == "__main__":
    command_line(main)
