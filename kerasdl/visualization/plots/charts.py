"""Lines, bars and balls: numbers against numbers, and numbers against names."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from kerasdl.visualization.plots.style import COLOURS, STYLE, blank_figure


def lines(
    series: Mapping[str, Any],
    x: Any = None,
    *,
    x_label: str,
    y_label: str,
    errors: Mapping[str, Any] | None = None,
    log_x: bool = False,
    log_y: bool = False,
    markers: bool = True,
    title: str | None = None,
) -> Figure:
    """Curves over a common axis, each in its own colour, the first in black.

    Args:
        series: The values of each curve under its name; up to eight.
        x: Where the values stand; 1, 2, 3, ... without it. A mapping gives each curve places of its own.
        x_label: What the horizontal axis is.
        y_label: What the vertical axis is.
        errors: Half the height of the band around some curves, under their names.
        log_x: Whether each step along the axis multiplies.
        log_y: The same for the vertical axis.
        markers: Whether each value is a dot; better not, where there are hundreds.
        title: A title above all.

    Example:
        >>> figure = lines({"ours": [3.0, 2.0, 1.5], "theirs": [3.0, 2.5, 2.2]}, x_label="epoch", y_label="loss")
        >>> figure.axes[0].get_xlabel(), len(figure.axes[0].lines)
        ('epoch', 2)
    """
    if not 1 <= len(series) <= len(COLOURS):
        raise ValueError(f"`series` must hold 1 to {len(COLOURS)} curves. Received: {len(series)}.")
    with matplotlib.rc_context(STYLE):
        figure = blank_figure(10.5, 5.5)
        axes = figure.subplots()
        stands: set[float] = set()
        for colour, (name, values) in zip(COLOURS, series.items(), strict=False):
            values = np.asarray(values, dtype="float64")
            places = x[name] if isinstance(x, Mapping) else x
            places = np.arange(1, len(values) + 1) if places is None else np.asarray(places)
            stands.update(map(float, places))
            axes.plot(places, values, "o-" if markers else "-", color=colour, linewidth=2.5, label=name)
            if errors is not None and name in errors:
                half = np.asarray(errors[name])
                axes.fill_between(places, values - half, values + half, color=colour, alpha=0.15, linewidth=0)
        if log_x:
            axes.set_xscale("log")
            _say_plainly(axes.xaxis)
            if len(stands) <= 8:
                axes.set_xticks(sorted(stands), [f"{place:g}" for place in sorted(stands)])
        elif _are_few_and_apart(stands):
            axes.set_xticks(sorted(stands), [f"{place:g}" for place in sorted(stands)])
        elif all(place.is_integer() for place in stands):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if log_y:
            axes.set_yscale("log")
            _say_plainly(axes.yaxis)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.grid(alpha=0.3)
        if len(series) > 1:
            figure.legend(loc="outside right upper", frameon=False)
        if title is not None:
            axes.set_title(title)
    return figure


def bars(
    groups: Mapping[str, Any],
    names: Sequence[str],
    *,
    y_label: str,
    errors: Mapping[str, Any] | None = None,
    written: str | None = "{:.3g}",
    title: str | None = None,
) -> Figure:
    """Bars over names, with the number above each; several groups stand side by side in their own colours.

    Args:
        groups: One value per name, under what the group is called; up to eight groups.
        names: What stands below the bars.
        y_label: What the height is.
        errors: Half the length of the error bars, as in `groups`.
        written: How the number above each bar is written; None for no numbers.
        title: A title above all.

    Example:
        >>> figure = bars({"before": [0.91, 0.62], "after": [0.93, 0.88]}, ["clean", "attacked"], y_label="accuracy")
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['0.91', '0.62', '0.93', '0.88']
    """
    if not 1 <= len(groups) <= len(COLOURS):
        raise ValueError(f"`groups` must hold 1 to {len(COLOURS)} groups. Received: {len(groups)}.")
    width = 0.8 / len(groups)
    with matplotlib.rc_context(STYLE):
        wanted = 3.0 + 0.75 * len(groups) * len(names)
        # A wider one has letters too small for a slide; the legend below leaves the bars their room.
        figure = blank_figure(min(max(8.0, wanted), 15.0), 5.5)
        axes = figure.subplots()
        # One group alone is blue: a wall of black bars is no picture.
        colours = COLOURS if len(groups) > 1 else COLOURS[2:]
        for index, (colour, (name, values)) in enumerate(zip(colours, groups.items(), strict=False)):
            places = np.arange(len(names)) + (index - (len(groups) - 1) / 2) * width
            half = None if errors is None else errors.get(name)
            drawn = axes.bar(places, values, 0.92 * width, yerr=half, capsize=4, color=colour, label=name)
            if written is not None:
                axes.bar_label(drawn, [written.format(float(value)) for value in values], padding=3, fontsize=12)
        axes.set_xticks(range(len(names)), names)
        if sum(max(map(len, name.split("\n"))) for name in names) > 60:
            for label in axes.get_xticklabels():
                label.set(rotation=30, horizontalalignment="right", rotation_mode="anchor")
        axes.set_ylabel(y_label)
        axes.margins(y=0.12)
        axes.grid(alpha=0.3, axis="y")
        axes.set_axisbelow(True)
        if len(groups) > 1:
            place = "outside lower center" if wanted > 15.0 else "outside right upper"
            figure.legend(loc=place, ncols=min(len(groups), 4) if wanted > 15.0 else 1, frameon=False)
        if title is not None:
            axes.set_title(title)
    return figure


def scatter(
    x: Any,
    y: Any,
    names: Sequence[str],
    *,
    x_label: str,
    y_label: str,
    sizes: Any = None,
    size_label: str | None = None,
    log_x: bool = False,
    title: str | None = None,
) -> Figure:
    """One ball per thing, its name beside it; the area of a ball can tell a third number.

    Args:
        x: Where each stands.
        y: How high.
        names: What each is called.
        x_label: What the horizontal axis is.
        y_label: What the vertical axis is.
        sizes: The third number, drawn as the ball's area.
        size_label: What the third number is, for the note in the corner.
        log_x: Whether each step along the axis multiplies.
        title: A title above all.

    Example:
        >>> figure = scatter([1.8, 4.1], [69.8, 76.1], ["ResNet-18", "ResNet-50"], x_label="G", y_label="top-1, %")
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['ResNet-18', 'ResNet-50']
    """
    x, y = np.asarray(x, dtype="float64"), np.asarray(y, dtype="float64")
    if not len(x) == len(y) == len(names):
        raise ValueError(
            f"Expected as many names as points. Received: {len(names)} names, {len(x)} and {len(y)} values."
        )
    areas = np.full(len(x), 120.0) if sizes is None else 2500 * np.asarray(sizes) / np.max(sizes) + 15
    with matplotlib.rc_context(STYLE):
        figure = blank_figure(11, 6.2)
        axes = figure.subplots()
        colours = [COLOURS[1:][index % (len(COLOURS) - 1)] for index in range(len(x))]
        axes.scatter(x, y, s=areas, c=colours, alpha=0.55, linewidths=0)
        axes.scatter(x, y, s=9, c="black", zorder=3)
        if log_x:
            axes.set_xscale("log")
            _say_plainly(axes.xaxis)
        axes.margins(x=0.2, y=0.12)  # A name is wider than its ball.
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
        if size_label is not None:
            axes.text(0.99, 0.02, f"area: {size_label}", transform=axes.transAxes, ha="right", fontsize=12)
        if title is not None:
            axes.set_title(title)
        _name_balls(figure, axes, x, y, areas, names)
    return figure


def _are_few_and_apart(places: set[float]) -> bool:
    """Whether an axis can say where each value stands: the numbers are short, and none covers another."""
    if len(places) > 8 or max(len(f"{place:g}") for place in places) > 5:
        return False
    return bool(np.diff(sorted(places)).min(initial=np.inf) >= (max(places) - min(places)) / 12)


def _say_plainly(axis: Any) -> None:
    """A few numbers as one says them; only where an axis spans many powers of ten, these."""
    smallest, largest = axis.get_view_interval()
    if largest < 1e4 * smallest:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())


def _name_balls(figure: Figure, axes: Any, x: Any, y: Any, areas: Any, names: Sequence[str]) -> None:
    """A name above each ball; below, right or left of it where another name or the middle of a ball stands above."""
    figure.draw_without_rendering()  # now the places are known
    points = 72 / figure.dpi
    centres = axes.transData.transform(np.column_stack([x, y])) * points
    taken = [(cx - 4, cy - 4, cx + 4, cy + 4) for cx, cy in centres]
    for name, data, (cx, cy), radius in zip(names, zip(x, y, strict=True), centres, np.sqrt(areas) / 2, strict=True):
        width, height = 6.2 * len(name), 13
        side = radius + 3 + width / 2
        offsets = [(0, radius + 2), (0, -radius - height - 1), (side, -height / 2), (-side, -height / 2)]
        boxes = [(cx + dx - width / 2, cy + dy, cx + dx + width / 2, cy + dy + height) for dx, dy in offsets]
        hidden = [sum(_overlap(box, other) for other in taken) for box in boxes]
        best = int(np.argmin(hidden))
        axes.annotate(name, data, offsets[best], textcoords="offset points", ha="center", va="bottom", fontsize=11)
        taken.append(boxes[best])


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """The area that two boxes share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0.0) * max(height, 0.0)
