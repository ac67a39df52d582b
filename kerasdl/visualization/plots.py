"""The figures of the course: arrays in, a matplotlib `Figure` out, legible on a lecture slide.

Figures are made as objects, without `pyplot`: nothing global is left behind, and no display is needed.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, PercentFormatter

# Okabe and Ito's palette: told apart also by colour-blind eyes. Black first, for what the others are compared with.
COLOURS = ("#000000", "#E69F00", "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442")
_STYLE = {"font.size": 15, "axes.titlesize": 16, "axes.spines.top": False, "axes.spines.right": False}


def save(figure: Figure, path: str | Path) -> Path:
    """Writes a figure as a picture, and makes the folder it goes to.

    Args:
        figure: What the other functions here return.
        path: Where to; the ending says the format: `.png`, `.svg`, `.pdf`.

    Returns:
        The path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path


def image_grid(
    images: Any,
    titles: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    symmetric: bool = False,
    title: str | None = None,
) -> Figure:
    """Images side by side, grey or in colour, each under its own title.

    Args:
        images: `(N, height, width, 1 or 3)`, or `(N, height, width)`: in [0, 1], or any numbers where `symmetric`.
        titles: One per image; long ones are broken into lines.
        columns: Images per row; None makes the grid about as wide as a slide.
        symmetric: Whether these are weights or the like: zero is drawn mid-grey, and all images share one scale.
        title: A title above all.
    """
    images = np.asarray(images, dtype="float32")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or len(images) == 0 or images.shape[-1] not in (1, 3):
        raise ValueError(
            "`images` must have shape (N, height, width), or (N, height, width, channels) with 1 or 3 channels. "
            f"Received: shape {images.shape}."
        )
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"Expected one title per image. Received: {len(titles)} titles for {len(images)} images.")
    if symmetric:
        images = 0.5 + images / (2 * max(float(np.abs(images).max()), 1e-12))
    if columns is None:
        columns = min(len(images), math.ceil(math.sqrt(2 * len(images))))
    rows = math.ceil(len(images) / columns)
    if titles is not None:
        # As many letters as fit above an image.
        titles = ["\n".join(fill(line, 19) for line in text.split("\n")) for text in titles]
    title_lines = max((text.count("\n") + 1 for text in titles), default=0) if titles else 0
    with matplotlib.rc_context(_STYLE):
        size = (1.9 * columns + 0.3, (1.9 + 0.28 * title_lines) * rows + (0.6 if title else 0.2))
        figure = _figure(*size)
        for place, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
            axes.set_axis_off()
            if place < len(images):
                grey = images.shape[-1] == 1
                image = images[place, ..., 0] if grey else np.clip(images[place], 0, 1)
                axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
                if titles is not None:
                    axes.set_title(titles[place], fontsize=13)
        if title is not None:
            figure.suptitle(title)
    return figure


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
    """
    if not 1 <= len(histories) <= len(COLOURS):
        raise ValueError(f"`histories` must hold 1 to {len(COLOURS)} runs. Received: {len(histories)}.")
    with matplotlib.rc_context(_STYLE):
        figure = _figure(10.5, 5.5)
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


def confusion_matrix(matrix: Any, class_names: Sequence[str], *, title: str | None = None) -> Figure:
    """Who is taken for whom: one row per true class, one column per predicted class, the counts written in.

    Args:
        matrix: `(classes, classes)` counts, rows the truth, as `sklearn.metrics.confusion_matrix` gives.
        class_names: Name of each class.
        title: A title above all.
    """
    counts = np.asarray(matrix)
    classes = len(class_names)
    if counts.shape != (classes, classes):
        raise ValueError(
            f"`matrix` must have shape {(classes, classes)}, for {classes} class names. Received: shape {counts.shape}."
        )
    # The shade is the share of the row, so that classes with few images are seen as well as those with many.
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with matplotlib.rc_context({**_STYLE, "axes.spines.left": False, "axes.spines.bottom": False}):
        side = max(5.5, 2.5 + 0.62 * classes)
        figure = _figure(side + 1, side)
        axes = figure.subplots()
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.argwhere(counts):
            shade = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=shade, fontsize=12)
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


def _figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, whose parts keep clear of each other and of the border."""
    return Figure(
        figsize=(width, height),
        layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.12, wspace=0.02, hspace=0.02),
    )
