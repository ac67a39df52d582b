"""How training went, epoch by epoch."""

from collections.abc import Mapping
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from kerasdl.visualization.plots.style import COLOURS, STYLE, blank_figure


def training_curves(
    histories: Mapping[str, Any],
    metric: str = "accuracy",
    *,
    title: str | None = None,
) -> Figure:
    """A metric over the epochs, one colour per network: validation as a thick line, training as a thin dashed one.

    Args:
        histories: What `training.fit` or `model.fit` returned, or its `history` dictionary, under the name to show.
        metric: Which metric, as the history names it; its `val_` twin is drawn where there is one.
        title: A title above all.

    Example:
        >>> history = {"accuracy": [0.5, 0.8, 0.9], "val_accuracy": [0.5, 0.7, 0.75]}
        >>> figure = training_curves({"LeNet-5": history}, title="Fashion")
        >>> len(figure.axes[0].lines)  # training and validation
        2
    """
    if not 1 <= len(histories) <= len(COLOURS):
        raise ValueError(f"`histories` must hold 1 to {len(COLOURS)} runs. Received: {len(histories)}.")
    with matplotlib.rc_context(STYLE):
        figure = blank_figure(10.5, 5.5)
        axes = figure.subplots()
        shown, longest = [], 0
        for colour, (name, history) in zip(COLOURS, histories.items(), strict=False):
            record = getattr(history, "history", history)
            if metric not in record:
                raise ValueError(
                    f"`metric` must be one of {sorted(record)} in the run {name!r}. Received: metric={metric!r}."
                )
            longest = max(longest, len(record[metric]))
            epochs = range(1, len(record[metric]) + 1)
            lines = axes.plot(
                epochs, record[metric], "o--", color=colour, linewidth=1.5, markersize=3, label=f"{name}, training"
            )
            if f"val_{metric}" in record:
                validation = record[f"val_{metric}"]
                lines = axes.plot(
                    epochs, validation, "o-", color=colour, linewidth=3, markersize=6, label=f"{name}, validation"
                )
            shown += lines
        axes.set_xlim(0.5, longest + 0.5)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
        axes.set_ylabel(metric.replace("_", " "))
        if "accuracy" in metric:
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.grid(alpha=0.3)
        # Beside the curves, never on them.
        key = "thick: validation\ndashed: training"
        figure.legend(shown, histories, loc="outside right upper", title=key, frameon=False, alignment="left")
        if title is not None:
            axes.set_title(title)
    return figure
