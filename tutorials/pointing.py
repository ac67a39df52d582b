"""What several lessons measure maps with: whether they lie on the object, and how alike two of them are."""

import numpy as np
import scipy.ndimage
import scipy.stats

NEAR = 2.0  # Pixels of 64: the margin of the pointing game, 15 pixels on photographs of 500.


def on_the_object(maps: np.ndarray, masks: np.ndarray) -> dict[str, np.ndarray]:
    """For each map whether its maximum lies on the object ("hits"), or near it ("near"), and how much of it ("energy").

    Where several pixels share the maximum, as under a patch, it is the share of them that lies there. The energy is
    the share of what is above zero.

    Args:
        maps: `(N, H, W)`.
        masks: `(N, H, W)`, true where the object is.

    Example:
        >>> on_the_object(np.array([[[1.0, 3.0, -2.0]]]), np.array([[[False, True, True]]]))["energy"]
        array([0.75])

    Reference:
        [Zhang et al., 2016](https://arxiv.org/abs/1608.00507), section 4.1
    """
    highest, positive = maps == maps.max(axis=(1, 2), keepdims=True), np.maximum(maps, 0)
    around = np.stack([scipy.ndimage.distance_transform_edt(~mask) <= NEAR for mask in masks])
    hits, near = ((highest & each).sum(axis=(1, 2)) / highest.sum(axis=(1, 2)) for each in (masks, around))
    energy = (positive * masks).sum(axis=(1, 2)) / np.maximum(positive.sum(axis=(1, 2)), 1e-12)
    return {"hits": hits, "near": near, "energy": energy}


def rank_correlations(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Spearman's correlation of each map with the other of the same image, of absolute values; 0 if one is constant.

    Args:
        maps: `(N, H, W)`.
        others: The same.

    Example:
        >>> rank_correlations(np.array([[[1.0, 2.0, 9.0]]]), np.array([[[-3.0, 4.0, 5.0]]]))
        array([1.])
    """
    ranks = [scipy.stats.rankdata(np.abs(each).reshape(len(each), -1), axis=1) for each in (maps, others)]
    one, other = (each - each.mean(axis=1, keepdims=True) for each in ranks)
    return (one * other).sum(axis=1) / np.maximum(np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1), 1e-12)
