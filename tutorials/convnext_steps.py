"""What turns a ResNet into a ConvNeXt, and what is each change worth?

Paper:  [Liu et al., 2022](https://arxiv.org/abs/2201.03545), section 2 and Figure 2
Run:    python -m tutorials.convnext_steps
Takes:  145 seconds on one core
Expect: after 60 updates, with three seeds, a training loss of 1.02 for the ResNet, 0.85 for the best network on the way
        (all steps up to one activation per block) and 1.89 for the ConvNeXt. Worse: depthwise convolutions (+0.10), the
        inverted bottleneck (+0.12), the depthwise convolution first (+0.03), and the last three: one norm (+0.17),
        layer norm (+0.23) and own layers to downsample (+0.63). Better: other stages (-0.04), width (-0.16), the 7x7
        kernel (-0.08), GELU (-0.02) and one activation (-0.13). Patches make no difference: less than three standard
        errors. The ConvNeXt has as many multiply-adds as the ResNet, 7.3 M, and takes 1.4
        times as long.

Vision transformers beat convolutional networks in 2021. Was it attention, or all the other things that had changed
with it? The authors of ConvNeXt took a ResNet-50 and gave it these other things one at a time, without any attention.
On ImageNet it went from 78.8 to 82.0 %, more than a Swin transformer of its size. Their steps:

- the *training recipe* (AdamW, many epochs, strong augmentation), which alone brought 2.7 points: all networks here
  have it, as far as a minute allows;
- *stages*: another share of blocks per stage, and patches that do not overlap in the place of a pooling stem;
- *depthwise* convolutions, which mix pixels and leave the mixing of channels to 1x1 convolutions, and more width for
  what this saves;
- the *inverted bottleneck*, wide inside and narrow outside, the depthwise convolution before it, with a 7x7 kernel;
- *small things*: GELU, one activation and one normalisation per block, of the pixel and not of the batch, and a layer
  of its own to make the maps smaller.

This lesson walks the same way with a network for 32x32 pixels. The training loss is that of a small network in its
first epochs. The paper trains for 300, and sees much the same at first: depthwise convolutions and their move to the
front cost accuracy, width, the 7x7 kernel and one activation bring most. But the last three steps, and the inverted
bottleneck, are small gains there and losses here. They take batch normalisation out, place by place, and without it
these networks learn more slowly at first.

Exercises:

1. `--epochs 20 --images 6000`: which steps change their sign when the networks learn for longer?
2. Exchange the order: what does the 7x7 kernel do to a ResNet (`kernel_size` in the first step)?
3. Take `--learning-rate 0.01`. Which networks still learn, and what have they in common?
"""

import dataclasses
import statistics
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl import layers, training
from kerasdl.data import info, load
from kerasdl.profiling import profile
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import plots


@dataclasses.dataclass(frozen=True)
class Design:
    """All that the steps change; as it is here, a small ResNet with bottleneck blocks in three stages."""

    blocks: tuple[int, int, int] = (2, 2, 1)
    patches: bool = False  # The stem takes patches that do not overlap, and does not pool.
    depthwise: bool = False  # The spatial convolution sees each map on its own.
    widths: tuple[int, int, int] = (16, 32, 64)  # Inside a bottleneck, or outside an inverted one.
    inverted: bool = False  # A block is wide inside.
    spatial_first: bool = False  # The spatial convolution comes before both 1x1 convolutions.
    kernel_size: int = 3
    activation: str = "relu"
    one_activation: bool = False  # In a block.
    one_norm: bool = False  # In a block.
    layer_norm: bool = False  # Of pixels, not of batches.
    own_downsampling: bool = False  # Layers between the stages make the maps smaller.


