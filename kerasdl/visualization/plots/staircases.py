"""How one number changes step by step."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from kerasdl.visualization.plots.style import COLOURS, STYLE, blank_figure


def staircase(
    values: Any,
    names: Sequence[str],
    *,
    x_label: str,
    errors: Any = None,
    notes: Sequence[str] | None = None,
    written: str = "{:.3g}",
    title: str | None = None,
) -> Figure:
    """One lying bar per step from top to bottom, the number beside each.

    The first and the last bar, what one came from and what one came to, are darker than those between.

    Args:
        values: The number at each step.
        names: What was done at each step.
        x_label: What the number is.
        errors: Half the length of the error bars.
        notes: A second text for each step, at the right edge, such as what it costs.
        written: How the number is written.
        title: A title above all.

    Example:
        >>> steps = ["ResNet-50", "patches of 4x4", "depthwise convolutions"]
        >>> figure = staircase([78.8, 79.5, 80.5], steps, x_label="accuracy, %", written="{:.1f}")
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['78.8', '79.5', '80.5']
    """
    values = np.asarray(values, dtype="float64")
    if not len(values) == len(names) == len(names if notes is None else notes):
        raise ValueError(
            f"Expected one name, and one note, per value. Received: {len(values)} values, {len(names)} names"
            + (f", {len(notes)} notes." if notes is not None else ".")
        )
    rows = np.arange(len(values))
    half = np.zeros(len(values)) if errors is None else np.asarray(errors, dtype="float64")
    low, high = float((values - half).min()), float((values + half).max())
    room = max(high - low, 0.02 * abs(high), 1e-12)
    # Small steps are not seen with bars from 0; where the axis begins stands below it. Large ones are, and of bars from
    # elsewhere one would read ratios that are none.
    begin = 0.0 if low >= 0 and room > 0.2 * high else low - 0.35 * room
    shades = [COLOURS[2] if row in (0, len(values) - 1) else COLOURS[6] for row in rows]
    with matplotlib.rc_context(STYLE):
        figure = blank_figure(13, max(4.0, 1.6 + 0.42 * len(values)))
        axes = figure.subplots()
        axes.barh(rows, values - begin, 0.72, left=begin, color=shades)
        if errors is not None:
            axes.errorbar(values, rows, xerr=half, fmt="none", ecolor="black", capsize=3, linewidth=1.2)
        for row, value in enumerate(values):
            text = written.format(float(value))
            axes.annotate(text, (value + half[row], row), (6, 0), textcoords="offset points", va="center", fontsize=12)
        axes.set_yticks(rows, names)
        axes.invert_yaxis()
        axes.set_xlim(begin, high + (0.5 if notes is not None else 0.25) * room)
        for row, note in enumerate(notes or ()):
            axes.text(0.995, row, note, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=12)
        axes.set_xlabel(x_label)
        axes.grid(alpha=0.3, axis="x")
        axes.set_axisbelow(True)
        if title is not None:
            axes.set_title(title)
    return figure
