"""What do the first filters of a network look like, and why?

Paper:  [Krizhevsky et al., 2012](https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks),
        Figure 3; for photographs alone [Olshausen and Field, 1996](https://doi.org/10.1038/381607a0)
Run:    python -m tutorials.first_filters
Takes:  65 seconds on one core
Expect: SqueezeNet, which learnt photographs, has 93.5 ± 1.3 % of a filter's energy in one pattern and one colour (noise
        of 3x3: 57.6 %), and 66.0 ± 2.8 % of the pattern's in one wave (47.3 %). 55 % of its filters are grey, and these
        are faster than the coloured ones: 0.370 ± 0.011 against 0.250 ± 0.024 waves per pixel. The network that learnt
        ten figures is nearer to noise of 5x5: 63.5 ± 1.5 % (47.7 %) and 39.7 ± 2.7 % (24.9 %). In training, five passes
        add 12.0 ± 3.7 points to the energy in one wave (10.0 ± 3.5, not quite certain, on two cores, where sums come
        out in another order); the 6.5 ± 2.7 and 7.1 ± 2.4 points of the energy in one colour are no certain difference.
        ResNet-50 with filters of 7x7: 92.1 ± 1.2 % (43.6 %) and 42.2 ± 2.3 % (15.5 %).

The filters of the first layer are the only ones that can be looked at as they are: their inputs are the colours of
pixels. Train a network on photographs, whatever the task, and among them are always edges and stripes at all angles, in
black and white, and blobs and slow changes in colour. Cells in the first visual area of the brain are of the same kind,
and so are the codes that describe photographs with the fewest numbers. The reason is in the photographs: neighbouring
pixels are alike, what is not alike is mostly an edge, and all three colours are brighter or darker together.

A picture of some filters persuades easily. So this lesson says in numbers what one believes to see in it:

- **One colour**: a filter of, say, 5x5 pixels and three colours can be any 75 numbers. How much of its energy (the sum
  of squares) has the best product of *one* pattern of 5x5 and *one* direction in colour?
- **One frequency**: of that pattern, how much has the strongest wave of its Fourier transform, of one length and angle?
- **Grey or coloured**: is the direction in colour near to that in which all three change alike? And are coloured
  patterns slower, as the eye's are?

Filters of noise have some of all that by chance, the more the smaller they are. So all is compared with noise of the
same size.

Exercises:

1. Read the angle of each grey filter from the place of its strongest wave. Are all angles there, and equally often?
2. Train the shapes network on grey pictures only (average their channels). Which of the measures changes?
3. `--model resnet50 --weights FILE` has filters of 7x7 pixels. Fit a Gabor function, a wave under a bell, to one of its
   grey filters. How much of the energy does it explain, and how much if the filter is noise?
"""

from pathlib import Path

import keras
import numpy as np

from kerasdl import training
from kerasdl.architectures import pretrained, shapes_cnn
from kerasdl.callbacks import FilterSummary
from kerasdl.data import info, load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import filters, plots


