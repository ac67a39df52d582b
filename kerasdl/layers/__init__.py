"""The maths of the papers as Keras layers: each one registered, so that a saved model finds it again."""

from kerasdl.layers.associative_memory import AssociativeMemory
from kerasdl.layers.bahdanau_attention import BahdanauAttention
from kerasdl.layers.batch_normalization import FusedBatchNormalization
from kerasdl.layers.binary_weights import BinaryConv2D, BinaryDense
from kerasdl.layers.convolution_stack import DeepConvolutionStack
from kerasdl.layers.dirac import DiracConv2D
from kerasdl.layers.echo_state import EchoState, EchoStateCell
from kerasdl.layers.elman import ElmanRNN
from kerasdl.layers.elman_cell import ElmanCell
from kerasdl.layers.estimators import approx_sign, sign_ste, swish_sign, ternary_ste
from kerasdl.layers.euclidean_rbf import EuclideanRBF
from kerasdl.layers.fast_convolution import FastConv2D
from kerasdl.layers.frames import ClipsOfFrames, FramesOfClips
from kerasdl.layers.grouped_convolution import GroupedConv2D
from kerasdl.layers.highway import HighwayConv2D, HighwayDense
from kerasdl.layers.layer_scale import LayerScale
from kerasdl.layers.local_response_normalization import LocalResponseNormalization
from kerasdl.layers.parzen_density import ParzenDensity
from kerasdl.layers.saf_pooling import SAFPooling
from kerasdl.layers.sinusoidal_positions import SinusoidalPositions
from kerasdl.layers.sparse_convolution import SparselyConnectedConv2D
from kerasdl.layers.spatial_attention import AddCoordinates, SpatialAttention
from kerasdl.layers.squashing import scaled_tanh
from kerasdl.layers.stochastic_depth import StochasticDepth
from kerasdl.layers.ternary import TernaryConv2D, TernaryDense
from kerasdl.layers.trainable_pooling import TrainablePooling
from kerasdl.layers.weighted_sum import WeightedSum
from kerasdl.layers.xnor_products import XnorConv2D, XnorDense
from kerasdl.layers.zero_padded_shortcut import ZeroPaddedShortcut

__all__ = [
    "AddCoordinates",
    "AssociativeMemory",
    "BahdanauAttention",
    "BinaryConv2D",
    "BinaryDense",
    "ClipsOfFrames",
    "DeepConvolutionStack",
    "DiracConv2D",
    "EchoState",
    "EchoStateCell",
    "ElmanCell",
    "ElmanRNN",
    "EuclideanRBF",
    "FastConv2D",
    "FramesOfClips",
    "FusedBatchNormalization",
    "GroupedConv2D",
    "HighwayConv2D",
    "HighwayDense",
    "LayerScale",
    "LocalResponseNormalization",
    "ParzenDensity",
    "SAFPooling",
    "SinusoidalPositions",
    "SparselyConnectedConv2D",
    "SpatialAttention",
    "StochasticDepth",
    "TernaryConv2D",
    "TernaryDense",
    "TrainablePooling",
    "WeightedSum",
    "XnorConv2D",
    "XnorDense",
    "ZeroPaddedShortcut",
    "approx_sign",
    "scaled_tanh",
    "sign_ste",
    "swish_sign",
    "ternary_ste",
]
