"""DiracNets: plain networks of many layers that train without shortcuts."""

from functools import partial

import keras

from kerasdl.architectures.cifar_resnets import FILTERS, check_depth, cifar_network
from kerasdl.architectures.parts import Conv, convolve_norm
from kerasdl.architectures.resnet import STAGES, imagenet_network
from kerasdl.layers import DiracConv2D
from kerasdl.layers.checks import check_positive


def dirac_block(
    x: keras.KerasTensor, filters: int, strides: int, *, name: str, out: str, conv: Conv = DiracConv2D
) -> keras.KerasTensor:
    """Two 3x3 convolutions, as many as a residual block has, and nothing around them.

    Where the maps get smaller, a maximum is taken first: a convolution with a step could not begin as the identity. The
    authors rectify after the maximum and we before it, which gives the same and lets every stage end in its rectifier.

    Args:
        x: The maps.
        filters: How many maps come out.
        strides: Side of the squares whose maximum is taken first.
        name: Begins the names of all layers but the last.
        out: Name of the last layer.
        conv: `DiracConv2D`, or a layer with the same arguments in its place: `keras.layers.Conv2D` for a plain network.
    """
    if strides > 1:
        x = keras.layers.MaxPooling2D(strides, name=f"{name}_pool")(x)
    x = convolve_norm(x, filters, 3, name=f"{name}_conv1", conv=conv)
    return convolve_norm(x, filters, 3, name=f"{name}_conv2", conv=conv, relu=out)


def diracnet18(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    conv: Conv = DiracConv2D,
    name: str = "diracnet18",
) -> keras.Model:
    """DiracNet-18 in its second version, 11,523,368 parameters; 11,511,784 after `fold_dirac`.

    The stages of ResNet-18, without its shortcuts and projections. Folded, it is a chain of ordinary convolutions and
    rectifiers like a VGG network. 69.6 % of ImageNet's validation images are right, say the authors.

    Args:
        input_shape: Height, width and channels; at least 32x32.
        classes: Number of classes.
        conv: Makes the 3x3 convolutions. `keras.layers.Conv2D` gives the plain network of the same shape.
        name: The model's name.

    Example:
        >>> diracnet18(input_shape=(64, 64, 3), classes=10).get_layer("stage5_out").output.shape
        (None, 2, 2, 512)

    Reference:
        [Zagoruyko and Komodakis, 2017](https://arxiv.org/abs/1706.00388), Table 1
    """
    return imagenet_network(input_shape, classes, name, stages=STAGES[18], block=partial(dirac_block, conv=conv))


def diracnet34(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    conv: Conv = DiracConv2D,
    name: str = "diracnet34",
) -> keras.Model:
    """DiracNet-34 in its second version, 21,638,952 parameters; 21,616,232 after `fold_dirac`.

    Arguments as in `diracnet18`.

    Reference:
        [Zagoruyko and Komodakis, 2017](https://arxiv.org/abs/1706.00388), Table 1
    """
    return imagenet_network(input_shape, classes, name, stages=STAGES[34], block=partial(dirac_block, conv=conv))


def diracnet_cifar(
    depth: int = 28,
    width: int = 10,
    *,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    conv: Conv = DiracConv2D,
    name: str = "diracnet_cifar",
) -> keras.Model:
    """DiracNet-depth-width for CIFAR-10: 36,450,090 parameters for 28-10.

    As the wide residual network of the same name counts, so does this one; without the convolutions in its shortcuts,
    three of the 28 are not there.

    Args:
        depth: 6n + 4, for 2n convolutions in each of three stages.
        width: How many times 16, 32 and 64 filters the stages have.
        input_shape: Height, width and channels; at least 4x4.
        classes: Number of classes.
        conv: Makes the 3x3 convolutions. `keras.layers.Conv2D` gives the plain network of the same shape.
        name: The model's name.

    Example:
        >>> diracnet_cifar(10, 1).get_layer("stage3_out").output.shape
        (None, 8, 8, 64)

    Reference:
        [Zagoruyko and Komodakis, 2017](https://arxiv.org/abs/1706.00388), section 3.1
    """
    blocks = check_depth(depth, 6, 4, layers=6, examples="10, 16, 28 or 34")
    filters = [number * check_positive("width", width) for number in FILTERS]
    return cifar_network(
        input_shape,
        classes,
        name,
        stem=filters[0],
        stages=[(number, blocks) for number in filters],
        block=partial(dirac_block, conv=conv),
    )
