"""Recurrent networks laid out in time: what goes in at which step, and what comes out."""

from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from kerasdl.visualization.plots.style import COLOURS, STYLE, blank_figure

ROWS = {"input": (0.0, COLOURS[1]), "state": (1.3, COLOURS[3]), "output": (2.6, COLOURS[6])}
HALF = 0.36


def unrolled(
    diagrams: Mapping[str, tuple[Sequence[str | None], Sequence[str | None]]], *, title: str | None = None
) -> Figure:
    """Unrolled recurrent networks side by side: a state for every step, a box for each input and output that there is.

    Args:
        diagrams: Under each diagram's title what goes in at each step and what comes out, equally many; None where
            there is nothing. What is in a box should be short, such as "1" or "the"; titles may have several lines.
        title: A title above all.

    Example:
        >>> figure = unrolled({"many to one": (["I", "like", "it"], [None, None, "+"])})
        >>> [text.get_text() for text in figure.axes[0].texts if text.get_text()]
        ['I', 'like', 'it', '+']
    """
    if not diagrams:
        raise ValueError("`diagrams` must hold at least one diagram. Received: none.")
    for name, (inputs, outputs) in diagrams.items():
        if not len(inputs) == len(outputs) > 0:
            raise ValueError(
                "Each diagram needs as many inputs as outputs, at least one; None where there is nothing. "
                f"Received: {len(inputs)} inputs and {len(outputs)} outputs of {name!r}."
            )
    # No narrower than its title, at about 0.12 inches per letter.
    widths = [max(len(inputs), 0.17 * max(map(len, name.split("\n"))) + 0.2) for name, (inputs, _) in diagrams.items()]
    lines = max(name.count("\n") + 1 for name in diagrams)
    with matplotlib.rc_context(STYLE):
        figure = blank_figure(max(5.0, 0.8 * sum(widths) + 1.2), 3.6 + 0.3 * lines)
        all_axes = figure.subplots(1, len(diagrams), squeeze=False, gridspec_kw={"width_ratios": widths})[0]
        for place, (axes, width, (name, (inputs, outputs))) in enumerate(
            zip(all_axes, widths, diagrams.items(), strict=True)
        ):
            steps = len(inputs)
            for step in range(steps):
                present = {"input": inputs[step], "state": "", "output": outputs[step]}
                for row, text in present.items():
                    if text is None:
                        continue
                    height, colour = ROWS[row]
                    corner = (step - HALF, height - HALF)
                    axes.add_patch(
                        FancyBboxPatch(
                            corner, 2 * HALF, 2 * HALF, boxstyle="round,pad=0,rounding_size=0.1", facecolor=colour
                        )
                    )
                    axes.text(step, height, text, ha="center", va="center", fontsize=15 if len(text) < 4 else 11)
                state = ROWS["state"][0]
                ends: list[tuple[tuple[float, float], tuple[float, float]]] = []
                if inputs[step] is not None:
                    ends.append(((step, ROWS["input"][0] + HALF), (step, state - HALF)))
                if outputs[step] is not None:
                    ends.append(((step, state + HALF), (step, ROWS["output"][0] - HALF)))
                if step > 0:
                    ends.append(((step - 1 + HALF, state), (step - HALF, state)))
                for start, end in ends:
                    axes.add_patch(
                        FancyArrowPatch(
                            start, end, arrowstyle="-|>", mutation_scale=16, shrinkA=0, shrinkB=0, lw=1.6, color="0.15"
                        )
                    )
            middle = (steps - 1) / 2
            axes.set_xlim(middle - width / 2, middle + width / 2)
            axes.set_ylim(-0.5, 3.1)
            axes.set_aspect("equal")
            for spine in axes.spines.values():
                spine.set_visible(False)
            axes.set_xticks([])
            # The rows are named once, at the left.
            axes.set_yticks([height for height, _ in ROWS.values()] if place == 0 else [], ROWS if place == 0 else [])
            axes.tick_params(length=0)
            axes.set_title(name)
        if title is not None:
            figure.suptitle(title)
    return figure
