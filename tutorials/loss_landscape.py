"""What does the loss of a deep network look like, and what do shortcuts do to it?

Paper:  [Li et al., 2017](https://arxiv.org/abs/1712.09913), sections 4 to 6
Run:    python -m tutorials.loss_landscape
Takes:  145 seconds on one core
Expect: with shortcuts (38 layers, 87 % of the training images right) the loss is a bowl, without them (71 %) a shallow
        hole in a plateau as high as guessing. Along lines it bends downwards at 0.8 % of the points with shortcuts and
        at 22 % without them, the mean of two runs of three seeds each, in which sums come out in another order:
        25.8 ± 5.5 points more in the one and 17.4 ± 6.7 in the other. With the statistics of the batch it is 13.6 ± 2.6
        and 20.5 ± 6.9 points more. The hole without shortcuts is not sharper: at a distance of 0.25 the loss has risen
        as far (-0.03 ± 0.11 and 0.02 ± 0.19, no difference). Whether what was learnt is lost further away without
        shortcuts is open: one run says so (0.060 ± 0.010), the other does not (0.027 ± 0.025).

A network's loss is a function of all its weights, hundreds of thousands of them, and training walks downhill on it.
One cannot see so many dimensions, but one can cut through them: take two random directions, go a little way along each,
and write down the loss. Two random directions in so large a space hardly ever lie along its narrowest valley, so such a
picture shows less ruggedness than there is: what looks rugged is rugged, what looks smooth need not be.

Scale is the trap. Behind batch normalisation a filter may be twice as large and do just the same, and a step of a given
length then changes it half as much: the network with the larger weights looks flatter without being so. So each filter
of a direction is made as long as that filter of the network. At distance 1 each filter has changed by its own length,
in every network.

The two networks differ in nothing but their shortcuts, which have no weights. Moving the weights also makes the moving
statistics of batch normalisation wrong, in the paper as here. So everything is measured again with the statistics of
the batch in their place: more than half of the rise at a distance of 0.25 is gone then, and what
shortcuts change stays.

Exercises:

1. Draw shallow networks (`--depth 14`). Does the plain one look different from the residual one?
2. Go further away (`--extent 2`), or look closer (`--extent 0.1`). Where do the hills begin?
3. Give `loss_landscape` a direction of your own: the difference of the weights of two networks trained from different
   first weights (`directions=[...]`). Is there a hill between them?
"""

from pathlib import Path

import keras
import numpy as np

from kerasdl import training
from kerasdl.architectures import plain_cifar, resnet_cifar
from kerasdl.data import info, load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import loss_landscape, plots

KINDS = {"with shortcuts": resnet_cifar, "without shortcuts": plain_cifar}


