"""Can a plain network of a thousand layers, without shortcuts and without normalisation, be trained at all?

Paper:  [Xiao et al., 2018](https://arxiv.org/abs/1806.05393)
Run:    python -m tutorials.ten_thousand_layers
Takes:  120 seconds on one core; with `--full` about two hours, by reckoning
Expect: from the last of 10,000 layers to the first, a gradient changes by a factor of `10^0.1` with delta-orthogonal
        weights, `10^-59` with Glorot's and `10^203` with He's. After 100 steps of training the delta-orthogonal network
        of 1,000 layers has 25.6 % of 500 test images right, and its loss, now 2.00, still falls; with Glorot's weights
        the network is at chance, 10.0 %, loss 2.30. With `--seeds 3` (9 minutes on one core): 28.3 % and 10.0 %, a
        difference of 18.3 ± 1.4 points.

Deep networks came to be trained with the help of shortcuts and normalisation. Are they needed, or do they only mend
what the first weights got wrong? A layer multiplies a signal on its way forward, and a gradient on its way back, by
some factor. After a thousand layers, 0.99 has become 0.00004 and 1.01 has become 21,000: only a factor of 1 will do.

Theory says what it takes. The weights' variance must be such that the *mean* factor is 1: that is a line in the plane
of weight and bias variance, between order, where all inputs end in one point, and chaos, where the smallest
differences explode. And *each* direction must have that factor, not only the mean of all, or a product of a thousand
random factors around 1 will drift to 0. Orthogonal matrices do it. A convolution does it when its kernel has an
orthogonal matrix in its centre and zeros around it: the *delta-orthogonal* kernel. It looks at no neighbours at first,
and learns to.

Glorot's weights, the default of Keras, are on the line, or very near it. They are not orthogonal.

Exercises:

1. Give the stack kernels that are orthogonal but 5 % too large (`DeltaOrthogonal(1.05)`). At what depth does it fail?
   Predict it before you run it: what is 1.05 to the power of the depth?
2. tanh is nearly linear for small numbers, and a linear network of any depth is one matrix. How far from linear is the
   network of this lesson? Feed it x, y and x + y, and compare. What if `vanilla_cnn` used q = 1 at every depth?
3. Train at depth 100 with a rate of 0.01 / depth, 0.01 / sqrt(depth) and 0.01, then at depth 1,000. Which law holds?
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasdl import training
from kerasdl.architectures import vanilla_cnn
from kerasdl.architectures.very_deep import critical_variances
from kerasdl.data import info, load
from kerasdl.initializers import DeltaOrthogonal
from kerasdl.layers import DeepConvolutionStack
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import plots


@lesson
def main(
    *,
    data: str = "fashion_sample",
    depth: int = 1000,
    images: int = 1600,
    epochs: int = 2,
    seeds: int = 1,
    quick: bool = False,
    full: bool = False,
    out: Path = Path("runs/ten_thousand_layers"),
) -> dict[str, float]:
    """Draws gradients through 10,000 layers, then trains a network of 1,000 from two kinds of first weights.

    Args:
        data: Any image set that kerasdl.data.load knows: fashion_sample, mnist, cifar10, ...
        depth: Layers of the network that is trained.
        images: How many training images to use.
        epochs: Passes over the training images.
        seeds: How often the training is repeated, with other first weights.
        quick: Few layers, images and steps, only to see that everything works.
        full: 6,000 images, 10 epochs, three seeds; about two hours.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    measured_depth = 10_000
    if quick:
        depth, images, epochs, seeds, measured_depth = 20, 64, 1, 1, 200
    elif full:
        images, epochs, seeds = 6000, 10, 3

    # First the gradients, before any training. A random gradient enters at the last layer; how much of it arrives at
    # each layer below? The biases' gradient is what arrives there, summed over all places; the largest of its numbers
    # is drawn. In float64, and from a tiny beginning: float32 holds neither the smallest nor the largest of them.
    #
    # The three kinds of first weights: delta-orthogonal ones on the critical line, Glorot's, and He's, which have twice
    # the variance of Glorot's here, and lie in the chaotic phase of a tanh network.
    q = 1 / measured_depth
    gain = critical_variances(q)[0] ** 0.5
    kinds = {"delta-orthogonal": DeltaOrthogonal(gain, seed=0), "Glorot": "glorot_normal", "He": "he_normal"}
    arrives, drawn = {}, np.unique(np.linspace(0, measured_depth - 1, 400).astype(int))
    x, flow = (tf.random.stateless_normal((1, 4, 4, 16), (seed, 0), dtype="float64") for seed in (1, 2))
    for name, initializer in kinds.items():
        keras.utils.set_random_seed(0)
        stack = DeepConvolutionStack(measured_depth, kernel_initializer=initializer, dtype="float64")
        stack.build(x.shape)
        with tf.GradientTape() as tape:
            y = stack(q**0.5 * x)
        largest = np.log10(np.abs(tape.gradient(y, stack.bias.value, 1e-100 * flow)).max(axis=1))
        arrives[name] = largest - largest[-1]
        print(f"{name}: 10^{arrives[name][0]:.1f} of the gradient at the last layer arrives at the first")
    plots.save(
        plots.lines(
            {name: logarithms[drawn] for name, logarithms in arrives.items()},
            drawn + 1,
            x_label="layer",
            y_label="log10 of the gradient, last layer = 0",
            markers=False,
            title=f"How much of a gradient arrives, {measured_depth:,} layers",
        ),
        out / "figures" / "gradients.png",
    )

    # Now the training, with everything equal but the first weights of the stack (and the order of the images): the
    # same images, the same layers before and behind. The mean image is taken away, and the rest is scaled to the spread
    # that the network expects: what all images have in common would be the steepest direction of the loss, and the
    # learning rate would have to be small for its sake. It must be small anyway, for a step moves a thousand layers at
    # once.
    size = (16, 16)
    train = load(data, split=f"train[:{images}]", batch_size=32, image_size=size, shuffle=True, seed=0)
    test = load(data, split="test[:100]" if quick else "test[:500]", batch_size=250, image_size=size)
    pixels = np.concatenate([batch for batch, _ in train.as_numpy_iterator()])
    mean, spread = pixels.mean(axis=0), (pixels - pixels.mean(axis=0)).std()
    train, test = (part.map(lambda x, y: (0.5 + 0.29 * (x - mean) / spread, y)) for part in (train, test))
    shape, classes = pixels.shape[1:], len(info(data).classes)
    histories: dict[str, list] = {"delta-orthogonal": [], "Glorot": []}
    moved = {}
    for seed in range(seeds):
        for name, runs in histories.items():
            keras.utils.set_random_seed(seed)
            model = vanilla_cnn(depth, input_shape=shape, classes=classes, seed=seed)
            stack = model.get_layer("stage2_out")
            if name == "Glorot":
                other = DeepConvolutionStack(depth, kernel_initializer="glorot_normal")
                other.build(stack.input.shape)
                stack.kernel.assign(other.kernel)
            before = stack.kernel.numpy()
            optimizer = keras.optimizers.SGD(0.002 / depth, momentum=0.9)
            model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
            print(f"\n{name}, {depth:,} layers, seed {seed}")
            logs = keras.callbacks.TensorBoard(out / "logs" / f"{name}_{seed}")
            runs.append(training.fit(model, train, epochs=epochs, validation_data=test, callbacks=[logs]).history)
            moved[name] = np.linalg.norm(stack.kernel.numpy() - before) / np.linalg.norm(before)
            print(f"The weights of the stack have moved by {moved[name]:.1e} of their length.")
    figure = plots.training_curves(
        {
            name: {key: np.mean([run[key] for run in runs], axis=0) for key in runs[0]}
            for name, runs in histories.items()
        },
        title=f"{depth:,} plain layers on {data}",
    )
    plots.save(figure, out / "figures" / "accuracy.png")

    metrics = {}
    for name, logarithms in arrives.items():
        metrics[f"{name.lower().replace('-', '_')}_gradient_log10"] = logarithms[0]
    for name, runs in histories.items():
        key = name.lower().replace("-", "_")
        metrics[f"{key}_accuracy"] = np.mean([run["val_accuracy"][-1] for run in runs])
        metrics[f"{key}_loss"] = np.mean([run["val_loss"][-1] for run in runs])
        metrics[f"{key}_weights_moved"] = moved[name]
    differences = np.array(
        [one["val_accuracy"][-1] - other["val_accuracy"][-1] for one, other in zip(*histories.values(), strict=True)]
    )
    if seeds > 1:
        error = standard_error(differences)
        verdict = "certain" if abs(differences.mean()) > 3 * error else "not certain"
        print(f"Delta-orthogonal minus Glorot: {100 * differences.mean():+.1f} ± {100 * error:.1f} points ({verdict})")
        metrics["difference_error"] = error
    return metrics


if __name__ == "__main__":
    command_line(main)
