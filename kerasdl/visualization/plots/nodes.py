"""Nodes and the arrows between them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from kerasdl.visualization.plots.style import COLOURS, STYLE, blank_figure


def graphs(
    positions: Mapping[str, Any],
    edges: Mapping[str, Iterable[tuple[int, int]]],
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    title: str | None = None,
) -> Figure:
    """Directed graphs side by side: a ball for every node, an arrow for every edge.

    Arrows are slightly bent, so that those that pass a node on their way do not hide behind it.

    Args:
        positions: `(nodes, 2)` coordinates of the nodes of each graph, under its title; any unit.
        edges: Pairs of nodes, from and to, of each graph.
        groups: What each node is, told by its colour and the legend.
        title: A title above all.

    Example:
        >>> places = {"a chain": [(0, 0), (0, 1), (0, 2)]}
        >>> figure = graphs(places, {"a chain": [(0, 1), (1, 2)]}, groups={"a chain": ["input", "node", "output"]})
        >>> len(figure.axes[0].patches)  # the arrows
        2
    """
    if not positions or positions.keys() != edges.keys():
        raise ValueError(
            "`positions` and `edges` must name the same graphs, at least one. "
            f"Received: positions of {list(positions)} and edges of {list(edges)}."
        )
    named = dict.fromkeys(name for names in (groups or {}).values() for name in names)
    colours = dict(zip(named, COLOURS[1:], strict=False))
    with matplotlib.rc_context(STYLE):
        figure = blank_figure(max(5.0, 4.2 * len(positions)), 6.4)
        all_axes = figure.subplots(1, len(positions), squeeze=False)[0]
        for axes, (name, places) in zip(all_axes, positions.items(), strict=True):
            places = np.asarray(places, dtype="float64")
            for start, end in edges[name]:
                arrow = FancyArrowPatch(
                    places[start],
                    places[end],
                    connectionstyle="arc3,rad=0.12",
                    arrowstyle="-|>",
                    mutation_scale=9,
                    shrinkA=5,
                    shrinkB=6,
                    linewidth=1.0,
                    color="0.45",
                )
                axes.add_patch(arrow)
            kinds = ["node"] * len(places) if groups is None else list(groups[name])
            for kind in dict.fromkeys(kinds):
                chosen = np.array([other == kind for other in kinds])
                colour = colours.get(kind, COLOURS[2])
                axes.scatter(*places[chosen].T, s=110, color=colour, edgecolors="black", zorder=3, label=kind)
            low, high = places.min(axis=0), places.max(axis=0)
            half = 0.57 * np.maximum(high - low, 0.5 * max((high - low).max(), 1e-6))
            axes.set_xlim(*((low + high)[0] / 2 + half[0] * np.array([-1, 1])))
            axes.set_ylim(*((low + high)[1] / 2 + half[1] * np.array([-1, 1])))
            axes.set_axis_off()
            axes.set_title(name)
        if groups is not None:
            handles = {
                label: handle
                for axes in all_axes
                for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
            }
            figure.legend(
                [handles[kind] for kind in named],
                list(named),
                loc="outside lower center",
                ncols=len(named),
                frameon=False,
            )
        if title is not None:
            figure.suptitle(title)
    return figure
