"""Callbacks: what the rest of kerasdl computes, watched while a network learns. Each wraps one function thinly."""

from kerasdl.callbacks.activations import ActivationSummary
from kerasdl.callbacks.attributions import AttributionSummary
from kerasdl.callbacks.backups import Backup
from kerasdl.callbacks.binary_weights import BinaryWeightSummary
from kerasdl.callbacks.confusion import ConfusionMatrixSummary
from kerasdl.callbacks.dreams import DreamSummary
from kerasdl.callbacks.embeddings import EmbeddingSummary
from kerasdl.callbacks.examples import Examples
from kerasdl.callbacks.feature_maps import FeatureMapSummary
from kerasdl.callbacks.filters import FilterSummary
from kerasdl.callbacks.gates import GateSummary
from kerasdl.callbacks.gradients import GradientSummary
from kerasdl.callbacks.hyperparameters import HyperparameterSummary
from kerasdl.callbacks.learning_rates import LearningRateSummary
from kerasdl.callbacks.mistakes import MistakeSummary
from kerasdl.callbacks.monitoring import monitor
from kerasdl.callbacks.precision_recall import PrecisionRecallSummary
from kerasdl.callbacks.recurrent import SpectralRadiusSummary
from kerasdl.callbacks.summary import Summary
from kerasdl.callbacks.texts import TextSummary
from kerasdl.callbacks.throughput import ThroughputSummary
from kerasdl.callbacks.train_graph import TrainGraphSummary
from kerasdl.callbacks.weights import WeightSummary

__all__ = [
    "ActivationSummary",
    "AttributionSummary",
    "Backup",
    "BinaryWeightSummary",
    "ConfusionMatrixSummary",
    "DreamSummary",
    "EmbeddingSummary",
    "Examples",
    "FeatureMapSummary",
    "FilterSummary",
    "GateSummary",
    "GradientSummary",
    "HyperparameterSummary",
    "LearningRateSummary",
    "MistakeSummary",
    "PrecisionRecallSummary",
    "SpectralRadiusSummary",
    "Summary",
    "TextSummary",
    "ThroughputSummary",
    "TrainGraphSummary",
    "WeightSummary",
    "monitor",
]
