"""Histograms that a test reads back from TensorBoard's event files, and what they should be."""

import numpy as np
import tensorflow as tf
from event_helpers import read_events


def read_histograms(log_dir):
    """The histograms, as `{tag: {step: rows of left end, right end and count}}`."""
    tables, histograms = {}, set()
    for event in read_events(log_dir):
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == "histograms":
                histograms.add(value.tag)  # Only the first of a tag says what it is.
            if value.tag in histograms:
                tables.setdefault(value.tag, {})[event.step] = tf.make_ndarray(value.tensor)
    return tables


def assert_histogram_of(table, values, rtol=1e-5):
    """The table is NumPy's histogram of the values, but for numbers on an edge and for rounding."""
    values = np.asarray(values, "float64").ravel()
    counts, edges = np.histogram(values, 30)
    size = np.abs(edges).max()
    np.testing.assert_allclose(table[:, 0], edges[:-1], atol=rtol * size)
    np.testing.assert_allclose(table[:, 1], edges[1:], atol=rtol * size)
    assert table[:, 2].sum() == len(values)
    assert np.abs(np.cumsum(table[:, 2]) - np.cumsum(counts)).max() <= 2
