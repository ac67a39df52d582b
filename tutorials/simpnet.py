"""How far do thirteen thin layers get, and does it help to drop the strongest features?

Paper:  [Hasanpour et al., 2018](https://arxiv.org/abs/1802.06205)
Run:    python -m tutorials.simpnet
Takes:  5 minutes on one core
Expect: 77.9 % of the test images right with thirteen thin layers and SAF-pooling, 81.2 % with max pooling, 79.1 % with
        three wide layers (three seeds, one core). So SAF-pooling harms here: -3.3 ± 0.4 points after twelve epochs. The
        thin layers are not shown to help: -1.3 ± 0.5 points against the wide ones. Three seeds on one machine
        understate the uncertainty of both: on two cores, where sums come out in another order, the same seeds gave
        -1.2 ± 0.8 and -0.2 ± 1.1. What SAF-pooling does is plain: with max pooling 97.8 % of the training images end
        right, learnt by heart; with SAF-pooling 77.2 %, features missing.

SimpNet is a network without any invention in its wiring: thirteen 3x3 convolutions in a row and two poolings. Its
authors say that well spent parameters do more than many, and give rules for spending them. This lesson tries two on a
network of a ninth of SimpNet-300k's size:

- **Depth in thin layers of equal groups, growing slowly.** Against it stands a network with about as many parameters in
  three wide layers.
- **SAF-pooling.** Pooling passes the strongest feature of each window on. Dropout right behind it takes some of the
  strongest away, so that the others have to learn to do their work. Against it stands plain max pooling.

The authors measured the second on CIFAR-100 with 300,000 parameters: 68.47 % instead of 67.91 %, after hundreds of
epochs. A difference of that size needs far more images and runs than this lesson has.

Exercises:

1. Put the dropout in front of the pooling (`keras.layers.Dropout`, then `MaxPooling2D`). What does the maximum of a
   window do when its largest entry is missing?
2. Use a tenth of the images, then all 6,000 (`--images`). When does SAF-pooling cost least, or even help?
3. Swap the groups' widths, the widest first. The number of parameters hardly changes; does the accuracy, and the time?
"""

from pathlib import Path

import keras
import numpy as np

from kerasdl import training
from kerasdl.architectures.simple_nets import WIDTHS, simple_network
from kerasdl.data import info, load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import plots


@lesson
def main(
    *,
    data: str = "fashion_sample",
    epochs: int = 12,
    seeds: int = 3,
    images: int = 2000,
    image_size: int = 16,
    rate: float = 0.2,
    quick: bool = False,
    full: bool = False,
    out: Path = Path("runs/simpnet"),
) -> dict[str, float]:
    """Trains a thin deep network with SAF-pooling, the same with max pooling, and a wide shallow one.

    Args:
        data: Any image set that kerasdl.data.load knows: fashion_sample, mnist, cifar10, ...
        epochs: Passes over the training images.
        seeds: How often each network is trained, with other first weights.
        images: How many training images.
        image_size: Height and width of the images.
        rate: Which share of the maxima SAF-pooling drops.
        quick: One epoch of a few images, only to see that everything works.
        full: SimpNet-300k itself on all images at 32x32, with a shallow network of its size, in 30 epochs.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    if quick:
        epochs, seeds, images = 1, 1, 256
    elif full:
        epochs, images, image_size = 30, 0, 32
    split = f"train[:{images}]" if images else "train"
    train = load(data, split=split, batch_size=64, image_size=image_size, shuffle=True)
    test = load(data, split="test[:256]" if quick else "test", batch_size=250, image_size=image_size)
    shape, classes = tuple(train.element_spec[0].shape[1:]), len(info(data).classes)

    # SimpNet's widths grow a little with each group, and within a group only at its end, in front of the pooling: what
    # is about to lose three quarters of its places gets a few more maps. Here they are a third of SimpNet-300k's. The
    # wide network spends the same number of parameters on one layer per group.
    thin = WIDTHS["300k"] if full else [[round(width / 3) for width in group] for group in WIDTHS["300k"]]
    wide = [[88], [128], [152]] if full else [[30], [44], [52]]
    saf, plain = [(0.0, rate)] * 3, [(0.0, 0.0)] * 3
    designs = {
        "13 thin layers, SAF-pooling": (thin, saf),
        "13 thin layers, max pooling": (thin, plain),
        "3 wide layers, SAF-pooling": (wide, saf),
    }
    keys = dict(zip(designs, ("saf", "max", "wide"), strict=True))

    # The same seed means the same first weights for the two thin networks; the order of the images is another in each
    # run.
    curves: dict[str, dict[str, list]] = {name: {"accuracy": [], "val_accuracy": []} for name in designs}
    parameters = {}
    steps = epochs * len(train)
    for name, (widths, rates) in designs.items():
        for seed in range(seeds):
            print(f"\n{name}, seed {seed}")
            keras.utils.set_random_seed(seed)
            model = simple_network(shape, classes, keys[name], widths=widths, rates=rates)
            schedule = keras.optimizers.schedules.CosineDecay(
                0.0, steps - steps // 10, warmup_target=3e-3, warmup_steps=steps // 10
            )
            model.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"])
            history = training.fit(
                model,
                train,
                epochs=epochs,
                validation_data=test,
                callbacks=[keras.callbacks.TensorBoard(out / "logs" / f"{keys[name]}_{seed}")],
            )
            for metric, values in curves[name].items():
                values.append(history.history[metric])
        parameters[name] = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)

    # While training, SAF-pooling is a handicap: the dashed lines are measured with features missing. The test images
    # see all of them.
    means = {
        name: {metric: np.mean(values, axis=0).tolist() for metric, values in record.items()}
        for name, record in curves.items()
    }
    plots.save(
        plots.training_curves(means, "accuracy", title=f"Mean of {seeds} runs on {data}, {image_size}x{image_size}"),
        out / "figures" / "accuracy.png",
    )
    last = {name: np.array(record["val_accuracy"])[:, -1] for name, record in curves.items()}
    half = {name: standard_error(values) for name, values in last.items()}
    plots.save(
        plots.bars(
            {"accuracy": [100 * values.mean() for values in last.values()]},
            [name.replace(", ", "\n").replace("-pooling", "").replace(" pooling", "") for name in designs],
            y_label="test images right, % (± standard error)",
            errors={"accuracy": [100 * value for value in half.values()]},
            written="{:.1f}",
            title=f"Mean of {seeds} runs, and its standard error",
        ),
        out / "figures" / "designs.png",
    )

    # Is it more than luck? The mean of the differences, seed by seed, and its standard error. Under three standard
    # errors nothing is shown.
    print()
    metrics = {f"{keys[name]}_accuracy": float(values.mean()) for name, values in last.items()}
    metrics |= {f"{keys[name]}_training_accuracy": record["accuracy"][-1] for name, record in means.items()}
    metrics |= {f"{keys[name]}_parameters": float(count) for name, count in parameters.items()}
    deep, *others = designs
    for name in others:
        gain = last[deep] - last[name]
        error = standard_error(gain)
        metrics[f"gain_over_{keys[name]}"] = float(gain.mean())
        metrics[f"gain_over_{keys[name]}_error"] = float(error)
        verdict = "more than luck" if seeds > 1 and abs(gain.mean()) > 3 * error else "not shown to be more than luck"
        print(f"{deep}, against {name}: {100 * gain.mean():+.1f} ± {100 * error:.1f} points, {verdict}")
    return metrics


if __name__ == "__main__":
    command_line(main)
