"""Embeddings: principal components by a singular value decomposition, and neighbours that t-SNE keeps."""

import numpy as np
import pytest

from kerasdl.visualization import embed


@pytest.mark.parametrize("shape", [(40, 5, 4), (510, 520)])
def test_principal_components_are_those_of_the_singular_values(shape):
    features = np.random.default_rng(0).normal(size=shape) * np.arange(1, shape[-1] + 1)
    points = embed(features, "pca")
    centred = features.reshape(len(features), -1) - features.reshape(len(features), -1).mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    expected = (left * values)[:, :2]
    np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=1e-6 * np.abs(expected).max())
    assert (points.max(axis=0) > -points.min(axis=0)).all()
    np.testing.assert_array_equal(embed(features, "pca", seed=5), points)


def test_one_number_each_lies_on_a_line():
    np.testing.assert_allclose(embed(np.array([[1.0], [2.0], [6.0]]), "pca"), [[-2, 0], [-1, 0], [3, 0]], atol=1e-6)


def test_groups_of_single_numbers_stay_together():
    groups = np.repeat(np.arange(3), 10)
    points = embed((5.0 * groups + np.random.default_rng(0).normal(0, 0.5, size=30))[:, None], perplexity=5)
    distances = np.linalg.norm(points[:, None] - points, axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert (groups[distances.argmin(axis=1)] == groups).all()


def test_neighbours_stay_neighbours_and_chance_is_seeded():
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(3), 10)
    features = 1e-6 * (random.normal(size=(3, 80))[groups] * 5 + random.normal(size=(30, 80)))
    points = embed(features, seed=1, perplexity=5)
    np.testing.assert_array_equal(points, embed(features, seed=1, perplexity=5))
    distances = np.linalg.norm(points[:, None] - points, axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert (groups[distances.argmin(axis=1)] == groups).all()


def test_refuses():
    with pytest.raises(ValueError, match=r"^`method` must be 'tsne' or 'pca'\. Received: 'umap'\.$"):
        embed(np.zeros((9, 3)), "umap")
    with pytest.raises(ValueError, match=r"^`features` must be finite, .* Received: shape \(3,\)\.$"):
        embed(np.zeros(3))
    with pytest.raises(ValueError, match=r"Received: shape \(9, 3\) with nan or infinity\.$"):
        embed(np.full((9, 3), np.nan))
    with pytest.raises(ValueError, match=r"^`perplexity` must be positive and less than the number of rows, 9"):
        embed(np.zeros((9, 3)))
