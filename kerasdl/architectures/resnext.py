"""ResNeXt: residual blocks of many narrow paths side by side, which cost as much as one wide path."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import keras

from kerasdl.architectures.cifar_resnets import check_depth, cifar_network
from kerasdl.architectures.parts import convolve_norm
from kerasdl.architectures.resnet import STAGES, imagenet_network, projection
from kerasdl.layers import FastConv2D, GroupedConv2D
from kerasdl.layers.checks import check_positive

# Xie et al. 2016, Table 2: cardinality and width of a path that cost the same in a block of conv2.
EQUAL_COST = ((1, 64), (2, 40), (4, 24), (8, 14), (32, 4))


def complexity_table(channels: int = 256, image_size: int = 56) -> list[dict[str, int]]:
    """Blocks with few wide or many narrow paths at the same cost, a row for each cardinality.

    A path of width d has `channels d` weights on its way in, `9 d d` in the middle, and `d channels` on its way out.
    The middle falls with the square of the width, so that twice the paths need not be half as wide.

    Args:
        channels: Channels of the block's input and output.
        image_size: Height and width of its maps.

    Returns:
        A row per block: `cardinality`, `width` of one path, `grouped_width` of all paths together, `parameters` of the
        convolutions, and `multiply_adds`.

    Example:
        >>> [row["parameters"] for row in complexity_table()]
        [69632, 69760, 69888, 71456, 70144]

    Reference:
        [Xie et al., 2016](https://arxiv.org/abs/1611.05431), Table 2
    """
    rows = []
    for cardinality, width in EQUAL_COST:
        parameters = cardinality * (channels * width + 9 * width * width + width * channels)
        rows.append(
            {
                "cardinality": cardinality,
                "width": width,
                "grouped_width": cardinality * width,
                "parameters": parameters,
                "multiply_adds": parameters * image_size * image_size,
            }
        )
    return rows


def aggregated_block(
    x: keras.KerasTensor,
    filters: int,
    strides: int,
    *,
    name: str,
    out: str,
    cardinality: int,
    width: int,
    kernel_sizes: Sequence[int] = (3,),
) -> keras.KerasTensor:
    """Paths of 1x1, 3x3 and 1x1 convolutions, added up and to the block's input, as one grouped convolution (Fig. 3c).

    The grouped convolution has the step. Paths with other kernels than 3x3 make grouped convolutions of their own, and
    the last 1x1 convolution sees all paths.

    Args:
        x: The maps.
        filters: A quarter of the maps that come out.
        strides: Step of the grouped convolution.
        name: Begins the names of all layers but the last.
        out: Name of the last layer.
        cardinality: How many paths there are.
        width: Width of a path where `filters` is 64; it grows with `filters`.
        kernel_sizes: Kernels of the paths, each for an equal share of them.
    """
    paths = cardinality // len(kernel_sizes)
    grouped_width = paths * (width * filters // 64)
    shares = []
    for kernel_size in kernel_sizes:
        # The paper's names where all paths are alike, the kernel in the name where they are not.
        kind = "" if len(kernel_sizes) == 1 else f"_{kernel_size}x{kernel_size}"
        share = convolve_norm(x, grouped_width, 1, name=f"{name}_conv1{kind}")
        grouped = partial(GroupedConv2D, groups=paths)
        share = convolve_norm(share, grouped_width, kernel_size, strides, name=f"{name}_conv2{kind}", conv=grouped)
        shares.append(share)
    residual = shares[0] if len(shares) == 1 else keras.layers.Concatenate(name=f"{name}_paths")(shares)
    residual = convolve_norm(residual, 4 * filters, 1, name=f"{name}_conv3", relu=False)
    x = projection(x, 4 * filters, strides, name=f"{name}_shortcut", conv=FastConv2D)
    return keras.layers.ReLU(name=out)(keras.layers.Add(name=f"{name}_add")([x, residual]))


def _paths(cardinality: int, width: int, kernel_sizes: Any) -> Any:
    """The block with these paths; refuses kernels that leave no equal share of the paths for each."""
    cardinality, width = check_positive("cardinality", cardinality), check_positive("width", width)
    sizes = tuple(kernel_sizes) if isinstance(kernel_sizes, Iterable) else ()
    whole = all(isinstance(size, int) and not isinstance(size, bool) and size % 2 == 1 and size > 0 for size in sizes)
    if not sizes or not whole or len(set(sizes)) < len(sizes):
        raise ValueError(
            "`kernel_sizes` must be different odd numbers, such as (3,) or (3, 5). "
            f"Received: kernel_sizes={kernel_sizes!r}."
        )
    if cardinality % len(sizes):
        raise ValueError(
            "The number of `kernel_sizes` must divide `cardinality`, so that each gets as many paths. "
            f"Received: kernel_sizes={sizes}, cardinality={cardinality}."
        )
    return partial(aggregated_block, cardinality=cardinality, width=width, kernel_sizes=sizes)


def resnext50_32x4d(
    *,
    kernel_sizes: Sequence[int] = (3,),
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    name: str = "resnext50_32x4d",
) -> keras.Model:
    """ResNeXt-50 with 32 paths of width 4: 25,028,904 parameters, 4.23 G multiply-adds, about those of ResNet-50.

    Args:
        kernel_sizes: Kernels of the paths, each for an equal share of them; (3, 5) lets half of the paths see further.
        input_shape: Height, width and channels; at least 32x32.
        classes: Number of classes.
        name: The model's name.

    Reference:
        [Xie et al., 2016](https://arxiv.org/abs/1611.05431), Table 1
    """
    return imagenet_network(input_shape, classes, name, stages=STAGES[50], block=_paths(32, 4, kernel_sizes))


def resnext101_32x4d(
    *,
    kernel_sizes: Sequence[int] = (3,),
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    name: str = "resnext101_32x4d",
) -> keras.Model:
    """ResNeXt-101 with 32 paths of width 4: 44,177,704 parameters, 7.97 G multiply-adds.

    Arguments as in `resnext50_32x4d`.

    Reference:
        [Xie et al., 2016](https://arxiv.org/abs/1611.05431), Table 3
    """
    return imagenet_network(input_shape, classes, name, stages=STAGES[101], block=_paths(32, 4, kernel_sizes))


def resnext101_64x4d(
    *,
    kernel_sizes: Sequence[int] = (3,),
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    name: str = "resnext101_64x4d",
) -> keras.Model:
    """ResNeXt-101 with 64 paths of width 4: 83,455,272 parameters, twice the cost. Arguments as in `resnext50_32x4d`.

    Reference:
        [Xie et al., 2016](https://arxiv.org/abs/1611.05431), Table 4
    """
    return imagenet_network(input_shape, classes, name, stages=STAGES[101], block=_paths(64, 4, kernel_sizes))


def resnext101_2x64d(
    *,
    kernel_sizes: Sequence[int] = (3,),
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    name: str = "resnext101_2x64d",
) -> keras.Model:
    """ResNeXt-101 with 2 paths of width 64: the cost of 64 paths of width 4. Arguments as in `resnext50_32x4d`.

    Reference:
        [Xie et al., 2016](https://arxiv.org/abs/1611.05431), Table 4
    """
    return imagenet_network(input_shape, classes, name, stages=STAGES[101], block=_paths(2, 64, kernel_sizes))


def resnet101_wide(
    *, input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000, name: str = "resnet101_wide"
) -> keras.Model:
    """ResNet-101 with one path of width 100: the cost of 64 paths of width 4. Arguments as in `resnext50_32x4d`.

    Reference:
        [Xie et al., 2016](https://arxiv.org/abs/1611.05431), Table 4
    """
    return imagenet_network(input_shape, classes, name, stages=STAGES[101], block=_paths(1, 100, (3,)))


def resnext_cifar(
    cardinality: int = 8,
    width: int = 64,
    depth: int = 29,
    *,
    kernel_sizes: Sequence[int] = (3,),
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    name: str = "resnext_cifar",
) -> keras.Model:
    """ResNeXt for CIFAR-10: 34,426,698 parameters for 8 paths of width 64, 68,155,210 for 16.

    Args:
        cardinality: How many paths each block has.
        width: Width of a path in the first stage; doubled in the second and the third.
        depth: Convolutions and dense layers: 9n + 2, for n blocks in each of three stages.
        kernel_sizes: Kernels of the paths, each for an equal share of them.
        input_shape: Height, width and channels; at least 4x4.
        classes: Number of classes.
        name: The model's name.

    Example:
        >>> resnext_cifar(4, 8, depth=11, kernel_sizes=(3, 5)).get_layer("stage1_block1_paths").output.shape
        (None, 32, 32, 32)

    Reference:
        [Xie et al., 2016](https://arxiv.org/abs/1611.05431), section 5.3
    """
    blocks = check_depth(depth, 9, 2, layers=11, examples="20, 29 or 38")
    stages = [(filters, blocks) for filters in (64, 128, 256)]
    block = _paths(cardinality, width, kernel_sizes)
    return cifar_network(input_shape, classes, name, stem=64, stages=stages, block=block)
