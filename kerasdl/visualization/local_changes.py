"""The first layers of a network where a small part of the image has changed: only what can see the change is computed.

A changed patch of 8 pixels is seen by 10 places of a map behind a 3x3 convolution, by 12 behind two. What lies outside
is as it was for the whole image, so it is taken from there, until the change has reached most of a map.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.visualization.chains import CONVOLUTIONS, chain_of, geometry_of

# From this share of a map's places on, computing all of them costs no more than finding those that changed.
_MOST = 0.7


@dataclasses.dataclass(frozen=True)
class Step:
    """A layer of the chain, and the window of its maps that can see the change; each pair is for rows and columns.

    Args:
        path: The layer's address for a tap.
        layer: The layer.
        padding: Zeros before and behind its input.
        kernel: How many places of the input one place sees.
        strides: By how many the next one sees further on.
        starts: Where the window begins, for each place of the patch.
        size: The window's size, the same for all places of the patch.
    """

    path: str
    layer: keras.layers.Layer
    padding: tuple[tuple[int, int], tuple[int, int]]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    starts: tuple[np.ndarray, np.ndarray]
    size: tuple[int, int]


def plan(
    model: keras.Model,
    image_size: tuple[int, int],
    starts: tuple[np.ndarray, np.ndarray],
    size: tuple[int, int],
) -> list[Step]:
    """The steps that are worth while; none where the model does not begin with a chain of layers that see locally.

    Args:
        model: Any Keras model.
        image_size: Height and width.
        starts: Where the patches begin, rows and columns.
        size: The patches' height and width.
    """
    steps: list[Step] = []
    side: Any = image_size
    for path, layer in chain_of(model):
        geometry = geometry_of(layer, side)
        if geometry is None:
            break
        padding, kernel, strides = geometry
        side = tuple((n + sum(p) - k) // s + 1 for n, p, k, s in zip(side, padding, kernel, strides, strict=True))
        windows = []
        for axis in range(2):
            before, k, s = padding[axis][0], kernel[axis], strides[axis]
            # The first and the last place that see anything of the window before.
            first = np.maximum(0, -((k - 1 - before - starts[axis]) // s))
            last = np.minimum(side[axis] - 1, (starts[axis] + size[axis] - 1 + before) // s)
            length = int((last - first).max()) + 1
            windows.append((np.clip(first, 0, side[axis] - length), length))
        starts, size = zip(*windows, strict=True)
        if size[0] * size[1] > _MOST * side[0] * side[1]:
            break
        steps.append(Step(path, layer, padding, kernel, strides, starts, size))
    is_worth_while = any(type(step.layer).__name__ in CONVOLUTIONS for step in steps)
    return steps if is_worth_while else []


def changed_maps(
    steps: list[Step],
    inputs: list[tf.Tensor],
    output: tf.Tensor,
    starts: tuple[np.ndarray, np.ndarray],
    size: tuple[int, int],
    covers: tf.Tensor,
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """What the last step's layer gives for copies of the images with one patch changed, as a function of both numbers.

    Args:
        steps: What `plan` found.
        inputs: What each step's layer got for the images as they are.
        output: What the last one gave for them.
        starts: Where the patches begin, rows and columns.
        size: The patches' height and width.
        covers: What covers each image, `(N, height or 1, width or 1, channels)`.
    """
    padded = [tf.pad(x, ((0, 0), *step.padding, (0, 0))) for step, x in zip(steps, inputs, strict=True)]

    def change(which: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        places = number // len(starts[1]), number % len(starts[1])
        # A side of 1 stands for all of them.
        pixels = [
            tf.gather(np.minimum(begin[:, None] + np.arange(length), most - 1).astype("int32"), place)
            for begin, length, most, place in zip(starts, size, covers.shape[1:3], places, strict=True)
        ]
        x, begins = _cut(covers, which, *pixels), starts
        for step, whole in zip(steps, padded, strict=True):
            needed = [(n - 1) * s + k for n, s, k in zip(step.size, step.strides, step.kernel, strict=True)]
            first = [begin * s for begin, s in zip(step.starts, step.strides, strict=True)]
            before = [begin + pad[0] for begin, pad in zip(begins, step.padding, strict=True)]
            x = _run(step, _pasted(whole, x, which, places, first, before, needed))
            begins = step.starts
        return _pasted(output, x, which, places, [np.zeros_like(each) for each in begins], begins, output.shape[1:3])

    return change


def _pasted(
    whole: tf.Tensor, x: tf.Tensor, which: tf.Tensor, places: Any, first: Any, before: Any, size: Any
) -> tf.Tensor:
    """Cut-outs of the maps as they are, from `first` on, with the windows `x`, which begin at `before`, in them."""
    outside, inside, within = [], [], []
    for axis in range(2):
        index = first[axis][:, None] + np.arange(size[axis])
        own = index - before[axis][:, None]
        length = x.shape[1 + axis]
        outside.append(tf.gather(index.astype("int32"), places[axis]))
        inside.append(tf.gather(np.clip(own, 0, length - 1).astype("int32"), places[axis]))
        within.append(tf.gather((own >= 0) & (own < length), places[axis]))
    old = _cut(whole, which, *outside)
    new = _cut(x, tf.range(tf.shape(which)[0]), *inside)
    return tf.where((within[0][:, :, None] & within[1][:, None, :])[..., None], tf.cast(new, old.dtype), old)


def _cut(x: tf.Tensor, which: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    height, width, channels = x.shape[1:]
    index = ((which[:, None] * height + rows)[:, :, None] * width) + columns[:, None, :]
    return tf.gather(tf.reshape(x, (-1, channels)), index)


def _run(step: Step, x: tf.Tensor) -> tf.Tensor:
    """The layer on an input that has its border already."""
    layer = step.layer
    if isinstance(layer, keras.layers.ZeroPadding2D):
        return x
    if type(layer).__name__ not in CONVOLUTIONS:
        return layer(x, training=False)
    padding, layer.padding = layer.padding, "valid"
    try:
        return layer(x)
    finally:
        layer.padding = padding
