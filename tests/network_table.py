"""What the papers say of every network: parameters, multiply-adds, and the maps at the end of every stage.

Sources: the papers' tables; the authors' and torchvision's published counts; for the rest sums over the papers' layers
made apart from this code. Multiply-adds count convolutions and dense layers only.
"""

import dataclasses
from typing import Any

import keras
from published_counts import CIFAR_RESNETS, CONVNEXT, DENSE, RESIDUAL, SIMPNETS, VGG

from kerasdl import architectures

# Public functions of the package that build no network by themselves.
NOT_BUILDERS = {
    "bottleneck_savings",
    "fold_dirac",
    "freeze",
    "imagenet_classes",
    "inception_block",
    "pretrained",
    "random_graph",
    "solve_readout",
    "with_auxiliary_labels",
}


@dataclasses.dataclass(frozen=True)
class Network:
    """One network of the course.

    Args:
        builder: Name of the function.
        arguments: What chooses the variant.
        parameters: Those that training moves; a float is what is published, rounded.
        multiply_adds: For one image of the paper's size; a float is what is published, rounded.
        stages: `(height, width, channels)` of `stage1_out`, `stage2_out`, ..., at the paper's size.
        small: An image size at which it is quickly tried, without the channels.
        narrow: Arguments that make it quick where the size alone does not.
        quick: Whether it stands for its family in the default suite; the others are tried in the slow one.
        without_gradient: Regular expressions of weights (`layer/weight`) that cannot have one.
    """

    builder: str
    arguments: dict[str, Any]
    parameters: int | float
    multiply_adds: int | float | None
    stages: tuple[tuple[int, int, int], ...]
    small: tuple[int, int] = (32, 32)
    narrow: dict[str, Any] = dataclasses.field(default_factory=dict)
    quick: bool = False
    without_gradient: str = ""

    @property
    def id(self) -> str:
        """A name for the test's report."""
        return "-".join([self.builder, *map(str, self.arguments.values())])

    def build(self, **more: Any) -> keras.Model:
        """The network of the paper."""
        return getattr(architectures, self.builder)(**{**self.arguments, **more})

    def build_small(self, channels: int = 3, **more: Any) -> keras.Model:
        """The same graph for small images, and a narrow one where it has to be."""
        return self.build(**{**self.narrow, "input_shape": (*self.small, channels), **more})


def halved(first: int, *channels: int) -> tuple[tuple[int, int, int], ...]:
    """Square maps, half as high and wide from stage to stage."""
    return tuple((first >> stage, first >> stage, count) for stage, count in enumerate(channels))


def highway_maps(*channels: int) -> tuple[tuple[int, int, int], ...]:
    """Highway networks pool twice in three stages; the fourth is a 1x1 convolution."""
    return tuple((side, side, count) for side, count in zip((32, 16, 8, 8), channels, strict=True))


