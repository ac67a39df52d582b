"""A table of numbers as colours, too many of them to be written in."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kerasdl.visualization.plots.style import STYLE_OF_NAMES, blank_figure


def heatmap(
    values: Any,
    *,
    x_label: str,
    y_label: str,
    value_label: str,
    row_names: Sequence[str] | None = None,
    column_names: Sequence[str] | None = None,
    symmetric: bool = False,
    limits: tuple[float, float] | None = None,
    title: str | None = None,
) -> Figure:
    """A table as colours, with a bar that says what they mean; rows and columns are counted from 1.

    Args:
        values: `(rows, columns)`, any numbers.
        x_label: What the columns are.
        y_label: What the rows are.
        value_label: What the numbers are.
        row_names: What stands beside each row in the place of its number.
        column_names: What stands below each column in the place of its number.
        symmetric: Whether zero is white, what is more red and what is less blue, on one scale.
        limits: The numbers at the ends of the colours; the smallest and the largest value without it.
        title: A title above all.

    Example:
        >>> words = ["a", "cat", "sat"]
        >>> figure = heatmap(np.eye(3), x_label="key", y_label="query", value_label="weight", row_names=words)
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['a', 'cat', 'sat']
    """
    values = np.asarray(values, dtype="float64")
    if values.ndim != 2 or not values.size:
        raise ValueError(f"`values` must have shape (rows, columns). Received: shape {values.shape}.")
    if row_names is not None and len(row_names) != len(values):
        raise ValueError(f"Expected one name per row. Received: {len(row_names)} names for {len(values)} rows.")
    if column_names is not None and len(column_names) != values.shape[1]:
        raise ValueError(
            f"Expected one name per column. Received: {len(column_names)} names for {values.shape[1]} columns."
        )
    if limits is None:
        most = float(np.abs(values).max()) or 1.0
        limits = (-most, most) if symmetric else (float(values.min()), float(values.max()))
    rows, columns = values.shape
    with matplotlib.rc_context({**STYLE_OF_NAMES, "axes.spines.left": False, "axes.spines.bottom": False}):
        figure = blank_figure(10.5, min(8.0, max(4.0, 2.0 + 0.4 * rows)))
        axes = figure.subplots()
        image = axes.imshow(
            values,
            cmap="RdBu_r" if symmetric else "viridis",
            vmin=limits[0],
            vmax=limits[1],
            aspect="auto",
            interpolation="nearest",
            extent=(0.5, columns + 0.5, rows + 0.5, 0.5),
        )
        if column_names is None:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        else:
            axes.set_xticks(range(1, columns + 1), column_names, rotation=40, ha="right", rotation_mode="anchor")
        if row_names is None:
            axes.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        else:
            axes.set_yticks(range(1, rows + 1), row_names)
        axes.tick_params(length=0)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        figure.colorbar(image, label=value_label)
        if title is not None:
            axes.set_title(title)
    return figure
