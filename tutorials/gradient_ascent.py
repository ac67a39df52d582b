"""What does a network want to see, and why does it take rules to get a picture out of it?

Paper:  [Simonyan et al., 2013](https://arxiv.org/abs/1312.6034), section 2;
        [Yosinski et al., 2015](https://arxiv.org/abs/1506.06579), section 3;
        [Nguyen et al., 2016a](https://arxiv.org/abs/1602.03616), for the centre bias, and
        [Nguyen et al., 2016b](https://arxiv.org/abs/1605.09304), for the generator
Run:    python -m tutorials.gradient_ascent
Takes:  125 seconds on one core
Expect: SqueezeNet is sure of what no rule holds back (score 1,030, probability 1.00), and that is nine times as rough
        as photographs: neighbouring pixels differ by 0.43, in photographs by 0.048. With jitter, blur and decay the
        score is 98, the probability 0.69, the roughness 0.028. Of small images, other networks see the class in 90.0 ±
        3.6 % of those without a rule, and in 86.7 ± 5.4 % of those from a generator's codes: no difference. But the
        nearest training image is 13.3 away from the first, 9.5 with jitter and blur, 4.2 from a generator's, and 4.2
        from a test image.

Start with a grey picture and follow the gradient of a class's score, not to other weights, but to another picture. What
comes out has the highest score, and looks like noise: of all the pictures that a network takes for a goldfish, hardly
any is one. So one looks for the best among natural pictures only, and every rule below says something of what natural
is:

| rule | says |
|---|---|
| L2 decay | no pixel is extreme |
| clipping of small values, or of small contributions | what does not matter is empty |
| centre bias | there is one object, in the middle |
| jitter | what is seen does not depend on its exact place |
| total variation, blur | neighbours are alike |
| a generator | it looks as if it came from the training set |

The last one is another kind of rule: one climbs in the codes of a network that draws, and all that it can draw is
natural. The second half of the lesson asks for numbers. Other networks, trained on the same images from other first
weights, are asked too, and agree with the noise: what fools one network is no whim of its weights. What tells is how
far the nearest training image is.

Exercises:

1. Which channel of `fire7` likes which pattern? `maximize(network, range(16), layer="fire7")` draws sixteen.
2. Write a rule of your own: a frozen dataclass with one method, such as random brightness (`view`) or fewer colours
   (`mend`). Does it help the other networks to see the class?
3. Put two of the small networks into one model, whose output is the mean of theirs, climb that one, and let the third
   one judge. Is noise that two networks agree on still noise?
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasdl import training
from kerasdl.architectures import lenet5_modern, pretrained
from kerasdl.data import info, load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import facets, maximize, plots
from kerasdl.visualization.regularizers import (
    Blur,
    CenterBias,
    ClipContributions,
    ClipValues,
    Decay,
    Jitter,
    Regularizer,
    TotalVariation,
)

RULES: dict[str, list[Regularizer]] = {
    "no rule": [],
    "L2 decay": [Decay(0.05)],
    "small values clipped": [ClipValues(0.5)],
    "small contributions clipped": [ClipContributions(0.5)],
    "centre bias": [CenterBias(0.05, 0.3)],
    "jitter": [Jitter(16)],
    "total variation": [TotalVariation(0.1)],
    "blur": [Blur(1.0, every=4)],
    "jitter, blur and decay": [Jitter(16), Decay(0.01), Blur(1.0, every=4)],
}
CLASSES = {"goldfish": 1, "monarch butterfly": 323, "daisy": 985}


class Draw(keras.layers.Layer):
    """A random code around what the encoder says, and the price of saying much: a variational autoencoder's middle."""

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """Mean and logarithm of the variance in, a code out."""
        mean, log_variance = inputs
        price = 0.5 * tf.reduce_sum(tf.square(mean) + tf.exp(log_variance) - 1 - log_variance, axis=1)
        self.add_loss(tf.reduce_mean(price) / 784)
        return mean + tf.exp(0.5 * log_variance) * keras.random.normal(tf.shape(mean))


