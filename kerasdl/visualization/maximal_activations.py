"""What a unit likes best among many images: the patches that it saw where it was most active."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from kerasdl.visualization.checks import check_count
from kerasdl.visualization.layer_outputs import layer_values
from kerasdl.visualization.probing import compiled, execution, layer_path
from kerasdl.visualization.receptive_fields import receptive_field
from kerasdl.visualization.targets import check_images


class Patches(NamedTuple):
    """The patches that excite some units most, the best first.

    Args:
        patches: `(units, k, height, width, channels)`, of the size of the receptive field.
        scores: `(units, k)`, how active the unit was.
        images: `(units, k)`, the numbers of the images, in the order of the data.
        boxes: `(units, k, 4)`, what the unit saw: top, left, bottom, right. They may leave the image.
    """

    patches: np.ndarray
    scores: np.ndarray
    images: np.ndarray
    boxes: np.ndarray


def maximally_activating_patches(
    model: keras.Model,
    data: Any,
    layer: str,
    units: Sequence[int] | None = None,
    k: int = 9,
    *,
    fill: float = 0.0,
    batch_size: int = 32,
) -> Patches:
    """The patches of many images at which units of a layer are most active, at most one patch of each image.

    A patch is all that the unit can see from that place, its receptive field, and no more. The images run through
    once; only the best are kept.

    Args:
        model: Any Keras model; it is left as it is.
        data: Images `(N, height, width, channels)`, or a `tf.data.Dataset` of batches of images, or of tuples that
            begin with them.
        layer: Name of a layer that gives maps, or a vector, whose units see the whole image.
        units: Numbers of the channels; None for all.
        k: Patches per unit, no more than there are images.
        fill: What stands where a patch leaves its image.
        batch_size: Images at once, where `data` is an array.

    Returns:
        `Patches(patches, scores, images, boxes)`.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, name="maps")])
        >>> images = np.random.default_rng(0).random((20, 8, 8, 1))
        >>> found = maximally_activating_patches(model, images, "maps", units=[1], k=5)
        >>> found.patches.shape
        (1, 5, 3, 3, 1)

    Reference:
        [Zeiler and Fergus, 2013](https://arxiv.org/abs/1311.2901), section 4;
        [Girshick et al., 2013](https://arxiv.org/abs/1311.2524), section 3.1
    """
    check_count("k", k)
    scores = numbers = boxes = channels = np.zeros(0)
    kept: dict[int, np.ndarray] = {}
    seen = 0
    first: tuple[int, ...] = ()
    for images in image_batches(model, data, batch_size):
        shape = images.shape[1:]
        first = first or shape
        if shape != first:
            raise ValueError(
                "`data` must give images of one size: where the places lie, and how large patches are, depends on it. "
                f"Received: images of shape {first}, and then of shape {shape}."
            )
        if not seen:
            path = layer_path(model, shape, layer)
            maps = execution(model, shape)[path]
            channels = _check_units(units, maps[-1], layer)
            field, run = receptive_field(model, path, shape), compiled(model, _peaks, layer=path)
            scores, numbers = np.zeros((len(channels), 0), "float32"), np.zeros((len(channels), 0), int)
            boxes = np.zeros((len(channels), 0, 4), int)
        # Of each image and channel the highest value and its place.
        values, places = (tensor.numpy().T[channels] for tensor in run(images))
        rows, columns = np.divmod(places, maps[1] if len(maps) == 3 else 1)
        tops, lefts = field.start[0] + field.stride[0] * rows, field.start[1] + field.stride[1] * columns
        new_boxes = np.stack([tops, lefts, tops + field.size[0], lefts + field.size[1]], axis=-1)
        new_numbers = np.broadcast_to(seen + np.arange(len(images)), values.shape)
        # The k best so far; of equal ones the earlier.
        scores, numbers = np.concatenate([scores, values], axis=1), np.concatenate([numbers, new_numbers], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores, numbers = np.take_along_axis(scores, order, axis=1), np.take_along_axis(numbers, order, axis=1)
        boxes = np.take_along_axis(np.concatenate([boxes, new_boxes], axis=1), order[..., None], axis=1)
        # A copy, or a single image would keep its whole batch.
        kept = {int(at): kept[at] if at < seen else images[at - seen].copy() for at in np.unique(numbers)}
        seen += len(images)
    if seen < k:
        raise ValueError(f"`data` must hold at least k={k} images. Received: {seen}.")
    patches = [
        [_cut(kept[int(number)], box, fill) for number, box in zip(numbers[unit], boxes[unit], strict=True)]
        for unit in range(len(numbers))
    ]
    return Patches(np.array(patches), scores, numbers, boxes)


def image_batches(model: keras.Model, data: Any, batch_size: int) -> Iterator[np.ndarray]:
    """The images of an array or of a data set in batches, checked.

    Args:
        model: The model that they are for.
        data: An array, or a `tf.data.Dataset` of batches of images, or of tuples that begin with them.
        batch_size: Images at once, where `data` is an array.
    """
    if not isinstance(data, tf.data.Dataset):
        images = check_images(model, data)
        check_count("batch_size", batch_size)
        yield from (images[at : at + batch_size] for at in range(0, len(images), batch_size))
        return
    if data.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError("`data` must come to an end: call data.take(batches). Received: an endless data set.")
    for batch in data:
        images = batch[0] if isinstance(batch, tuple) else batch
        if not isinstance(images, tf.Tensor):
            raise ValueError(
                "`data` must give batches of images, or tuples that begin with them. "
                f"Received: a {type(images).__name__}; map it first."
            )
        yield check_images(model, images)


def _check_units(units: Sequence[int] | None, count: int, layer: str) -> np.ndarray:
    channels = np.arange(count) if units is None else np.asarray(units)
    if channels.ndim != 1 or channels.dtype.kind not in "iu" or not len(channels):
        raise ValueError(f"`units` must be a list of channel numbers. Received: {units!r}.")
    if channels.min() < 0 or channels.max() >= count:
        wrong = channels.min() if channels.min() < 0 else channels.max()
        raise ValueError(f"`units` must be from 0 to {count - 1} for layer {layer!r}. Received: {wrong}.")
    return channels


def _peaks(model: keras.Model, images: tf.Tensor, *, layer: str) -> tuple[tf.Tensor, tf.Tensor]:
    values = layer_values(model, images, layers=(layer,))[0]
    flat = tf.reshape(values, (tf.shape(values)[0], -1, values.shape[-1]))
    return tf.reduce_max(flat, axis=1), tf.argmax(flat, axis=1)


def _cut(image: np.ndarray, box: np.ndarray, fill: float) -> np.ndarray:
    """What lies in the box, `fill` where that is beyond the image."""
    top, left, bottom, right = (int(edge) for edge in box)
    height, width = image.shape[:2]
    patch = np.full((bottom - top, right - left, image.shape[-1]), fill, "float32")
    inside = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    row, column = max(-top, 0), max(-left, 0)
    patch[row : row + inside.shape[0], column : column + inside.shape[1]] = inside
    return patch
