"""Parzen densities against SciPy's and scikit-learn's, and their width against cross-validation."""

import tracemalloc

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
from helpers import check_layer
from sklearn.model_selection import GridSearchCV, LeaveOneOut
from sklearn.neighbors import KernelDensity

from kerasdl.layers import ParzenDensity, parzen_density

random = np.random.default_rng(0)
LABELS = np.repeat([0, 1, 2], [20, 30, 10])
FEATURES = random.normal(size=(60, 5)) + 2 * random.normal(size=(3, 5))[LABELS]


def by_sklearn(layer, inputs):
    groups = np.split(layer.points.numpy(), np.cumsum(layer.counts)[:-1])
    densities = [KernelDensity(bandwidth=layer.bandwidth).fit(group).score_samples(inputs) for group in groups]
    return np.stack(densities, axis=-1)


def test_parzen_density():
    check_layer(ParzenDensity, {"counts": [3, 1, 4], "bandwidth": 0.7}, (6, 5), by_sklearn)


def test_examples_are_the_points():
    inputs = random.normal(size=(9, 5))
    layer = ParzenDensity.of_examples(FEATURES, LABELS, bandwidth=0.4)
    np.testing.assert_allclose(layer(inputs), by_sklearn(layer, inputs), rtol=1e-4)
    # SciPy takes the width as a share of the data's own deviation, so its deviations must be one.
    line = np.array([-1.0, 1.0, -1.0, 1.0]) * np.sqrt(3) / 2
    layer = ParzenDensity.of_examples(line[:, None], [0, 0, 0, 0], bandwidth=0.3)
    expected = scipy.stats.gaussian_kde(line, bw_method=0.3).logpdf(inputs[:, 0])
    np.testing.assert_allclose(layer(inputs[:, :1])[:, 0], expected, rtol=1e-4, atol=1e-4)


def test_far_from_all_points_densities_and_gradients_are_finite():
    layer = ParzenDensity.of_examples(FEATURES, LABELS, bandwidth=0.01)
    far = keras.ops.convert_to_tensor(np.full((1, 5), 100.0, "float32"))
    # All but the nearest point vanish beside it: minus its squared distance over 2 h^2, and the constants.
    squares = ((far - FEATURES[LABELS == 1]) ** 2).numpy().sum(axis=1)
    expected = -squares.min() / (2 * 0.01**2) - np.log(30) - 5 * np.log(0.01 * np.sqrt(2 * np.pi))
    assert float(layer(far)[0, 1]) == pytest.approx(expected, rel=1e-5)


def test_the_width_is_that_of_cross_validation():
    layer = ParzenDensity.of_examples(FEATURES[:20], LABELS[:20])
    search = GridSearchCV(KernelDensity(), {"bandwidth": layer.bandwidth * np.array([0.75, 1, 1.33])}, cv=LeaveOneOut())
    assert search.fit(FEATURES[:20].astype("float32")).best_params_["bandwidth"] == layer.bandwidth


@pytest.mark.parametrize(("count", "features"), [(8, 3072), (300, 1)])
def test_the_width_is_the_likeliest_with_many_features_and_with_many_points(count, features):
    # Near the nearest distance over the root of 3072; and far above the nearest distance where 300 lie on a line.
    points = np.random.default_rng(1).uniform(size=(count, features)).astype("float32")
    width = ParzenDensity.of_examples(points, np.zeros(count, int)).bandwidth

    def left_out(width):
        logs = scipy.stats.norm.logpdf(points[:, None] - points, scale=width).sum(axis=-1)
        np.fill_diagonal(logs, -np.inf)
        return scipy.special.logsumexp(logs, axis=1).sum()

    assert left_out(width) > max(left_out(0.8 * width), left_out(1.25 * width))


def test_the_width_is_found_without_a_table_of_all_distances(monkeypatch):
    points, labels = np.random.default_rng(2).normal(size=(300, 2)), np.zeros(300, int)
    whole = ParzenDensity.of_examples(points, labels).bandwidth
    monkeypatch.setattr(parzen_density, "BLOCK", 2**12, raising=False)
    tracemalloc.start()
    try:
        in_blocks = ParzenDensity.of_examples(points, labels).bandwidth
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert in_blocks == pytest.approx(whole, rel=1e-9)
    assert peak < 300**2 * 8


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ParzenDensity([2, 0], 1.0), r"`counts` must be .* at least 1\. Received: \[2, 0\]\."),
        (lambda: ParzenDensity([2], 0), r"`bandwidth` must be a number above 0\. Received: 0\."),
        (
            lambda: ParzenDensity.of_examples(np.zeros((3, 2)), [0, 1]),
            r"`features` must have shape \(N, features\) .*Received: shapes \(3, 2\) and \(2,\), int64\.",
        ),
        (
            lambda: ParzenDensity.of_examples([[0.0], [np.nan]], [0, 0]),
            r"^`features` must be finite numbers\. Received: NaN or infinity among them\.$",
        ),
        (
            lambda: ParzenDensity.of_examples(np.eye(3), [0, -1, 0], 1.0),
            r"^`labels` must be classes, numbered from 0\. Received: -1 among them\.$",
        ),
        (lambda: ParzenDensity.of_examples(np.eye(3), [0, 0, 1]), r"each class needs at least 2 points; give more"),
        (lambda: ParzenDensity.of_examples(np.ones((4, 2)), [0, 0, 1, 1]), r"must not all lie on each other"),
        (lambda: ParzenDensity.of_examples(np.eye(3), [0, 0, 2], 1.0), r"at least 1\. Received: \[2, 0, 1\]\."),
    ],
)
def test_refuses(make, message):
    with pytest.raises(ValueError, match=message):
        make()
