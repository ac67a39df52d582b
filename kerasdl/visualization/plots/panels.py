"""Curves side by side, one panel for each thing that was measured."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from kerasdl.visualization.plots.style import COLOURS, STYLE, blank_figure

# Each later curve is thinner and broken, so that the ones that it covers still show between its dashes.
LOOKS = (("o", "-", 5.0), ("s", "--", 3.0), ("^", ":", 2.5), ("D", "-.", 2.0))


def line_panels(
    panels: Mapping[str, Mapping[str, Any]],
    x: Any = None,
    *,
    x_label: str,
    y_label: str,
    errors: Mapping[str, Mapping[str, Any]] | None = None,
    y_limits: tuple[float, float] | None = None,
    marks: Sequence[float] = (),
    markers: bool = True,
    title: str | None = None,
) -> Figure:
    """The same curves in several panels; those that lie on each other can still be told apart.

    Args:
        panels: Under the title of each panel its curves, their values under their names; up to four curves, which have
            the same names in all panels.
        x: Where the values stand; 1, 2, 3, ... without it.
        x_label: What the horizontal axis is.
        y_label: What the vertical axis is.
        errors: Half the length of the error bars, as in `panels`.
        y_limits: The ends of the vertical axis in every panel; without it each panel has its own.
        marks: Where on the horizontal axis a dotted line stands.
        markers: Whether each value is a dot.
        title: A title above all.

    Example:
        >>> curves = {"ours": [0.5, 0.6], "stock": [0.5, 0.6]}
        >>> figure = line_panels({"MNIST": curves, "CIFAR": curves}, x_label="epoch", y_label="accuracy")
        >>> [axes.get_title() for axes in figure.axes]
        ['MNIST', 'CIFAR']
    """
    most = max(map(len, panels.values()), default=0)
    if not 1 <= most <= len(LOOKS):
        raise ValueError(f"`panels` must hold 1 to {len(LOOKS)} curves each. Received: {most}.")
    with matplotlib.rc_context(STYLE):
        figure = blank_figure(max(8.0, 3.0 + 4.2 * len(panels)), 5.2)
        all_axes = figure.subplots(1, len(panels), squeeze=False, sharey=y_limits is not None)[0]
        drawn: dict[str, Any] = {}
        for axes, (panel, curves) in zip(all_axes, panels.items(), strict=True):
            for colour, (dot, dash, width), (name, values) in zip(COLOURS, LOOKS, curves.items(), strict=False):
                places = np.arange(1, len(values) + 1) if x is None else np.asarray(x)
                drawn[name] = axes.errorbar(
                    places,
                    np.asarray(values, dtype="float64"),
                    (errors or {}).get(panel, {}).get(name),
                    color=colour,
                    linestyle=dash,
                    linewidth=width,
                    marker=dot if markers else None,
                    markersize=8,
                    elinewidth=2,
                    capsize=4,
                )
            for mark in marks:
                axes.axvline(mark, color="grey", linestyle=":", linewidth=2, zorder=0)
            axes.set_title(panel)
            axes.grid(alpha=0.3)
            if y_limits is not None:
                axes.set_ylim(*y_limits)
        all_axes[0].set_ylabel(y_label)
        figure.supxlabel(x_label, fontsize=15)
        if most > 1:
            figure.legend(drawn.values(), drawn.keys(), loc="outside right upper", frameon=False)
        if title is not None:
            figure.suptitle(title, fontsize=17)
    return figure
