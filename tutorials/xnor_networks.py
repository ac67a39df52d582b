"""What if the maps are signs as well: how fast is a network of bits, and where does "58 times" come from?

Paper:  [Rastegari et al., 2016](https://arxiv.org/abs/1603.05279), sections 3.2 and 3.3;
        [Courbariaux et al., 2016](https://arxiv.org/abs/1602.02830)
Run:    python -m tutorials.xnor_networks
Takes:  110 seconds on one core
Expect: of 1,000 test images 89.8 % right with floats, 88.6 with BinaryNet, 87.4 with XNOR, 85.0 with K, 85.2 with the
        sign before the maximum (one standard error: 1 point). Packed, 562 kB become 29, with K 35, and the time per
        image a third of the float network's, with K two thirds (one core); all classes are the same. One convolution,
        all on one core: a loop of bits is 38 times as fast as a loop of floats, but TensorFlow's floats are 11 times as
        fast as that loop; packed bits are 127 times as fast as the loop and 12 times as fast as TensorFlow. On all of
        Fashion-MNIST (`--data fashion_mnist`, 6 epochs): 92.9 % with floats, 90.9 with BinaryNet, 90.6 with XNOR, 90.0
        with K, 89.5 with the sign before the maximum (one standard error: 0.3).

In `binary_weights` only the weights are signs. If the maps between the layers are signs too, a product is +1 where two
signs agree and -1 where they differ: XNOR, 64 of them in one instruction on a word, and a sum is a count of bits. That
is what makes such networks fast. The float network is the same in both lessons; the kinds with real maps (ternary,
binary weights, BinaryConnect) are in the other.

| | y = | |
|---|---|---|
| BinaryNet (Courbariaux et al., 2016) | sign(x) * sign(W) | |
| XNOR (Rastegari et al., 2016) | (sign(x) * sign(W)) alpha | alpha = mean abs(W) of each filter |
| XNOR with K | (sign(x) * sign(W)) alpha K | K = mean abs(x) of what the filter sees at each place |

In training all of it is computed with floats, and no faster than any network. So this lesson packs the trained networks
into bits, checks that they say the same, and takes the time.

Exercises:

1. Give `binary_cnn` a `Kind` of your own whose layers have `estimator="approx_sign"`, then "swish_sign" (`KINDS` in
   `kerasdl.architectures.small_binary_nets` shows how). They change the gradient of the maps' signs only. Do they learn
   better than the spread between three seeds?
2. Put a rectifier before the signs: `Kind(XnorConv2D, XnorDense, rectified=True)`. What share of the inputs is +1 now,
   and what does the network learn?
3. `kerasdl.xnor.pack(model).summary()` says how each layer runs. What share of the time do the two real layers take,
   and what does that say of any speed-up that is measured on one layer?
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasdl import training
from kerasdl.architectures import binary_cnn
from kerasdl.architectures.parts import classify, normalize
from kerasdl.data import info, load
from kerasdl.layers import FastConv2D, XnorConv2D, XnorDense, sign_ste
from kerasdl.tutorials import loops_without_vectors
from kerasdl.tutorials.binary_costs import costs, milliseconds, picture, print_table
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.visualization import plots
from kerasdl.xnor import pack

NAMES = {"float": "float", "binary_net": "BinaryNet", "xnor": "XNOR", "xnor_k": "XNOR with K"}
OTHER_ORDER = "XNOR, sign first"


def sign_before_maximum(width: int, shape: tuple[int, ...], classes: int) -> keras.Model:
    """The layers of `binary_cnn` in the order of ordinary networks: convolution, normalisation, sign, then maximum."""
    options: dict[str, Any] = {"padding": "same", "use_bias": False, "kernel_initializer": "he_normal"}
    inputs = keras.Input(shape)
    x = FastConv2D(width, 3, name="stage1_conv1", **options)(inputs)
    x = _normalize_sign_pool(x, "stage1")
    x = XnorConv2D(width, 3, name="stage2_conv1", **options)(x)
    x = _normalize_sign_pool(x, "stage2")
    x = XnorConv2D(2 * width, 3, name="stage3_conv1", **options)(x)
    x = normalize(x, name="stage3_norm1")
    x = XnorConv2D(2 * width, 3, name="stage3_conv2", **options)(x)
    x = keras.layers.Flatten()(_normalize_sign_pool(x, "stage3"))
    x = XnorDense(4 * width, name="dense", use_bias=False, kernel_initializer="he_normal")(x)
    x = keras.layers.ReLU()(normalize(x, name="dense_norm"))
    return keras.Model(inputs, classify(x, classes), name="sign_first")


def _normalize_sign_pool(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    x = keras.layers.Activation(sign_ste)(normalize(x, name=f"{name}_norm"))
    return keras.layers.MaxPooling2D(2, name=f"{name}_out")(x)


def share_of_ones(model: keras.Model, images: np.ndarray) -> dict[str, float]:
    """How many of the inputs of each binary layer have the sign +1."""
    layers = [layer for layer in model.layers if isinstance(layer, XnorConv2D | XnorDense)]
    reads = keras.Model(model.inputs, [layer.input for layer in layers])
    found = reads.predict(images, verbose=0)
    return {layer.name: float((values >= 0).mean()) for layer, values in zip(layers, found, strict=True)}


def one_convolution(side: int, channels: int, rounds: int) -> dict[str, float]:
    """Milliseconds of one 3x3 convolution: in plain loops on one thread, in TensorFlow and packed on all.

    The packed one takes the signs too.
    """
    inputs = keras.Input((side, side, channels))
    options: dict[str, Any] = {"padding": "same", "use_bias": False}
    real = keras.Model(inputs, keras.layers.Conv2D(channels, 3, **options)(inputs))
    signs = keras.Model(inputs, XnorConv2D(channels, 3, **options)(inputs))
    image = np.random.default_rng(0).normal(size=(1, side, side, channels)).astype("float32")
    times = milliseconds({"real": real, "signs": signs}, {"real": pack(real), "signs": pack(signs)}, image, rounds)
    floats, bits = loops_without_vectors.measure(side, channels, repeats=3)
    return {"float loop": floats, "bit loop": bits, "TensorFlow": times["real"][0], "packed": times["signs"][1]}


@lesson
def main(
    *,
    data: str = "fashion_sample",
    epochs: int | None = None,
    width: int = 32,
    batch_size: int = 64,
    seed: int = 0,
    quick: bool = False,
    out: Path = Path("runs/xnor_networks"),
) -> dict[str, float]:
    """Trains a network of floats and networks of bits, packs them, and measures what that brings.

    Args:
        data: Any image set that kerasdl.data.load knows: fashion_sample, mnist, fashion_mnist, cifar10, ...
        epochs: Passes over the training images; without it 8 for a small set, 6 for one of 20,000 images or more.
        width: Filters of the first two convolutions; the others have twice as many.
        batch_size: Images per step.
        seed: Decides the first weights and the order of the images.
        quick: Two networks, one epoch of a few images, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    train = load(data, split="train[:320]" if quick else "train", batch_size=batch_size, shuffle=True, seed=seed)
    test = load(data, split="test[:128]" if quick else "test", batch_size=256)
    shape, classes = tuple(train.element_spec[0].shape[1:]), len(info(data).classes)
    names = NAMES
    if quick:
        epochs, width, names = 1, 8, {"xnor": NAMES["xnor"]}
    elif epochs is None:
        epochs = 6 if len(train) * batch_size >= 20_000 else 8
    images = np.concatenate([batch for batch, _ in test.as_numpy_iterator()])

    # A sign has no derivative worth the name: it is 0 everywhere but at one place. The gradient is passed as if the
    # sign were the identity between -1 and 1 (the straight-through estimator), and stopped beyond, where a small
    # change of x would not turn the sign.
    #
    # The networks differ in the layers between the first and the last, which stay real. There is no rectifier before a
    # sign: after it every sign would be +1. Batch normalisation stands there instead, and puts 0 in the middle of what
    # a filter finds, so that its sign tells most.
    builders: dict[str, Callable[[], keras.Model]] = {
        name: partial(binary_cnn, kind, width, input_shape=shape, classes=classes, name=kind)
        for kind, name in names.items()
    }
    builders[OTHER_ORDER] = partial(sign_before_maximum, width, shape, classes)
    models: dict[str, keras.Model] = {}
    histories = {}
    for name, build in builders.items():
        print(f"\n{name}")
        keras.utils.set_random_seed(seed)
        models[name] = model = build()
        # The rate is that of `binary_weights`, and was chosen in the same way: after 12 epochs with 0.001, 0.003, 0.01
        # and 0.03 the XNOR network has 81.8, 85.7, 86.9 and 86.5 % of 1,000 training images right that were held out.
        rate = keras.optimizers.schedules.CosineDecay(0.01, epochs * len(train))
        model.compile(keras.optimizers.Adam(rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        logs = keras.callbacks.TensorBoard(out / "logs" / model.name, write_graph=False)
        histories[name] = training.fit(model, train, epochs=epochs, validation_data=test, callbacks=[logs], verbose=2)
    plots.save(
        plots.lines(
            {name: history.history["val_accuracy"] for name, history in histories.items()},
            x_label="epoch",
            y_label="accuracy on the test images",
            title=f"Floats and bits on {data}",
        ),
        out / "figures" / "accuracy.png",
    )
    accuracies = {name: history.history["val_accuracy"][-1] for name, history in histories.items()}

    # Why this order: normalise, sign, convolve, maximum? Other networks take the maximum after the activation. Of four
    # random signs the largest is +1 fifteen times in sixteen, and a map of +1 everywhere tells nothing. Training works
    # against it, by thresholds so high that few signs are +1 before the maximum, but not to the end.
    shares = {name: share_of_ones(models[name], images) for name in ("XNOR", OTHER_ORDER)}
    plots.save(
        plots.bars(
            {name: [100 * share for share in each.values()] for name, each in shares.items()},
            [name.replace("_", "\n") for name in shares["XNOR"]],
            y_label="inputs of sign +1, %",
            title="What the binary layers read",
        ),
        out / "figures" / "ones.png",
    )

    # Now the bits. Packed, sixty-four signs are one word, and batch normalisation, sign and maximum together are one
    # comparison of a count with a whole number: between two binary layers no float is written, except with K, which
    # scales every place by another number. The classes must be the same for every image.
    #
    # The scale alpha makes no difference to what a packed network can say: the batch normalisation behind it undoes any
    # scale of a filter. It changes how the latent weights learn: with it the gradient is scaled, and after each step
    # XNOR's weights are centred over a filter's input channels and clipped to -1 and 1, where BinaryNet's are only
    # clipped. K is different at each place, and is not undone.
    found = costs(
        {name: models[name] for name in names.values()},
        images,
        batch_size=8 if quick else 64,
        rounds=2 if quick else 20,
    )
    print_table(accuracies, found)
    plots.save(
        picture(accuracies, found, len(images), f"What bits cost and save, on {data}"),
        out / "figures" / "costs.png",
    )

    # Where does "58 times" come from? One instruction on a word of 64 bits does 64 products of signs, so that, with the
    # floats that remain, a 3x3 convolution of 256 channels needs 64 * 2304 / (2304 + 64) = 62 times fewer operations,
    # *if a float product is one instruction too*. The paper measured 58 for one convolution in two such loops, one of
    # floats and one of words, without the time for memory. But no library multiplies floats one at a time: with AVX-512
    # one instruction multiplies and adds 16 floats, and a core does two of them per cycle. Of bits an instruction
    # counts 512, and before it an exclusive or and after it an addition are needed. What is left for the product alone
    # is about 512 / 32 = 16 times. So ask of every speed-up: faster than what?
    times = one_convolution(14, 64 if quick else 256, 2 if quick else 50)
    figure = plots.bars(
        {"time": list(times.values())},
        list(times),
        y_label="milliseconds (loops: 1 thread), logarithmic",
        title="The same convolution: faster than what?",
    )
    figure.axes[0].set_yscale("log")
    plots.save(figure, out / "figures" / "one_convolution.png")
    metrics = {
        "convolution_bit_loop_against_float_loop": times["float loop"] / times["bit loop"],
        "convolution_tensorflow_against_float_loop": times["float loop"] / times["TensorFlow"],
        "convolution_packed_against_float_loop": times["float loop"] / times["packed"],
        "convolution_packed_against_tensorflow": times["TensorFlow"] / times["packed"],
    }
    kinds = {name: kind for kind, name in names.items()} | {OTHER_ORDER: "sign_first"}
    metrics |= {f"{kinds[name]}_accuracy": accuracy for name, accuracy in accuracies.items()}
    for name, cost in found.items():
        metrics |= {f"{kinds[name]}_{key}": value for key, value in vars(cost).items()}
    for name, each in shares.items():
        metrics[f"{kinds[name]}_share_of_ones"] = float(np.mean(list(each.values())))
    return metrics


if __name__ == "__main__":
    command_line(main)
