"""Three of four networks are ill: on which page of TensorBoard does one see what each has?

Paper:  [Abadi et al., 2016](https://arxiv.org/abs/1603.04467), section 9.1
Run:    python -m tutorials.tensorboard_tour, then tensorboard --logdir runs/tensorboard_tour/logs
Takes:  60 seconds on one core
Expect: 82.3 % of the test images right in good health (seeds 0 to 2: 82.3 to 83.8). With large steps 10 %, and all
        units of the last hidden layer are dead. With wrong labels 75.4 % (to 76.3), and at most one coat of a hundred
        is found. With slow data exactly the healthy numbers, but training waits 87 % of its time,
        on two cores 98 %.

A loss that does not fall says that something is wrong, and nothing about what. This lesson trains the same network four
times, once as it should be and three times with a fault of every day, and goes through the pages of TensorBoard until
each is found. Start `tensorboard` in a second terminal; it follows while the lesson runs.

What to look for, page by page:

- **Scalars**: training and validation that part: it learns by heart. `gradient_norms` of 0, or of another power of ten
  in each layer. `dead_units` that only rise. `update_ratios` above 1: nothing stays learnt. `waiting_share` above 0.1.
- **Images**: what is dark beside the diagonal of the confusion matrix? The worst mistakes: would you have known?
  Grad-CAM: does the network look at the thing, or at what stands beside it? Filters that stay noise.
- **Graphs**: what a step of training computes. A double click opens a box: is in it what you believe?
- **Distributions**, **Histograms**: weights and gradients that heap up at 0 or at the ends, or never move.
- **Text**: the mistakes as tables, with the numbers of the examples, to look them up.
- **PR curves**: one class against all others. What hides in the mean stands out.
- **HParams**: the runs side by side: which setting goes with which result?
- **Projector**: what the last hidden layer makes of each image, coloured by class: who stands in the wrong cloud?

Exercises:

1. Call coats pullovers in the validation as well (`test.map(mislabel)`). Which pages tell of the fault now, and which
   have become silent?
2. Put `.prefetch(4)` behind the slow data. What does `waiting_share` say now? When would it have helped?
3. Make a fifth patient: give it images that are not divided by 255, or train with `shuffle=False`. Let somebody else
   find out from the pages what it has.
"""

import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kerasdl import callbacks, training
from kerasdl.architectures import lenet5_modern
from kerasdl.data import info, load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.visualization import plots

COAT, PULLOVER = 4, 2


