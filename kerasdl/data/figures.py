"""The ten kinds of figure, the clutter that is none of them, and the eight colours that have names."""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from kerasdl.data import drawing

COLORS = {
    "red": (218, 38, 38),
    "orange": (250, 140, 16),
    "yellow": (252, 228, 40),
    "green": (36, 160, 56),
    "blue": (34, 84, 222),
    "purple": (138, 46, 176),
    "white": (246, 246, 246),
    "black": (22, 22, 22),
}


def draw_color(rng: np.random.Generator, color: str) -> tuple[int, int, int]:
    """A shade of the named colour: each channel up to 8 of 255 away from it."""
    red, green, blue = np.clip(np.add(COLORS[color], rng.integers(-8, 9, 3)), 0, 255)
    return int(red), int(green), int(blue)


def _around(corners: int, radii: Sequence[float]) -> np.ndarray:
    """A polygon whose corners lie at even angles, with the radii taken in turn, the first at the top."""
    angles = 2 * np.pi * np.arange(corners) / corners - np.pi / 2
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.resize(radii, corners)[:, None]


def _cross() -> np.ndarray:
    quarter = np.array([(0.34, 0.34), (0.34, 1.0), (-0.34, 1.0)])
    return np.concatenate([drawing.transform([quarter], 1.0, np.pi / 2 * turn, np.zeros(2))[0] for turn in range(4)])


def _ring() -> np.ndarray:
    # Around outside, in through a seam without width, and back around inside.
    return np.concatenate([drawing.arc(1.0, 0, 2 * np.pi), drawing.arc(0.55, 2 * np.pi, 0)])


def _crescent() -> np.ndarray:
    # A disc less another that is shifted to the right: both circles pass through the two horns.
    shift, radius = 0.5, 0.72
    horn = np.arccos((1 + shift**2 - radius**2) / (2 * shift))
    inner = np.arctan2(np.sin(horn), np.cos(horn) - shift)
    back = drawing.arc(radius, 2 * np.pi - inner, inner) + np.array([shift, 0])
    return np.concatenate([drawing.arc(1.0, horn, 2 * np.pi - horn), back])


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, -y], axis=1)


def _centered(outline: np.ndarray) -> np.ndarray:
    """Brings a polygon's area to 1 and its centre of gravity to the origin, by the shoelace formula."""
    following = np.roll(outline, -1, axis=0)
    slices = outline[:, 0] * following[:, 1] - following[:, 0] * outline[:, 1]
    area = slices.sum() / 2
    center = ((outline + following) * slices[:, None]).sum(axis=0) / (6 * area)
    return (outline - center) / np.sqrt(abs(area))


# Each has area 1, so that neither size nor amount of colour tells one kind from another.
KINDS: dict[str, np.ndarray] = {
    name: _centered(np.asarray(outline, dtype=float))
    for name, outline in {
        "circle": drawing.arc(1.0, 0, 2 * np.pi),
        "square": [(-1, -1), (1, -1), (1, 1), (-1, 1)],
        "triangle": _around(3, [1.0]),
        "star": _around(10, [1.0, 0.45]),
        "cross": _cross(),
        "ring": _ring(),
        "crescent": _crescent(),
        "heart": _heart(),
        "arrow": [(0, -1), (0.8, 0), (0.34, 0), (0.34, 1), (-0.34, 1), (-0.34, 0), (-0.8, 0)],
        "hourglass": [(-0.8, -0.9), (0.8, -0.9), (0.2, 0), (0.8, 0.9), (-0.8, 0.9), (-0.2, 0)],
    }.items()
}
# The farthest that any corner of any kind lies from the centre. Places are drawn for it, whatever the kind, so that
# the place does not tell the kind either.
REACH = max(float(np.hypot(*outline.T).max()) for outline in KINDS.values())


def _bar(rng: np.random.Generator) -> list[np.ndarray]:
    half = rng.uniform(0.12, 0.3)
    return [np.array([(-1, -half), (1, -half), (1, half), (-1, half)])]


def _hatch(rng: np.random.Generator) -> list[np.ndarray]:
    lines = [
        np.array([(-0.75 + lean, y), (0.75 + lean, y)])
        for y, lean in zip((-0.6, 0, 0.6), rng.uniform(-0.2, 0.2, 3), strict=True)
    ]
    return [outline for line in lines for outline in drawing.stroke(line, 0.22)]


def _zigzag(rng: np.random.Generator) -> list[np.ndarray]:
    x = np.linspace(-0.9, 0.9, int(rng.integers(4, 7)))
    y = np.resize([-0.4, 0.4], len(x)) * rng.uniform(0.7, 1.2, len(x))
    return drawing.stroke(np.stack([x, y], axis=1), 0.22)


def _squiggle(rng: np.random.Generator) -> list[np.ndarray]:
    x = np.linspace(-0.9, 0.9, 25)
    y = 0.4 * np.sin(rng.uniform(3, 5) * x + rng.uniform(0, 6.28)) + 0.2 * np.sin(8 * x + rng.uniform(0, 6.28))
    return drawing.stroke(np.stack([x, y], axis=1), rng.uniform(0.16, 0.26))


def _ell(rng: np.random.Generator) -> list[np.ndarray]:
    height, width = rng.uniform(0.9, 1.3), rng.uniform(0.6, 0.9)
    return drawing.stroke(np.array([(-0.4, 0.6 - height), (-0.4, 0.6), (width - 0.4, 0.6)]), rng.uniform(0.2, 0.34))


def _slab(rng: np.random.Generator) -> list[np.ndarray]:
    lean, half = rng.uniform(0.35, 0.5), rng.uniform(0.28, 0.4)
    return [np.array([(-0.9 + lean, -half), (0.9 + lean, -half), (0.9 - lean, half), (-0.9 - lean, half)]) * 0.8]


def _bean(rng: np.random.Generator) -> list[np.ndarray]:
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = 0.55 + 0.3 * np.cos(2 * t) + rng.uniform(0.08, 0.13) * np.cos(3 * t + rng.uniform(0, 6.28))
    return [np.stack([np.cos(t), np.sin(t)], axis=1) * radius[:, None]]


CLUTTER: tuple[Callable[[np.random.Generator], list[np.ndarray]], ...] = (
    _bar,
    _hatch,
    _zigzag,
    _squiggle,
    _ell,
    _slab,
    _bean,
)


def scatter_clutter(
    rng: np.random.Generator, canvas: Image.Image, count: int, objects: Sequence[tuple[np.ndarray, float, str]]
) -> None:
    """Paints figures that are none of the ten kinds at random places, in the same eight colours.

    Args:
        rng: Where chance comes from.
        canvas: The picture, painted on in place.
        count: How many figures.
        objects: Centre, reach and colour of each object that will be painted on top. Clutter that may touch an object
            has another colour than that object, or the outline of the object would be lost.
    """
    for _ in range(count):
        figure = CLUTTER[rng.integers(len(CLUTTER))](rng)
        reach, center, angle = rng.uniform(0.1, 0.17), rng.uniform(0.06, 0.94, 2), rng.uniform(0, 2 * np.pi)
        touched = {color for place, far, color in objects if np.hypot(*(place - center)) < far + 1.2 * reach}
        color = str(rng.choice([name for name in COLORS if name not in touched]))
        drawing.paint(canvas, drawing.transform(figure, reach, angle, center), draw_color(rng, color))
