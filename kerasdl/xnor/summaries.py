"""The table that says how each layer of a packed network runs, and what it costs."""

import io
from collections.abc import Sequence

import rich.box
import rich.console
import rich.table

from kerasdl.xnor.keras_part import KerasPart
from kerasdl.xnor.real_steps import InputScales
from kerasdl.xnor.steps import Binarize, CopyBits, PoolBits, Step

_WIDTH = 120


def summary_text(name: str, steps: Sequence[Step], sources: Sequence[str]) -> str:
    """A line per step, the sums, and why layers run in Keras that one might expect to be packed."""
    table = rich.table.Table(title=f"Packed {name!r}", title_justify="left", box=rich.box.SIMPLE_HEAD)
    table.add_column("layers", overflow="fold")
    table.add_column("how they run", overflow="fold")
    for column in ("bytes", "in the model", "multiply-adds"):
        table.add_column(column, justify="right")
    for step in steps:
        covered = ", ".join(_shortened(step.layers)) or _about(step, sources)
        cells = (step.nbytes, step.float_bytes, step.multiply_adds)
        table.add_row(covered, step.describe(), *(f"{number:,}" if number else "" for number in cells))
    file = io.StringIO()
    rich.console.Console(file=file, width=_WIDTH, color_system=None, highlight=False, markup=False).print(table)
    lines = [line.rstrip() for line in file.getvalue().splitlines()]
    return "\n".join([*lines, *_sums(steps), *_reasons(steps)])


def _shortened(layers: tuple[str, ...]) -> tuple[str, ...]:
    return layers if len(layers) <= 4 else (*layers[:2], f"{len(layers) - 3} more", layers[-1])


def _about(step: Step, sources: Sequence[str]) -> str:
    """What a step is for that stands for no layer: "sign of conv1", "sign of the input"."""
    whose, _, part = step.name.partition(":")
    if isinstance(step, Binarize) and step.source in sources:
        whose = "the input" if len(sources) == 1 else step.source.removeprefix("input:")
    kinds = {Binarize: "sign", PoolBits: "maximum", CopyBits: "sign", InputScales: "K"}
    return f"{kinds[type(step)]} of {whose}" if type(step) in kinds and part else step.name


def _sums(steps: Sequence[Step]) -> list[str]:
    packed, floats = sum(step.nbytes for step in steps), sum(step.float_bytes for step in steps)
    total = sum(step.multiply_adds for step in steps)
    in_keras = sum(step.multiply_adds for step in steps if isinstance(step, KerasPart))
    lines = [f"Bytes: {packed:,}"]
    if floats:
        lines[0] += f"; in the model {floats:,}, {floats / max(packed, 1):.1f} times as many"
    if total:
        lines.append(
            f"Multiply-adds of convolutions and dense layers: {total:,} per image, {1 - in_keras / total:.1%} with bits"
        )
    return lines


def _reasons(steps: Sequence[Step]) -> list[str]:
    reasons = {name: why for step in steps if isinstance(step, KerasPart) for name, why in step.reasons.items()}
    return [f"{name} runs in Keras: {why}" for name, why in reasons.items()]
