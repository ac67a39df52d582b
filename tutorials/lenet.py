"""How much of LeNet-5 is left in the network that bears its name today?

Paper:  [LeCun et al., 1998](https://doi.org/10.1109/5.726791), section II
Run:    python -m tutorials.lenet
Takes:  35 seconds on one core
Expect: 83.8 % of the test images right with the network of 1998, 85.3 % with today's (seeds 0 to 2, and two cores,
        which add in another order: 83.7 to 84.3 and 85.3 to 86.1). On all of MNIST (`--data mnist`, 5 epochs, 75
        seconds): 98.2 % and 99.0 %.

Networks of this kind read several million bank cheques a day. What textbooks call LeNet-5 today has the sizes of the
network of 1998, but few of its parts:

| | 1998 | today |
|---|---|---|
| subsampling | sum of 2x2 pixels, times a learned coefficient, plus a learned bias | the largest of 2x2 pixels |
| second convolution | each map sees three to six of the six maps below | each map sees all of them |
| squashing | 1.7159 tanh(2x / 3) | max(x, 0) |
| output | distance to a fixed picture of each digit | softmax of learned weights |

This lesson trains both on the same images, with the same optimizer, and compares what they learn.

Exercises:

1. Run it with `--data mnist`. The network of 1998 was made for digits: does it come nearer to the modern one there?
   Compare the shares of mistakes, not of hits.
2. Build the 1998 network, but give it the modern output (`logits` as a dense layer). Which of the four differences in
   the table costs the most accuracy? Exchange them one at a time.
3. Shift all test images by two pixels (`keras.ops.roll`) and measure again. Which subsampling forgives more?
4. Let three processes do it together: `python -m kerasdl.training.launch --workers 3 -m tutorials.lenet`. Which numbers
   change, and why so little? (`python -m tutorials.many_workers` tells.)
"""

from pathlib import Path

import keras
import numpy as np
from sklearn.metrics import confusion_matrix

from kerasdl import training
from kerasdl.architectures import lenet5, lenet5_modern
from kerasdl.callbacks import FilterSummary
from kerasdl.data import info, load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.visualization import filters, plots


