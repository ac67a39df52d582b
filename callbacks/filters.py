"""The filters of a convolution, watched in TensorBoard while they form."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kerasdl.callbacks.summary import Summary
from kerasdl.visualization.weights import filters, find_convolution

_ENLARGED = 8  # pixels per weight: a kernel of 5x5 would be a dot on the screen


class FilterSummary(Summary):
    """Writes the filters of a convolution as one image into TensorBoard, under the tag `filters/<layer name>`.

    Mid-grey is zero, and the strongest weight of all is black or white. Kernels of 1 or 3 channels are drawn grey or in
    colour; of a deeper layer every filter is a row and every channel a column.

    Args:
        log_dir: Folder of the logs; the one given to `keras.callbacks.TensorBoard` will do.
        layer: Name of the convolution, or its path as "outer/inner", which then is the tag; None takes the first.
        every: Write after every so many epochs. The step is the epoch, counted from 0 as Keras' TensorBoard does.

    Example:
        >>> callback = FilterSummary("runs/mine/logs", every=5)
        >>> callback.every
        5

    Reference:
        [Krizhevsky et al., 2012](https://papers.nips.cc/paper/4824), Figure 3: the first layer of AlexNet
    """

    def __init__(self, log_dir: str | Path, layer: str | None = None, every: int = 1) -> None:
        super().__init__(log_dir, every=every)
        self.layer = layer

    def prepare(self) -> None:
        """Finds the layer, so that a wrong name is told before the first epoch and not after it."""
        found = find_convolution(self.model, self.layer)
        self._name = self.layer or found.name

    def write(self, step: int, logs: dict[str, Any]) -> None:
        """Writes the image."""
        tf.summary.image(f"filters/{self._name}", _tile(filters(self.model, self._name))[None], step)


def _tile(kernels: np.ndarray) -> np.ndarray:
    """All kernels in one image in [0, 1], one weight's width apart."""
    count, _, _, channels = kernels.shape
    images = 0.5 + kernels / (2 * max(float(np.abs(kernels).max()), 1e-12))
    columns = math.ceil(math.sqrt(count))
    if channels not in (1, 3):
        columns = channels
        images = images.transpose(0, 3, 1, 2)[..., None].reshape(-1, *images.shape[1:3], 1)
    missing = -len(images) % columns
    images = np.pad(images, ((0, missing), (0, 1), (0, 1), (0, 0)), constant_values=1.0)
    rows, (height, width, depth) = len(images) // columns, images.shape[1:]
    sheet = images.reshape(rows, columns, height, width, depth).transpose(0, 2, 1, 3, 4)
    sheet = sheet.reshape(rows * height, columns * width, depth)[:-1, :-1]
    return sheet.repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1)
