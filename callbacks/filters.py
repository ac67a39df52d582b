"""The filters of a convolution, watched in TensorBoard while they form."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from kerasdl.callbacks.images import sheet, write_images
from kerasdl.callbacks.layer_names import layer_names, path_and_name
from kerasdl.callbacks.summary import Summary
from kerasdl.visualization.weights import filters, find_convolution

_ENLARGED = 8  # pixels per weight: a kernel of 5x5 would be a dot on the screen
# Filters and channels of a deeper layer: all 512 x 512 of one in VGG-16 would be a picture of 268 megapixels.
_MOST = 64


class FilterSummary(Summary):
    """Writes the filters of a convolution as one image into TensorBoard, under the tag `filters/<layer name>`.

    Mid-grey is zero, and the strongest weight of all is black or white. Kernels of 1 or 3 channels are drawn grey or in
    colour; of a deeper layer every filter is a row and every channel a column, up to 64 of each. What is not a number
    is drawn as zero.

    Args:
        log_dir: Folder of the logs; the one given to `keras.callbacks.TensorBoard` will do.
        layer: Name of the convolution, its path as "outer/inner", or its name in `layer_names`; None takes the first.
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
        try:
            found = find_convolution(self.model, self.layer)
        except ValueError:
            layer = layer_names(self.model).get(self.layer or "")
            if layer is None:
                raise
            found = find_convolution(self.model, path_and_name(self.model, layer)[0])
        self._path, self._name = path_and_name(self.model, found)

    def write(self, step: int, logs: dict[str, Any]) -> None:
        """Writes the image."""
        write_images(f"filters/{self._name}", _tile(filters(self.model, self._path))[None], step)


def _tile(kernels: np.ndarray) -> np.ndarray:
    """All kernels in one image, one weight's width apart."""
    channels = kernels.shape[-1]
    kernels = np.where(np.isfinite(kernels), kernels, 0)
    images = 0.5 + kernels / (2 * max(float(np.abs(kernels).max()), 1e-12))
    columns = math.ceil(math.sqrt(len(kernels)))
    if channels not in (1, 3):
        images = images[:_MOST, ..., :_MOST]
        columns = images.shape[-1]
        images = images.transpose(0, 3, 1, 2)[..., None].reshape(-1, *images.shape[1:3], 1)
    joined = sheet(np.rint(255 * images).astype("uint8"), columns)
    return joined.repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1)
