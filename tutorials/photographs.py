"""Photographs as several lessons show them to a network: the square in the middle."""

from typing import Any

import numpy as np
import tensorflow as tf

from kerasdl.data import info, load


def middle_square(image: Any, side: int) -> np.ndarray:
    """The square in the middle of an image, made this high and wide.

    Args:
        image: `(height, width, channels)`, in [0, 1].
        side: Pixels.

    Example:
        >>> middle_square(np.array([[[0.1], [0.5], [0.9]]]), 1)
        array([[[0.5]]], dtype=float32)
    """
    most = min(image.shape[:2])
    square = tf.image.resize_with_crop_or_pad(image, most, most)
    return np.clip(tf.image.resize(square, (side, side), antialias=True), 0, 1)


def read_photographs(names: tuple[str, ...], side: int) -> np.ndarray:
    """The square in the middle of photographs of the data set `photos`, made this high and wide.

    Args:
        names: Which ones.
        side: Pixels.
    """
    known = info("photos").classes
    found = {known[int(label)]: image for image, label in load("photos")}
    return np.stack([middle_square(found[name], side) for name in names])
