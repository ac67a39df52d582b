"""Callbacks: what the rest of kerasdl computes, watched while a network learns. Each wraps one function thinly."""

from kerasdl.callbacks.confusion import ConfusionMatrixSummary
from kerasdl.callbacks.filters import FilterSummary
from kerasdl.callbacks.hyperparameters import HyperparameterSummary
from kerasdl.callbacks.precision_recall import PrecisionRecallSummary

__all__ = [
    "ConfusionMatrixSummary",
    "FilterSummary",
    "HyperparameterSummary",
    "PrecisionRecallSummary",
]
