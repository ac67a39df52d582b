"""The drawn data set `shapes`: figures whose place is known to the pixel, alone or two with a sentence about them.

Visualizations and attention can be measured on it, not only looked at.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from kerasdl.data import drawing, figures, textures

KINDS = tuple(figures.KINDS)
COLORS = tuple(figures.COLORS)
# The direction, (x, y), in which the second object lies from the first.
RELATIONS = {"above": (0, 1), "below": (0, -1), "left of": (1, 0), "right of": (-1, 0)}

_SEEDS = {"one": 1998, "pair": 1999}
COUNTS = {"train": 6000, "test": 1000}
# Objects keep this far from the border and from each other.
_MARGIN = 1 / 64


def _box(covered: np.ndarray) -> np.ndarray:
    """The box around a mask as TFDS wants it: top, left, bottom, right, between 0 and 1."""
    rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
    return np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]) / len(covered)


def draw_one(rng: np.random.Generator, label: int, size: int) -> dict[str, Any]:
    """Draws one object over a texture and clutter.

    Args:
        rng: Where chance comes from. Nothing drawn from it depends on the label, so neither colour nor place, size,
            angle, texture or clutter tells the kind.
        label: The object's kind, 0 to 9.
        size: The side of the image in pixels.

    Returns:
        The example's features: `image`, `label`, `color`, `mask` and `box`.
    """
    color = COLORS[rng.integers(len(COLORS))]
    side, angle = rng.uniform(0.18, 0.29), rng.uniform(0, 2 * np.pi)
    reach = figures.REACH * side
    center = rng.uniform(reach + _MARGIN, 1 - reach - _MARGIN, 2)
    shade = figures.draw_color(rng, color)
    canvas = textures.draw_texture(rng, size, avoid=[shade])
    figures.scatter_clutter(rng, canvas, int(rng.integers(2, 5)), [(center, reach, color)])
    covered = drawing.paint(canvas, drawing.transform([figures.KINDS[KINDS[label]]], side, angle, center), shade)
    mask = covered > 127
    return {
        "image": np.asarray(canvas),
        "label": label,
        "color": color,
        "mask": mask[:, :, None].astype(np.uint8),
        "box": _box(mask),
    }


def _place_two(
    rng: np.random.Generator, direction: tuple[int, int], first: list[np.ndarray], second: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Places for two figures such that the second lies in that direction from the first, and clearly so."""
    (low_1, high_1), (low_2, high_2) = drawing.bounds(first), drawing.bounds(second)
    towards = np.array(direction)
    # A place is always found: the largest pair, margins included, is 0.98 of the picture wide.
    while True:
        places_1 = rng.uniform(_MARGIN - low_1, 1 - _MARGIN - high_1, (64, 2))
        places_2 = rng.uniform(_MARGIN - low_2, 1 - _MARGIN - high_2, (64, 2))
        between = places_2 - places_1
        along, across = between @ towards, np.abs(between @ towards[::-1])
        # The boxes do not overlap along the relation's axis, and the way there is at least twice as far as aside.
        gap = np.where(towards > 0, between + low_2 - high_1, low_1 - between - high_2) @ np.abs(towards)
        good = np.flatnonzero((gap > 2 * _MARGIN) & (across < along / 2))
        if good.size:
            return places_1[good[0]], places_2[good[0]]


def _describe(color: str, kind: str) -> list[str]:
    return ["an" if color[0] in "aeiou" else "a", color, kind]


