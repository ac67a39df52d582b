"""Are our maps and attacks faster than those of xplique, tf-keras-vis and cleverhans?

    python -m benchmarks.visualization

One VGG16 with random weights, batches of eight images, each image's class given. The contenders take turns in one run,
after a first call of each that traces its graphs; what counts is the median. Peers that are not installed
(`pip install -e '.[bench]'`) are left out, and so is a peer where it fails. Last it tells how much memory a program
needs at most as the perturbations of an image become more. Takes over 15 minutes on two cores, `--quick` one.

xplique 2.0 compiles what it does as well, and then both spend nearly all their time in the same convolutions: of our
saliency's 340 ms at 64x64 these take 295. So with VGG16 there is little to gain but by computing less, as occlusion
does. On one core, `--processor-time`, at 64x64: saliency 1.03 times as fast as xplique and 1.74 as tf-keras-vis, guided
backpropagation 1.05, Grad-CAM 1.10 and 3.47, Grad-CAM++ 1.10 and 3.18, SmoothGrad 1.01 and 2.02, occlusion 1.63; at
224x224 saliency 1.00 and 1.72, Grad-CAM 1.01 and 3.46; PGD 3.02 times as fast as cleverhans on the small network, 0.96
on VGG16. Memory at most: 1,121 MB with 4 samples of SmoothGrad and 1,137 with 24, 1,128 MB with 16 patches of occlusion
and 1,152 with 64.
"""

import dataclasses
import importlib.util
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Annotated, Any

import keras
import numpy as np
import tensorflow as tf
import typer
from rich.console import Console
from rich.table import Table

from kerasdl import adversarial, visualization

BATCH_SIZE = 8
CLASSES = 10
SAMPLES = 16
STEPS = 40
EPSILON = 8 / 255
PEERS = ("xplique", "tf_keras_vis", "cleverhans")
Call = Callable[[], object]


@dataclasses.dataclass(frozen=True)
class Contest:
    """A method, the side of the images, the goal as a ratio to the faster peer, and how often to measure."""

    method: str
    side: int
    goal: float
    repeats: int = 5
    patch: int = 8
    network: str = "VGG16"


CONTESTS = (
    Contest("pgd", 28, 3, 9, network="small"),
    Contest("saliency", 64, 1.5, 9),
    Contest("guided_backpropagation", 64, 3, 9),
    Contest("grad_cam", 64, 1.5, 9),
    Contest("grad_cam_plus_plus", 64, 1.5, 9),
    Contest("smooth_grad", 64, 1.5, 3),
    Contest("occlusion", 64, 1.6, 3),
    Contest("pgd", 64, 3, 3),
    Contest("saliency", 224, 1.5, 3),
    Contest("grad_cam", 224, 1.5, 3),
    Contest("occlusion", 224, 1.6, 3, patch=32),
)


