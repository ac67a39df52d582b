"""Histograms that a test reads back from TensorBoard's event files, and what they should be."""

import numpy as np
from event_helpers import read_arrays


def read_histograms(log_dir):
    """The histograms, as `{tag: {step: rows of left end, right end and count}}`."""
    return read_arrays(log_dir, "histograms")


def assert_histogram_of(table, values, rtol=1e-5):
    """The table is NumPy's histogram of the values, but for numbers on an edge and for rounding."""
    values = np.asarray(values, "float64").ravel()
    counts, edges = np.histogram(values, 30)
    size = np.abs(edges).max()
    np.testing.assert_allclose(table[:, 0], edges[:-1], atol=rtol * size)
    np.testing.assert_allclose(table[:, 1], edges[1:], atol=rtol * size)
    assert table[:, 2].sum() == len(values)
    assert np.abs(np.cumsum(table[:, 2]) - np.cumsum(counts)).max() <= 2
