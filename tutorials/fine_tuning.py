"""How few images does a network need, if it has seen a million others before?

Paper:  [Yosinski et al., 2014](https://arxiv.org/abs/1411.1792), How transferable are features in deep neural networks?
Run:    python -m tutorials.fine_tuning
Takes:  170 seconds on one core
Expect: with 400 training images, three seeds: 59.3 % of the test images right with fine-tuning, 40.7 % with a new head
        alone, and 11.7 %, little more than chance, from scratch: though that training has three times the epochs, what
        it learns of the training images does not hold for others. Fine-tuning gains 47.6 ± 2.5 points on training from
        scratch.

Most people who train a network for images have a few hundred of them, not a million. They begin with a network that
somebody else has trained on ImageNet, put a new head on it, and go on. There are two ways, and this lesson compares
them with beginning from nothing:

| | first weights | what learns |
|---|---|---|
| from scratch | random | everything |
| head only | ImageNet | only the new last layer; all others are kept still |
| fine-tuning | ImageNet | everything, at a small learning rate |

The network is SqueezeNet 1.1, whose ImageNet weights come with kerasdl. The images are drawn: figures over textures,
nothing that ImageNet has. So what is carried over are edges, corners and textures, not cats and dogs.

Exercises:

1. Use your own images: `--data my_photos` for a folder with one sub-folder per class. With photographs, the head alone
   does much better.
2. Keep only the first layers still: `freeze(model, until="stage1_out")`, then stage 2, then stage 3. Where is the best
   place to cut?
3. Repeat with `--images 100` and `--images 2000`. When does beginning from scratch catch up?
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasdl import training
from kerasdl.architectures import freeze, pretrained, squeezenet1_1
from kerasdl.data import from_folder, info, load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import plots


@lesson
def main(
    *,
    data: str = "shapes/one",
    images: int = 400,
    epochs: int = 12,
    image_size: int = 64,
    batch_size: int = 32,
    seeds: int = 3,
    quick: bool = False,
    out: Path = Path("runs/fine_tuning"),
) -> dict[str, float]:
    """Trains the same network in three ways on few images and compares them.

    Args:
        data: An image set that kerasdl.data.load knows, or a folder with one sub-folder of images per class.
        images: Training images; the fewer, the more the first weights count.
        epochs: Passes over the training images; three times as many from scratch.
        image_size: Side of the images; at least 48.
        batch_size: Images per step.
        seeds: How often everything is repeated with other first weights and another order.
        quick: A few images and one seed, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    if quick:
        images, epochs, seeds = 64, 1, 1
    # A folder holds no test images of its own: the last fifth is kept back.
    is_folder = Path(data).is_dir()
    read: Callable[..., Any] = from_folder if is_folder else load
    source: Any = Path(data) if is_folder else data
    class_names = info(source).classes
    parts = ("train[:80%]", "train[80%:]") if is_folder else (f"train[:{images}]", f"test[:{64 if quick else 500}]")
    test = read(source, split=parts[1], batch_size=100, image_size=image_size)

    # Three beginnings. A new head on features that stay as they are is nearly a convex problem and bears a large
    # learning rate; weights that are good already should only be nudged. Random weights have far to go: they get three
    # times the epochs, and the rate at which this network learns the training images best (of 0.0003, 0.001, 0.002).
    shape: dict[str, Any] = {"classes": len(class_names), "input_shape": (image_size, image_size, 3)}
    begin = partial(pretrained, "squeezenet1_1", **shape)
    ways: dict[str, tuple[Callable[[], keras.Model], float, int]] = {
        "from scratch": (partial(squeezenet1_1, **shape), 3e-4, 3 * epochs),
        "head only": (lambda: freeze(begin(), until="stage4_out"), 3e-3, epochs),
        "fine-tuning": (begin, 5e-4, epochs),
    }

    # Each way sees the same images, in an order that the seed decides, once for every seed.
    accuracies: dict[str, list[float]] = {way: [] for way in ways}
    curves: dict[str, list[list[float]]] = {way: [] for way in ways}
    for seed in range(seeds):
        train = read(source, split=parts[0], batch_size=batch_size, shuffle=True, seed=seed, image_size=image_size)
        for way, (build, rate, passes) in ways.items():
            print(f"\n{way}, seed {seed}")
            keras.utils.set_random_seed(seed)
            model = build()
            schedule = keras.optimizers.schedules.CosineDecay(
                0.0, passes * len(train), warmup_target=rate, warmup_steps=len(train)
            )
            model.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"])
            history = training.fit(
                model,
                train,
                epochs=passes,
                callbacks=[keras.callbacks.TensorBoard(out / "logs" / way.replace(" ", "_") / str(seed))],
                verbose=2,
            )
            curves[way].append(history.history["loss"])
            accuracies[way].append(model.evaluate(test, verbose=0, return_dict=True)["accuracy"])

    means = {way: float(np.mean(values)) for way, values in accuracies.items()}
    errors = {way: float(standard_error(values)) for way, values in accuracies.items()}
    plots.save(
        plots.bars(
            {"accuracy": list(means.values())},
            list(means),
            y_label="test images right (± standard error)",
            errors={"accuracy": list(errors.values())},
            written="{:.1%}",
            title=f"SqueezeNet on {len(train) * batch_size if is_folder else images} images of {data}",
        ),
        out / "figures" / "accuracy.png",
    )
    plots.save(
        plots.lines(
            {way: np.mean(losses, axis=0) for way, losses in curves.items()},
            x_label="epoch",
            y_label="training loss",
            title="Where each way begins, and how far it comes",
        ),
        out / "figures" / "loss.png",
    )

    # Is the difference more than luck? Under three standard errors it may well be.
    metrics = {f"{way.replace(' ', '_').replace('-', '_')}_accuracy": mean for way, mean in means.items()}
    gain = means["fine-tuning"] - means["from scratch"]
    error = float(np.hypot(errors["fine-tuning"], errors["from scratch"]))
    metrics |= {"fine_tuning_gain": gain, "fine_tuning_gain_standard_error": error}
    if seeds > 1:
        verdict = "more" if abs(gain) > 3 * error else "not more"
        difference = f"{100 * gain:+.1f} ± {100 * error:.1f} points"
        print(f"\nFine-tuning against training from scratch: {difference}, {verdict} than luck would give.")
    return metrics


if __name__ == "__main__":
    command_line(main)
