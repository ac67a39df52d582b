"""Which words are looked at: sentences whose words are shaded by their weights."""

import functools
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch
from matplotlib.textpath import TextPath

from kerasdl.visualization.plots.style import STYLE_OF_NAMES, blank_figure

# Never darker than a mid-blue, so that black letters can be read on every shade.
_SHADES = LinearSegmentedColormap.from_list("shades", ["#ffffff", "#56aee6"])
_SIZE = 16  # of the letters, in points
_PADDING, _GAP, _LINE = 5.5, 4.0, 34.0  # around a word, between words, from line to line, in points


def attention(
    weights: Any,
    sources: Sequence[str] | Sequence[Sequence[str]],
    targets: Sequence[str] | None = None,
    *,
    value_label: str = "attention",
    highest: float | None = None,
    width: float = 14.0,
    title: str | None = None,
) -> Figure:
    """Sentences whose words are shaded by their weights, one in each row, behind the word that looks at it.

    Args:
        weights: One weight, at least 0, per source word: `(sources,)` for one sentence, or `(rows, sources)`. What lies
            behind the end of a shorter sentence is not drawn.
        sources: The words of the one sentence that all rows are about; or of one sentence for each row.
        targets: The word in front of each row, such as the one that is being written.
        value_label: What the weights are.
        highest: The weight of the darkest shade; the largest weight without it. White is 0.
        width: Of the figure at most, in inches. Long sentences go on in the next line.
        title: A title above all.

    Example:
        >>> figure = attention([[0.9, 0.1], [0.2, 0.8]], ["I", "see"], ["je", "vois"])
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['je', 'I', 'see', 'vois', 'I', 'see']
    """
    table = np.atleast_2d(np.asarray(weights, dtype="float64"))
    is_single = len(sources) == 0 or isinstance(sources[0], str)
    sentences = [[str(word) for word in words] for words in ([sources] * len(table) if is_single else sources)]
    _check(table, sentences, targets)
    names = ["" for _ in table] if targets is None else [str(target) for target in targets]
    margin = max(_width(name, "bold") for name in names) + 2 * _GAP if targets is not None else 0.0
    rows = [_places(words, max(72 * (width - 1.8) - margin, 90.0)) for words in sentences]
    right = margin + max(end for row in rows for _, end, _ in row)
    # Rows of several lines keep apart.
    between = 14.0 if any(row[-1][2] for row in rows) else 0.0
    height = sum(_LINE * (row[-1][2] + 1) + between for row in rows) - between
    norm = Normalize(0, highest or max(row[: len(s)].max() for row, s in zip(table, sentences, strict=True)) or 1.0)
    with matplotlib.rc_context(STYLE_OF_NAMES):
        figure = blank_figure(max(right / 72 + 1.8, 6.0), max(height / 72 + (0.9 if title else 0.4), 2.2))
        axes = figure.subplots()
        top = 0.0
        for name, words, row, places in zip(names, sentences, table, rows, strict=True):
            axes.text(margin - 2 * _GAP, top + _LINE / 2, name, ha="right", va="center", size=_SIZE, weight="bold")
            for word, weight, (start, end, line) in zip(words, row, places, strict=False):
                at, middle = margin + start, top + (line + 0.5) * _LINE
                box = FancyBboxPatch(
                    (at, middle - 0.4 * _LINE),
                    end - start,
                    0.8 * _LINE,
                    boxstyle=f"round,pad=0,rounding_size={_PADDING}",
                    facecolor=_SHADES(norm(weight)),
                    edgecolor="0.8",
                )
                axes.add_patch(box)
                axes.text(at + (end - start) / 2, middle, word, ha="center", va="center", size=_SIZE)
            top += _LINE * (places[-1][2] + 1) + between
        # One unit is one point on paper, or a little less: words were measured in points.
        axes.set(xlim=(-1, right + 1), ylim=(height, 0), aspect="equal", anchor="NW")
        axes.axis("off")
        shrink = min(1.0, 216 / height)  # at most three inches
        figure.colorbar(
            ScalarMappable(norm, _SHADES), ax=axes, label=value_label, shrink=shrink, aspect=12, pad=0.02, anchor=(0, 1)
        )
        if title is not None:
            figure.suptitle(title)
    return figure


def _check(table: np.ndarray, sentences: list[list[str]], targets: Sequence[str] | None) -> None:
    lengths = [len(words) for words in sentences]
    if table.ndim != 2 or not table.size or len(sentences) != len(table) or not min(lengths):
        raise ValueError(
            "`weights` must have shape (rows, sources), or (sources,) for one row, and each row a sentence of at least "
            f"one word. Received: shape {table.shape} and sentences of {lengths} words."
        )
    if max(lengths) > table.shape[1]:
        raise ValueError(f"Expected a weight for each word. Received: {table.shape[1]} for {max(lengths)} words.")
    if targets is not None and len(targets) != len(table):
        raise ValueError(f"Expected one target per row of weights. Received: {len(targets)} for {len(table)} rows.")
    if not np.isfinite(table).all() or table.min() < 0:
        raise ValueError(f"`weights` must be finite and at least 0. Received: a smallest of {table.min():g}.")


def _places(words: list[str], room: float) -> list[tuple[float, float, int]]:
    """Where each word starts and ends, in points, and in which line."""
    places = []
    start, line = 0.0, 0
    for word in words:
        wide = _width(word)
        if start > 0 and start + wide > room:
            start, line = 0.0, line + 1
        places.append((start, start + wide, line))
        start += wide + _GAP
    return places


@functools.cache
def _width(word: str, weight: str = "normal") -> float:
    """How wide a word is with the space around it, in points."""
    with matplotlib.rc_context(STYLE_OF_NAMES):
        letters = (
            TextPath((0, 0), word, size=_SIZE, prop=FontProperties(weight=weight)).get_extents().width
            if word.strip()
            else 0
        )
    return float(letters) + 2 * _PADDING