STEPS: dict[str, dict[str, Any]] = {
    "ResNet": {},
    "share of blocks per stage": {"blocks": (1, 3, 1)},
    "patches as stem": {"patches": True},
    "depthwise convolution": {"depthwise": True},
    "more width": {"widths": (24, 48, 96)},
    "inverted bottleneck": {"inverted": True},
    "depthwise comes first": {"spatial_first": True},
    "7x7 kernel": {"kernel_size": 7},
    "GELU for ReLU": {"activation": "gelu"},
    "one activation per block": {"one_activation": True},
    "one norm per block": {"one_norm": True},
    "layer norm for batch norm": {"layer_norm": True},
    "own layers to downsample": {"own_downsampling": True},
}


def build(design: Design, shape: tuple[int, ...], classes: int) -> keras.Model:
    """The network of a design.

    Args:
        design: What it is like.
        shape: Height, width and channels of the images.
        classes: Number of classes.
    """
    normalization = keras.layers.LayerNormalization if design.layer_norm else layers.FusedBatchNormalization

    def norm(x: keras.KerasTensor) -> keras.KerasTensor:
        return normalization(epsilon=1e-5)(x)

    def activate(x: keras.KerasTensor) -> keras.KerasTensor:
        return keras.layers.Activation(design.activation)(x)

    def block(x: keras.KerasTensor, width: int, strides: int) -> keras.KerasTensor:
        inside, outside = (4 * width, width) if design.inverted else (width, 4 * width)
        spatial = (width if design.spatial_first else inside, design.kernel_size, strides)
        branch = x
        convolutions = [spatial, (inside, 1, 1)] if design.spatial_first else [(inside, 1, 1), spatial]
        for index, (filters, kernel_size, step) in enumerate([*convolutions, (outside, 1, 1)]):
            if kernel_size > 1 and design.depthwise:
                branch = keras.layers.DepthwiseConv2D(kernel_size, step, "same")(branch)
            else:
                branch = keras.layers.Conv2D(filters, kernel_size, step, "same")(branch)
            if index == 0 or not design.one_norm:
                branch = norm(branch)
            if index == 1 or (index == 0 and not design.one_activation):
                branch = activate(branch)
        if strides > 1 or x.shape[-1] != outside:
            x = norm(keras.layers.Conv2D(outside, 1, strides)(x))
        x = keras.layers.Add()([x, branch])
        return x if design.one_activation else activate(x)

    inputs = keras.Input(shape)
    if design.patches:
        x = norm(keras.layers.Conv2D(design.widths[0], 2, 2)(inputs))
    else:
        x = activate(norm(keras.layers.Conv2D(design.widths[0], 3, padding="same")(inputs)))
        x = keras.layers.MaxPooling2D(3, 2, "same")(x)
    for stage, (width, blocks) in enumerate(zip(design.widths, design.blocks, strict=True)):
        if stage and design.own_downsampling:
            x = keras.layers.Conv2D(width, 2, 2)(norm(x))
        for index in range(blocks):
            x = block(x, width, 2 if stage and index == 0 and not design.own_downsampling else 1)
    x = keras.layers.GlobalAveragePooling2D()(x)
    if design.own_downsampling:
        x = norm(x)
    return keras.Model(inputs, keras.layers.Dense(classes)(x))


