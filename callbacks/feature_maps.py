"""What the layers of a network make of an image, watched in TensorBoard while they learn to see."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kerasdl.callbacks.examples import as_examples
from kerasdl.callbacks.images import displayable, sheet, write_images
from kerasdl.callbacks.layer_names import named_layer, path_and_name
from kerasdl.callbacks.summary import Summary, check_whole
from kerasdl.visualization.layer_outputs import activations
from kerasdl.visualization.layer_paths import find_layer
from kerasdl.visualization.pixels import layers_by_size
from kerasdl.visualization.probing import feature_layer
from kerasdl.visualization.targets import check_images

_WIDTH = 900  # pixels of a sheet of maps, where these are not larger by themselves
_SIDE, _LARGEST_ENLARGEMENT, _IMAGE_SIDE = 96, 16, 256
_BEYOND = 0.01  # The share of values that may be brighter than white: a few would leave all others dark.


class FeatureMapSummary(Summary):
    """Writes the feature maps of layers for some images into TensorBoard, under the tags `feature_maps/<layer name>`.

    One picture per image: on the left what the network sees, beside it a map for each channel of the layer. All maps of
    a layer have one scale: black is zero and white the most, or mid-grey is zero where a layer gives negative numbers
    too. So a channel that stays black is one that sees nothing in these images.

    Args:
        log_dir: Folder of the logs; the one given to `keras.callbacks.TensorBoard` will do.
        data: Images: a `tf.data.Dataset` of batches, arrays, or an `Examples`; the first `count` are shown.
        layers: Names of layers that give maps; None takes the last one of each size of maps.
        count: How many images.
        channels: How many channels of a layer at most: the first so many.
        every: Write after every so many epochs. The step is the epoch, counted from 0 as Keras' TensorBoard does.

    Example:
        >>> callback = FeatureMapSummary("runs/mine/logs", np.zeros((3, 28, 28, 1)), ["stage1_out"])
        >>> callback.layers
        ['stage1_out']

    Reference:
        [Yosinski et al., 2015](https://arxiv.org/abs/1506.06579), section 2
    """

    def __init__(
        self,
        log_dir: str | Path,
        data: Any,
        layers: Sequence[str] | str | None = None,
        *,
        count: int = 3,
        channels: int = 64,
        every: int = 1,
    ) -> None:
        super().__init__(log_dir, every=every)
        self.layers = [layers] if isinstance(layers, str) else None if layers is None else list(layers)
        if self.layers == []:
            raise ValueError("`layers` must name at least one layer, or be None. Received: none.")
        self.count = check_whole("count", count)
        self.channels = check_whole("channels", channels)
        self._examples = as_examples(data, self.count)

    def prepare(self) -> None:
        """Reads the images and finds the layers, so that what is wrong is told before the first epoch."""
        images = check_images(self.model, self._examples.images[: self.count])
        self._shown = displayable(images)
        self._images = images
        if self.layers is None:
            found = layers_by_size(self.model, images)
        else:
            wanted = [path_and_name(self.model, named_layer(self.model, name)[1])[0] for name in self.layers]
            found = [feature_layer(self.model, images.shape[1:], path) for path in wanted]
        self._names = {path: path_and_name(self.model, find_layer(self.model, path))[1] for path in found}

    def write(self, step: int, logs: dict[str, Any]) -> None:
        """Writes the pictures of each layer."""
        for path, values in activations(self.model, self._images, list(self._names)).items():
            shades = _shades(values[..., : self.channels])
            pictures = [_beside(image, maps) for image, maps in zip(self._shown, shades, strict=True)]
            write_images(f"feature_maps/{self._names[path]}", np.stack(pictures), step)


def _shades(maps: np.ndarray) -> np.ndarray:
    """The maps as shades of grey on one scale, `(N, height, width, channels)` uint8."""
    maps = np.where(np.isfinite(maps), maps, 0)
    top = max(float(np.quantile(np.abs(maps), 1 - _BEYOND)) or float(np.abs(maps).max()), 1e-12)
    shares = maps / top if maps.min() >= 0 else 0.5 + maps / (2 * top)
    return np.rint(255 * shares.clip(0, 1)).astype("uint8")


def _beside(image: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """The image on the left, and all maps of it in rows, enlarged so that a map of a few places is seen."""
    height, width, channels = maps.shape
    columns = math.ceil(math.sqrt(channels * height / width))
    factor = max(1, min(_SIDE // max(height, width), _WIDTH // (columns * width), _LARGEST_ENLARGEMENT))
    tiles = maps.transpose(2, 0, 1)[..., None].repeat(factor, axis=1).repeat(factor, axis=2)
    joined = sheet(tiles, columns, gap=2)
    shown = _of_side(image, _IMAGE_SIDE)
    tall = max(len(shown), len(joined))
    parts = [
        np.pad(part, ((0, tall - len(part)), (0, 0), (0, 0)), constant_values=255)
        for part in (shown, np.full((1, 16, 1), 255, "uint8"), joined)
    ]
    depth = image.shape[-1]
    return np.concatenate([np.broadcast_to(part, (*part.shape[:2], depth)) for part in parts], axis=1)


def _of_side(image: np.ndarray, side: int) -> np.ndarray:
    """The image with its longer side about so long: a small one in squares, a large one with its details averaged."""
    longer = max(image.shape[:2])
    if longer <= side:
        return image.repeat(side // longer, axis=0).repeat(side // longer, axis=1)
    size = [max(1, round(length * side / longer)) for length in image.shape[:2]]
    return np.rint(tf.image.resize(image, size, antialias=True).numpy()).clip(0, 255).astype("uint8")
