"""Textured backgrounds in muted colours."""

import colorsys
import functools
from collections.abc import Sequence

import numpy as np
from PIL import Image

# How far (in RGB, 0 to 255) both colours of a background stay from the colours that must stand out against it.
_CONTRAST = 100


@functools.lru_cache(maxsize=4)
def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The pixels' centres, x and y, in units of the picture's side, from -0.5 to 0.5."""
    steps = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    return np.broadcast_to(steps, (size, size)), np.broadcast_to(steps[:, None], (size, size))


def _smooth_noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Noise between 0 and 1 whose features are `1 / cells` of the picture wide."""
    coarse = Image.fromarray(rng.random((cells + 2, cells + 2), dtype=np.float32))
    # The outermost half cells are cut off: they would be flat.
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC, box=(1, 1, cells + 1, cells + 1)))


def _wave(rng: np.random.Generator, size: int, slowest: float, fastest: float) -> np.ndarray:
    """A sine wave between -1 and 1 in a random direction, with that many periods across the picture."""
    x, y = _grid(size)
    angle, frequency = rng.uniform(0, 2 * np.pi), 2 * np.pi * rng.uniform(slowest, fastest)
    return np.sin(np.cos(angle) * frequency * x + np.sin(angle) * frequency * y + rng.uniform(0, 2 * np.pi))


def _clouds(rng: np.random.Generator, size: int) -> np.ndarray:
    octaves = [(4, 0.5), (9, 0.3), (20, 0.2)]
    return np.sum([weight * _smooth_noise(rng, size, cells) for cells, weight in octaves], axis=0)


def _grain(rng: np.random.Generator, size: int) -> np.ndarray:
    return _smooth_noise(rng, size, int(rng.integers(16, 33)))


def _blobs(rng: np.random.Generator, size: int) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(8 * (_smooth_noise(rng, size, int(rng.integers(5, 11))) - 0.5))


def _stripes(rng: np.random.Generator, size: int) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(rng.uniform(0.6, 4) * _wave(rng, size, 3, 10))


def _weave(rng: np.random.Generator, size: int) -> np.ndarray:
    return 0.5 + 0.25 * np.tanh(2 * _wave(rng, size, 3, 9)) + 0.25 * np.tanh(2 * _wave(rng, size, 3, 9))


def _gradient(rng: np.random.Generator, size: int) -> np.ndarray:
    return 0.5 + 0.5 * _wave(rng, size, 0.3, 0.8)


FAMILIES = (_clouds, _grain, _blobs, _stripes, _weave, _gradient)


def _two_muted_colors(rng: np.random.Generator, avoid: Sequence[tuple[int, int, int]]) -> np.ndarray:
    while True:
        hue, saturation, value = rng.uniform(0, 1), rng.uniform(0.08, 0.36), rng.uniform(0.36, 0.78)
        shift, step = rng.uniform(-0.08, 0.08), rng.choice([-1, 1]) * rng.uniform(0.08, 0.2)
        second = (hue + shift) % 1, saturation, float(np.clip(value + step, 0.3, 0.84))
        colors = 255 * np.array([colorsys.hsv_to_rgb(hue, saturation, value), colorsys.hsv_to_rgb(*second)])
        if all(np.linalg.norm(colors - color, axis=1).min() > _CONTRAST for color in avoid):
            return colors


def draw_texture(rng: np.random.Generator, size: int, avoid: Sequence[tuple[int, int, int]] = ()) -> Image.Image:
    """Draws a background of one random family: clouds, grain, blobs, stripes, weave or gradient.

    Args:
        rng: Where chance comes from. The same state gives the same picture at any size.
        size: The side in pixels.
        avoid: Colours that must stand out against it.

    Returns:
        An RGB picture.
    """
    dark, light = _two_muted_colors(rng, avoid)
    amount = FAMILIES[rng.integers(len(FAMILIES))](rng, size)[:, :, None]
    return Image.fromarray(np.clip(np.rint(dark + (light - dark) * amount), 0, 255).astype(np.uint8))
