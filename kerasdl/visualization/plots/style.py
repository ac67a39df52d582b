"""What all figures share: colours, letters, an empty figure, and how one is saved."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

COLOURS = ("#000000", "#E69F00", "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442")
"""Okabe and Ito's palette: told apart also by colour-blind eyes. Black first, for what the others are compared with."""

STYLE: Any = {"font.size": 15, "axes.titlesize": 16, "axes.spines.top": False, "axes.spines.right": False}
# For what shows names and words, in which two dollar signs are no formula. Axes of powers of ten need the formulas.
STYLE_OF_NAMES: Any = {**STYLE, "text.parse_math": False}


def save(figure: Figure, path: str | Path, *, dpi: float = 120) -> Path:
    """Writes a figure as a picture, and makes the folder it goes to.

    A file of one of these formats also holds its title, for those who cannot see the picture (of a PNG it is
    `PIL.Image.open(path).text["Title"]`).

    Args:
        figure: What the other functions here return.
        path: Where to; the ending says the format: `.png`, `.svg` and `.pdf`, or another that matplotlib knows.
        dpi: Pixels per inch; more of them for photographs that are to stay sharp.

    Returns:
        The path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    titles = [figure.get_suptitle()]
    if not any(titles):
        titles = [axes.get_title(place) for axes in figure.axes for place in ("left", "center", "right")]
    title = ", ".join(dict.fromkeys(" ".join(each.split()) for each in titles if each))
    # Matplotlib refuses it for others, such as JPEG.
    holds_title = title and path.suffix.lower() in (".png", ".svg", ".pdf")
    options: dict[str, Any] = {"metadata": {"Title": title}} if holds_title else {}
    figure.savefig(path, dpi=dpi, **options)
    return path


def drawn(figure: Figure, *, dpi: float) -> np.ndarray:
    """A figure as pixels, `(height, width, 3)` uint8: those that `savefig` writes, which lays everything out twice.

    Args:
        figure: What the other functions here return.
        dpi: Pixels per inch.
    """
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def blank_figure(width: float, height: float) -> Figure:
    """An empty figure whose parts keep clear of each other and of the border.

    Args:
        width: In inches.
        height: In inches.
    """
    return Figure(
        figsize=(width, height),
        layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.12, wspace=0.02, hspace=0.02),
    )
