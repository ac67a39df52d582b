"""Texts side by side, as they were written, line by line."""

import textwrap
from collections.abc import Mapping

import matplotlib
from matplotlib.figure import Figure

from kerasdl.visualization.plots.style import STYLE_OF_NAMES, blank_figure


def passages(texts: Mapping[str, str], *, width: int = 40, lines: int = 16, title: str | None = None) -> Figure:
    """Texts in columns, in letters of one width, each under its name.

    Args:
        texts: What is written in each column, under what stands above it; up to four.
        width: Characters in a line; longer lines go on in the next.
        lines: How many lines are shown; where a text is longer, dots say so.
        title: A title above all.

    Example:
        >>> figure = passages({"temperature 0.5": "To be, or not", "temperature 1": "Tu bee, ro"}, lines=4)
        >>> [axes.get_title(loc="left") for axes in figure.axes]
        ['temperature 0.5', 'temperature 1']
    """
    if not 1 <= len(texts) <= 4:
        raise ValueError(f"`texts` must hold 1 to 4 texts. Received: {len(texts)}.")
    columns = [
        [part for line in text.strip("\n").split("\n") for part in textwrap.wrap(line, width) or [""]]
        for text in texts.values()
    ]
    rows = min(max(map(len, columns)), lines)
    with matplotlib.rc_context(STYLE_OF_NAMES):
        figure = blank_figure(max(6.0, 0.1125 * width * len(texts) + 0.7), max(0.215 * rows + 1.3, 2.2))
        for axes, name, written in zip(figure.subplots(1, len(texts), squeeze=False)[0], texts, columns, strict=True):
            shown = written if len(written) <= rows else [*written[: rows - 1], "..."]
            axes.set_title(name, loc="left", fontweight="bold")
            axes.text(
                0, 1, "\n".join(shown), transform=axes.transAxes, va="top", family="monospace", size=13, linespacing=1.2
            )
            axes.axis("off")
        if title is not None:
            figure.suptitle(title)
    return figure
