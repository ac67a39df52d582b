"""GoogLeNet, the inception module it is made of, and what the module's 1x1 convolutions save."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple

import keras

from kerasdl.architectures.auxiliary import auxiliary_head
from kerasdl.architectures.checks import check_classes, check_image_shape
from kerasdl.architectures.parts import classify, convolve, convolve_norm
from kerasdl.layers import LocalResponseNormalization

# Szegedy et al. 2014, Table 1: #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj.
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
# After which modules the side heads stand.
AUXILIARY_HEADS = {"4a": "auxiliary1", "4d": "auxiliary2"}


class BranchCost(NamedTuple):
    """What a branch of the module gives and costs, without and with its 1x1 convolution."""

    naive_channels: int
    channels: int
    naive_multiply_adds: int
    multiply_adds: int


def inception_block(
    x: keras.KerasTensor,
    filters: Sequence[int],
    reduce: bool = True,
    *,
    normalized: bool = False,
    name: str,
    out: str | None = None,
) -> keras.KerasTensor:
    """The inception module: 1x1, 3x3 and 5x5 convolutions and a 3x3 pooling side by side.

    The network need not be told at which scale to look: it looks at all of them, and the next module chooses. With
    `reduce`, a 1x1 convolution makes the maps fewer in front of the large kernels and behind the pooling.

    Args:
        x: The maps.
        filters: A row of Table 1: #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj. The naive module has no use
            for the second, fourth and sixth.
        reduce: False makes the naive module (Figure 2a): no 1x1 reductions, and all input maps again in the output, so
            that the maps become more from module to module.
        normalized: Batch normalisation behind every convolution, which then has no bias: the authors' next step, with
            which such networks learn several times as fast. GoogLeNet has none.
        name: Begins the names of all layers.
        out: Name of the concatenation; `{name}_out` without it.

    Example:
        >>> maps = keras.Input((28, 28, 192))
        >>> inception_block(maps, (64, 96, 128, 16, 32, 32), name="inception3a").shape
        (None, 28, 28, 256)
        >>> inception_block(maps, (64, 96, 128, 16, 32, 32), reduce=False, name="naive3a").shape
        (None, 28, 28, 416)

    Reference:
        [Szegedy et al., 2014](https://arxiv.org/abs/1409.4842), Figure 2;
        [Ioffe and Szegedy, 2015](https://arxiv.org/abs/1502.03167) for `normalized`
    """
    one, reduce3, three, reduce5, five, project = _check_filters(filters)

    def conv(x: keras.KerasTensor, filters: int, kernel_size: int, suffix: str) -> keras.KerasTensor:
        convolve_relu = convolve_norm if normalized else _convolve_relu
        return convolve_relu(x, filters, kernel_size, name=f"{name}_{suffix}")

    before3, before5 = (conv(x, reduce3, 1, "3x3_reduce"), conv(x, reduce5, 1, "5x5_reduce")) if reduce else (x, x)
    pooled = keras.layers.MaxPooling2D(3, 1, padding="same", name=f"{name}_pool")(x)
    branches = [
        conv(x, one, 1, "1x1"),
        conv(before3, three, 3, "3x3"),
        conv(before5, five, 5, "5x5"),
        conv(pooled, project, 1, "pool_proj") if reduce else pooled,
    ]
    return keras.layers.Concatenate(name=out or f"{name}_out")(branches)


def bottleneck_savings(input_shape: tuple[int, int, int], filters: Sequence[int]) -> dict[str, BranchCost]:
    """The output channels and multiply-adds of a module without and with its 1x1 reductions, branch by branch.

    A 5x5 convolution multiplies every pixel of every input map 25 times per filter; made fewer by a 1x1 convolution
    first, the maps cost a tenth. The pooling costs nothing in the naive module, but hands on all its maps.

    Args:
        input_shape: Height, width and channels of the module's input.
        filters: A row of Table 1, as in `inception_block`.

    Returns:
        A `BranchCost(naive_channels, channels, naive_multiply_adds, multiply_adds)` for each of the branches `"1x1"`,
        `"3x3"`, `"5x5"` and `"pool"`, and for `"total"`.

    Example:
        >>> savings = bottleneck_savings((28, 28, 192), (64, 96, 128, 16, 32, 32))  # inception (3a)
        >>> savings["5x5"]
        BranchCost(naive_channels=32, channels=32, naive_multiply_adds=120422400, multiply_adds=12443648)
        >>> savings["total"]
        BranchCost(naive_channels=416, channels=256, naive_multiply_adds=303464448, multiply_adds=128049152)

    Reference:
        [Szegedy et al., 2014](https://arxiv.org/abs/1409.4842), section 4
    """
    height, width, channels = check_image_shape(input_shape)
    one, reduce3, three, reduce5, five, project = _check_filters(filters)
    # Multiply-adds per pixel: input maps times kernel area times filters.
    branches = {
        "1x1": BranchCost(one, one, channels * one, channels * one),
        "3x3": BranchCost(three, three, channels * 9 * three, channels * reduce3 + reduce3 * 9 * three),
        "5x5": BranchCost(five, five, channels * 25 * five, channels * reduce5 + reduce5 * 25 * five),
        "pool": BranchCost(channels, project, 0, channels * project),
    }
    branches["total"] = BranchCost(*(sum(column) for column in zip(*branches.values(), strict=True)))
    return {
        branch: cost._replace(
            naive_multiply_adds=height * width * cost.naive_multiply_adds,
            multiply_adds=height * width * cost.multiply_adds,
        )
        for branch, cost in branches.items()
    }


def googlenet(
    *,
    auxiliary_heads: bool = False,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    name: str = "googlenet",
) -> keras.Model:
    """GoogLeNet, 6,998,552 parameters, 1.58 G multiply-adds; 13,378,280 parameters with both side heads.

    Convolutions with biases and true 5x5 kernels: batch normalisation came a year later. The paper gives no constants
    for the local response normalisation; here are those of the Caffe model made with the authors' help, `k` = 1 and
    `alpha` = 1e-4 divided by the five maps. As there is no normalisation that would make up for it, weights start as
    He's: with smaller ones nothing of the image would be left at the end of 22 layers.

    With side heads the model gives a dictionary, `predictions`, `auxiliary1` and `auxiliary2`. The two push gradients
    into the lower layers while it trains, and are thrown away afterwards.

    Args:
        auxiliary_heads: Whether the two side heads of training time stand on modules 4a and 4d.
        input_shape: Height, width and channels; at least 32x32, with side heads 65x65.
        classes: Number of classes.
        name: The model's name.

    Example:
        >>> model = googlenet(auxiliary_heads=True, input_shape=(65, 65, 3), classes=10)
        >>> heads = {"predictions": 1.0, "auxiliary1": 0.3, "auxiliary2": 0.3}  # the paper's weights
        >>> model.compile("adam", dict.fromkeys(heads, "sparse_categorical_crossentropy"), loss_weights=heads)
        >>> # Here it is trained, on what `with_auxiliary_labels` makes of the data.
        >>> keras.Model(model.input, model.output["predictions"]).output.shape  # and then used without side heads
        (None, 10)

    Reference:
        [Szegedy et al., 2014](https://arxiv.org/abs/1409.4842), Table 1 and Figure 3
    """
    input_shape, classes = check_image_shape(input_shape, smallest=32), check_classes(classes)
    if auxiliary_heads and min(input_shape[:2]) < 65:
        raise ValueError(
            "`input_shape` must be at least 65x65 with `auxiliary_heads`: the heads average over 5x5 pixels of maps "
            "that are 16 times smaller than the image. Take larger images, or leave the heads out. "
            f"Received: input_shape={input_shape}."
        )
    inputs = keras.Input(input_shape, name="images")
    x = convolve(inputs, 64, 7, 2, name="conv1_7x7", conv=keras.layers.Conv2D, kernel_initializer="he_normal")
    x = keras.layers.ReLU(name="stage1_out")(x)
    x = _halve(x, name="pool1")
    x = _normalize(x, name="norm1")
    x = _convolve_relu(x, 64, 1, name="conv2_3x3_reduce")
    x = _convolve_relu(x, 192, 3, name="conv2_3x3")
    x = _normalize(x, name="stage2_out")
    x = _halve(x, name="pool2")
    outputs = {}
    for module, filters in MODULES.items():
        is_last = module in ("3b", "4e", "5b")
        out = f"stage{module[0]}_out" if is_last else None
        x = inception_block(x, filters, name=f"inception{module}", out=out)
        if auxiliary_heads and module in AUXILIARY_HEADS:
            head = AUXILIARY_HEADS[module]
            outputs[head] = auxiliary_head(x, classes, name=head)
        if is_last and module != "5b":
            x = _halve(x, name=f"pool{module[0]}")
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    x = keras.layers.Dropout(0.4, name="dropout")(x)
    predictions = classify(x, classes)
    return keras.Model(inputs, {"predictions": predictions, **outputs} if outputs else predictions, name=name)


def _convolve_relu(x: keras.KerasTensor, filters: int, kernel_size: int, *, name: str) -> keras.KerasTensor:
    return keras.layers.Conv2D(
        filters, kernel_size, padding="same", activation="relu", kernel_initializer="he_normal", name=name
    )(x)


def _halve(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    # Where the side is even, "same" lets the last window hang over the border, as Caffe does.
    return keras.layers.MaxPooling2D(3, 2, padding="same", name=name)(x)


def _normalize(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    return LocalResponseNormalization(k=1.0, n=5, alpha=1e-4 / 5, beta=0.75, name=name)(x)


def _check_filters(filters: Any) -> tuple[int, ...]:
    row = tuple(filters) if isinstance(filters, Sequence) else ()
    if len(row) != 6 or not all(isinstance(number, Integral) and int(number) > 0 for number in row):
        raise ValueError(
            "`filters` must be six positive integers, #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5 and pool proj, such "
            f"as (64, 96, 128, 16, 32, 32). Received: filters={filters!r}."
        )
    return tuple(int(number) for number in row)