def autoencoder(shape: tuple[int, ...], size: int = 16) -> tuple[keras.Model, keras.Model]:
    """A small variational autoencoder, and its second half, which draws images from codes.

    Args:
        shape: That of the images.
        size: Numbers in a code.
    """
    layers = keras.layers
    code = keras.Input((size,))
    x = layers.Dense(256, activation="relu")(code)
    x = layers.Dense(int(np.prod(shape)), activation="sigmoid")(x)
    decoder = keras.Model(code, layers.Reshape(shape)(x), name="decoder")
    image = keras.Input(shape)
    x = layers.Dense(256, activation="relu")(layers.Flatten()(image))
    return keras.Model(image, decoder(Draw()((layers.Dense(size)(x), layers.Dense(size)(x))))), decoder


def roughness(images: np.ndarray) -> np.ndarray:
    """The mean absolute difference between neighbouring pixels of each image: its total variation, per pixel.

    Args:
        images: `(N, height, width, channels)`.
    """
    return sum(np.abs(np.diff(images, axis=axis)).mean(axis=(1, 2, 3)) for axis in (1, 2))


def nearest(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How far each of some images is from the nearest of others.

    Args:
        some: One image in each row.
        others: The same.
    """
    squares = (some**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * some @ others.T
    return np.sqrt(np.maximum(squares.min(axis=1), 0))


@lesson
def main(
    *,
    data: str = "fashion_sample",
    epochs: int = 8,
    steps: int = 96,
    model: str = "squeezenet1_1",
    weights: str = "published",
    seed: int = 0,
    quick: bool = False,
    out: Path = Path("runs/gradient_ascent"),
) -> dict[str, float]:
    """Draws what networks like best, under several rules, and lets other networks judge.

    Args:
        data: A set of small images that kerasdl.data.load knows: fashion_sample, mnist, ... for the second half.
        epochs: Passes over these for the networks of the second half.
        steps: Steps of each ascent.
        model: The network of the first half: squeezenet1_1, resnet50, ...
        weights: "published", or a file with its weights.
        seed: Decides first weights, starts and shifts.
        quick: A few steps with few rules, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    rules, judges, repeats = RULES, 3, 3
    if quick:
        rules, judges, repeats, epochs, steps = {name: RULES[name] for name in ("no rule", "blur")}, 1, 1, 1, 4
    metrics: dict[str, float] = {}

    # The same three classes under each rule, from the same grey picture. A step moves a pixel by 0.02 on average,
    # whatever the score's gradient is.
    network = pretrained(model, weights=weights, input_shape=(96, 96, 3) if quick else (224, 224, 3))
    side = network.input_shape[1]
    classes = list(CLASSES.values())
    drawn, sure = {}, {}
    log = tf.summary.create_file_writer(str(out / "logs" / "scores"))
    for name, rule in rules.items():
        ascent = maximize(network, classes, steps=steps, regularizers=rule, seed=seed)
        likely = network.predict(ascent.images, verbose=0)[range(len(classes)), classes]
        drawn[name], sure[name] = ascent.images, likely
        with log.as_default():
            for step, value in enumerate(ascent.scores.mean(axis=1)):
                tf.summary.scalar(name, value, step)
        key = name.replace(",", "").replace(" ", "_")
        metrics |= {f"{key}_score": ascent.scores[-1].mean(), f"{key}_probability": likely.mean()}
        metrics[f"{key}_roughness"] = roughness(ascent.images).mean()
        print(f"{name:30s} score {ascent.scores[-1].mean():7.1f}, probability {likely.mean():.3f}")
    for row, kind in enumerate(CLASSES):
        plots.save(
            plots.image_grid(
                [images[row] for images in drawn.values()],
                [f"{name}\n{sure[name][row]:.0%} sure" for name in drawn],
                columns=5,
                title=f"The best {kind} under one rule each, and how sure the network is",
            ),
            out / "figures" / f"rules_{kind.replace(' ', '_')}.png",
        )

    # How natural is that? Neighbouring pixels of photographs differ by little. What no rule holds back is rougher by
    # far than any photograph, and the network is certain of it nonetheless.
    photographs = np.stack(
        [image for image, _ in load("photos", split="train[:6]", image_size=side).as_numpy_iterator()]
    )
    metrics["photographs_roughness"] = roughness(photographs).mean()
    values = [roughness(images).mean() for images in (*drawn.values(), photographs)]
    plots.save(
        plots.bars(
            {"roughness": values},
            [*rules, "photographs"],
            y_label="mean difference of neighbouring pixels",
            title="How rough is what the network likes best, and how rough are photographs?",
        ),
        out / "figures" / "roughness.png",
    )

    # Now small images, so that there are other networks to ask: one is climbed, the others have seen the same training
    # images, with other first weights and in another order.
    train = load(data, split="train[:640]" if quick else "train", batch_size=64, shuffle=True, seed=seed)
    test = load(data, split="test[:256]" if quick else "test", batch_size=256)
    images, labels = (np.concatenate(part) for part in zip(*train.as_numpy_iterator(), strict=True))
    shape, kinds = images.shape[1:], info(data).classes
    networks = []
    for index in range(1 + judges):
        keras.utils.set_random_seed(seed + index)
        networks.append(lenet5_modern(input_shape=shape, classes=len(kinds)))
        networks[-1].compile(keras.optimizers.Adam(0.002), "sparse_categorical_crossentropy", metrics=["accuracy"])
        logs = keras.callbacks.TensorBoard(out / "logs" / f"network_{index}")
        history = training.fit(
            networks[-1], train, epochs=epochs, validation_data=test, callbacks=[logs], verbose=0
        ).history
    metrics["judges_accuracy"] = history["val_accuracy"][-1]
    climbed, *others = networks

    # And a network that draws: the second half of an autoencoder, which gets by with sixteen numbers for an image.
    # Codes are drawn at random around what the first half says, and kept near zero: so every code near zero is some
    # image, and one can climb from one to the next.
    keras.utils.set_random_seed(seed)
    whole, decoder = autoencoder(shape)
    whole.compile(keras.optimizers.Adam(0.002), "binary_crossentropy")
    whole.fit(images, images, batch_size=128, epochs=2 * epochs, verbose=0)

    # Each class from three starts with noise of their own. In pixels without a rule, in pixels with two, and in codes.
    targets = np.tile(np.arange(len(kinds)), repeats)
    ways = {
        "pixels, no rule": {},
        "pixels, jitter and blur": {"regularizers": [Jitter(2), Decay(0.01), Blur(0.7, every=4)]},
        "codes of a generator": {
            "generator": decoder,
            "code_bounds": (-2.5, 2.5),
            "learning_rate": 0.05,
            "regularizers": [Decay(0.01)],
        },
    }
    grid = []
    flat = {"train": images.reshape(len(images), -1)}
    flat["test"] = np.concatenate([x for x, _ in test.as_numpy_iterator()]).reshape(-1, flat["train"].shape[1])
    metrics["test_images_distance"] = nearest(flat["test"][:200], flat["train"]).mean()
    for name, options in ways.items():
        found = maximize(climbed, targets, start="noise", steps=steps, seed=seed, batch_size=32, **options).images
        grid += list(found[: len(kinds)])
        own = np.argmax(climbed(found), axis=1) == targets
        judged = np.mean([np.argmax(each(found), axis=1) == targets for each in others], axis=0)
        distance = nearest(found.reshape(len(found), -1), flat["train"]).mean()
        error = standard_error(judged)
        key = name.replace(",", "").replace(" ", "_")
        metrics |= {f"{key}_own": own.mean(), f"{key}_others": judged.mean(), f"{key}_error": error}
        metrics[f"{key}_distance"] = distance
        print(
            f"{name:24s} seen by itself {own.mean():.0%}, by others {judged.mean():.1%} ± {error:.1%}, {distance:.1f}"
        )
    plots.save(
        plots.image_grid(
            grid,
            [kind if row == 0 else "" for row in range(len(ways)) for kind in kinds],
            columns=len(kinds),
            title="The best image of each class. Rows: " + "; ".join(ways),
        ),
        out / "figures" / "pixels_and_codes.png",
    )

    # A class has many faces. The ascent mixes them, unless it starts at one: here at the mean of some training images
    # that are close to each other for the network.
    label = len(kinds) - 2
    starts = facets(climbed, images[labels == label], 4, layer="f6", seed=seed)
    ends = maximize(climbed, label, start=starts, steps=24, learning_rate=0.01, regularizers=[Decay(0.01), Blur(0.5)])
    plots.save(
        plots.image_grid(
            np.concatenate([starts, ends.images]),
            [f"mean image {index + 1}" for index in range(4)] + ["after the ascent"] * 4,
            columns=4,
            title=f"Four faces of one class: {kinds[label]}",
        ),
        out / "figures" / "faces.png",
    )
    return metrics


if __name__ == "__main__":
    command_line(main)
