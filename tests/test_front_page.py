"""README.md says what is there: every name is in a table, every number the code's or that of a lesson's own run."""

import ast
import importlib.util
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from network_table import NETWORKS, NOT_BUILDERS, Network
from PIL import Image

from kerasdl import adversarial, architectures, callbacks, visualization
from kerasdl.profiling import profile
from kerasdl.tutorials import catalogue

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BUILDERS = [name for name in architectures.__all__ if name not in NOT_BUILDERS]
# Public names that show nothing by themselves.
NO_FUNCTIONS = {"plots", "regularizers", "Adversarial", "Universal"}
FUNCTIONS = {
    name: getattr(package, name)
    for package in (visualization, adversarial)
    for name in package.__all__
    if name not in NO_FUNCTIONS
}
LESSONS = catalogue.lessons()
# How a callback writes onto each page of TensorBoard.
PAGES = {
    "Scalars": r"tf\.summary\.scalar",
    "Histograms": r"\bwrite_histogram\(",
    "Images": r"tf\.summary\.image|\bwrite_figure\(",
    "Text": r"tf\.summary\.text",
    "Graphs": r"tf\.summary\.graph",
}
# Pages that need entries of other kinds besides.
SPECIAL_PAGES = {"HParams", "Projector"}


def rows_of(heading: str) -> list[list[str]]:
    """The cells of each row of the tables below a heading, without the tables' heads."""
    lines = README.split(f"\n## {heading}\n")[1].split("\n## ")[0].splitlines()
    found = []
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        is_head = line.startswith("|-") or below.startswith("|-")
        if line.startswith("|") and not is_head:
            found.append([cell.strip() for cell in line[1:-1].split("|")])
    return found


def numbers_in(text: str) -> list[str]:
    return re.findall(r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?:e-\d+)?|(?<!\d)\.\d+", text)


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


def of_the_table(builder: str, arguments: dict[str, Any]) -> Network | None:
    """What is known of a network from elsewhere."""
    for network in NETWORKS:
        if network.builder == builder and {**defaults_of(builder), **network.arguments} == arguments:
            return network
    return None


NETWORK_ROWS = rows_of("All networks")


def test_counts_in_sentences():
    papers = {link for network, *_ in NETWORK_ROWS for link in re.findall(r"\]\((\S+)\)", network)}
    words = re.sub(r"</?b>", "", README)
    for sentence in (
        f"{len(BUILDERS)} exact networks",
        f"{len(FUNCTIONS)} ways to look into",
        f"{len(LESSONS)} lessons that run",
        f"{len(BUILDERS)} builders of {len(papers)} papers",
        f"{len(FUNCTIONS)} functions",
        f"{len(rows_of('All callbacks'))} callbacks",
        *(f"{part.title}: {len(lessons)} lessons" for part, lessons in catalogue.parts()),
    ):
        assert sentence in words


def test_every_builder_is_in_the_table():
    assert {read_call(call)[0] for _, call, *_ in NETWORK_ROWS} == set(BUILDERS)


@pytest.mark.parametrize("row", NETWORK_ROWS, ids=lambda row: row[1].strip("`"))
def test_networks_have_the_counts_that_are_known_from_elsewhere(row):
    _, call, parameters, multiply_adds, _ = row
    known = of_the_table(*read_call(call))
    assert known, f"{call} is not in tests/network_table.py"
    # What is published rounded, as a float there, is compared rounded.
    rounded = 0.02 if isinstance(known.parameters, float) else 0
    assert int(parameters.replace(",", "")) == pytest.approx(known.parameters, rel=rounded)
    if known.multiply_adds is not None:
        value, _, unit = multiply_adds.partition(" ")
        shown = float(value.replace(",", "")) * {"": 1, "M": 1e6, "G": 1e9}[unit]
        assert shown == pytest.approx(known.multiply_adds, rel=0.03 if "rand" in call else 0.005)


@pytest.mark.slow
@pytest.mark.parametrize("row", NETWORK_ROWS, ids=lambda row: row[1].strip("`"))
def test_networks_have_the_counts_that_the_table_says(row):
    _, call, parameters, multiply_adds, _ = row
    builder, arguments = read_call(call)
    model: keras.Model = getattr(architectures, builder)(**arguments)
    assert f"{sum(int(np.prod(weight.shape)) for weight in model.trainable_weights):,}" == parameters
    assert short(profile(model, repeats=0).multiply_adds) == multiply_adds


