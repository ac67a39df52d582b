"""Which class holds at each step of time."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from kerasdl.visualization.plots.style import COLOURS, STYLE, blank_figure


def timelines(
    rows: Mapping[str, Any],
    names: Sequence[str],
    x: Any = None,
    *,
    x_label: str,
    title: str | None = None,
) -> Figure:
    """One panel per row, below each other: a line that steps from class to class.

    The first row is the truth. In the others, the steps that differ from it are marked in red, and their title says how
    many do.

    Args:
        rows: The classes of each step, whole numbers, under the name of who says so; up to six rows.
        names: What the classes are called, from the bottom to the top.
        x: Where each step begins; 0, 1, 2, ... without it.
        x_label: What the horizontal axis is.
        title: A title above all.

    Example:
        >>> figure = timelines({"truth": [0, 0, 1, 1], "network": [0, 1, 1, 1]}, ["rest", "run"], x_label="second")
        >>> figure.axes[1].get_title(loc="left")
        'network: 25% of the steps wrong'
    """
    values = {name: np.asarray(row) for name, row in rows.items()}
    truth = next(iter(values.values()), np.array([]))
    fits = truth.ndim == 1 and truth.size > 1 and all(row.shape == truth.shape for row in values.values())
    if not 1 <= len(values) <= 6 or not fits:
        raise ValueError(
            "`rows` must hold 1 to 6 rows of equally many steps, two at least. "
            f"Received: {[row.shape for row in values.values()]}."
        )
    if any(row.dtype.kind not in "iu" or row.min() < 0 or row.max() >= len(names) for row in values.values()):
        raise ValueError(f"`rows` must hold whole numbers of classes, in range({len(names)}), as many as `names`.")
    places = np.arange(len(truth)) if x is None else np.asarray(x, dtype="float64")
    edges = np.append(places, 2 * places[-1] - places[-2])
    with matplotlib.rc_context(STYLE):
        figure = blank_figure(14, 0.9 + (0.75 + 0.27 * len(names)) * len(values))
        panels = figure.subplots(len(values), sharex=True, squeeze=False)[:, 0]
        for axes, (name, row) in zip(panels, values.items(), strict=True):
            axes.stairs(row, edges, baseline=None, color=COLOURS[0], linewidth=1.4)
            wrong = row != truth
            if wrong.any():
                middle = (edges[:-1] + edges[1:]) / 2
                axes.plot(middle[wrong], row[wrong], "|", color=COLOURS[4], markersize=11, markeredgewidth=1.4)
            axes.set_title(name if row is truth else f"{name}: {wrong.mean():.0%} of the steps wrong", loc="left")
            axes.set_yticks(range(len(names)), names, fontsize=13)
            axes.set_ylim(-0.6, len(names) - 0.4)
            axes.grid(alpha=0.3, axis="y")
        panels[-1].set_xlim(edges[0], edges[-1])
        panels[-1].set_xlabel(x_label)
        if title is not None:
            figure.suptitle(title)
    return figure
