"""Callbacks: what the rest of kerasdl computes, watched while a network learns. Each wraps one function thinly."""

from kerasdl.callbacks.attributions import AttributionSummary
from kerasdl.callbacks.confusion import ConfusionMatrixSummary
from kerasdl.callbacks.dreams import DreamSummary
from kerasdl.callbacks.examples import Examples
from kerasdl.callbacks.feature_maps import FeatureMapSummary
from kerasdl.callbacks.filters import FilterSummary
from kerasdl.callbacks.hyperparameters import HyperparameterSummary
from kerasdl.callbacks.learning_rates import LearningRateSummary
from kerasdl.callbacks.mistakes import MistakeSummary
from kerasdl.callbacks.precision_recall import PrecisionRecallSummary
from kerasdl.callbacks.throughput import ThroughputSummary
from kerasdl.callbacks.train_graph import TrainGraphSummary

__all__ = [
    "AttributionSummary",
    "ConfusionMatrixSummary",
    "DreamSummary",
    "Examples",
    "FeatureMapSummary",
    "FilterSummary",
    "HyperparameterSummary",
    "LearningRateSummary",
    "MistakeSummary",
    "PrecisionRecallSummary",
    "ThroughputSummary",
    "TrainGraphSummary",
]
