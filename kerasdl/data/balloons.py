"""The drawn data set `balloons`: clips in which no single frame tells whether a balloon popped or never was there.

A pin comes to a point, rests, and goes back the way it came. Four stories are told with it: it pops a balloon there, it
passes beside one, it stops short of one, or there is no balloon at all. Once a balloon has popped, nothing is left of
it, and as the pin's way back looks like its way there, frames after a pop and frames without a balloon are drawn from
one distribution: only memory tells "popped" from "absent".
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from kerasdl.data import drawing, figures, textures

LABELS = ("intact", "popping", "popped", "absent")
# Two clips with a pop to one without a balloon: so there are about as many "popped" frames as "absent" ones.
STORIES = ("pop", "absent", "pop", "pass", "pop", "absent", "pop", "stop")

_SEED = 2011
COUNTS = {"train": 1000, "test": 200}
# Frames in which the pin rests at its point: a balloon bursts during the first two and is gone in the others.
_BURST, _REST = 2, 4
_STEEL = (74, 78, 88)


@dataclasses.dataclass
class _Scene:
    """All that is drawn by chance for one clip, whatever the story."""

    backdrop: Image.Image
    shade: tuple[int, int, int]
    center: np.ndarray
    radii: tuple[float, float]
    sway: tuple[float, float]
    # The way out from the point: its angle, the pin's speed along it, and its swing aside (height, rate).
    angle: float
    speed: float
    swing: tuple[float, float]
    pin_shade: tuple[int, int, int]
    # How many steps from the point the pin is in each frame.
    distances: np.ndarray
    shreds: np.ndarray


def _draw_scene(rng: np.random.Generator, size: int) -> _Scene:
    names = list(figures.COLORS)
    color, pin_color = rng.choice(names, 2, replace=False)
    shade, pin_shade = figures.draw_color(rng, str(color)), figures.draw_color(rng, str(pin_color))
    there, back = rng.integers(4, 9, 2)
    width = rng.uniform(0.13, 0.18)
    return _Scene(
        backdrop=textures.draw_texture(rng, size, avoid=[shade, pin_shade, _STEEL]),
        shade=shade,
        center=rng.uniform((0.42, 0.36), (0.58, 0.48)),
        radii=(width, width * rng.uniform(1.1, 1.3)),
        sway=(rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 0.9)),
        angle=rng.uniform(0, 2 * np.pi),
        speed=rng.uniform(0.026, 0.04),
        swing=(rng.uniform(-0.03, 0.03), rng.uniform(0.4, 0.9)),
        pin_shade=pin_shade,
        distances=np.concatenate([np.arange(there, 0, -1), np.zeros(_REST, int), np.arange(1, back + 1)]),
        shreds=rng.uniform(-0.5, 0.5, (9, 3)),
    )


def _paint_balloon(canvas: Image.Image, scene: _Scene, center: np.ndarray) -> None:
    width, height = scene.radii
    bottom = center + np.array([0, height])
    down = np.linspace(0, 1, 9)
    string = bottom + np.stack([0.012 * np.sin(9 * down + scene.sway[0]), 0.26 * down], axis=1)
    drawing.paint(canvas, drawing.stroke(string, 0.014), _STEEL)
    knot = np.array([(0, -0.012), (0.026, 0.03), (-0.026, 0.03)]) + bottom
    drawing.paint(canvas, [drawing.arc(scene.radii, 0, 2 * np.pi) + center, knot], scene.shade)
    # The reflected window that makes a disc a balloon.
    red, green, blue = (int(channel + 0.6 * (255 - channel)) for channel in scene.shade)
    window = drawing.arc((width / 4, height / 3.4), 0, 2 * np.pi) + center - np.array([width / 2.4, height / 2.4])
    drawing.paint(canvas, [window], (red, green, blue))


def _paint_burst(canvas: Image.Image, scene: _Scene, center: np.ndarray, step: int) -> None:
    """Shreds of rubber: a ragged crown in the first frame, smaller and farther out in the second."""
    for index, (twist, spread, scale) in enumerate(scene.shreds):
        angle = 2 * np.pi * (index + twist) / len(scene.shreds)
        far = np.mean(scene.radii) * ((0.75, 1.35)[step] + 0.3 * spread)
        long, wide = ((0.09, 0.045), (0.055, 0.03))[step]
        shred = np.array([(-long, -wide), (long, 0), (-long, wide)]) * (1 + 0.5 * scale)
        place = center + far * np.array([np.cos(angle), np.sin(angle)])
        drawing.paint(canvas, drawing.transform([shred], 1.0, angle, place), scene.shade)


def _paint_pin(canvas: Image.Image, scene: _Scene, tip: np.ndarray) -> None:
    shaft = np.array([(0, 0), (0.05, -0.013), (0.18, -0.013), (0.18, 0.013), (0.05, 0.013)])
    head = drawing.arc(0.034, 0, 2 * np.pi) + np.array([0.19, 0])
    drawing.paint(canvas, drawing.transform([shaft], 1.0, scene.angle, tip), _STEEL)
    drawing.paint(canvas, drawing.transform([head], 1.0, scene.angle, tip), scene.pin_shade)


def draw_clip(rng: np.random.Generator, story: str, size: int) -> dict[str, Any]:
    """Draws one clip of 12 to 20 frames.

    Args:
        rng: Where chance comes from. Nothing drawn from it depends on the story: the same state gives the same
            background, pin and length, with a balloon or without.
        story: `"pop"`, `"pass"` (the pin passes beside the balloon), `"stop"` (it stops short of it) or `"absent"`.
        size: The side of the frames in pixels.

    Returns:
        The example's features: `clip`, `(frames, size, size, 3)` uint8, and `labels`, one name for each frame.
    """
    scene = _draw_scene(rng, size)
    outwards = np.array([np.cos(scene.angle), np.sin(scene.angle)])
    aside = np.array([-outwards[1], outwards[0]])
    # The pin's point lies on the balloon's edge when it pops, beside the balloon when it passes, short of it otherwise.
    width, height = scene.radii
    edge = width * height / np.hypot(height * outwards[0], width * outwards[1])
    point = scene.center + outwards * edge
    if story == "pass":
        point = scene.center + aside * (height + 0.09)
    elif story == "stop":
        point = point + outwards * 0.1
    first_rest = int(np.argmin(scene.distances))
    frames, labels = [], []
    for time, distance in enumerate(scene.distances):
        canvas = scene.backdrop.copy()
        # The balloon sways, and hangs at its centre when the pin comes to rest.
        phase, rate = scene.sway
        shift = np.sin(phase + rate * time) - np.sin(phase + rate * first_rest)
        center = scene.center + np.array([0.018 * shift, 0])
        burst = time - first_rest
        if story == "absent":
            label = "absent"
        elif story != "pop" or burst < 0:
            label = "intact"
            _paint_balloon(canvas, scene, center)
        elif burst < _BURST:
            label = "popping"
            _paint_burst(canvas, scene, scene.center, burst)
        else:
            label = "popped"
        rise, swing_rate = scene.swing
        tip = point + outwards * scene.speed * distance + aside * rise * np.sin(swing_rate * distance)
        _paint_pin(canvas, scene, tip)
        frames.append(np.asarray(canvas))
        labels.append(label)
    return {"clip": np.stack(frames), "labels": labels}


@dataclasses.dataclass
class BalloonsConfig(tfds.core.BuilderConfig):
    """How large to draw.

    Args:
        size: The side of the frames in pixels, 24 to 256. Every size shows the same clips.
    """

    name: str = ""
    size: int = 48

    def __post_init__(self) -> None:
        """Checks the size and names the configuration after it."""
        if not isinstance(self.size, int) or not 24 <= self.size <= 256:
            raise ValueError(f"`size` must be a whole number of pixels from 24 to 256. Received: size={self.size!r}.")
        self.name = str(self.size)


class KerasdlBalloons(tfds.core.GeneratorBasedBuilder):
    """Clips of balloons and pins: 1,000 + 200 drawn by code, with a label for every frame."""

    # To be raised when any drawing changes, or a set prepared earlier would be taken for the new one.
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}

    def _info(self) -> tfds.core.DatasetInfo:
        size = self.builder_config.size
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "A pin comes to a point and goes back; a balloon there pops, is missed, or never was. Each frame is "
                'labelled "intact", "popping", "popped" or "absent", and no single frame tells "popped" from "absent". '
                "Drawn by code: the same clips on every machine."
            ),
            features=tfds.features.FeaturesDict(
                {
                    "clip": tfds.features.Video(shape=(None, size, size, 3), encoding_format="png"),
                    "labels": tfds.features.Sequence(tfds.features.ClassLabel(names=LABELS)),
                }
            ),
            supervised_keys=("clip", "labels"),
            license="Apache-2.0",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        return {split: self._generate_examples(split) for split in COUNTS}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in range(COUNTS[split]):
            # A generator of its own for each example: it does not matter which are drawn, nor in what order.
            rng = np.random.default_rng([_SEED, list(COUNTS).index(split), index])
            yield index, draw_clip(rng, STORIES[index % len(STORIES)], self.builder_config.size)