def build(network: str, side: int) -> keras.Model:
    """The network, without a softmax at its end, so that no peer explains the softmax."""
    keras.utils.set_random_seed(0)
    shape = (side, side, 1 if network == "small" else 3)
    if network == "VGG16":
        return keras.applications.VGG16(weights=None, input_shape=shape, classes=CLASSES, classifier_activation=None)
    layers = [
        keras.layers.Conv2D(16, 5, strides=2, activation="relu"),
        keras.layers.Conv2D(32, 5, strides=2, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(CLASSES, name="logits"),
    ]
    return keras.Sequential([keras.Input(shape), *layers])


def ours(contest: Contest, model: keras.Model, images: np.ndarray, classes: np.ndarray) -> Call | None:
    """What our users call."""
    options: dict[str, Any] = {
        "smooth_grad": {"samples": SAMPLES},
        "occlusion": {"patch": contest.patch, "stride": contest.patch},
        "pgd": {"epsilon": EPSILON, "steps": STEPS},
    }.get(contest.method, {})
    function = getattr(adversarial if contest.method == "pgd" else visualization, contest.method, None)
    return function and (lambda: function(model, images, classes, **options))


def by_xplique(contest: Contest, model: keras.Model, images: np.ndarray, classes: np.ndarray) -> Call | None:
    """An explainer of xplique, made once for all calls."""
    from xplique import attributions

    options: dict[str, Any] = {"batch_size": 32}
    if contest.method == "smooth_grad":
        options |= {"nb_samples": SAMPLES}
    if contest.method == "occlusion":
        options |= {"patch_size": contest.patch, "patch_stride": contest.patch}
    name = {
        "saliency": "Saliency",
        "guided_backpropagation": "GuidedBackprop",
        "grad_cam": "GradCAM",
        "grad_cam_plus_plus": "GradCAMPP",
        "smooth_grad": "SmoothGrad",
        "occlusion": "Occlusion",
    }.get(contest.method)
    if name is None:
        return None
    explainer = getattr(attributions, name)(model, **options)
    targets = keras.utils.to_categorical(classes, CLASSES)
    return lambda: explainer(images, targets)


def by_tf_keras_vis(contest: Contest, model: keras.Model, images: np.ndarray, classes: np.ndarray) -> Call | None:
    """A visualization of tf-keras-vis, made once for all calls, without the maps' normalisation."""
    from tf_keras_vis import gradcam, gradcam_plus_plus, saliency
    from tf_keras_vis.utils.scores import CategoricalScore

    score = CategoricalScore(classes.tolist())
    if contest.method in ("saliency", "smooth_grad"):
        map_gradient = saliency.Saliency(model, clone=False)
        samples = SAMPLES if contest.method == "smooth_grad" else 0
        return lambda: map_gradient(score, images, smooth_samples=samples, normalize_map=False)
    if contest.method in ("grad_cam", "grad_cam_plus_plus"):
        kind = gradcam.Gradcam if contest.method == "grad_cam" else gradcam_plus_plus.GradcamPlusPlus
        map_class = kind(model, clone=False)
        return lambda: map_class(score, images, normalize_cam=False)
    return None


def by_cleverhans(contest: Contest, model: keras.Model, images: np.ndarray, classes: np.ndarray) -> Call | None:
    """The attack of cleverhans, with the model's call compiled."""
    from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

    if contest.method != "pgd":
        return None
    scores = tf.function(lambda x: model(x, training=False))
    inputs, labels = tf.constant(images), tf.constant(classes)
    return lambda: projected_gradient_descent(
        scores, inputs, EPSILON, EPSILON / 10, STEPS, np.inf, y=labels, clip_min=0.0, clip_max=1.0, rand_init=1.0
    ).numpy()


def take_turns(calls: dict[str, Call], repeats: int, clock: Callable[[], float]) -> dict[str, float]:
    """The median seconds of each contender's calls; all have been called before.

    Each time another one begins, so that nobody is always the one who finds the machine as the last one left it.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for turn in range(repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            begin = clock()
            calls[name]()
            seconds[name].append(clock() - begin)
    return {name: statistics.median(each) for name, each in seconds.items()}


def contenders(contest: Contest, side: int, peers: list[str], console: Console) -> dict[str, Call]:
    """Everybody who has this method, ready to be called."""
    model = build(contest.network, side)
    images = np.random.default_rng(0).random((BATCH_SIZE, *model.input_shape[1:]), dtype="float32")
    classes = np.arange(BATCH_SIZE, dtype="int32") % CLASSES
    makers = {"xplique": by_xplique, "tf_keras_vis": by_tf_keras_vis, "cleverhans": by_cleverhans}
    calls = {}
    for name, maker in {"ours": ours, **{peer: makers[peer] for peer in peers}}.items():
        try:
            call = maker(contest, model, images, classes)
            if call is not None:
                call()
                calls[name] = call
        except Exception as error:  # A peer that fails, for whatever reason, must not end the benchmark.
            if name == "ours":
                raise
            console.print(f"{name} fails at {contest.method}: {type(error).__name__}: {error}")
    return calls


def peak_memory(method: str, count: int) -> None:
    """Prints the most memory that this program needed, in MB, with so many perturbations of an image."""
    import resource

    model = build("VGG16", 64)
    images = np.random.default_rng(0).random((BATCH_SIZE, 64, 64, 3), dtype="float32")
    if method == "smooth_grad":
        visualization.smooth_grad(model, images, 0, samples=count)
    else:
        side = round(count**0.5)
        visualization.occlusion(model, images, 0, patch=64 // side, stride=64 // side)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(peak / (1e6 if sys.platform == "darwin" else 1e3)))


def memory_table(counts: tuple[int, ...]) -> Table:
    """Peak memory against the number of perturbations, each in a program of its own."""
    table = Table(*("method", *(f"{count} perturbations" for count in counts)), title="Most memory, in MB")
    for method in ("smooth_grad", "occlusion"):
        if hasattr(visualization, method):
            row = []
            for count in counts:
                code = f"from benchmarks.visualization import peak_memory; peak_memory({method!r}, {count})"
                told = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
                row.append(f"{json.loads(told.stdout.splitlines()[-1]):,.0f}")
            table.add_row(method, *row)
    return table


def main(
    quick: Annotated[bool, typer.Option(help="Small images, once each, only to see that all runs.")] = False,
    methods: Annotated[list[str] | None, typer.Option(help="Only these methods.")] = None,
    sides: Annotated[list[int] | None, typer.Option(help="Only images of these sides.")] = None,
    memory: Annotated[bool, typer.Option(help="Whether memory is measured as well.")] = True,
    processor_time: Annotated[
        bool, typer.Option(help="Take the processor's time, not the clock's: on one core that others use too.")
    ] = False,
) -> None:
    """Prints the speed of our maps and attacks as ratios to their peers, and what memory they need."""
    console = Console()
    clock = time.process_time if processor_time else time.perf_counter
    peers = [peer for peer in PEERS if importlib.util.find_spec(peer) is not None]
    for peer in PEERS:
        if peer not in peers:
            console.print(f"Without {peer}, which is not installed.")
    table = Table(title="How many times as fast as their peers ours are")
    for column in ("method", "network", "ours, ms", *(f"to {peer}" for peer in peers), "to the faster", "goal"):
        table.add_column(column, justify="left" if column in ("method", "network") else "right")
    for contest in CONTESTS:
        if (methods and contest.method not in methods) or (sides and contest.side not in sides):
            continue
        side = min(contest.side, 32) if quick else contest.side
        calls = contenders(contest, side, peers, console)
        if "ours" not in calls:
            console.print(f"There is no {contest.method}.")
            continue
        with console.status(f"{contest.method}, {side}x{side}"):
            medians = take_turns(calls, 1 if quick else contest.repeats, clock)
        row = [contest.method, f"{contest.network}, {side}x{side}", f"{1e3 * medians['ours']:.1f}"]
        row += [f"{medians[peer] / medians['ours']:.2f}" if peer in medians else "" for peer in peers]
        faster = min((seconds for name, seconds in medians.items() if name != "ours"), default=math.nan)
        row += ["" if math.isnan(faster) else f"{faster / medians['ours']:.2f}", f"{contest.goal:g}"]
        table.add_row(*row)
        console.print("  ".join(each or "-" for each in row))
        keras.utils.clear_session()
    console.print(table)
    if memory:
        console.print(memory_table((4, 16) if quick else (4, 16, 64, 256)))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    typer.run(main)
