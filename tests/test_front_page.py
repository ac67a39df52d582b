"""README.md says what is there: every name is in a table, every number the code's or that of a lesson's own run."""

import importlib.util
import inspect
import re
import sys
from typing import Any

import numpy as np
import pytest
from front_page_tables import README, ROOT, defaults_of, read_call, rows_of, short
from network_table import NETWORKS, NOT_BUILDERS
from PIL import Image

from kerasdl import adversarial, architectures, callbacks, visualization
from kerasdl.tutorials import catalogue

BUILDERS = [name for name in architectures.__all__ if name not in NOT_BUILDERS]
# Builders of what another one builds, under the name that it goes by.
SECOND_NAMES = ["vgg16", "vgg19"]
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
    "Scalars": r"tf\.summary\.scalar|\bshown\.scalar\(",
    "Histograms": r"\bshown\.histogram\(",
    "Images": r"\bwrite_(images|figure)\(",
    "Text": r"tf\.summary\.text",
    "Graphs": r"tf\.summary\.graph",
}
# Pages that need entries of other kinds besides.
SPECIAL_PAGES = {"HParams", "Projector"}


def numbers_in(text: str) -> list[str]:
    return re.findall(r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?:e-\d+)?|(?<!\d)\.\d+", text)


NETWORK_ROWS = rows_of("All networks")


def test_counts_in_sentences():
    papers = {link for network, *_ in NETWORK_ROWS for link in re.findall(r"\]\((\S+)\)", network)}
    words = re.sub(r"</?b>", "", README)
    for sentence in (
        f"{len(BUILDERS) - len(SECOND_NAMES)} exact networks",
        f"{len(FUNCTIONS)} ways to look into",
        f"{len(LESSONS)} lessons that run",
        f"{len(BUILDERS)} builders of {len(papers)} papers",
        f"{len(BUILDERS)} builders, {len(BUILDERS) - len(SECOND_NAMES)} networks",
        f"{len(FUNCTIONS)} functions",
        f"{len(rows_of('All callbacks'))} callbacks",
        *(f"{part.title}: {len(lessons)} lessons" for part, lessons in catalogue.parts()),
    ):
        assert sentence in words


def test_every_builder_is_in_the_table():
    assert {read_call(call)[0] for _, call, *_ in NETWORK_ROWS} == set(BUILDERS)


@pytest.mark.parametrize("row", NETWORK_ROWS, ids=lambda row: row[1].strip("`"))
def test_networks_have_the_counts_that_are_known_from_elsewhere(row):
    # Those that are not known, or rounded, are checked where the networks are built: architectures/test_every_network.
    _, call, parameters, multiply_adds, _ = row
    builder, arguments = read_call(call)
    known = [
        network
        for network in NETWORKS
        if network.builder == builder and {**defaults_of(builder), **network.arguments} == arguments
    ]
    assert known, f"{call} is not in tests/network_table.py"
    rounded = 0.02 if isinstance(known[0].parameters, float) else 0
    assert int(parameters.replace(",", "")) == pytest.approx(known[0].parameters, rel=rounded)
    if isinstance(known[0].multiply_adds, int):
        assert multiply_adds == short(known[0].multiply_adds)


def test_every_visualization_is_in_the_table_with_its_paper():
    rows = [row for row in rows_of("All visualizations") if row[0].startswith("`")]
    assert sorted(name.strip("`") for name, *_ in rows) == sorted(FUNCTIONS)
    for name, _, papers, checked in rows:
        assert checked, name
        for link in re.findall(r"\]\((\S+)\)", papers):
            assert link in inspect.getdoc(FUNCTIONS[name.strip("`")]), f"{name}: {link}"


def test_every_callback_is_in_the_table_with_its_pages():
    rows = rows_of("All callbacks")
    others = {"monitor", "Backup", "Examples", "Summary"}
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