def split(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """The pattern and the colour whose product comes nearest to a filter, and the share of its energy they have."""
    height, width, channels = kernel.shape
    left, values, right = np.linalg.svd(kernel.reshape(-1, channels), full_matrices=False)
    return left[:, 0].reshape(height, width), right[0], values[0] ** 2 / (values**2).sum()


def measure(kernels: np.ndarray) -> dict[str, np.ndarray]:
    """What is said of filters `(N, height, width, channels)` above, a number for each."""
    found: dict[str, list[float]] = {"one_colour": [], "one_wave": [], "greyness": [], "frequency": []}
    for kernel in kernels:
        pattern, colour, share = split(kernel)
        power = np.abs(np.fft.fft2(pattern)) ** 2
        power /= power.sum()
        # A wave is in the transform twice, with both signs, but for the mean and the fastest waves of even sides.
        places = np.arange(power.size).reshape(power.shape)
        opposite = np.roll(places[::-1, ::-1], 1, axis=(0, 1))
        wave = np.where(places == opposite, power, power + power.ravel()[opposite])
        rows, columns = (np.fft.fftfreq(side) for side in pattern.shape)
        found["one_colour"].append(share)
        found["one_wave"].append(wave.max())
        found["greyness"].append(abs(colour.sum()) / np.sqrt(len(colour)))
        found["frequency"].append((power * np.hypot(rows[:, None], columns)).sum())
    return {name: np.array(values) for name, values in found.items()}


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """The mean and its standard error."""
    return float(values.mean()), float(standard_error(values))


def same_scale(kernels: np.ndarray) -> np.ndarray:
    """Every filter with its largest weight at 1 or -1."""
    return kernels / np.abs(kernels).max(axis=(1, 2, 3), keepdims=True)


@lesson
def main(
    *,
    data: str = "shapes/one",
    epochs: int = 5,
    model: str = "squeezenet1_1",
    weights: Path | None = None,
    seed: int = 0,
    quick: bool = False,
    out: Path = Path("runs/first_filters"),
) -> dict[str, float]:
    """Measures the first filters of networks, and watches some come out of noise.

    Args:
        data: Colour images on which a small network is trained, to be watched.
        epochs: Passes over these images.
        model: A network that has learnt photographs, by its name in `pretrained`.
        weights: A file with its weights; without it those that ship, or are downloaded.
        seed: Decides the first weights, which are noise, and the order of the images.
        quick: One epoch of a few images, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    train = load(data, split="train[:640]" if quick else "train", batch_size=64, shuffle=True, seed=seed)
    epochs = 1 if quick else epochs

    # A small network begins with noise, and after each pass over the images we keep a copy of its first filters.
    keras.utils.set_random_seed(seed)
    network = shapes_cnn(input_shape=train.element_spec[0].shape[1:], classes=len(info(data).classes))
    # The weights decay: what is left of the noise fades, and what the images ask for stays.
    optimizer = keras.optimizers.AdamW(3e-3, weight_decay=0.3)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    network.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    kept = [filters(network)]
    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(filters(network)))
    logs = out / "logs"
    callbacks = [keep, keras.callbacks.TensorBoard(logs), FilterSummary(logs)]
    history = training.fit(network, train, epochs=epochs, callbacks=callbacks, verbose=2)

    # And these have learnt long ago: one a million photographs, one the ten figures.
    photographs = filters(pretrained(model, weights="published" if weights is None else weights))
    kernels = {"photos": photographs, "figures": filters(pretrained("shapes_cnn"))}
    metrics: dict[str, float] = {}
    means: dict[str, list[float]] = {"learnt": [], "noise": []}
    errors: dict[str, list[float]] = {"learnt": [], "noise": []}
    random = np.random.default_rng(seed)
    for name, learnt in kernels.items():
        noise = random.normal(size=(200 if quick else 2000, *learnt.shape[1:]))
        measured = {"learnt": measure(learnt), "noise": measure(noise)}
        for measure_name in ("one_colour", "one_wave"):
            for kind, values in measured.items():
                mean, error = mean_and_error(values[measure_name])
                means[kind].append(mean)
                errors[kind].append(error)
                key = f"{name}_{measure_name}_{kind}"
                metrics |= {key: mean, f"{key}_error": error}
            print(f"{name}, {measure_name}: {means['learnt'][-1]:.1%}, by noise {means['noise'][-1]:.1%}")
    plots.save(
        plots.bars(
            means,
            [f"{name}\n1 {what}" for name in kernels for what in ("colour", "wave")],
            errors=errors,
            y_label="share of the energy (± standard error)",
            written="{:.2f}",
            title="Learnt filters are simpler than noise",
        ),
        out / "figures" / "shares.png",
    )

    # The filters themselves: mid-grey is zero. Those of photographs are sorted, grey ones first.
    of_photographs = measure(photographs)
    grey = of_photographs["greyness"] > 0.9
    order = np.argsort(-of_photographs["greyness"], kind="stable")
    order = np.concatenate([order[:16], order[-16:]])

    noise = np.random.default_rng(seed).normal(size=(32, *photographs.shape[1:]))
    for name, some, title in (
        ("photographs", photographs[order], f"{model}: the 16 greyest filters above, the 16 most coloured below"),
        ("noise", noise, "Noise of the same size"),
        ("shapes", kernels["figures"], "The network that learnt ten figures"),
    ):
        plots.save(
            plots.image_grid(same_scale(some), columns=8, symmetric=True, title=title), out / "figures" / f"{name}.png"
        )
    metrics["grey_share"] = float(grey.mean())
    for name, which in (("grey", grey), ("coloured", ~grey)):
        mean, error = mean_and_error(of_photographs["frequency"][which])
        metrics |= {f"{name}_frequency": mean, f"{name}_frequency_error": error}

    # Out of noise: both numbers after each pass. They rise from what chance gives.
    steps = [measure(each) for each in kept]
    plots.save(
        plots.lines(
            {
                "one pattern, one colour": [step["one_colour"].mean() for step in steps],
                "one wave": [step["one_wave"].mean() for step in steps],
            },
            range(epochs + 1),
            errors={
                "one pattern, one colour": [mean_and_error(step["one_colour"])[1] for step in steps],
                "one wave": [mean_and_error(step["one_wave"])[1] for step in steps],
            },
            x_label="passes over the images",
            y_label="share of the energy (± standard error)",
            title="Filters come out of noise",
        ),
        out / "figures" / "training.png",
    )
    metrics["accuracy_while_training"] = history.history["accuracy"][-1]
    for name in ("one_colour", "one_wave"):
        (before, before_error), (after, after_error) = (mean_and_error(steps[at][name]) for at in (0, -1))
        metrics |= {f"{name}_gain": after - before, f"{name}_gain_error": float(np.hypot(before_error, after_error))}
    return metrics


if __name__ == "__main__":
    command_line(main)
