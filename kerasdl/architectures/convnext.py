"""ConvNeXt: a residual network rebuilt, step by step, with what vision transformers had shown to be good."""

from collections.abc import Sequence
from numbers import Real
from typing import Any

import keras

from kerasdl.architectures.checks import check_classes, check_image_shape
from kerasdl.architectures.parts import classify
from kerasdl.layers import LayerScale, StochasticDepth

# Liu et al. 2022, section 3 and Table 9: (filters, blocks) of res2 to res5.
STAGES = {
    "tiny": ((96, 3), (192, 3), (384, 9), (768, 3)),
    "small": ((96, 3), (192, 3), (384, 27), (768, 3)),
    "base": ((128, 3), (256, 3), (512, 27), (1024, 3)),
    "large": ((192, 3), (384, 3), (768, 27), (1536, 3)),
}


def _start() -> keras.initializers.Initializer:
    """A new initializer each time: one that is shared would give layers of one shape the same weights."""
    return keras.initializers.TruncatedNormal(stddev=0.02)


def normalize_pixels(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    """Layer normalisation over the channels of each pixel.

    Args:
        x: The maps.
        name: The layer's name.
    """
    return keras.layers.LayerNormalization(epsilon=1e-6, name=name)(x)


def convnext_block(
    x: keras.KerasTensor, filters: int, drop_rate: float, *, name: str, out: str, kernel_size: int = 7
) -> keras.KerasTensor:
    """Each map on its own through a 7x7 convolution, then each pixel through two dense layers, and the input added.

    The first dense layer is four times as wide: as in a transformer's block, mixing pixels and mixing channels are two
    steps, with a single normalisation and a single activation (Figure 4). `DepthwiseConv2D` and not
    `Conv2D(groups=filters)`, which computes the same and takes about 30 times as long on a processor.

    Args:
        x: The maps.
        filters: How many maps there are.
        drop_rate: How often training leaves this block out.
        name: Begins the names of all layers but the last.
        out: Name of the last layer.
        kernel_size: Side of the depthwise kernel.
    """
    dense = keras.layers.Dense
    branch = keras.layers.DepthwiseConv2D(
        kernel_size, padding="same", depthwise_initializer=_start(), name=f"{name}_conv1"
    )(x)
    branch = normalize_pixels(branch, name=f"{name}_norm")
    # A 1x1 convolution is a dense layer at each pixel.
    branch = dense(4 * filters, kernel_initializer=_start(), name=f"{name}_conv2")(branch)
    branch = keras.layers.Activation("gelu", name=f"{name}_gelu")(branch)
    branch = dense(filters, kernel_initializer=_start(), name=f"{name}_conv3")(branch)
    branch = LayerScale(1e-6, name=f"{name}_scale")(branch)
    branch = StochasticDepth(drop_rate, name=f"{name}_drop")(branch)
    return keras.layers.Add(name=out)([x, branch])


def _check_drop_rate(drop_rate: Any) -> float:
    if isinstance(drop_rate, bool) or not isinstance(drop_rate, Real) or not 0 <= float(drop_rate) < 1:
        raise ValueError(
            "`drop_rate` must be at least 0, for no stochastic depth, and less than 1. "
            f"Received: drop_rate={drop_rate!r}."
        )
    return float(drop_rate)


def convnext_network(
    input_shape: tuple[int, int, int],
    classes: int,
    name: str,
    *,
    stages: Sequence[tuple[int, int]],
    drop_rate: float,
) -> keras.Model:
    """The frame of Table 9: patches of 4x4 pixels, four stages with a 2x2 convolution between them, a dense layer.

    Args:
        input_shape: Height, width and channels of the images.
        classes: Number of classes.
        name: The model's name.
        stages: (filters, blocks) of each stage.
        drop_rate: How often training leaves the last block out; the first is never left out.
    """
    input_shape, classes = check_image_shape(input_shape, smallest=32), check_classes(classes)
    drop_rate = _check_drop_rate(drop_rate)
    conv = keras.layers.Conv2D
    inputs = keras.Input(input_shape, name="images")
    x = conv(stages[0][0], 4, 4, kernel_initializer=_start(), name="stage1_conv1")(inputs)
    x = normalize_pixels(x, name="stage1_out")
    depth, done = sum(repeats for _, repeats in stages), 0
    for stage, (filters, repeats) in enumerate(stages, start=2):
        if stage > 2:
            x = normalize_pixels(x, name=f"stage{stage}_downsample_norm")
            x = conv(filters, 2, 2, kernel_initializer=_start(), name=f"stage{stage}_downsample_conv")(x)
        for index in range(1, repeats + 1):
            block = f"stage{stage}_block{index}"
            out = f"stage{stage}_out" if index == repeats else f"{block}_out"
            # The deeper a block, the more often it is left out: early ones make what all later ones see.
            x = convnext_block(x, filters, drop_rate * done / max(depth - 1, 1), name=block, out=out)
            done += 1
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    x = normalize_pixels(x, name="norm")
    return keras.Model(inputs, classify(x, classes, kernel_initializer=_start()), name=name)


def convnext_tiny(
    drop_rate: float = 0.1,
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    name: str = "convnext_tiny",
) -> keras.Model:
    """ConvNeXt-T, 28,589,128 parameters, 4.46 G multiply-adds: as large and as costly as ResNet-50.

    Args:
        drop_rate: How often training leaves the last block out; it rises evenly from 0 at the first block. The default
            is the paper's for training on ImageNet (Table 5), much more than fine-tuning needs.
        input_shape: Height, width and channels; at least 32x32.
        classes: Number of classes.
        name: The model's name.

    Example:
        >>> convnext_tiny(input_shape=(64, 64, 3), classes=10).get_layer("stage5_out").output.shape
        (None, 2, 2, 768)

    Reference:
        [Liu et al., 2022](https://arxiv.org/abs/2201.03545), Table 9
    """
    return convnext_network(input_shape, classes, name, stages=STAGES["tiny"], drop_rate=drop_rate)


def convnext_small(
    drop_rate: float = 0.4,
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    name: str = "convnext_small",
) -> keras.Model:
    """ConvNeXt-S, 50,223,688 parameters, 8.68 G multiply-adds. Arguments as in `convnext_tiny`.

    Reference:
        [Liu et al., 2022](https://arxiv.org/abs/2201.03545), section 3
    """
    return convnext_network(input_shape, classes, name, stages=STAGES["small"], drop_rate=drop_rate)


def convnext_base(
    drop_rate: float = 0.5,
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    name: str = "convnext_base",
) -> keras.Model:
    """ConvNeXt-B, 88,591,464 parameters, 15.35 G multiply-adds. Arguments as in `convnext_tiny`.

    Reference:
        [Liu et al., 2022](https://arxiv.org/abs/2201.03545), section 3
    """
    return convnext_network(input_shape, classes, name, stages=STAGES["base"], drop_rate=drop_rate)


def convnext_large(
    drop_rate: float = 0.5,
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    name: str = "convnext_large",
) -> keras.Model:
    """ConvNeXt-L, 197,767,336 parameters, 34.36 G multiply-adds. Arguments as in `convnext_tiny`.

    Reference:
        [Liu et al., 2022](https://arxiv.org/abs/2201.03545), section 3
    """
    return convnext_network(input_shape, classes, name, stages=STAGES["large"], drop_rate=drop_rate)
