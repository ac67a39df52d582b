"""The tables of README.md, read for tests: what stands in a row, and which network a builder's row is about."""

import ast
import inspect
from pathlib import Path
from typing import Any

from kerasdl import architectures

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def rows_of(heading: str) -> list[list[str]]:
    """The cells of each row of the tables below a heading, without the tables' heads."""
    lines = README.split(f"\n## {heading}\n")[1].split("\n## ")[0].splitlines()
    found = []
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        is_head = line.startswith("|-") or below.startswith("|-")
        if line.startswith("|") and not is_head:
            found.append([cell.strip() for cell in line[1:-1].split("|")])
    return found


def short(count: int) -> str:
    """Three digits and a unit from a million on."""
    if count < 1_000_000:
        return f"{count:,}"
    unit, size = ("G", 10**9) if count >= 10**9 else ("M", 10**6)
    return f"{float(f'{count / size:.3g}'):.{max(0, 3 - len(str(count // size)))}f} {unit}"


def read_call(cell: str) -> tuple[str, dict[str, Any]]:
    """A builder and what it is called with: all of its arguments, with their defaults."""
    expression = ast.parse(cell.strip("`"), mode="eval").body
    name, given = cell.strip("`"), {}
    if isinstance(expression, ast.Call):
        assert isinstance(expression.func, ast.Name)
        name = expression.func.id
        given = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in expression.keywords}
    return name, {**defaults_of(name), **given}


def defaults_of(builder: str) -> dict[str, Any]:
    parameters = inspect.signature(getattr(architectures, builder)).parameters
    return {name: parameter.default for name, parameter in parameters.items()}


def counts_of(builder: str, arguments: dict[str, Any]) -> tuple[str, str] | None:
    """Parameters and multiply-adds as a row says them; None where no row is about this network."""
    for _, call, parameters, multiply_adds, _ in rows_of("All networks"):
        if read_call(call) == (builder, {**defaults_of(builder), **arguments}):
            return parameters, multiply_adds
    return None
