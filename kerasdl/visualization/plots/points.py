"""Clouds of points whose classes are known, side by side."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from kerasdl.visualization.plots.style import COLOURS, STYLE, blank_figure

# No colour lies beside one that it may be taken for, and the shapes tell even more apart.
_MARKERS = ("o", "s", "^", "*", "P", "D", "v", "X", "<", ">")


def clouds(points: Mapping[str, Any], labels: Any, class_names: Sequence[str], *, title: str | None = None) -> Figure:
    """Points in the plane, each with the colour and shape of its class; several clouds of the same things side by side.

    The axes have no numbers: it is for pictures in which only the places beside each other count.

    Args:
        points: `(N, 2)` under the name of each cloud.
        labels: The class of each point, `(N,)`, the same for all clouds.
        class_names: What the classes are called.
        title: A title above all.

    Example:
        >>> points = np.random.default_rng(0).normal(size=(6, 2))
        >>> figure = clouds({"PCA": points, "t-SNE": 2 * points}, [0, 1, 2, 0, 1, 2], ["bag", "coat", "shirt"])
        >>> len(figure.axes)
        2
    """
    labels = np.asarray(labels)
    shapes = {name: np.shape(values) for name, values in points.items()}
    if not points or any(shape != (len(labels), 2) for shape in shapes.values()):
        raise ValueError(f"`points` must have shape ({len(labels)}, 2), one per label. Received: {shapes}.")
    columns = math.ceil(math.sqrt(len(points))) if len(points) > 3 else len(points)
    rows = math.ceil(len(points) / columns)
    with matplotlib.rc_context({**STYLE, "axes.spines.top": True, "axes.spines.right": True}):
        figure = blank_figure(5.2 * columns + 2.2, 5.4 * rows + (0.6 if title else 0.2))
        grid = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axes in grid:
            axes.set_axis_off()
        for axes, (name, values) in zip(grid, points.items(), strict=False):
            axes.set_axis_on()
            axes.set(xticks=[], yticks=[])
            axes.set_title(name)
            for number, class_name in enumerate(class_names):
                places = np.asarray(values)[labels == number]
                # Yellow is hard to see on white: black comes before it.
                colour = (*COLOURS[1:7], COLOURS[0], COLOURS[7])[number % len(COLOURS)]
                marker = _MARKERS[number % len(_MARKERS)]
                size = 80 if marker == "*" else 36  # of the same weight to the eye
                axes.scatter(
                    *places.T, s=size, c=colour, marker=marker, edgecolors="white", linewidths=0.4, label=class_name
                )
        handles, names = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside right center", frameon=False, markerscale=1.8)
        if title is not None:
            figure.suptitle(title)
    return figure
