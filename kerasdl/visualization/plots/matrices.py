"""Tables of numbers as shades, the numbers written in."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from kerasdl.visualization.plots.style import STYLE_OF_NAMES, blank_figure


def confusion_matrix(matrix: Any, class_names: Sequence[str], *, title: str | None = None) -> Figure:
    """Who is taken for whom: one row per true class, one column per predicted class, the counts written in.

    Args:
        matrix: `(classes, classes)` counts, rows the truth, as `sklearn.metrics.confusion_matrix` gives.
        class_names: Name of each class.
        title: A title above all.

    Example:
        >>> figure = confusion_matrix([[8, 2], [0, 10]], ["ham", "spam"])
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['8', '2', '10']
    """
    counts = np.asarray(matrix)
    class_names = [" ".join(name.split()) for name in class_names]  # Lines of a name would lie on the next one's.
    classes = len(class_names)
    if counts.shape != (classes, classes):
        raise ValueError(
            f"`matrix` must have shape {(classes, classes)}, for {classes} class names. Received: shape {counts.shape}."
        )
    # The shade is the share of the row, so that classes with few images are seen as well as those with many.
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with matplotlib.rc_context({**STYLE_OF_NAMES, "axes.spines.left": False, "axes.spines.bottom": False}):
        side = max(5.5, 2.5 + 0.62 * classes)
        figure = blank_figure(side + 1, side)
        axes = figure.subplots()
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.argwhere(counts):
            shade = "white" if shares[row, column] > 0.5 else "black"
            text = axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=shade, fontsize=12)
            text.set_in_layout(False)  # It stays within the table, and to measure a hundred of them takes long.
        axes.set_xticks(range(classes), class_names)
        if max(map(len, class_names)) > 3:
            for label in axes.get_xticklabels():
                label.set(rotation=45, horizontalalignment="right", rotation_mode="anchor")
        axes.set_yticks(range(classes), class_names)
        axes.tick_params(length=0)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        figure.colorbar(image, label="share of the true class", format=PercentFormatter(1.0), shrink=0.8)
        if title is not None:
            axes.set_title(title)
    return figure
