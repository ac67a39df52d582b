"""Exact thresholds: what the layers between a sum and the next sign do to the sign, found by running these layers.

Where nothing but whole numbers goes in, all of them are tried, in float32 and with the layers' own rounding. A batch
normalisation whose threshold falls on a sum that occurs is decided as in Keras; a formula for the threshold would round
in another way.
"""

import dataclasses
import itertools
from typing import Any

import keras
import numpy as np

from kerasdl.xnor.graph import Node
from kerasdl.xnor.layer_kinds import is_pointwise, is_rising_or_falling, is_same, pooling_of

# Numbers that are run through the layers at once.
_BLOCK = 4_000_000
# TensorFlow takes numbers that are too small for float32's full precision for 0, whose sign is +1.
_BELOW_ZERO = -np.finfo("float32").tiny
# Beyond these a float32 may overflow in a layer; no threshold of a network lies there.
_LARGEST = np.float32(2.0**100)


class NotAStepError(Exception):
    """The sign is no step as a function of what goes in: up once or down once."""


@dataclasses.dataclass
class SignSteps:
    """A sign as comparisons.

    Args:
        limits: Per channel: for sums the largest number of mismatches, int32; for floats the smallest number.
        flips: Per channel: of the comparison, then of each maximum over windows, which an OR of bits stands for.
    """

    limits: np.ndarray
    flips: list[np.ndarray]


def steps_of_sums(
    path: list[Node], scale: np.ndarray | None, offset: np.ndarray | None, length: int, channels: int
) -> SignSteps:
    """`sign(layers(sum * scale + offset))` as `(mismatches <= limit) xor flip`, exact for every sum that can occur.

    Args:
        path: The layers between, pointwise ones and maxima over windows.
        scale: One per channel, or None.
        offset: One per channel, or None.
        length: How many products make a sum, which is `length - 2 mismatches`.
        channels: How many filters there are.
    """
    count = length + 1
    sums = np.broadcast_to((length - 2 * np.arange(count, dtype="float32"))[:, None], (count, channels))
    rows = max(1, _BLOCK // channels)
    positive = np.empty((count, channels), bool)
    levels: list[list[np.ndarray]] | None = None
    for start in range(0, count, rows):
        numbers = sums[start : start + rows]
        numbers = numbers if scale is None else numbers * scale
        numbers = numbers if offset is None else numbers + offset
        signs, found = run_layers(path, numbers)
        positive[start : start + rows] = signs
        levels = [[] for _ in found] if levels is None else levels
        for level, part in zip(levels, found, strict=True):
            level.append(part)
    if np.any(np.count_nonzero(positive[1:] != positive[:-1], axis=0) > 1):
        raise NotAStepError("the sign changes more than once as the sum grows")
    minima = [_takes_minimum(np.concatenate(level), positive) for level in levels or []]
    ones = np.count_nonzero(positive, axis=0)
    falls = ~positive[0] & positive[-1]  # As mismatches grow the sum falls: here the sign rises all the same.
    limits = np.where(falls, count - ones, ones) - 1
    return SignSteps(limits.astype("int32"), _flips(falls, minima))


def thresholds_of_floats(path: list[Node], channels: int) -> SignSteps:
    """`sign(layers(x))` as `(x >= limit) xor flip`, exact for every float32 x: found by halving all numbers there are.

    Args:
        path: The layers between, pointwise ones that never turn, and maxima over windows.
        channels: Channels of x.
    """
    if not all(is_rising_or_falling(node) for node in path if is_pointwise(node)):
        raise NotAStepError("a function between rises and falls")
    top = int(_LARGEST.view("int32"))
    low, high = np.full(channels, -top, "int64"), np.full(channels, top, "int64")
    ends, _ = run_layers(path, _floats_at(np.stack([low, high])))
    falls, constant = ends[0] & ~ends[1], ends[0] == ends[1]
    # From here on `high` is on the upper side of the step, `low` below it, and they approach each other.
    while np.any(high - low > 1):
        middle = (low + high) // 2
        signs, _ = run_layers(path, _floats_at(middle[None]))
        upper = signs[0] ^ falls
        low, high = np.where(upper, low, middle), np.where(upper, middle, high)
    limits = np.where(constant, -np.inf, _floats_at(high)).astype("float32")
    flips = np.where(constant, ~ends[0], falls)
    probes = np.concatenate([
        np.linspace(-top, top, 255).astype("int64")[:, None] + np.zeros(channels, "int64"),
        high[None] + np.arange(-16, 17)[:, None],
    ])  # fmt: skip
    numbers = _floats_at(np.clip(probes, -top, top))
    signs, levels = run_layers(path, numbers)
    if np.any(signs != ((numbers >= limits) ^ flips)):
        raise NotAStepError("the sign changes more than once as the number grows")
    return SignSteps(limits, _flips(flips, [_takes_minimum(level, signs) for level in levels]))


def _floats_at(places: np.ndarray) -> np.ndarray:
    """The float32 numbers at these places of their order, in which 0 is the place of 0.0."""
    sizes = np.abs(places).astype("uint32")
    return np.where(places < 0, sizes | np.uint32(1 << 31), sizes).astype("uint32").view("float32")


def run_layers(path: list[Node], numbers: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Where the layers give 0 or more, for each row of numbers; and what reached each maximum over windows.

    Args:
        path: Layers, of which the maxima leave a picture of equal pixels as it is.
        numbers: `(rows, channels)` float32.
    """
    levels = []
    for node in path:
        if pooling_of(node) is not None:
            levels.append(np.array(numbers))
        elif is_pointwise(node) and not is_same(node):
            shape = node.source.shape[1:-1]
            if shape and node.source.shape[-1] == numbers.shape[-1]:
                numbers = _in_pictures(node.layer, numbers, shape)
            else:
                numbers = keras.ops.convert_to_numpy(node.layer(keras.ops.convert_to_tensor(numbers)))
    if np.isnan(numbers).any() or any(np.isnan(level).any() for level in levels):
        raise NotAStepError("a layer between makes NaN of it")
    return numbers > _BELOW_ZERO, levels


def _in_pictures(layer: Any, numbers: np.ndarray, shape: tuple[Any, ...]) -> np.ndarray:
    """Runs a layer on pictures of the size that it sees in the model, in case it computes by size."""
    rows, channels = numbers.shape
    pixels = int(np.prod(shape))
    pictures = np.resize(numbers, (-(-rows // pixels) * pixels, channels)).reshape(-1, *shape, channels)
    outputs = keras.ops.convert_to_numpy(layer(keras.ops.convert_to_tensor(pictures)))
    return outputs.reshape(-1, channels)[:rows]


def _takes_minimum(level: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Per channel whether the sign falls as the level rises: then the maximum's sign is +1 only where all are."""
    level = np.broadcast_to(level, positive.shape)
    smallest = {sign: np.min(np.where(positive == sign, level, np.inf), axis=0) for sign in (True, False)}
    largest = {sign: np.max(np.where(positive == sign, level, -np.inf), axis=0) for sign in (True, False)}
    rises, falls = smallest[True] > largest[False], smallest[False] > largest[True]
    if not np.all(rises | falls):
        raise NotAStepError("the sign behind a maximum changes more than once as that grows")
    return falls & ~rises


def _flips(first: np.ndarray, minima: list[np.ndarray]) -> list[np.ndarray]:
    """An OR of bits that are turned round, turned round, is their AND: where to turn what."""
    turned = [*minima, np.zeros_like(first)]
    return [first ^ turned[0]] + [before ^ after for before, after in itertools.pairwise(turned)]
