"""ResNeXt as the paper's Figure 3 says: the grouped block is a sum of separate paths."""

import re

import keras
import numpy as np
import pytest
from helpers import logits_of, numbers_in
from residual_helpers import InNumpy, randomize, relu

from kerasdl.architectures import (
    resnet50,
    resnet101_wide,
    resnext50_32x4d,
    resnext101_2x64d,
    resnext101_32x4d,
    resnext101_64x4d,
    resnext_cifar,
)
from kerasdl.architectures.resnet import bottleneck
from kerasdl.architectures.resnext import EQUAL_COST, aggregated_block, complexity_table


def path_by_path(net, x, name, strides, cardinality, kernel_sizes=(3,)):
    """Figure 3a: every path alone, from the block's input to its 256-d output; the outputs are added up.

    A path's last convolution has the columns of the joint 1x1 convolution that belong to it; the normalisation behind
    is one for the sum.
    """
    paths, total, place = cardinality // len(kernel_sizes), 0, 0
    last = net.weights[f"{name}_conv3"]["kernel"]
    for size in kernel_sizes:
        kind = "" if len(kernel_sizes) == 1 else f"_{size}x{size}"
        reduce, middle = f"{name}_conv1{kind}", f"{name}_conv2{kind}"
        width = net.weights[reduce]["kernel"].shape[-1] // paths
        for path in range(paths):
            mine = slice(path * width, (path + 1) * width)

            def normed(y, layer, mine=mine):
                w = {key: value[mine] for key, value in net.weights[f"{layer}_norm"].items()}
                return w["gamma"] * (y - w["moving_mean"]) / np.sqrt(w["moving_variance"] + 1e-5) + w["beta"]

            y = net.convolve(x, reduce, kernel=net.weights[reduce]["kernel"][..., mine])
            y = relu(normed(y, reduce))
            y = net.convolve(y, middle, strides, kernel=net.weights[middle]["kernel"][..., mine])
            y = relu(normed(y, middle))
            total += net.convolve(y, f"{name}_conv3", kernel=last[:, :, place : place + width])
            place += width
    total = net.norm(total, f"{name}_conv3_norm")
    shortcut = net.convolve_norm(x, f"{name}_shortcut", strides) if f"{name}_shortcut" in net.weights else x
    return relu(total + shortcut)


@pytest.mark.parametrize(
    ("cardinality", "strides", "kernel_sizes"),
    [(8, 1, (3,)), (8, 2, (3,)), (4, 2, (5, 3)), (6, 2, (1, 3, 7)), (1, 2, (3,))],
)
def test_a_block_is_the_sum_of_its_paths(cardinality, strides, kernel_sizes):
    inputs = keras.Input((9, 8, 64))
    block = aggregated_block(
        inputs, 16, strides, name="b", out="out", cardinality=cardinality, width=12, kernel_sizes=kernel_sizes
    )
    model = keras.Model(inputs, block)
    randomize(model)
    x = np.random.default_rng(1).normal(size=(9, 8, 64))
    expected = path_by_path(InNumpy(model), x, "b", strides, cardinality, kernel_sizes)
    np.testing.assert_allclose(model(x[None])[0], expected, rtol=1e-4, atol=1e-5)


def test_early_concatenation_gives_the_same():
    # Figure 3b: the paths are put side by side, and one 1x1 convolution sees them all.
    random = np.random.default_rng(0)
    paths, last = random.normal(size=(8, 5, 5, 4)), random.normal(size=(8, 4, 64))
    added = sum(path @ kernel for path, kernel in zip(paths, last, strict=True))
    beside = np.concatenate(list(paths), axis=-1) @ np.concatenate(list(last), axis=0)
    np.testing.assert_allclose(added, beside)


@pytest.mark.parametrize("kernel_sizes", [(3,), (3, 5)])
def test_a_whole_network_in_numpy(kernel_sizes):
    model = resnext_cifar(4, 8, depth=20, kernel_sizes=kernel_sizes, input_shape=(11, 8, 3))
    randomize(model)
    image = np.random.default_rng(0).random((11, 8, 3))
    net = InNumpy(model)
    x = relu(net.convolve_norm(image, "stage1_conv1"))
    for stage in (1, 2, 3):
        for block in (1, 2):
            strides = 2 if stage > 1 and block == 1 else 1
            x = path_by_path(net, x, f"stage{stage}_block{block}", strides, 4, kernel_sizes)
    np.testing.assert_allclose(logits_of(model, image[None])[0], net.logits(x), rtol=1e-3, atol=1e-4)


def multiply_adds(model):
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            total += int(np.prod(layer.kernel.shape)) * int(np.prod(layer.output.shape[1:3]))
        elif isinstance(layer, keras.layers.Dense):
            total += int(np.prod(layer.kernel.shape))
    return total


