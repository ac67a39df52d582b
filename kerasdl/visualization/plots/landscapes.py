"""A function of two numbers: as a surface in space, or from above with lines of equal height."""

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kerasdl.visualization.plots.style import STYLE, blank_figure

_COLOURS = "viridis"
_NICE = np.array([mantissa * 10.0**power for power in range(-12, 13) for mantissa in (1, 2, 5)])


def surfaces(
    heights: Mapping[str, Any],
    coordinates: Any,
    *,
    labels: tuple[str, str] = ("direction 1", "direction 2"),
    value_label: str = "loss",
    log: bool = True,
    highest: float | None = None,
    title: str | None = None,
) -> Figure:
    """Surfaces side by side, in one scale of height and colour, so that a flat one looks flat.

    Args:
        heights: `(n, n)` values under the title of each surface: the first coordinate is the row.
        coordinates: The `n` coordinates, the same for rows and columns.
        labels: What the two coordinates are.
        value_label: What the height is.
        log: Whether each step in height multiplies; all heights must then be above 0.
        highest: What is higher, or no number, is drawn at this height; the highest number of all without it.
        title: A title above all.

    Example:
        >>> coordinates = np.linspace(-1, 1, 5)
        >>> bowl = 1 + coordinates[:, None] ** 2 + coordinates**2
        >>> figure = surfaces({"wide": bowl, "narrow": 3 * bowl}, coordinates)
        >>> [axes.get_title() for axes in figure.axes[:2]]
        ['wide', 'narrow']
    """
    scaled, norm, ticks = _scale(heights, coordinates, log, highest)
    coordinates = np.asarray(coordinates, dtype="float64")
    rows, columns = np.meshgrid(coordinates, coordinates, indexing="ij")
    with matplotlib.rc_context(STYLE):
        figure = blank_figure(max(7.0, 6.4 * len(heights)), 6.4)
        all_axes = figure.subplots(1, len(heights), squeeze=False, subplot_kw={"projection": "3d"})[0]
        for axes, (name, values) in zip(all_axes, scaled.items(), strict=True):
            axes.plot_surface(
                rows,
                columns,
                values,
                cmap=_COLOURS,
                norm=norm,
                rcount=len(values),
                ccount=len(values),
                edgecolor=(0, 0, 0, 0.25),
                linewidth=0.3,
            )
            axes.set_zlim(norm.vmin, norm.vmax)
            axes.set_zticks(_log_if(ticks, log), [f"{tick:g}" for tick in ticks])
            axes.view_init(elev=32, azim=-55)
            axes.set_box_aspect((1, 1, 0.75), zoom=0.95)
            for axis, label in zip((axes.xaxis, axes.yaxis), labels, strict=True):
                axis.set_ticks(coordinates[[0, len(coordinates) // 2, -1]])
                axis.set_label_text(label)
                axis.labelpad = 10
            axes.set_title(name, y=0.98)
        # Space has no room for a third label: the bar says what height and colour are.
        _colour_bar(figure, all_axes, norm, ticks, log, value_label)
        if title is not None:
            figure.suptitle(title)
    return figure


def contours(
    heights: Mapping[str, Any],
    coordinates: Any,
    *,
    labels: tuple[str, str] = ("direction 1", "direction 2"),
    value_label: str = "loss",
    log: bool = True,
    highest: float | None = None,
    levels: int = 14,
    title: str | None = None,
) -> Figure:
    """Maps with lines of equal height side by side, at the same heights in all; a cross marks the middle.

    Args:
        heights: `(n, n)` values under the title of each map: the first coordinate is the row, drawn to the right.
        coordinates: The `n` coordinates, the same for rows and columns.
        labels: What the two coordinates are.
        value_label: What the height is.
        log: Whether each step in height multiplies; all heights must then be above 0.
        highest: What is higher, or no number, is drawn at this height; the highest number of all without it.
        levels: How many heights have a line.
        title: A title above all.

    Example:
        >>> coordinates = np.linspace(-1, 1, 5)
        >>> bowl = 1 + coordinates[:, None] ** 2 + coordinates**2
        >>> figure = contours({"a bowl": bowl}, coordinates, labels=("first", "second"))
        >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
        ('first', 'second')
    """
    scaled, norm, ticks = _scale(heights, coordinates, log, highest)
    coordinates = np.asarray(coordinates, dtype="float64")
    steps = np.linspace(norm.vmin or 0.0, norm.vmax or 0.0, levels + 1)
    with matplotlib.rc_context(STYLE):
        figure = blank_figure(max(6.5, 5.2 * len(heights) + 1.2), 5.8)
        all_axes = figure.subplots(1, len(heights), squeeze=False, sharey=True)[0]
        for axes, (name, values) in zip(all_axes, scaled.items(), strict=True):
            filled = axes.contourf(coordinates, coordinates, values.T, steps, cmap=_COLOURS, norm=norm)
            axes.contour(filled, colors="white", linewidths=0.8, linestyles="solid")
            axes.plot(*[[coordinates[len(coordinates) // 2]]] * 2, "+", color="white", markersize=16, markeredgewidth=3)
            axes.set_aspect("equal")
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.set_xlabel(labels[0])
            axes.set_title(name)
        all_axes[0].set_ylabel(labels[1])
        _colour_bar(figure, all_axes, norm, ticks, log, value_label)
        if title is not None:
            figure.suptitle(title)
    return figure


def _scale(
    heights: Mapping[str, Any], coordinates: Any, log: bool, highest: float | None
) -> tuple[dict[str, np.ndarray], Normalize, np.ndarray]:
    """The heights as they are drawn, the scale that all share, and the numbers to write beside it."""
    tables = {name: np.array(values, dtype="float64") for name, values in heights.items()}
    count = len(coordinates)
    if not tables or any(table.shape != (count, count) for table in tables.values()):
        raise ValueError(
            f"`heights` must be tables of shape ({count}, {count}), as many as `coordinates` each way. "
            f"Received: {[table.shape for table in tables.values()]}."
        )
    numbers = np.concatenate([table[np.isfinite(table)] for table in tables.values()])
    if not len(numbers) or (log and numbers.min() <= 0):
        raise ValueError(
            "`heights` must hold numbers, and where `log` is true, as it is by default, only numbers above 0. "
            f"Received: {f'a smallest of {numbers.min():g}' if len(numbers) else 'none that is finite'}."
        )
    low, high = float(numbers.min()), float(numbers.max()) if highest is None else float(highest)
    if high <= low:
        high = 1.1 * low if log else low + 1.0
    ticks = np.array([tick for tick in _NICE if low <= tick <= high])
    if not log or len(ticks) < 2:
        ticks = np.array([tick for tick in MaxNLocator(6).tick_values(low, high) if low <= tick <= high])
    while log and len(ticks) > 8:
        ticks = ticks[::2]
    scaled = {
        name: _log_if(np.minimum(np.where(np.isfinite(table), table, high), high), log)
        for name, table in tables.items()
    }
    return scaled, Normalize(*_log_if(np.array([low, high]), log)), ticks


def _log_if(values: np.ndarray, log: bool) -> np.ndarray:
    return np.log10(values) if log else values


def _colour_bar(
    figure: Figure,
    all_axes: np.ndarray[Any, Any] | list[Axes],
    norm: Normalize,
    ticks: np.ndarray,
    log: bool,
    label: str,
) -> None:
    bar = figure.colorbar(ScalarMappable(norm, _COLOURS), ax=list(all_axes), label=label, shrink=0.75, pad=0.03)
    bar.set_ticks(list(_log_if(ticks, log)), labels=[f"{tick:g}" for tick in ticks])