@lesson
def main(
    *,
    data: str = "fashion_sample",
    epochs: int | None = None,
    depth: int = 38,
    side: int = 8,
    extent: float = 0.5,
    points: int = 15,
    directions: int = 4,
    seeds: int = 3,
    quick: bool = False,
    out: Path = Path("runs/loss_landscape"),
) -> dict[str, float]:
    """Trains a deep network with shortcuts and one without, and draws the loss around both.

    Args:
        data: Any image set that kerasdl.data.load knows.
        epochs: Passes over the training images; 4 without it.
        depth: Layers of both: 6n + 2.
        side: The images are made this high and wide.
        extent: How far the pictures go; at 1 each filter has changed by its own length.
        points: Points along each side of the pictures, an odd number.
        directions: Random directions for the numbers, for each network.
        seeds: How often both are trained.
        quick: One epoch of a few images with shallow networks, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    epochs = epochs or (1 if quick else 4)
    if quick:
        depth, points, directions, seeds = 8, 3, 1, 1
    classes = len(info(data).classes)
    few = next(load(data, split="train[:100]", batch_size=100, image_size=(side, side)).as_numpy_iterator())

    # Both learn by the recipe of the lesson on degradation. They end in the unnormalised scores: of a softmax the loss
    # could not rise above 16, where Keras cuts its logarithm, and the hills would be cut off.
    ways = {"moving": False, "batch": True}  # whose statistics batch normalisation takes
    planes: dict[str, dict[str, np.ndarray]] = {way: {} for way in ways}
    lines: dict[tuple[str, str], list[np.ndarray]] = {(way, name): [] for way in ways for name in KINDS}
    accuracies: dict[str, list[float]] = {name: [] for name in KINDS}
    for seed in range(seeds):
        split = "train[:300]" if quick else "train"
        train = load(data, split=split, batch_size=100, shuffle=True, seed=seed, image_size=(side, side))
        for name, build in KINDS.items():
            print(f"\n{name}, {depth} layers, seed {seed}")
            keras.utils.set_random_seed(seed)
            whole = build(depth, input_shape=train.element_spec[0].shape[1:], classes=classes)
            model = keras.Model(whole.input, whole.get_layer("logits").output, name=whole.name)
            steps = epochs * len(train)
            schedule = keras.optimizers.schedules.CosineDecay(
                0.0, steps - steps // 6, warmup_target=0.01, warmup_steps=steps // 6
            )
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(keras.optimizers.SGD(schedule, momentum=0.9), loss=loss, metrics=["accuracy"])
            logs = keras.callbacks.TensorBoard(out / "logs" / f"{model.name}_seed{seed}", write_graph=False)
            history = training.fit(model, train, epochs=epochs, callbacks=[logs], verbose=2)
            accuracies[name].append(history.history["accuracy"][-1])

            # For the pictures a plane through the first network of each kind; for the numbers lines in other directions
            # through all of them.
            for way, of_batch in ways.items():
                if seed == 0:
                    plane = loss_landscape(model, few, points=points, extent=extent, batch_statistics=of_batch)
                    planes[way][name] = plane.losses
                found = [
                    loss_landscape(
                        model, few, directions=1, points=13, extent=extent, seed=number + 1, batch_statistics=of_batch
                    )
                    for number in range(directions)
                ]
                lines[way, name].append(np.array([line.losses for line in found]))

    # One scale of height and colour for both networks, and a logarithmic one: each step multiplies the loss.
    title = f"Training loss around networks of {depth} layers"
    figure = plots.surfaces(planes["moving"], plane.coordinates, title=title)
    plots.save(figure, out / "figures" / "surfaces.png")
    plots.save(plots.contours(planes["moving"], plane.coordinates, title=title), out / "figures" / "contours.png")

    # The same planes again, with batch normalisation by the statistics of the images at hand, which always fit.
    figure = plots.contours(planes["batch"], plane.coordinates, title=f"{title}, statistics of the batch")
    plots.save(figure, out / "figures" / "contours_batch.png")

    # Along lines: the median over the directions, then mean and standard error over the seeds.
    places = np.linspace(-extent, extent, 13)
    medians = {key: np.median(runs, axis=1) for key, runs in lines.items()}
    for way, file, title in (
        ("moving", "lines", "moving statistics"),
        ("batch", "lines_batch", "statistics of the batch"),
    ):
        plots.save(
            plots.lines(
                {name: medians[way, name].mean(axis=0) for name in KINDS},
                places,
                x_label="distance along a random direction",
                y_label="training loss (± standard error)",
                errors={name: standard_error(medians[way, name]) for name in KINDS},
                log_y=True,
                title=f"The loss along lines, {title}",
            ),
            out / "figures" / f"{file}.png",
        )

    # Three numbers. How far the loss rises half-way to the border of the picture; how far away it is as high as that of
    # guessing, with all that was learnt lost; and on which share of the lines it bends downwards, as no convex function
    # does, on its way to a plateau or over a hill. Then what shortcuts change, with standard errors over the seeds.
    metrics: dict[str, float] = {}
    for name, reached in accuracies.items():
        metrics[f"{KINDS[name].__name__}_accuracy"] = float(np.mean(reached))
    for way in ways:
        measured: dict[str, dict[str, np.ndarray]] = {"rise": {}, "radius": {}, "not_convex": {}}
        for name in KINDS:
            values = np.array(lines[way, name])  # (seeds, directions, places)
            measured["rise"][name] = medians[way, name][:, [3, 9]].mean(axis=1) - medians[way, name][:, 6]
            measured["radius"][name] = np.mean(
                [[radius(line, places, np.log(classes)) for line in run] for run in values], axis=1
            )
            measured["not_convex"][name] = np.mean(np.diff(values, 2, axis=-1) < 0, axis=(1, 2))
        for label, of_kind in measured.items():
            difference = of_kind["without shortcuts"] - of_kind["with shortcuts"]
            for name, build in KINDS.items():
                metrics[f"{way}_{label}_{build.__name__}"] = float(of_kind[name].mean())
            metrics[f"{way}_{label}_difference"] = float(difference.mean())
            metrics[f"{way}_{label}_standard_error"] = float(standard_error(difference))
    return metrics


def radius(losses: np.ndarray, places: np.ndarray, height: float) -> float:
    """How far from the middle a line reaches a height, on average to both sides; at most to its end.

    Args:
        losses: Along the line.
        places: Where they stand, 0 in the middle.
        height: The height.
    """
    middle = len(places) // 2
    halves = [(losses[middle:], places[middle:]), (losses[middle::-1], -places[middle::-1])]
    # The highest loss so far only grows, so each height is reached once.
    return float(np.mean([np.interp(height, np.maximum.accumulate(half), where) for half, where in halves]))


if __name__ == "__main__":
    command_line(main)