def draw_pair(rng: np.random.Generator, size: int) -> dict[str, Any]:
    """Draws two objects of different kinds or colours and says how they stand to each other.

    Every pair could be described from either end ("a star above a square", "a square below a star"), so one rule picks
    the sentence: the larger object, at least 1.35 times as wide as the other, is named first.

    Args:
        rng: Where chance comes from.
        size: The side of the image in pixels.

    Returns:
        The example's features: `image`, `caption`, its `words`, a box for each word in `word_boxes`, `first_mask` and
        `second_mask`. An article, colour or kind has the box of its object; the words of the relation have the box
        around both.
    """
    while True:
        kinds = [KINDS[i] for i in rng.integers(len(KINDS), size=2)]
        colors = [COLORS[i] for i in rng.integers(len(COLORS), size=2)]
        if (kinds[0], colors[0]) != (kinds[1], colors[1]):
            break
    relation = str(rng.choice(list(RELATIONS)))
    smaller = rng.uniform(0.17, 0.2)
    sides, angles = (smaller * rng.uniform(1.35, 1.55), smaller), rng.uniform(0, 2 * np.pi, 2)
    objects = [
        drawing.transform([figures.KINDS[k]], s, a, np.zeros(2)) for k, s, a in zip(kinds, sides, angles, strict=True)
    ]
    places = _place_two(rng, RELATIONS[relation], *objects)
    shades = [figures.draw_color(rng, color) for color in colors]
    canvas = textures.draw_texture(rng, size, avoid=shades)
    reaches = [figures.REACH * side for side in sides]
    figures.scatter_clutter(rng, canvas, int(rng.integers(0, 3)), list(zip(places, reaches, colors, strict=True)))
    first, second = (
        drawing.paint(canvas, [outline + place for outline in outlines], shade) > 127
        for outlines, place, shade in zip(objects, places, shades, strict=True)
    )
    parts = [
        (_describe(colors[0], kinds[0]), _box(first)),
        (relation.split(), _box(first | second)),
        (_describe(colors[1], kinds[1]), _box(second)),
    ]
    words = [word for part, _ in parts for word in part]
    return {
        "image": np.asarray(canvas),
        "caption": " ".join(words),
        "words": words,
        "word_boxes": [box for part, box in parts for _ in part],
        "first_mask": first[:, :, None].astype(np.uint8),
        "second_mask": second[:, :, None].astype(np.uint8),
    }


@dataclasses.dataclass
class ShapesConfig(tfds.core.BuilderConfig):
    """What to draw and how large.

    Args:
        kind: `"one"`, one object and its label, or `"pair"`, two objects and a caption.
        size: The side of the images in pixels, 24 to 512. Every size shows the same pictures.
    """

    name: str = ""
    kind: str = "one"
    size: int = 64

    def __post_init__(self) -> None:
        """Checks the options and names the configuration after them, as in `one_64`."""
        if self.kind not in _SEEDS:
            raise ValueError(f'`kind` must be "one" or "pair". Received: kind={self.kind!r}.')
        if not isinstance(self.size, int) or not 24 <= self.size <= 512:
            raise ValueError(f"`size` must be a whole number of pixels from 24 to 512. Received: size={self.size!r}.")
        self.name = f"{self.kind}_{self.size}"


class KerasdlShapes(tfds.core.GeneratorBasedBuilder):
    """Coloured figures over textures: 6,000 + 1,000 images drawn by code, with masks and boxes."""

    # To be raised when any drawing changes, or a set prepared earlier would be taken for the new one.
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}

    def _info(self) -> tfds.core.DatasetInfo:
        size = self.builder_config.size
        image = tfds.features.Image(shape=(size, size, 3), encoding_format="png")
        mask = tfds.features.LabeledImage(labels=["other", "object"], shape=(size, size, 1), encoding_format="png")
        if self.builder_config.kind == "one":
            features = {
                "image": image,
                "label": tfds.features.ClassLabel(names=KINDS),
                "color": tfds.features.ClassLabel(names=COLORS),
                "mask": mask,
                "box": tfds.features.BBoxFeature(),
            }
            description = (
                "One object of ten kinds at a random place, size, colour and angle over a textured background with "
                "clutter that is none of the kinds. `mask` is 1 where the object is, `box` goes around it."
            )
        else:
            features = {
                "image": image,
                "caption": tfds.features.Text(),
                "words": tfds.features.Sequence(tfds.features.Text()),
                "word_boxes": tfds.features.Sequence(tfds.features.BBoxFeature()),
                "first_mask": mask,
                "second_mask": mask,
            }
            description = (
                'Two objects and a caption such as "a red star above a blue square", which names the larger one '
                "first. `word_boxes` has a box for each of `words`: its object, or both for the relation."
            )
        return tfds.core.DatasetInfo(
            builder=self,
            description=description + " Drawn by code: the same pictures on every machine.",
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label" if self.builder_config.kind == "one" else "caption"),
            license="Apache-2.0",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        return {split: self._generate_examples(split) for split in COUNTS}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in range(COUNTS[split]):
            # A generator of its own for each example: it does not matter which are drawn, nor in what order.
            rng = np.random.default_rng([_SEEDS[self.builder_config.kind], list(COUNTS).index(split), index])
            if self.builder_config.kind == "one":
                yield index, draw_one(rng, index % len(KINDS), self.builder_config.size)
            else:
                yield index, draw_pair(rng, self.builder_config.size)