def mislabel(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Calls two of three coats pullovers, and always the same ones: the sum of the pixels is the die."""
    die = tf.cast(tf.round(255 * tf.reduce_sum(images, axis=(1, 2, 3))), "int64") % 3
    return images, tf.where((labels == COAT) & (die > 0), tf.cast(PULLOVER, labels.dtype), labels)


def delay(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Takes 20 ms for a batch, as a slow disk would."""

    def wait() -> np.float32:
        time.sleep(0.02)
        return np.float32(0)

    waited = tf.numpy_function(wait, [], "float32")
    return images + tf.reshape(waited, ()), labels


def read(log_dir: Path) -> dict[str, np.ndarray]:
    """What the event files of a run hold, and TensorBoard shows: under each tag the values, epoch by epoch."""
    events = EventAccumulator(str(log_dir), size_guidance={"tensors": 0})
    events.Reload()
    found = {}
    for tag in events.Tags()["tensors"]:
        # Of an epoch that is there twice the later counts: the lesson was run before in this folder.
        steps = {event.step: tf.make_ndarray(event.tensor_proto) for event in events.Tensors(tag)}
        found[tag] = np.array([steps[step] for step in sorted(steps)])
    return found


def from_widest_side(points: np.ndarray) -> np.ndarray:
    """The first two principal components, which is what the projector shows at first."""
    centred = points - points.mean(axis=0)
    return centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T


@lesson
def main(
    *,
    data: str = "fashion_sample",
    epochs: int = 6,
    rate: float = 0.02,
    seed: int = 0,
    quick: bool = False,
    out: Path = Path("runs/tensorboard_tour"),
) -> dict[str, float]:
    """Trains a healthy network and three ill ones, and goes through the pages of TensorBoard.

    Args:
        data: An image set of at least five classes that kerasdl.data.load knows.
        epochs: Passes over the training images.
        rate: The first learning rate of the healthy network.
        seed: Decides the first weights and the order of the images.
        quick: Two networks and one epoch of a few images, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    # Four patients. They begin with the same weights, and see the same images in the same order.
    #
    # - **healthy**: as in the lesson on LeNet.
    # - **large steps**: the learning rate is twenty times as high.
    # - **wrong labels**: somebody has called two of three coats pullovers; in the training images, not in the others.
    # - **slow data**: each batch comes from a disk that takes 20 ms for it.
    epochs = 1 if quick else epochs
    patients = {"healthy": None, "large_steps": None, "wrong_labels": mislabel, "slow_data": delay}
    if quick:
        patients = {name: patients[name] for name in ("healthy", "wrong_labels")}
    test = load(data, split="test[:256]" if quick else "test", batch_size=256)
    class_names = info(data).classes

    # One call, `monitor`, gives the callbacks for most of the pages. The test images are read once for all of them.
    # What takes longer, or is not for every network, is added by hand: the projector, and images that the network
    # thinks typical of each class.
    examples = callbacks.Examples(test)
    for name, fault in patients.items():
        print(f"\n{name}")
        keras.utils.set_random_seed(seed)
        train = load(data, split="train[:640]" if quick else "train", batch_size=64, shuffle=True, seed=seed)
        model = lenet5_modern(input_shape=train.element_spec[0].shape[1:], classes=len(class_names))
        first_rate = 20 * rate if name == "large_steps" else rate
        schedule = keras.optimizers.schedules.CosineDecay(first_rate, epochs * len(train))
        optimizer = keras.optimizers.SGD(schedule, momentum=0.9)
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        logs = out / "logs" / name
        settings = {"patient": name, "learning_rate": first_rate}
        watch = [
            *callbacks.monitor(logs, examples, class_names=class_names, hyperparameters=settings),
            callbacks.EmbeddingSummary(logs, examples, class_names=class_names),
            callbacks.DreamSummary(logs, class_names=class_names, every=epochs),
        ]
        batches = train if fault is None else train.map(fault)
        training.fit(model, batches, epochs=epochs, validation_data=test, callbacks=watch, verbose=2)

    # **Scalars.** The first look is at the validation. One network has not learnt at all. One is worse than the healthy
    # one, but nothing in its curve says why. And one looks as well as can be: its curve is the healthy one's.
    runs = {name: read(out / "logs" / name) for name in patients}
    accuracies = {name: read(out / "logs" / name / "validation")["epoch_accuracy"] for name in patients}
    plots.save(
        plots.line_panels(
            {"epoch_accuracy": accuracies}, x_label="epoch", y_label="validation accuracy", title="Scalars: who is ill?"
        ),
        out / "figures" / "accuracy.png",
    )

    # **Scalars, further down: the layers.** A unit behind a ReLU is dead when it gives 0 for every image: no gradient
    # comes through it, and it never learns again. With large steps most units die early, and in the end all of the last
    # hidden layer are dead. `gradient_norms` says the same: the layers below get none. Lowering the rate would not wake
    # them.
    two = list(runs)[:2]
    layers = ("c1", "c3", "c5", "f6")
    plots.save(
        plots.line_panels(
            {name: {layer: runs[name][f"dead_units/{layer}"] for layer in layers} for name in two},
            x_label="epoch",
            y_label="dead units, share",
            y_limits=(-0.03, 1.03),
            title="Scalars: dead_units, layer by layer",
        ),
        out / "figures" / "dead_units.png",
    )

    # **Projector.** What the last hidden layer makes of each image, from the side where the points spread most. Where
    # the network is healthy the classes have places of their own, and neighbours that make sense. Where all units are
    # dead, all images are one point.
    points = {name: np.loadtxt(out / "logs" / name / "projector/embeddings/f6/tensor.tsv") for name in two}
    plots.save(
        plots.clouds(
            {name: from_widest_side(features) for name, features in points.items()},
            examples.labels[: len(points["healthy"])],
            class_names,
            title="Projector: embeddings/f6",
        ),
        out / "figures" / "projector.png",
    )

    # **Images, Text, PR curves: the classes.** The third network is worse for one class alone: it never says "coat". In
    # the confusion matrix the row of the coats stands under "pullover", and the worst mistakes are coats that anybody
    # would call coats. A network that errs so consistently has been taught so: look at the labels.
    some = {name: runs[name] for name in ("healthy", "wrong_labels")}
    plots.save(
        plots.bars(
            {name: [run[f"recall/{each}"][-1] for each in class_names] for name, run in some.items()},
            class_names,
            y_label="share found",
            written=None,
            title="Scalars: recall, class by class",
        ),
        out / "figures" / "recall.png",
    )

    # **Scalars, once more: the clock.** The fourth network learns what the healthy one learns, to the last digit. Only
    # it waits: most of each step passes before the batch is there. A faster processor would not help; several readers
    # at once would (`map(..., num_parallel_calls=...)`), or `cache`, if everything fits into memory.
    waiting = {name: np.median(run["throughput/waiting_share"]) for name, run in runs.items()}
    plots.save(
        plots.bars(
            {"waiting": list(waiting.values())},
            [name.replace("_", " ") for name in waiting],
            y_label="share of the time",
            written="{:.0%}",
            title="Scalars: throughput/waiting_share",
        ),
        out / "figures" / "waiting.png",
    )

    # The same in numbers, all of them read from the event files.
    metrics = {}
    for name, run in runs.items():
        metrics[f"{name}_accuracy"] = accuracies[name][-1]
        metrics[f"{name}_dead_units"] = run["dead_units/f6"][-1]
        metrics[f"{name}_coats_found"] = run[f"recall/{class_names[COAT]}"][-1]
        metrics[f"{name}_waiting_share"] = waiting[name]
    return metrics


if __name__ == "__main__":
    command_line(main)