# A normalisation takes away whatever the bias before it adds.
BEFORE_A_NORM = r"stage\d_conv\d+/bias"
ALEX = ((13, 13, 256), (6, 6, 256))
SMALL_DENSE = {"bottleneck": False}
RESNET18_MAPS = ((112, 112, 64), *halved(56, 64, 128, 256, 512))
KINDS = ("float", "ternary", "binary_weight", "binary_connect", "xnor_k", "xnor", "binary_net")
# Convolutions of 9 x 1 x 64, 9 x 64 x 64, 9 x 64 x 128 and 9 x 128 x 128; a dense layer of 3 x 3 x 128 x 256.
SMALL_KERNELS = (576, 36_864, 73_728, 147_456, 294_912)
NETWORKS = [
    Network("lenet5", {}, 60_000, None, ((14, 14, 6), (5, 5, 16)), (28, 28), quick=True),
    Network("lenet5_modern", {}, 61_706, 416_520, ((14, 14, 6), (5, 5, 16)), (28, 28), quick=True),
    Network("alexnet", {}, 60_965_224, 724_406_816, ALEX, (67, 67), quick=True),
    Network("alexnet_single", {}, 62_378_344, 1_135_256_096, ALEX, (67, 67)),
    # Latent weights: as many as in the networks of real weights.
    Network("bwn_alexnet", {}, 62_378_344, 1_135_256_096, ALEX, (67, 67)),
    Network("xnor_alexnet", {}, 62_378_344, 1_135_256_096, ALEX, (67, 67)),
    Network("bwn_resnet18", {}, 11_689_512, 1_814_073_344, RESNET18_MAPS),
    Network("xnor_resnet18", {}, 11_689_512 - 1_728, 1_814_073_344, RESNET18_MAPS, quick=True),
    # 640 maps with two numbers each, and a real layer of 256 inputs, ten classes.
    *(
        Network(
            "binary_cnn",
            {"kind": kind},
            sum(SMALL_KERNELS) + 2 * 640 + 2_570,
            576 * 28**2 + 36_864 * 14**2 + (73_728 + 147_456) * 7**2 + 294_912 + 2_560,
            ((14, 14, 64), (7, 7, 64), (3, 3, 128)),
            (28, 28),
            {"width": 16},
            quick=kind == "xnor",
        )
        for kind in KINDS
    ),
    *(
        Network(name, {}, parameters, multiply_adds, halved(112, 64, 128, 256, 512, 512), quick=name == "vgg_a_lrn")
        for name, (parameters, multiply_adds) in VGG.items()
    ),
    *(
        Network(
            "googlenet",
            {"auxiliary_heads": heads},
            parameters,
            None if heads else 1_582_671_872,
            halved(112, 64, 192, 480, 832, 1024),
            (80, 80) if heads else (32, 32),
            quick=not heads,
        )
        for heads, parameters in ((False, 6_998_552), (True, 13_378_280))
    ),
    *(
        Network(
            name,
            {},
            parameters,
            multiply_adds,
            halved(112, 64, 256, 512, 1024, 2048) if wider == 4 else ((112, 112, 64), *halved(56, 64, 128, 256, 512)),
            quick=name == "resnet18",
        )
        for name, (parameters, multiply_adds, wider) in RESIDUAL.items()
    ),
    *(
        Network(
            "resnet_cifar",
            {"depth": depth, "shortcut": shortcut},
            parameters + (2_752 if shortcut == "B" else 0),
            multiply_adds if shortcut == "A" else None,
            halved(32, 16, 32, 64),
            (16, 16),
            quick=depth == 20 and shortcut == "A",
        )
        for depth, (parameters, multiply_adds) in CIFAR_RESNETS.items()
        for shortcut in "AB"
    ),
    Network("plain_cifar", {"depth": 20}, 269_722, 40_551_040, halved(32, 16, 32, 64), (16, 16)),
    Network(
        "wide_resnet",
        {"depth": 28, "width": 10},
        36_479_194,
        None,
        ((32, 32, 16), *halved(32, 160, 320, 640)),
        (16, 16),
        {"depth": 10, "width": 2},
        quick=True,
    ),
    *(
        Network(
            "resnext_cifar",
            {"cardinality": cardinality, "width": 64},
            parameters,
            None,
            halved(32, 256, 512, 1024),
            (16, 16),
            {"depth": 11, "cardinality": cardinality // 4, "width": 16},
            quick=cardinality == 8,
        )
        for cardinality, parameters in ((8, 34_426_698), (16, 68_155_210))
    ),
    *(
        Network(name, {}, parameters, multiply_adds, ((112, 112, 64), *halved(56, 256, 512, fourth, fifth)))
        for name, (parameters, multiply_adds, fourth, fifth) in DENSE.items()
    ),
    Network(
        "densenet_cifar",
        {"depth": 100, "growth_rate": 12, "bottleneck": True},
        769_162,
        0.288e9,
        halved(32, 216, 300, 342),
        (16, 16),
        {"depth": 22},
        quick=True,
    ),
    Network("densenet_cifar", {"depth": 40, **SMALL_DENSE}, 1_019_722, 0.265e9, halved(32, 160, 304, 448), (16, 16)),
    Network("densenet_cifar", {"depth": 100, **SMALL_DENSE}, 6_979_642, 1.77e9, halved(32, 400, 784, 1168), (16, 16)),
    Network("diracnet18", {}, 11_523_368, None, ((112, 112, 64), *halved(56, 64, 128, 256, 512)), quick=True),
    Network("diracnet34", {}, 21_638_952, None, ((112, 112, 64), *halved(56, 64, 128, 256, 512))),
    Network(
        "diracnet_cifar",
        {"depth": 28, "width": 10},
        36_450_090,
        None,
        halved(32, 160, 320, 640),
        (16, 16),
        {"depth": 16, "width": 2},
    ),
    *(
        Network(
            "simpnet",
            {"size": size},
            parameters,
            None,
            ((16, 16, a), (8, 8, b), (8, 8, c)),
            quick=size == "300k",
            without_gradient=BEFORE_A_NORM,
        )
        for size, (parameters, a, b, c) in SIMPNETS.items()
    ),
    # Convolutions of 1,200 + 3,456 and 10,368 + 27,648 + 36,864 weights, two scales per map, a dense layer of 650.
    Network("shapes_cnn", {}, 80_618, 4_656 * 32**2 + 74_880 * 16**2 + 640, ((32, 32, 24), (16, 16, 64)), quick=True),
    Network("squeezenet1_0", {}, 1_248_424, 0.819e9, ((54, 54, 96), (27, 27, 256), (13, 13, 512), (13, 13, 512))),
    Network(
        "squeezenet1_1", {}, 1_235_496, 0.349e9, ((55, 55, 64), (27, 27, 128), (13, 13, 256), (13, 13, 512)), quick=True
    ),
    *(
        Network(
            name,
            {},
            parameters,
            multiply_adds,
            ((56, 56, width), *halved(56, width, 2 * width, 4 * width, 8 * width)),
        )
        for name, (parameters, multiply_adds, width) in CONVNEXT.items()
    ),
    # Sums over the blocks of the paper's Table 1 with these paths.
    Network("resnext101_2x64d", {}, 84_198_184, None, ((112, 112, 64), *halved(56, 256, 512, 1024, 2048))),
    Network("resnet101_wide", {}, 85_611_336, None, ((112, 112, 64), *halved(56, 256, 512, 1024, 2048))),
    # 784 inputs, 50 units: one dense layer, 49 with a gate each, ten classes.
    Network(
        "highway_mlp",
        {},
        (784 + 1) * 50 + 49 * 2 * (50 + 1) * 50 + 51 * 10,
        784 * 50 + 49 * 2 * 50 * 50 + 500,
        ((50,), (50,)),
        (28, 28),
        {"depth": 10},
        quick=True,
    ),
    # The paper gives 236 thousand, 2.3 and 1.25 million; these are the sums over the layers as they are here.
    Network("highway_cnn", {"network": "A"}, 236_328, None, highway_maps(16, 32, 64, 250), quick=True),
    Network("highway_cnn", {"network": "B"}, 2_256_838, None, highway_maps(32, 80, 128, 100)),
    Network("highway_cnn", {"network": "C"}, 1_251_798, None, highway_maps(24, 48, 96, 100)),
    # As many as the paper's five graphs had on average, give or take a fiftieth.
    *(
        Network(
            "randwire",
            {"generator": generator},
            5.6e6,
            0.583e9,
            ((112, 112, 39), (56, 56, 78), (28, 28, 78), (14, 14, 156), (7, 7, 312)),
            narrow={"channels": 8, "nodes": 8},
            quick=generator == "ws",
        )
        for generator in ("ws", "er", "ba")
    ),
    # A 3x3 stem, a convolution for every layer, and ten classes from the 16 averages.
    Network("vanilla_cnn", {"depth": 100}, 237_258, None, ((8, 8, 16),) * 2, (16, 16), {"depth": 12}, quick=True),
    Network(
        "vanilla_cnn", {"depth": 10_000}, 237_258 + 9_900 * (9 * 16 * 16 + 16), None, ((8, 8, 16), (8, 8, 16)), (16, 16)
    ),
    # Only the last layer learns: 1,000 units, or 4x4 fields of 128 maps.
    Network("extreme_learning_machine", {}, 1001 * 10, 784 * 1000 + 10_000, ((1000,),), (28, 28), quick=True),
    Network("random_feature_cnn", {}, (4 * 4 * 128 + 1) * 10, None, ((4, 4, 128),), (28, 28), quick=True),
]
