"""The maths of the papers as Keras layers: each one registered, so that a saved model finds it again."""

from kerasdl.layers.batch_normalization import FusedBatchNormalization
from kerasdl.layers.euclidean_rbf import EuclideanRBF
from kerasdl.layers.sparse_convolution import SparselyConnectedConv2D
from kerasdl.layers.squashing import scaled_tanh
from kerasdl.layers.trainable_pooling import TrainablePooling
from kerasdl.layers.zero_padded_shortcut import ZeroPaddedShortcut

__all__ = [
    "EuclideanRBF",
    "FusedBatchNormalization",
    "SparselyConnectedConv2D",
    "TrainablePooling",
    "ZeroPaddedShortcut",
    "scaled_tanh",
]
