"""How many ImageNet images each network is known to get right, and who says so."""

import typing

_TORCHVISION = "https://docs.pytorch.org/vision/stable/models.html"
_CAFFE = "https://github.com/BVLC/caffe/tree/master/models"
_RESNET = "https://github.com/KaimingHe/deep-residual-networks"
_RESNEXT = "https://github.com/facebookresearch/ResNeXt"
_DENSENET = "https://github.com/liuzhuang13/DenseNet"
_CONVNEXT = "https://github.com/facebookresearch/ConvNeXt"


class Published(typing.NamedTuple):
    """Accuracy on the 50,000 validation images: one central crop, one network, trained on ImageNet-1k alone.

    Args:
        top1: Images whose first guess is right, in percent.
        source: Where the number stands.
    """

    top1: float
    source: str


# Authors' own numbers where they publish one for a single crop; else those of a well-known replication of the same
# network. No number stands for another network of the same name: torchvision's AlexNet and GoogLeNet are others.
PUBLISHED_TOP1 = {
    "alexnet": Published(57.1, f"{_CAFFE}/bvlc_alexnet"),
    "googlenet": Published(68.7, f"{_CAFFE}/bvlc_googlenet"),
    "vgg_a": Published(69.020, _TORCHVISION),
    "vgg_b": Published(69.928, _TORCHVISION),
    "vgg_d": Published(71.592, _TORCHVISION),
    "vgg16": Published(71.592, _TORCHVISION),
    "vgg_e": Published(72.376, _TORCHVISION),
    "vgg19": Published(72.376, _TORCHVISION),
    "resnet18": Published(69.758, _TORCHVISION),
    "resnet34": Published(73.314, _TORCHVISION),
    "bwn_resnet18": Published(60.8, "https://arxiv.org/abs/1603.05279"),
    "resnet50": Published(75.3, _RESNET),
    "resnet101": Published(76.4, _RESNET),
    "resnet152": Published(77.0, _RESNET),
    "resnext50_32x4d": Published(77.8, _RESNEXT),
    "resnext101_32x4d": Published(78.8, _RESNEXT),
    "resnext101_64x4d": Published(79.6, _RESNEXT),
    "densenet121": Published(75.0, _DENSENET),
    "densenet169": Published(76.4, _DENSENET),
    "densenet201": Published(77.5, _DENSENET),
    "diracnet18": Published(69.63, "https://github.com/szagoruyko/diracnets"),
    "diracnet34": Published(72.21, "https://arxiv.org/abs/2101.03697"),
    "squeezenet1_0": Published(58.092, _TORCHVISION),
    "squeezenet1_1": Published(58.178, _TORCHVISION),
    "randwire": Published(74.7, "https://arxiv.org/abs/1904.01569"),
    "convnext_tiny": Published(82.1, _CONVNEXT),
    "convnext_small": Published(83.1, _CONVNEXT),
    "convnext_base": Published(83.8, _CONVNEXT),
    "convnext_large": Published(84.3, _CONVNEXT),
}
