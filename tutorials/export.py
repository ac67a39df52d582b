"""Writes lessons as Jupyter notebooks: comments become text, `main` becomes cells, saved figures are shown."""

import ast
import io
import json
import textwrap
import tokenize
from pathlib import Path

from .catalogue import Lesson, parts
from .lesson import argument_helps

# Python 3.12 takes f-strings apart into tokens of their own.
_STRINGS = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


INDEX = "index.ipynb"


def write(lesson: Lesson, path: Path) -> Path:
    """Writes the notebook of a lesson.

    Args:
        lesson: Which lesson.
        path: The notebook's file, which must not be there yet.

    Returns:
        The path.
    """
    if path.exists():
        # It may hold somebody's answers to the exercises.
        raise ValueError(f"{path} is there already. Remove it, or name another file with --to.")
    return _save(cells_of(lesson), path)


def write_all(lessons: list[Lesson], folder: Path, *, with_index: bool) -> tuple[list[Path], list[Path]]:
    """Writes the notebooks of several lessons; those that are there already stay as they are.

    Args:
        lessons: Which lessons.
        folder: Where to; it is made where it is not there.
        with_index: Whether to write one more, `index.ipynb`, which tells of the course and leads to the lessons.

    Returns:
        The files that were written, and those that were kept.
    """
    cells = {folder / f"{lesson.name}.ipynb": cells_of(lesson) for lesson in lessons}
    if with_index:
        cells[folder / INDEX] = index()
    kept = [path for path in cells if path.exists()]
    return [_save(cells[path], path) for path in cells if path not in kept], kept


def index() -> list[tuple[str, str]]:
    """The cells of a notebook that leads to those of all lessons, part by part."""
    cells = ["# The course\n\nOne notebook per lesson, in the order in which they are read."]
    for part, lessons in parts():
        rows = [f"1. [{lesson.question}]({lesson.name}.ipynb) ({lesson.duration})" for lesson in lessons]
        cells.append("\n".join([f"## {part.title}", "", part.introduction, "", *rows]))
    return [("markdown", text) for text in cells]


def _save(cells: list[tuple[str, str]], path: Path) -> Path:
    """Writes cells as nbformat 4.5 has it."""
    notebook = {
        "cells": [
            {"id": f"cell-{number}", "cell_type": kind, "metadata": {}, "source": source.splitlines(keepends=True)}
            | ({"execution_count": None, "outputs": []} if kind == "code" else {})
            for number, (kind, source) in enumerate(cells)
        ],
        "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook, indent=1) + "\n", encoding="utf-8")
    return path


def cells_of(lesson: Lesson) -> list[tuple[str, str]]:
    """The cells in order, each ("markdown" or "code", its source).

    Args:
        lesson: Which lesson.
    """
    source = lesson.path.read_text(encoding="utf-8")
    lines = source.splitlines()
    tree = ast.parse(source, str(lesson.path))
    commands = ", then ".join(f"`{command}`" for command in lesson.facts["Run"].split(", then "))
    told = lesson.facts | {"Run": f"{commands}, as a program"}
    facts = "\n".join(f"- **{name}**: {text}" for name, text in told.items())
    cells = [("markdown", f"# {lesson.question}\n\n{facts}\n\n{lesson.text}".rstrip())]
    imports: list[str] = []
    helpers: list[tuple[str, str]] = []
    body: list[tuple[str, str]] = []
    end_of_last = 0
    for node in tree.body:
        # With the comments and decorators that stand above it.
        text = "\n".join(lines[end_of_last : node.end_lineno]).strip()
        end_of_last = node.end_lineno or 0
        if isinstance(node, ast.ImportFrom) and node.module == "kerasdl.tutorials.lesson":
            continue  # the runner has nothing to do in a notebook
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(text)
        elif isinstance(node, ast.FunctionDef) and node.name == "main":
            body = [("code", _parameters(node)), *_unfolded(node, source)]
        elif not isinstance(node, ast.If) and node is not tree.body[0]:
            helpers.append(("code", text))
    imports.append("from IPython.display import Image, display")
    cells += [("code", "\n".join(imports)), *helpers, *body]
    if lesson.exercises:
        cells.append(("markdown", f"## Exercises\n\n{lesson.exercises}"))
    return cells


def _parameters(main: ast.FunctionDef) -> str:
    """Main's keyword arguments as assignments, each under what the docstring says of it."""
    helps = argument_helps(ast.get_docstring(main))
    rows = []
    for argument, default in zip(main.args.kwonlyargs, main.args.kw_defaults, strict=True):
        if default is None:
            raise ValueError(
                f"Every argument of a lesson's main needs a default. Received: {argument.arg} without one."
            )
        rows += textwrap.wrap(helps.get(argument.arg, ""), 100, initial_indent="# ", subsequent_indent="# ")
        rows.append(f"{argument.arg} = {ast.unparse(default)}")
    return "\n".join(rows)


def _unfolded(main: ast.FunctionDef, source: str) -> list[tuple[str, str]]:
    """Main's body without its indentation, split where a paragraph of comments explains what comes next."""
    returns = [node for node in ast.walk(main) if isinstance(node, ast.Return)]
    last = main.body[-1]
    if returns != [last]:
        raise ValueError("A lesson's main must have one `return`, its last statement, to become a notebook.")
    lines = source.splitlines()
    lines[last.lineno - 1] = lines[last.lineno - 1].replace("return ", "", 1)
    shown = [node for node in ast.walk(main) if isinstance(node, ast.Expr) and _saves_a_figure(node.value)]
    for node in sorted(shown, key=lambda node: node.lineno, reverse=True):
        # As it stands in the lesson: what newer Pythons make of a text with a name in it, older ones cannot read.
        argument = node.value.args[1]  # type: ignore[attr-defined]
        path = " ".join((ast.get_source_segment(source, argument) or "").split())
        lines.insert(node.end_lineno or 0, " " * node.col_offset + f"display(Image(str({path})))")
    tokens = list(tokenize.generate_tokens(io.StringIO("\n".join(lines)).readline))
    indent = main.body[0].col_offset
    # A comment explains what follows when it stands alone, outside of any block.
    comments = {token.start[0] for token in tokens if token.type == tokenize.COMMENT and token.start[1] == indent}
    strings = [token for token in tokens if token.type in _STRINGS]
    inside_strings = {row for token in strings for row in range(token.start[0] + 1, token.end[0] + 1)}
    begin = (main.body[0].end_lineno or 0) if ast.get_docstring(main) else main.body[0].lineno - 1
    cells: list[tuple[str, list[str]]] = [("code", [])]
    for row in range(begin + 1, (main.end_lineno or 0) + len(shown) + 1):
        line = lines[row - 1] if row in inside_strings else lines[row - 1][indent:]
        if row in comments and (row == begin + 1 or not lines[row - 2].strip()):
            cells.append(("markdown", []))
        elif cells[-1][0] == "markdown" and row not in comments:
            cells.append(("code", []))
        cells[-1][1].append(line.removeprefix("#").removeprefix(" ") if cells[-1][0] == "markdown" else line)
    texts = [(kind, "\n".join(rows).strip("\n")) for kind, rows in cells]
    return [(kind, text) for kind, text in texts if text]


def _saves_a_figure(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "plots.save" and len(node.args) == 2
