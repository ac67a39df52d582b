"""Which published weights there are, and what their layers are called in our networks."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np

from kerasdl.architectures.convnext import convnext_base, convnext_large, convnext_small, convnext_tiny
from kerasdl.architectures.densenet import densenet121, densenet169, densenet201
from kerasdl.architectures.resnet import resnet50, resnet101, resnet152
from kerasdl.architectures.shape_network import shapes_cnn
from kerasdl.architectures.squeezenet import squeezenet1_1
from kerasdl.architectures.vgg import vgg16, vgg19

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Published:
    """Where the weights of a network come from.

    Args:
        builder: Our network.
        application: Its class in `keras.applications`.
        translate: From arrays by the application's names to arrays by ours, `layer/weight` both.
        first: The application's name of the first convolution.
        preprocessing: "caffe": BGR on 0 to 255 less the mean; "torch": RGB less the mean and divided by the deviation;
            "centred": RGB on -1 to 1.
        shipped: The file of weights in this package.
        data: What the weights were trained on.
        classes: How many classes that has.
    """

    builder: Callable[..., keras.Model]
    application: str | None
    translate: Callable[[Arrays], dict[str, np.ndarray]]
    first: str
    preprocessing: str
    shipped: Path | None = None
    data: str = "imagenet"
    classes: int = 1000


def rename(arrays: Arrays, *patterns: tuple[str, str]) -> dict[str, np.ndarray]:
    """Gives every array the name that the first fitting pattern makes of its own.

    Args:
        arrays: By their names, `layer/weight`.
        *patterns: A regular expression for the layer's name, and what `re.sub` puts in its place.
    """
    renamed = {}
    for key, array in arrays.items():
        layer, _, weight = key.rpartition("/")
        for pattern, replacement in patterns:
            if re.fullmatch(pattern, layer):
                layer = re.sub(pattern, replacement, layer)
                break
        renamed[f"{layer}/{weight}"] = array
    return renamed


def translate_vgg(arrays: Arrays) -> dict[str, np.ndarray]:
    """VGG.

    Args:
        arrays: By the application's names.
    """
    return rename(arrays, (r"block(\d)_conv(\d)", r"stage\1_conv\2"), (r"predictions", "logits"))


def translate_squeezenet(arrays: Arrays) -> dict[str, np.ndarray]:
    """SqueezeNet.

    Args:
        arrays: By Caffe's names.
    """
    return rename(arrays, (r"(fire\d)/squeeze1x1", r"\1_squeeze"), (r"(fire\d)/expand(\dx\d)", r"\1_expand\2"))


def translate_resnet(arrays: Arrays) -> dict[str, np.ndarray]:
    """Residual networks: the application's convolutions have biases, which the normalisation takes away again.

    `normalise(x + bias)` with the moving mean m is `normalise(x)` with m - bias: ours need none.

    Args:
        arrays: By the application's names.
    """
    arrays = rename(
        arrays,
        (r"conv1_conv", "stage1_conv1"),
        (r"conv1_bn", "stage1_conv1_norm"),
        (r"conv(\d)_block(\d+)_0_conv", r"stage\1_block\2_shortcut"),
        (r"conv(\d)_block(\d+)_0_bn", r"stage\1_block\2_shortcut_norm"),
        (r"conv(\d)_block(\d+)_(\d)_conv", r"stage\1_block\2_conv\3"),
        (r"conv(\d)_block(\d+)_(\d)_bn", r"stage\1_block\2_conv\3_norm"),
        (r"predictions|probs", "logits"),
    )
    for key in [key for key in arrays if key.endswith("/bias") and key != "logits/bias"]:
        mean = key.replace("/bias", "_norm/moving_mean")
        arrays[mean] = arrays[mean] - arrays.pop(key)
    return arrays


def translate_densenet(arrays: Arrays) -> dict[str, np.ndarray]:
    """DenseNet: the transition after the application's block 2 begins our stage 3.

    Args:
        arrays: By the application's names.
    """
    renamed = rename(
        arrays,
        (r"conv1_conv", "stage1_conv1"),
        (r"conv1_bn", "stage1_conv1_norm"),
        (r"conv(\d)_block(\d+)_0_bn", r"stage\1_layer\2_norm1"),
        (r"conv(\d)_block(\d+)_1_bn", r"stage\1_layer\2_norm2"),
        (r"conv(\d)_block(\d+)_(\d)_conv", r"stage\1_layer\2_conv\3"),
        (r"bn", "stage5_norm"),
        (r"predictions", "logits"),
    )
    for stage in (2, 3, 4):
        renamed = rename(
            renamed,
            (rf"pool{stage}_bn", f"stage{stage + 1}_transition_norm"),
            (rf"pool{stage}_conv", f"stage{stage + 1}_transition_conv"),
        )
    return renamed


def translate_convnext(arrays: Arrays) -> dict[str, np.ndarray]:
    """ConvNeXt: the application counts stages and blocks from 0, and its preprocessing is left to ours.

    Args:
        arrays: By the application's names.
    """
    parts = {
        "depthwise_conv": "conv1",
        "layernorm": "norm",
        "pointwise_conv_1": "conv2",
        "pointwise_conv_2": "conv3",
        "layer_scale": "scale",
    }
    renamed = {}
    for key, array in arrays.items():
        layer, _, weight = key.rpartition("/")
        if layer.endswith("prestem_normalization"):
            continue
        if match := re.fullmatch(r".*_stage_(\d)_block_(\d+)_(\w+)", layer):
            if match[3] == "depthwise_conv" and weight == "kernel":
                # A convolution with as many groups as maps there, a depthwise one here.
                array = array.swapaxes(2, 3)
            # The application leaves the layer scale's weight without a name.
            weight = "gamma" if match[3] == "layer_scale" else weight
            layer = f"stage{int(match[1]) + 2}_block{int(match[2]) + 1}_{parts[match[3]]}"
        elif match := re.fullmatch(r".*_downsampling_(?:layer)?(norm|conv)_(\d)", layer):
            layer = f"stage{int(match[2]) + 3}_downsample_{match[1]}"
        renamed[f"{layer}/{weight}"] = array
    return rename(
        renamed,
        (r".*_stem_conv", "stage1_conv1"),
        (r".*_stem_layernorm", "stage1_out"),
        (r".*_head_layernorm", "norm"),
        (r".*_head_dense", "logits"),
    )


WEIGHTS = Path(__file__).parent / "weights"
PUBLISHED = {
    "vgg16": Published(vgg16, "VGG16", translate_vgg, "block1_conv1", "caffe"),
    "vgg19": Published(vgg19, "VGG19", translate_vgg, "block1_conv1", "caffe"),
    "resnet50": Published(resnet50, "ResNet50", translate_resnet, "conv1_conv", "caffe"),
    "resnet101": Published(resnet101, "ResNet101", translate_resnet, "conv1_conv", "caffe"),
    "resnet152": Published(resnet152, "ResNet152", translate_resnet, "conv1_conv", "caffe"),
    "densenet121": Published(densenet121, "DenseNet121", translate_densenet, "conv1_conv", "torch"),
    "densenet169": Published(densenet169, "DenseNet169", translate_densenet, "conv1_conv", "torch"),
    "densenet201": Published(densenet201, "DenseNet201", translate_densenet, "conv1_conv", "torch"),
    "convnext_tiny": Published(convnext_tiny, "ConvNeXtTiny", translate_convnext, "convnext_tiny_stem_conv", "torch"),
    "convnext_small": Published(
        convnext_small, "ConvNeXtSmall", translate_convnext, "convnext_small_stem_conv", "torch"
    ),
    "convnext_base": Published(convnext_base, "ConvNeXtBase", translate_convnext, "convnext_base_stem_conv", "torch"),
    "convnext_large": Published(
        convnext_large, "ConvNeXtLarge", translate_convnext, "convnext_large_stem_conv", "torch"
    ),
    "squeezenet1_1": Published(
        squeezenet1_1, None, translate_squeezenet, "conv1", "caffe", WEIGHTS / "squeezenet1_1.npz"
    ),
    "shapes_cnn": Published(
        shapes_cnn, None, dict, "stage1_conv1", "centred", WEIGHTS / "shapes_cnn.npz", "shapes/one", 10
    ),
}