@lesson
def main(
    *,
    data: str = "fashion_sample",
    epochs: int = 3,
    images: int = 500,
    batch_size: int = 25,
    seeds: int = 3,
    learning_rate: float = 0.002,
    quick: bool = False,
    out: Path = Path("runs/convnext_steps"),
) -> dict[str, float]:
    """Walks from a small ResNet to a small ConvNeXt, and measures each step.

    Args:
        data: Any image set that kerasdl.data.load knows: fashion_sample, shapes/one, cifar10, ...
        epochs: Passes over the training images.
        images: Number of training images.
        batch_size: Images per step.
        seeds: How often each network is trained, with other first weights and another order of the images.
        learning_rate: Of AdamW, the same for all.
        quick: The first and the last network and a few images, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    names = list(STEPS)
    if quick:
        names, images, epochs, seeds = [names[0], names[-1]], 100, 1, 1
    classes = len(info(data).classes)
    loaded = load(data, split=f"train[:{images}]", batch_size=images, image_size=(32, 32))
    pictures, labels = next(iter(loaded))
    shape = tuple(pictures.shape[1:])

    # Each design is the one before with one thing changed. Its training step is compiled once and used for all seeds:
    # the weights are exchanged, and the optimizer forgets.
    design, cost, losses, milliseconds = Design(), {}, {}, {}
    for place, (name, change) in enumerate(STEPS.items()):
        design = dataclasses.replace(design, **change)
        if name not in names:
            continue
        model = build(design, shape, classes)
        cost[name] = profile(model, repeats=0)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.AdamW(learning_rate), loss)
        model.optimizer.build(model.trainable_variables)
        start = [variable.numpy() for variable in model.optimizer.variables]
        step, seconds, last = training.make_train_step(model), [], []
        for seed in range(seeds):
            keras.utils.set_random_seed(seed)
            model.set_weights(build(design, shape, classes).get_weights())
            for variable, value in zip(model.optimizer.variables, start, strict=True):
                variable.assign(value)
            random = np.random.default_rng(seed)
            writer = tf.summary.create_file_writer(str(out / "logs" / f"step{place:02d}_seed{seed}"))
            for epoch in range(epochs):
                of_epoch = []
                for batch in np.split(random.permutation(images), range(batch_size, images, batch_size)):
                    begin = time.perf_counter()
                    of_epoch.append(float(step(tf.gather(pictures, batch), tf.gather(labels, batch))["loss"]))
                    seconds.append(time.perf_counter() - begin)
                with writer.as_default(step=epoch):
                    tf.summary.scalar("training_loss", np.mean(of_epoch))
            last.append(float(np.mean(of_epoch)))
            writer.close()
        losses[name], milliseconds[name] = np.array(last), 1000 * statistics.median(seconds[1:])
        print(
            f"{name:28s} {cost[name].parameters:8,} parameters {cost[name].multiply_adds / 1e6:6.2f} M multiply-adds "
            f"{milliseconds[name]:6.1f} ms per step   loss {np.mean(last):.3f}"
        )

    # The picture of the paper's Figure 2, with the training loss in the place of the accuracy.
    errors = {name: standard_error(values) for name, values in losses.items()}
    plots.save(
        plots.staircase(
            [losses[name].mean() for name in names],
            names,
            errors=[errors[name] for name in names] if seeds > 1 else None,
            notes=[f"{cost[name].multiply_adds / 1e6:.1f} M" for name in names],
            x_label="training loss in the last epoch (± standard error); right: multiply-adds for one image",
            written="{:.3f}",
            title=f"From ResNet to ConvNeXt ({data}, {epochs} epochs)",
        ),
        out / "figures" / "staircase.png",
    )
    # Multiply-adds are not time: a depthwise convolution has few of them, and waits for memory.
    plots.save(
        plots.staircase(
            [milliseconds[name] for name in names],
            names,
            notes=[f"{cost[name].parameters / 1000:.0f} k" for name in names],
            x_label=f"milliseconds for {batch_size} images in training; right: parameters",
            written="{:.0f}",
            title="What each step costs",
        ),
        out / "figures" / "cost.png",
    )

    # A difference counts when it is more than three standard errors, over seeds that both networks share.
    metrics: dict[str, float] = {}
    for before, name in zip([None, *names], names, strict=False):
        key = name.lower().replace(" ", "_")
        metrics |= {f"{key}_loss": losses[name].mean(), f"{key}_milliseconds": milliseconds[name]}
        metrics[f"{key}_multiply_adds"] = cost[name].multiply_adds
        if before is not None and seeds > 1:
            difference = losses[name] - losses[before]
            mean, error = difference.mean(), standard_error(difference)
            clear = abs(mean) > 3 * error
            metrics |= {f"{key}_change": mean, f"{key}_standard_error": error, f"{key}_is_clear": float(clear)}
            print(f"{name}: {mean:+.3f} ± {error:.3f}{'' if clear else ', less than three standard errors'}")
    return metrics


if __name__ == "__main__":
    command_line(main)
