"""Many features drawn as points in the plane, so that what is near stays near."""

from typing import Any

import numpy as np


def embed(features: Any, method: str = "tsne", *, seed: int = 0, perplexity: float = 30.0) -> np.ndarray:
    """One point of the plane for each row of features, `(N, 2)`.

    PCA keeps as much of the variance as two straight axes can, and distances in the plane are true to that. t-SNE keeps
    who is near to whom; how far apart its groups lie, and how large they are, says little.

    Args:
        features: `(N, ...)`, flattened; of more than 50 numbers t-SNE gets the 50 principal components.
        method: "tsne" or "pca".
        seed: Decides what is random in t-SNE. PCA has nothing random; the sign of an axis is such that its largest
            deviation is positive.
        perplexity: About how many neighbours count for each point in t-SNE; less than N.

    Returns:
        Points, `(N, 2)` float32.

    Example:
        >>> embed([[0, 0, 1], [3, 0, 1], [9, 0, 1]], "pca").tolist()
        [[-4.0, 0.0], [-1.0, 0.0], [5.0, 0.0]]

    Reference:
        [van der Maaten and Hinton, 2008](https://jmlr.org/papers/v9/vandermaaten08a.html)
    """
    features = np.asarray(features, dtype="float64")
    if method not in ("tsne", "pca"):
        raise ValueError(f"`method` must be 'tsne' or 'pca'. Received: {method!r}.")
    if features.ndim < 2 or len(features) < 3 or not np.isfinite(features).all():
        raise ValueError(
            f"`features` must be finite, of shape (N, ...) with N of at least 3. Received: shape {features.shape}"
            f"{'' if np.isfinite(features).all() else ' with nan or infinity'}."
        )
    features = features.reshape(len(features), -1)
    if method == "pca":
        return _principal_components(features, 2).astype("float32")
    if not 0 < perplexity < len(features):
        raise ValueError(
            f"`perplexity` must be positive and less than the number of rows, {len(features)}. Received: {perplexity}."
        )
    from sklearn.manifold import TSNE

    reduced = _principal_components(features, 50) if features.shape[1] > 50 else features
    # The result should not depend on the features' unit.
    reduced = reduced / max(reduced.std(), 1e-12)
    if reduced.shape[1] == 1:
        # Points on a line could not pass each other, so a trace of noise lets them out into the plane.
        reduced = np.hstack([reduced, 1e-4 * np.random.default_rng(seed).normal(size=reduced.shape)])
    # For few points the sum over all pairs is also the faster way.
    gradient = "exact" if len(reduced) <= 100 else "barnes_hut"
    return TSNE(perplexity=perplexity, method=gradient, init="pca", random_state=seed).fit_transform(reduced)


def _principal_components(features: np.ndarray, count: int) -> np.ndarray:
    from sklearn.decomposition import PCA

    count = min(count, *features.shape)
    # Of large arrays the first components alone, as exactly.
    solver = "arpack" if min(features.shape) > 500 else "full"
    points = PCA(count, svd_solver=solver, random_state=0).fit_transform(features)
    largest = points[np.abs(points).argmax(axis=0), np.arange(points.shape[1])]
    points = points * np.where(largest < 0, -1, 1)
    return np.pad(points, [(0, 0), (0, max(0, 2 - count))])
