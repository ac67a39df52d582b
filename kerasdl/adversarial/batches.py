"""Data in batches, whether they are arrays or a data set."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf


def batches_of(data: Any, batch_size: int | None) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Batches of images and labels, None where there are no labels.

    Args:
        data: An array of images, a tuple of images and labels, or a `tf.data.Dataset` of batches of either.
        batch_size: Images at once, where `data` are arrays; None for all.
    """
    if isinstance(data, tf.data.Dataset):
        for batch in data:
            images, labels = batch[:2] if isinstance(batch, tuple) else (batch, None)
            yield np.asarray(images), None if labels is None else np.asarray(labels)
        return
    images, labels = data if isinstance(data, tuple) else (data, None)
    images, labels = np.asarray(images), None if labels is None else np.asarray(labels)
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"`data` must have as many labels as images. Received: {len(images)} and {len(labels)}.")
    size = batch_size or max(1, len(images))
    for at in range(0, len(images), size):
        yield images[at : at + size], None if labels is None else labels[at : at + size]