@lesson
def main(
    *,
    data: str = "fashion_sample",
    epochs: int | None = None,
    batch_size: int = 64,
    seed: int = 0,
    quick: bool = False,
    out: Path = Path("runs/lenet"),
) -> dict[str, float]:
    """Trains both networks and compares them.

    Args:
        data: Any image set that kerasdl.data.load knows: fashion_sample, mnist, cifar10, ...
        epochs: Passes over the training images; without it 20 for a small set, 5 for one of 20,000 images or more.
        batch_size: Images per step.
        seed: Decides the first weights and the order of the images.
        quick: One epoch of a few images, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    # On a laptop this changes nothing. With several GPUs, or several workers, each takes its part of every batch.
    devices = training.strategy()
    train = load(data, split="train[:640]" if quick else "train", batch_size=batch_size, shuffle=True, seed=seed)
    test = load(data, split="test[:256]" if quick else "test", batch_size=256)
    class_names = info(data).classes
    if quick:
        epochs = 1
    elif epochs is None:
        epochs = 5 if len(train) * batch_size >= 20_000 else 20

    # The network of 1998 has reasons for everything that is gone today.
    #
    # - **Subsampling** (S2, S4) makes a feature's place less exact: a seven is a seven wherever its corner lies. The
    #   learned coefficient says how: a small one blurs, a large one asks whether any, or all, of four pixels are lit.
    # - **C3 sees only some maps of S2**: maps that see different things have to learn different things. It also saved a
    #   third of the multiplications, when training took days.
    # - **The output** compares 84 numbers with a 7x12 picture of each digit. Digits that look alike have pictures that
    #   are alike, so a dictionary can mend what the network confuses; what is far from all of them is no digit at all.
    #   (For clothes the pictures mean nothing. They still serve as ten different codes.)
    keras.utils.set_random_seed(seed)
    shape = tuple(train.element_spec[0].shape[1:])
    with devices.scope():
        networks = {
            "LeNet-5 (1998)": lenet5(input_shape=shape, classes=len(class_names)),
            "LeNet-5 (today)": lenet5_modern(input_shape=shape, classes=len(class_names)),
        }

    # Both learn by gradient descent with momentum. The learning rate rises for a tenth of the steps, while the weights
    # are random and the gradients large, then falls along half a cosine. The network of 1998 needs the lower rate:
    # squared distances have steep gradients, and at 0.02 most of its units end in the flat part of tanh and stay there.
    #
    # The rates were chosen on a fifth of the training images, held out: 0.02 is the best of 0.01, 0.02 and 0.04 for
    # today's network (87.2 %, against 85.8 and 86.1); for the one of 1998, 0.0025, 0.005 and 0.01 do equally well (82.6
    # to 83.3 %), and 0.02 does not learn at all. The test images are only watched: nothing is chosen by them, not even
    # the best epoch, so they tell what to expect of new images.
    rates = {"LeNet-5 (1998)": 0.005, "LeNet-5 (today)": 0.02}
    histories = {}
    for name, model in networks.items():
        print(f"\n{name}")
        steps = epochs * len(train)
        schedule = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0,
            warmup_target=rates[name],
            warmup_steps=steps // 10,
            decay_steps=steps - steps // 10,
        )
        # With minus the distances as logits, the cross-entropy is the paper's criterion (equation 9): pull the right
        # code near, push the others away.
        with devices.scope():
            optimizer = keras.optimizers.SGD(schedule, momentum=0.9)
            model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        logs = out / "logs" / model.name
        histories[name] = training.fit(
            model,
            train,
            epochs=epochs,
            validation_data=test,
            callbacks=[keras.callbacks.TensorBoard(logs), FilterSummary(logs)],
        )

    # How did they get there? A wide gap between training and validation means learning by heart.
    plots.save(
        plots.training_curves(histories, "accuracy", title=f"Two LeNets on {data}"),
        out / "figures" / "accuracy.png",
    )

    # The first layer has the same shape in both networks, so its filters can be compared. Mid-grey is zero.
    kernels = {name: filters(model) for name, model in networks.items()}
    plots.save(
        plots.image_grid(
            np.concatenate([kernel / np.abs(kernel).max() for kernel in kernels.values()]),
            [
                f"{name.split()[-1][1:-1]}, filter {index + 1}"
                for name, kernel in kernels.items()
                for index in range(len(kernel))
            ],
            columns=6,
            symmetric=True,
            title="What the first layer looks for",
        ),
        out / "figures" / "filters.png",
    )

    # Who is taken for whom? Each row is a class, each column what the network said.
    batches = list(test.as_numpy_iterator())
    images, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
    probabilities = {name: model.predict(images, batch_size=256, verbose=0) for name, model in networks.items()}
    for name, model in networks.items():
        matrix = confusion_matrix(labels, probabilities[name].argmax(axis=1), labels=range(len(class_names)))
        plots.save(
            plots.confusion_matrix(matrix, class_names, title=f"{name}, on {data}"),
            out / "figures" / f"confusion_{model.name}.png",
        )

    # The worst mistakes: the images whose true class the modern network finds least likely. Would you do better?
    guesses = probabilities["LeNet-5 (today)"]
    worst = guesses[np.arange(len(labels)), labels].argsort()[:12]
    plots.save(
        plots.image_grid(
            images[worst],
            [f"{class_names[labels[i]]}\n→ {class_names[guesses[i].argmax()]} {guesses[i].max():.0%}" for i in worst],
            columns=6,
            title="Worst mistakes of LeNet-5 (today): true class → predicted class",
        ),
        out / "figures" / "mistakes.png",
    )

    # The accuracy is the mean of the last three epochs: the last one alone may be a lucky one.
    metrics = {}
    for name, model in networks.items():
        metrics[f"{model.name}_accuracy"] = float(np.mean(histories[name].history["val_accuracy"][-3:]))
        metrics[f"{model.name}_parameters"] = float(sum(np.prod(weight.shape) for weight in model.trainable_weights))
    return metrics


if __name__ == "__main__":
    command_line(main)
