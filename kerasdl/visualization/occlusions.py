"""What the score loses when a part of the image is covered."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.visualization import local_changes
from kerasdl.visualization.perturbations import check_covers, scores_of_copies
from kerasdl.visualization.probing import compiled, in_batches
from kerasdl.visualization.targets import Target, Unit, check_arguments, predicted_classes, score_of, warn_if_empty

_IMAGES = 8


def occlusion(
    model: keras.Model,
    images: Any,
    target: Target = None,
    *,
    unit: Unit | None = None,
    patch: int | tuple[int, int] | None = None,
    stride: int | tuple[int, int] | None = None,
    value: float | np.ndarray | None = None,
    batch_size: int = 32,
) -> np.ndarray:
    """How much the score falls when a patch over a pixel is covered, the mean over all such patches; `(N, H, W)`.

    The patches lie on a grid that begins in the upper left corner; the last row and column are moved back to end at
    the border, so that every pixel is covered at least once. Where a network begins with a line of convolutions and
    poolings, their maps are computed again only where a patch can be seen.

    Args:
        model: Any Keras model; it is left as it is.
        images: `(N, height, width, channels)`, in the range the model was trained on.
        target: None for the predicted class (of the image as it is), a class, one class per image, or a callable on
            the unnormalised scores.
        unit: In the place of a class, one neuron: (layer, (row, column, channel)).
        patch: Side, or height and width, of what is covered at once, in pixels; an eighth of the image if None.
        stride: Pixels from one patch to the next, at most the patch; half of it if None.
        value: What covers: a number, or an array that fits one image, such as one value per channel; each image's own
            mean colour if None.
        batch_size: Covered images at once: memory does not grow with the number of patches.

    Returns:
        Maps, float32, raw: above zero is evidence for the class, below zero is evidence against it.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
        >>> occlusion(model, np.random.default_rng(0).normal(size=(3, 8, 8, 1)), 1, patch=2, stride=2).shape
        (3, 8, 8)

    Reference:
        [Zeiler and Fergus, 2013](https://arxiv.org/abs/1311.2901), section 4.2
    """
    images, classes, function, unit = check_arguments(model, images, target, unit)
    size = _pair("patch", patch, tuple(max(1, side // 8) for side in images.shape[1:3]), images.shape[1:3])
    steps = _pair("stride", stride, tuple(max(1, side // 2) for side in size), size)
    if unit is None and target is None:
        classes = in_batches(compiled(model, predicted_classes), batch_size, images)
    run = compiled(model, _occlusion, function=function, unit=unit, patch=size, stride=steps, batch_size=batch_size)
    # The maps of the images as they are stay at hand while their copies are made: those of few images at a time.
    at_once = min(batch_size, _IMAGES)
    maps = in_batches(run, at_once, images, classes, check_covers(images, value))
    warn_if_empty(maps, "no patch changes the score; a larger patch or another value may.")
    return maps


def _pair(name: str, given: Any, default: tuple[int, ...], limits: tuple[int, ...]) -> tuple[int, ...]:
    """Height and width in pixels, each from 1 to its limit."""
    pair = default if given is None else tuple(given) if np.ndim(given) else (given, given)
    if len(pair) != 2 or any(
        not isinstance(side, int | np.integer) or not 1 <= side <= limit
        for side, limit in zip(pair, limits, strict=False)
    ):
        most = "the image" if name == "patch" else "the patch"
        raise ValueError(
            f"`{name}` must be a whole number of pixels, or (height, width), from 1 to the size of {most}, "
            f"{tuple(limits)}. Received: {given!r}."
        )
    return tuple(int(side) for side in pair)


def _starts(side: int, patch: int, stride: int) -> np.ndarray:
    """Where patches begin along one side, the last at the border."""
    return np.unique(np.append(np.arange(0, side - patch, stride), side - patch))


def _occlusion(
    model: keras.Model,
    images: tf.Tensor,
    classes: tf.Tensor,
    covers: tf.Tensor,
    *,
    function: Callable | None,
    unit: Unit | None,
    patch: tuple[int, int],
    stride: tuple[int, int],
    batch_size: int,
) -> tf.Tensor:
    # For rows and for columns: where each patch begins, and which of them cover each pixel, (patches, pixels).
    places = _starts(images.shape[1], patch[0], stride[0]), _starts(images.shape[2], patch[1], stride[1])
    rows, columns = (
        (start[:, None] <= np.arange(side)) & (np.arange(side) < start[:, None] + length)
        for start, side, length in zip(places, images.shape[1:3], patch, strict=True)
    )

    def cover(which: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        down = tf.gather(rows, number // len(columns))
        across = tf.gather(columns, number % len(columns))
        covered = (down[:, :, None] & across[:, None, :])[..., None]
        return tf.where(covered, tf.gather(covers, which), tf.gather(images, which))

    change: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = cover
    steps = local_changes.plan(model, images.shape[1:3], places, patch) if unit is None else []
    seen: dict[str, tf.Tensor] = {}
    taps = {step.path: functools.partial(_note, seen, step.path) for step in steps}
    whole = score_of(model, images, classes, function=function, unit=unit, taps=taps)
    if steps:
        maps = [images, *seen.values()]
        change = local_changes.changed_maps(steps, maps[:-1], maps[-1], places, patch, covers)
    scores = scores_of_copies(
        model,
        images,
        classes,
        change,
        len(rows) * len(columns),
        function=function,
        unit=unit,
        layer=steps[-1].path if steps else None,
        batch_size=batch_size,
    )
    drops = tf.reshape(whole[:, None] - scores, (-1, len(rows), len(columns)))
    # The patches over a pixel are some rows of them by some columns: their mean is a mean over one, then the other.
    down, across = (tf.constant(each / each.sum(axis=0), "float32") for each in (rows, columns))
    return tf.einsum("nrc,rh,cw->nhw", drops, down, across)


def _note(seen: dict[str, tf.Tensor], path: str, maps: tf.Tensor) -> tf.Tensor:
    seen[path] = maps
    return maps