def test_every_visualization_is_in_the_table_with_its_paper():
    rows = [row for row in rows_of("All visualizations") if row[0].startswith("`")]
    assert sorted(name.strip("`") for name, *_ in rows) == sorted(FUNCTIONS)
    for name, _, papers, checked in rows:
        assert checked, name
        for link in re.findall(r"\]\((\S+)\)", papers):
            assert link in inspect.getdoc(FUNCTIONS[name.strip("`")]), f"{name}: {link}"


def test_every_callback_is_in_the_table_with_its_pages():
    rows = rows_of("All callbacks")
    others = {"monitor", "Backup", "Examples"}
    assert sorted([row[0].strip("`") for row in rows]) == sorted(set(callbacks.__all__) - others)
    data = (np.zeros((4, 8, 8, 1)), np.array([0, 1, 1, 0]))
    chosen = {type(each).__name__ for each in callbacks.monitor("logs", data, hyperparameters={"rate": 0.1})}
    for name, _, pages, in_monitor in rows:
        name, written = name.strip("`"), set(pages.split(", "))
        assert in_monitor == ("✓" if name in chosen else ""), name
        source = inspect.getsource(inspect.getmodule(getattr(callbacks, name)))
        if not written & SPECIAL_PAGES:
            assert written & set(PAGES) == {page for page, call in PAGES.items() if re.search(call, source)}, name


def test_every_lesson_is_in_the_table_and_says_what_its_docstring_says():
    rows = rows_of("All lessons")
    assert [row[0] for row in rows] == [f"[{lesson.name}](tutorials/{lesson.name}.py)" for lesson in LESSONS]
    faults = []
    for (name, question, takes, result), lesson in zip(rows, LESSONS, strict=True):
        if question != lesson.question:
            faults.append(f"{name}: the question is {lesson.question!r}")
        if takes != (duration := lesson.duration.partition(" on one core")[0]):
            faults.append(f"{name}: takes {duration!r}, not {takes!r}")
        known = numbers_in(lesson.facts["Expect"])
        if missing := [number for number in numbers_in(result) if number not in known]:
            faults.append(f"{name}: {', '.join(missing)} of {result!r} not in {lesson.facts['Expect']!r}")
    assert not faults, "README.md no longer says what the lessons do:\n" + "\n".join(faults)


def load_strip() -> Any:
    specification = importlib.util.spec_from_file_location("strip", ROOT / "docs" / "strip.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.modules["strip"] = module
    specification.loader.exec_module(module)
    return module


def test_the_strip_shows_the_parts_of_a_figure_side_by_side(tmp_path):
    strip = load_strip()
    figure = Image.new("RGB", (100, 60), "white")
    figure.paste("red", (10, 10, 40, 40))
    figure.paste("blue", (60, 10, 90, 40))
    figure.save(tmp_path / "figure.png")
    tile = strip.Tile("two squares", "figure.png", (100, 60), ((60, 10, 90, 40), (10, 10, 40, 40)))
    picture = strip.draw(tile, tmp_path, strip.Layout("", 1, 210, 20, 20, 40, 1))
    # Two squares of 100 pixels with a gap of 10 between them, and text below.
    colours = [picture.getpixel((x, 52)) for x in (3, 97, 105, 113, 207)]
    blue, red, white = (0, 0, 255), (255, 0, 0), (255, 255, 255)
    assert colours == [blue, blue, white, red, red]
    assert np.asarray(picture)[105:].min() < 100 < 255 == np.asarray(picture)[103:110].max()
    wrong = strip.Tile("two squares", "figure.png", (90, 60), ())
    with pytest.raises(ValueError, match="must have") as error:
        strip.draw(wrong, tmp_path, strip.LAYOUTS[0])
    expected = f"{tmp_path / 'figure.png'} must have (90, 60) pixels, for which its boxes are. Received: (100, 60)."
    assert str(error.value) == expected


def test_the_strip_is_small_and_sharp_enough():
    strip = load_strip()
    pictures = [ROOT / "docs" / "pictures" / layout.file for layout in strip.LAYOUTS]
    assert sum(path.stat().st_size for path in pictures) <= 200_000
    for path, layout in zip(pictures, strip.LAYOUTS, strict=True):
        assert f"docs/pictures/{path.name}" in README
        with Image.open(path) as picture:
            assert picture.width == layout.columns * layout.width + (layout.columns - 1) * layout.gap
