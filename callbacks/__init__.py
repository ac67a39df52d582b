"""Callbacks: what the rest of kerasdl computes, watched while a network learns. Each wraps one function thinly."""

from kerasdl.callbacks.filters import FilterSummary

__all__ = ["FilterSummary"]