def test_one_path_of_width_64_is_the_bottleneck_of_a_resnet():
    def kernels(block, **paths):
        inputs = keras.Input((56, 56, 256))
        model = keras.Model(inputs, block(inputs, 64, 1, name="b", out="out", **paths))
        return {layer.name: tuple(layer.kernel.shape) for layer in model.layers if hasattr(layer, "kernel")}

    assert kernels(aggregated_block, cardinality=1, width=64) == kernels(bottleneck)


def test_the_step_is_in_the_grouped_convolution():
    model = resnext_cifar(4, 8, depth=11)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    strided = {f"stage{stage}_block1_{part}" for stage in (2, 3) for part in ("conv2", "shortcut")}
    assert {layer.name for layer in convolutions if layer.strides != (1, 1)} == strided
    assert {layer.name for layer in convolutions if layer.groups == 4} == {
        f"stage{stage}_block1_conv2" for stage in (1, 2, 3)
    }


def test_table_two_equal_cost_at_every_cardinality():
    rows = complexity_table()
    assert [(row["cardinality"], row["width"]) for row in rows] == list(EQUAL_COST)
    # The paper's third row, its "about 70k parameters" and its "about 0.22 billion".
    assert [row["grouped_width"] for row in rows] == [64, 80, 96, 112, 128]
    assert all(abs(row["parameters"] - 70_000) < 1_500 for row in rows)
    assert all(round(row["multiply_adds"] / 1e9, 2) == 0.22 for row in rows)
    for row in rows:
        inputs = keras.Input((56, 56, 256))
        paths = {name: row[name] for name in ("cardinality", "width")}
        model = keras.Model(inputs, aggregated_block(inputs, 64, 1, name="b", out="out", **paths))
        kernels = sum(int(np.prod(layer.kernel.shape)) for layer in model.layers if hasattr(layer, "kernel"))
        assert (kernels, multiply_adds(model)) == (row["parameters"], row["multiply_adds"])


@pytest.mark.usefixtures("zero_weights")
def test_counts_of_the_paper():
    # Table 1: 25.5 million for ResNet-50, 25.0 for ResNeXt-50; 4.1 and 4.2 billion.
    ours = resnext50_32x4d()
    assert (numbers_in(ours.trainable_weights), multiply_adds(ours)) == (25_028_904, 4_230_479_872)
    theirs = resnet50()
    assert (numbers_in(theirs.trainable_weights), multiply_adds(theirs)) == (25_557_032, 3_857_973_248)


@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize(
    ("builder", "count"),
    [
        pytest.param(resnext101_32x4d, 44_177_704, marks=pytest.mark.slow),
        pytest.param(resnext101_64x4d, 83_455_272, marks=pytest.mark.slow),
        # Table 4 compares these two with 64x4d, at twice the cost of ResNet-101: within 3 % of each other.
        pytest.param(resnext101_2x64d, 84_198_184, marks=pytest.mark.slow),
        pytest.param(resnet101_wide, 85_611_336, marks=pytest.mark.slow),
    ],
)
def test_counts_of_the_deeper_ones(builder, count):
    assert numbers_in(builder(input_shape=(32, 32, 3)).trainable_weights) == count


@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize(
    ("cardinality", "classes", "count"),
    [
        (8, 10, 34_426_698),
        pytest.param(16, 10, 68_155_210, marks=pytest.mark.slow),
        pytest.param(16, 100, 68_247_460, marks=pytest.mark.slow),
    ],
)
def test_counts_of_the_small_images(cardinality, classes, count):
    # Table 7 of the paper: 34.4 and 68.1 million.
    assert numbers_in(resnext_cifar(cardinality, 64, classes=classes).trainable_weights) == count


def test_refuses_kernels_without_an_equal_share_of_the_paths():
    expected = (
        "The number of `kernel_sizes` must divide `cardinality`, so that each gets as many paths. "
        "Received: kernel_sizes=(3, 5, 7), cardinality=32."
    )
    with pytest.raises(ValueError, match=re.escape(expected)):
        resnext50_32x4d(kernel_sizes=(3, 5, 7))
    for sizes in ((), (4,), (3, 3), 3, (True,), (-1,)):
        expected = (
            f"`kernel_sizes` must be different odd numbers, such as (3,) or (3, 5). Received: kernel_sizes={sizes!r}."
        )
        with pytest.raises(ValueError, match=re.escape(expected)):
            resnext_cifar(kernel_sizes=sizes)


def test_refuses_other_numbers_of_paths_and_depths():
    with pytest.raises(ValueError, match=r"`cardinality` must be a positive integer\. Received: cardinality=0\."):
        resnext_cifar(0)
    with pytest.raises(ValueError, match=r"`width` must be a positive integer\. Received: width=2\.5\."):
        resnext_cifar(8, 2.5)
    with pytest.raises(ValueError, match=r"`depth` must be 9n \+ 2 with n at least 1, such as 20, 29 or 38\. Received"):
        resnext_cifar(depth=28)
