import numpy as np
import pytest
import tensorflow as tf
from histogram_helpers import read_histograms

from kerasdl.callbacks.histograms import bucket_counts
from kerasdl.callbacks.values import Values

NORMAL = np.random.default_rng(0).normal(size=(50, 20)).astype("float32")


def written(folder, values):
    shown = Values()
    shown.histogram("mine", bucket_counts(values))
    with tf.summary.create_file_writer(str(folder)).as_default() as writer:
        shown.write(7)
        writer.flush()
    return read_histograms(folder)


@pytest.mark.parametrize(
    "values",
    [NORMAL, NORMAL.astype("float64"), NORMAL.astype("float16"), np.arange(60), np.full(9, -2.5), np.zeros(3)],
    ids=["float32", "float64", "float16", "whole", "one value", "zeros"],
)
def test_is_the_histogram_of_tensorflow(tmp_path, values):
    with tf.summary.create_file_writer(str(tmp_path / "theirs")).as_default() as writer:
        tf.summary.histogram("mine", values, 7)
        writer.flush()
    [expected] = read_histograms(tmp_path / "theirs")["mine"].values()
    [found] = written(tmp_path / "mine", values)["mine"].values()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found[:, :2], expected[:, :2], rtol=1e-6, atol=1e-7)
    # A number on an edge may be counted on its other side.
    assert np.abs(found[:, 2] - expected[:, 2]).max() <= 1
    assert found[:, 2].sum() == expected[:, 2].sum() == np.size(values)


def test_the_largest_and_smallest_numbers_of_float32_have_a_histogram():
    largest, smallest = np.finfo("float32").max, np.float32(1e-37)
    for values in ([-largest, 0.0, largest], [0.0, smallest]):
        counts, least, most = bucket_counts(np.array(values, "float32"))
        assert (float(least), float(most)) == (values[0], values[-1])
        assert counts[0] >= 1
        assert counts[-1] >= 1
        assert int(tf.reduce_sum(counts)) == len(values)


def test_what_is_no_number_is_not_counted(tmp_path):
    counts, least, most = bucket_counts([np.nan, 1.0, np.inf, 2.0, -np.inf, 4.0])
    assert (float(least), float(most)) == (1.0, 4.0)
    # Buckets of 0.1: the first, the one that begins at 2, and the last.
    assert {place: int(count) for place, count in enumerate(counts) if count} == {0: 1, 10: 1, 29: 1}
    assert written(tmp_path, [np.nan, np.inf]) == {}
    assert written(tmp_path, np.zeros(0, "float32")) == {}


def test_counts_inside_a_compiled_function():
    inside = tf.function(lambda values: bucket_counts(values * 2))(NORMAL)
    for mine, theirs in zip(inside, bucket_counts(NORMAL * 2), strict=True):
        np.testing.assert_array_equal(mine, theirs)
