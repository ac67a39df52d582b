"""Antialiased drawing of filled outlines: what the drawn data sets are painted with.

An outline is an array of corners `(N, 2)`, `x` to the right and `y` down, in units of the picture's side, so that one
drawing looks the same at every size. A figure is a list of outlines; what any of them covers is filled.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

# Coverage is counted on a grid this many times finer than the pixels. The Pillow rasteriser widens a polygon by about
# a third of a fine pixel, so eight of them keep every edge within 0.05 pixels of where it belongs.
_FINER = 8


def transform(outlines: Sequence[np.ndarray], scale: float, angle: float, center: np.ndarray) -> list[np.ndarray]:
    """Scales outlines, turns them about the origin by `angle` (radians) and moves the origin to `center`."""
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return [outline @ turn + center for outline in outlines]


def arc(radius: float | tuple[float, float], start: float, stop: float, corners: int = 48) -> np.ndarray:
    """Points on a circle, or on an ellipse of two radii, about the origin from angle `start` to `stop` (radians)."""
    angles = np.linspace(start, stop, corners)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius


def stroke(points: np.ndarray, width: float) -> list[np.ndarray]:
    """A line of the given width through `points`, with round joints and ends: one outline per segment and per point."""
    outlines = [arc(width / 2, 0, 2 * np.pi, 16) + point for point in points]
    for start, stop in itertools.pairwise(points):
        along = (stop - start) / np.hypot(*(stop - start))
        aside = np.array([-along[1], along[0]]) * width / 2
        outlines.append(np.stack([start + aside, stop + aside, stop - aside, start - aside]))
    return outlines


def bounds(outlines: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The upper left and the lower right corner, each `(x, y)`, of the box around a figure."""
    corners = np.concatenate(outlines)
    return corners.min(axis=0), corners.max(axis=0)


def paint(canvas: Image.Image, outlines: Sequence[np.ndarray], color: tuple[int, int, int]) -> np.ndarray:
    """Paints a figure in one colour on a square RGB picture, in place.

    Args:
        canvas: The picture.
        outlines: The figure. What lies outside the picture is cut off.
        color: Red, green and blue, 0 to 255.

    Returns:
        How much of each pixel the figure covers, `(size, size)` uint8: 0 nothing, 255 all of it.
    """
    size = canvas.width
    low, high = bounds(outlines)
    # Only the part that the figure touches is drawn finely.
    left, top = (np.clip(np.floor(low * size), 0, size - 1)).astype(int)
    right, bottom = (np.clip(np.ceil(high * size), 1, size)).astype(int)
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    fine = Image.new("L", ((right - left) * _FINER, (bottom - top) * _FINER))
    pencil = ImageDraw.Draw(fine)
    for outline in outlines:
        pencil.polygon(((outline * size - (left, top)) * _FINER).ravel().tolist(), fill=255)
    part = fine.reduce(_FINER)
    canvas.paste(color, (int(left), int(top)), mask=part)
    covered = np.zeros((size, size), np.uint8)
    covered[top:bottom, left:right] = np.asarray(part)
    return covered
