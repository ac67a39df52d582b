"""Stacked bars: what a whole is made of, for several wholes."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from kerasdl.visualization.plots.style import COLOURS, STYLE, blank_figure


def stacked_bars(
    parts: Mapping[str, Any],
    names: Sequence[str],
    *,
    y_label: str,
    written: str | None = "{:.3g}",
    title: str | None = None,
) -> Figure:
    """One bar per name, made of parts in their own colours, the first at the bottom and the sum above.

    Args:
        parts: One value per name, under what the part is called; up to eight parts.
        names: What stands below the bars.
        y_label: What the height is.
        written: How the sum above each bar is written; None for no numbers.
        title: A title above all.

    Example:
        >>> parts = {"convolutions": [14.7, 3.7], "dense layers": [123.6, 58.6]}
        >>> figure = stacked_bars(parts, ["VGG-16", "AlexNet"], y_label="parameters, millions")
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['138', '62.3']
    """
    if not 1 <= len(parts) <= len(COLOURS):
        raise ValueError(f"`parts` must hold 1 to {len(COLOURS)} parts. Received: {len(parts)}.")
    wrong = {name: len(values) for name, values in parts.items() if len(values) != len(names)}
    if wrong:
        raise ValueError(f"Expected one value per name, {len(names)}, in each part. Received: {wrong}.")
    with matplotlib.rc_context(STYLE):
        figure = blank_figure(max(8.0, 4.0 + 1.4 * len(names)), 5.5)
        axes = figure.subplots()
        below = np.zeros(len(names))
        # Black comes last: it is for what stands out, and the first parts are the ordinary ones.
        colours = [*COLOURS[1:], COLOURS[0]]
        for colour, (name, values) in zip(colours, parts.items(), strict=False):
            values = np.asarray(values, dtype="float64")
            drawn = axes.bar(range(len(names)), values, 0.7, bottom=below, color=colour, label=name)
            below = below + values
        if written is not None:
            axes.bar_label(drawn, [written.format(total) for total in below], padding=3, fontsize=13)
        axes.set_xticks(range(len(names)), names)
        axes.set_ylabel(y_label)
        axes.margins(y=0.1)
        axes.grid(alpha=0.3, axis="y")
        axes.set_axisbelow(True)
        # In the order in which they lie on each other.
        figure.legend(reverse=True, loc="outside right upper", frameon=False)
        if title is not None:
            axes.set_title(title)
    return figure
