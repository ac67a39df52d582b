"""Every network of the course, as functions that return a `keras.Model`."""

from kerasdl.architectures.alexnets import alexnet, alexnet_single
from kerasdl.architectures.auxiliary import with_auxiliary_labels
from kerasdl.architectures.binary_nets import bwn_alexnet, bwn_resnet18, xnor_alexnet, xnor_resnet18
from kerasdl.architectures.cifar_resnets import plain_cifar, resnet_cifar
from kerasdl.architectures.convnext import convnext_base, convnext_large, convnext_small, convnext_tiny
from kerasdl.architectures.densenet import densenet121, densenet169, densenet201, densenet264, densenet_cifar
from kerasdl.architectures.diracnet import diracnet18, diracnet34, diracnet_cifar
from kerasdl.architectures.extreme_learning import extreme_learning_machine, random_feature_cnn
from kerasdl.architectures.folding import fold_dirac
from kerasdl.architectures.highway import highway_cnn, highway_mlp
from kerasdl.architectures.inception import bottleneck_savings, googlenet, inception_block
from kerasdl.architectures.lenet import lenet5, lenet5_modern
from kerasdl.architectures.pretraining import freeze, imagenet_classes, pretrained
from kerasdl.architectures.random_wiring import random_graph, randwire
from kerasdl.architectures.readout import solve_readout
from kerasdl.architectures.resnet import (
    plain18,
    plain34,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnet200,
)
from kerasdl.architectures.resnext import (
    resnet101_wide,
    resnext50_32x4d,
    resnext101_2x64d,
    resnext101_32x4d,
    resnext101_64x4d,
    resnext_cifar,
)
from kerasdl.architectures.shape_network import shapes_cnn
from kerasdl.architectures.simple_nets import simpnet
from kerasdl.architectures.small_binary_nets import binary_cnn
from kerasdl.architectures.squeezenet import squeezenet1_0, squeezenet1_1
from kerasdl.architectures.very_deep import vanilla_cnn
from kerasdl.architectures.vgg import vgg16, vgg19, vgg_a, vgg_a_lrn, vgg_b, vgg_c, vgg_d, vgg_e
from kerasdl.architectures.wide_residual import wide_resnet

__all__ = [
    "alexnet",
    "alexnet_single",
    "binary_cnn",
    "bottleneck_savings",
    "bwn_alexnet",
    "bwn_resnet18",
    "convnext_base",
    "convnext_large",
    "convnext_small",
    "convnext_tiny",
    "densenet121",
    "densenet169",
    "densenet201",
    "densenet264",
    "densenet_cifar",
    "diracnet18",
    "diracnet34",
    "diracnet_cifar",
    "extreme_learning_machine",
    "fold_dirac",
    "freeze",
    "googlenet",
    "highway_cnn",
    "highway_mlp",
    "imagenet_classes",
    "inception_block",
    "lenet5",
    "lenet5_modern",
    "plain18",
    "plain34",
    "plain_cifar",
    "pretrained",
    "random_feature_cnn",
    "random_graph",
    "randwire",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet101_wide",
    "resnet152",
    "resnet200",
    "resnet_cifar",
    "resnext50_32x4d",
    "resnext101_2x64d",
    "resnext101_32x4d",
    "resnext101_64x4d",
    "resnext_cifar",
    "shapes_cnn",
    "simpnet",
    "solve_readout",
    "squeezenet1_0",
    "squeezenet1_1",
    "vanilla_cnn",
    "vgg16",
    "vgg19",
    "vgg_a",
    "vgg_a_lrn",
    "vgg_b",
    "vgg_c",
    "vgg_d",
    "vgg_e",
    "wide_resnet",
    "with_auxiliary_labels",
    "xnor_alexnet",
    "xnor_resnet18",
]
