"""Maps on the images that they explain: one after the other, or method beside method."""

import math
from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from kerasdl.visualization.plots.images import image_grid

# How much of the colour is the map's, and the share of pixels that may be brighter than the end of its scale: a few
# stray pixels would leave all others dark.
_OPACITY, _BEYOND = 0.65, 0.002
_LEGENDS = {
    "heat": "dark: little, yellow: much",
    "signed": "red: for, blue: against",
    "colours": "mid-grey: zero",
    "mask": "in colour: the mask",
}


def overlay_grid(
    images: Any,
    maps: Any,
    titles: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    title: str | None = None,
) -> Figure:
    """Each map on its image, under its own title; a line below says what the colours mean.

    Maps of numbers from 0 are drawn from dark to yellow over the image in grey; those with negative numbers as red for,
    blue against; those with channels on their own, around mid-grey; and of masks the image in colour, its rest pale.
    Every map has its own scale, to the value that two pixels in a thousand exceed: brightness says where, not how
    much more than elsewhere.

    Args:
        images: `(N, height, width, 1 or 3)` in [0, 1]; a single image stands under every map.
        maps: `(N, height, width)`, numbers or truth values, or `(N, height, width, channels)`; or a list of such maps.
        titles: One per map; long ones are broken into lines.
        columns: Maps per row; None makes the grid about as wide as a slide.
        title: A title above all.

    Example:
        >>> maps = np.random.default_rng(0).random((2, 16, 16))
        >>> figure = overlay_grid(np.zeros((2, 16, 16, 3)), maps, ["cat", "dog"])
        >>> figure.get_supxlabel()
        'Dark: little, yellow: much, each map on its own scale'
    """
    maps, images = [np.asarray(each) for each in maps], np.asarray(images, "float32")
    if len(images) == 1:
        images = np.repeat(images, len(maps), axis=0)
    _check(images, maps)
    kinds = [_kind(each) for each in maps]
    pictures = [_picture(*each) for each in zip(images, maps, kinds, strict=True)]
    return _explained(image_grid(pictures, titles, columns=columns, title=title), kinds)


def compare_maps(
    images: Any, maps: Mapping[str, Any], names: Sequence[str] | None = None, *, title: str | None = None
) -> Figure:
    """Methods side by side: a row for each image, which stands first, and a column for each method.

    The methods of a single image go on in as many rows as a slide's shape asks for.

    Args:
        images: `(N, height, width, 1 or 3)` in [0, 1].
        maps: By the method's name, a map for each image, drawn as in `overlay_grid`; where one of them has negative
            numbers, all of that method are red for and blue against.
        names: What stands above each image; "image" above the first one without it.
        title: A title above all.

    Example:
        >>> maps = {"saliency": np.ones((2, 16, 16)), "Grad-CAM": np.ones((2, 16, 16))}
        >>> figure = compare_maps(np.zeros((2, 16, 16, 3)), maps, ["cat", "dog"])
        >>> len(figure.axes)  # an image and two maps in each of two rows
        6
    """
    images = np.asarray(images, "float32")
    columns = {name: [np.asarray(each) for each in values] for name, values in maps.items()}
    if not columns:
        raise ValueError("`maps` must hold the maps of at least one method. Received: none.")
    for values in columns.values():
        _check(images, values)
    if names is None:
        names = ["image"] + [""] * (len(images) - 1)
    if len(names) != len(images):
        raise ValueError(f"Expected one name per image. Received: {len(names)} names for {len(images)} images.")
    kinds = {name: _kind_of_all(values) for name, values in columns.items()}
    pictures, titles = [], []
    for row, image in enumerate(images):
        pictures += [
            _coloured(image),
            *(_picture(image, values[row], kinds[name][row]) for name, values in columns.items()),
        ]
        titles += [names[row], *([""] * len(columns) if row else columns)]
    per_row = 1 + len(columns) if len(images) > 1 else _about_as_wide_as_a_slide(len(pictures))
    figure = image_grid(pictures, titles, columns=per_row, title=title)
    if len(images) > 1 and not any(names[1:]):
        # The grid left room for titles in every row, and there are some above the first only.
        lines = max(axes.get_title().count("\n") + 1 for axes in figure.axes)
        figure.set_figheight(figure.get_figheight() - 0.28 * lines * (len(images) - 1))
    return _explained(figure, [each for of_method in kinds.values() for each in of_method], _methods_by_kind(kinds))


