"""Boxes drawn on images, in the order in which they were looked at."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from kerasdl.visualization.plots.images import image_grid
from kerasdl.visualization.plots.style import STYLE


def box_grid(
    images: Any,
    boxes: Any,
    titles: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    numbered: bool = True,
    title: str | None = None,
) -> Figure:
    """Images side by side with boxes on each, from dark to yellow in their order, and numbered.

    Args:
        images: `(N, height, width, 1 or 3)`, or `(N, height, width)`, in [0, 1].
        boxes: `(N, boxes, 4)`: top, left, bottom and right of each, in shares of the image, as `kerasdl.data` has them;
            or a list with one array per image.
        titles: One per image; long ones are broken into lines.
        columns: Images per row; None makes the grid about as wide as a slide.
        numbered: Whether each box has its number in its corner.
        title: A title above all.

    Example:
        >>> boxes = np.array([[[0.1, 0.1, 0.5, 0.6], [0.4, 0.3, 0.9, 0.9]]])  # two on the only image
        >>> figure = box_grid(np.zeros((1, 64, 64, 3)), boxes, ["a star and a square"])
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['1', '2']
    """
    each = [np.asarray(of_image, dtype="float64") for of_image in boxes]
    if len(each) != len(images) or any(of_image.ndim != 2 or of_image.shape[1] != 4 for of_image in each):
        raise ValueError(
            "`boxes` must hold (top, left, bottom, right) for each box of each image, (N, boxes, 4). "
            f"Received: {len(images)} images and boxes of shapes {[of_image.shape for of_image in each]}."
        )
    figure = image_grid(images, titles, columns=columns, title=title)
    height, width = np.asarray(images[0]).shape[:2]
    with matplotlib.rc_context(STYLE):
        for axes, of_image in zip(figure.axes, each, strict=False):
            shades = matplotlib.colormaps["plasma"](np.linspace(0.35, 0.95, len(of_image)))
            for number, (box, shade) in enumerate(zip(of_image, shades, strict=True), start=1):
                # Pixels have their centres at whole numbers.
                top, left, bottom, right = box * [height, width, height, width] - 0.5
                outline = [withStroke(linewidth=4, foreground="black")]
                axes.add_patch(
                    Rectangle(
                        (left, top), right - left, bottom - top, fill=False, color=shade, lw=2, path_effects=outline
                    )
                )
                if numbered:
                    axes.text(
                        left + 0.03 * width,
                        top + 0.03 * height,
                        str(number),
                        color=shade,
                        fontsize=13,
                        fontweight="bold",
                        va="top",
                        path_effects=outline,
                        clip_on=True,
                    )
    return figure
