"""Images side by side."""

import math
from collections.abc import Sequence
from textwrap import fill
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from kerasdl.visualization.plots.style import STYLE, blank_figure


def image_grid(
    images: Any,
    titles: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    symmetric: bool = False,
    title: str | None = None,
) -> Figure:
    """Images side by side, grey or in colour, each under its own title.

    Args:
        images: `(N, height, width, 1 or 3)`, or `(N, height, width)`: in [0, 1], or any numbers where `symmetric`.
        titles: One per image; long ones are broken into lines.
        columns: Images per row; None makes the grid about as wide as a slide.
        symmetric: Whether these are weights or the like: zero is drawn mid-grey, and all images share one scale.
        title: A title above all.

    Example:
        >>> figure = image_grid(np.zeros((6, 28, 28, 1)), ["bag", "coat", "shirt", "bag", "sandal", "dress"], columns=3)
        >>> len(figure.axes), figure.axes[4].get_title()
        (6, 'sandal')
    """
    images = np.asarray(images, dtype="float32")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or len(images) == 0 or images.shape[-1] not in (1, 3):
        raise ValueError(
            "`images` must have shape (N, height, width), or (N, height, width, channels) with 1 or 3 channels. "
            f"Received: shape {images.shape}."
        )
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"Expected one title per image. Received: {len(titles)} titles for {len(images)} images.")
    if symmetric:
        images = 0.5 + images / (2 * max(float(np.abs(images).max()), 1e-12))
    if columns is None:
        columns = min(len(images), math.ceil(math.sqrt(2 * len(images))))
    rows = math.ceil(len(images) / columns)
    # In inches; more than eight in a row are smaller, or the letters of the whole are too small on a slide.
    side = min(1.9, 15.2 / columns)
    if titles is not None:
        # As many letters as fit above an image.
        titles = ["\n".join(fill(line, round(10 * side)) for line in text.split("\n")) for text in titles]
    title_lines = max((text.count("\n") + 1 for text in titles), default=0) if titles else 0
    with matplotlib.rc_context(STYLE):
        size = (side * columns + 0.3, (side + 0.28 * title_lines) * rows + (0.6 if title else 0.2))
        figure = blank_figure(*size)
        for place, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
            axes.set_axis_off()
            axes.set(xticks=[], yticks=[])  # Unseen ticks take most of the time of drawing, and
            if place < len(images):
                grey = images.shape[-1] == 1
                image = images[place, ..., 0] if grey else np.clip(images[place], 0, 1)
                axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
                if titles is not None:
                    # so does a title that looks for a place above them. A name with two dollar signs is no formula.
                    axes.set_title(titles[place], fontsize=13, parse_math=False, y=1.0)
        if title is not None:
            figure.suptitle(title)
    return figure