def _about_as_wide_as_a_slide(count: int) -> int:
    """How many in a row, so that the last row has few gaps."""
    guess = math.ceil(math.sqrt(2 * count))
    return min(range(max(1, guess - 1), min(guess + 1, count) + 1), key=lambda columns: (-count % columns, -columns))


def _check(images: np.ndarray, maps: list[np.ndarray]) -> None:
    good = images.ndim == 4 and images.shape[-1] in (1, 3) and 0 < len(images) == len(maps)
    if not good or any(each.ndim not in (2, 3) or each.shape[:2] != images.shape[1:3] for each in maps):
        raise ValueError(
            "`images` must have shape (N, height, width, 1 or 3), and `maps` must be one map per image, of its height "
            f"and width. Received: images of shape {images.shape} and maps of shapes "
            f"{', '.join(str(shape) for shape in dict.fromkeys(each.shape for each in maps)) or 'none'}."
        )


def _kind(values: np.ndarray) -> str:
    if values.ndim == 3:
        return "colours"
    if values.dtype == bool:
        return "mask"
    return "signed" if values.min() < 0 else "heat"


def _kind_of_all(maps: list[np.ndarray]) -> list[str]:
    """The kind of each map of a method: one colour must not mean two things in a column."""
    kinds = [_kind(each) for each in maps]
    return ["signed" if kind == "heat" and "signed" in kinds else kind for kind in kinds]


def _coloured(image: np.ndarray) -> np.ndarray:
    return np.clip(np.broadcast_to(image, (*image.shape[:2], 3)), 0, 1)


def _picture(image: np.ndarray, values: np.ndarray, kind: str) -> np.ndarray:
    """The map as a picture, `(height, width, 3)`."""
    image = _coloured(image)
    # How light a colour looks to the eye, so that grey keeps what the image shows (ITU-R BT.709).
    grey = np.repeat((image @ [0.2126, 0.7152, 0.0722])[..., None], 3, axis=2)
    if kind == "mask":
        return np.where(values[..., None], image, 0.7 + 0.3 * grey)
    top = max(float(np.quantile(np.abs(values), 1 - _BEYOND)) or float(np.abs(values).max()), 1e-12)
    shares = np.clip(values / top, -1, 1)
    if kind == "colours":
        return _coloured(0.5 + shares / 2)
    if kind == "heat":
        return (1 - _OPACITY) * grey + _OPACITY * matplotlib.colormaps["inferno"](shares)[..., :3]
    # Where a map with signs says nothing, the pale image shows through, for white would say that there is light.
    opacity = 0.9 * np.abs(shares)[..., None]
    colours = matplotlib.colormaps["RdBu_r"](0.5 + 0.4 * np.sign(shares))[..., :3]
    return (1 - opacity) * (0.5 + 0.5 * grey) + opacity * colours


def _methods_by_kind(kinds: dict[str, list[str]]) -> dict[str, str]:
    """Which methods each kind's line of the legend is for; the kind with the most methods comes last."""
    by_kind: dict[str, list[str]] = {}
    for method, of_method in kinds.items():
        for kind in dict.fromkeys(of_method):
            by_kind.setdefault(kind, []).append(method)
    ordered = sorted(by_kind.items(), key=lambda item: len(item[1]))
    return {
        kind: "the others" if kind == ordered[-1][0] and len(methods) > 2 else " and ".join(methods)
        for kind, methods in ordered
    }


def _explained(figure: Figure, kinds: list[str], methods: Mapping[str, str] | None = None) -> Figure:
    """Says below the figure what the colours mean, and where it has several kinds of maps, in which of them."""
    if methods is not None and len(methods) > 1:
        text = "; ".join(f"{_LEGENDS[kind]} ({names})" for kind, names in methods.items())
    else:
        text = "; ".join(_LEGENDS[kind] for kind in dict.fromkeys(kinds))
    if set(kinds) != {"mask"}:
        text += ", each map on its own scale"
    text = text[0].upper() + text[1:]
    if methods is not None and len(methods) > 1:
        # As many letters as fit below the figure, which has no room for a second line yet.
        text = fill(text, round(11 * figure.get_figwidth()))
        figure.set_figheight(figure.get_figheight() + 0.2 * text.count("\n"))
    figure.supxlabel(text, fontsize=12, parse_math=False)
    return figure
