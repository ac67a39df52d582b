"""Which lessons there are and in which order they are read: from their docstrings, without importing them."""

import ast
import dataclasses
import difflib
import functools
import re
from pathlib import Path

from .course import PARTS, Part

FOLDER = Path(__file__).parent
FACTS = ("Paper", "Run", "Takes", "Expect")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}


@dataclasses.dataclass(frozen=True)
class Lesson:
    """A lesson as its docstring tells it.

    Args:
        name: Name of the module.
        path: Its file.
        question: The first line of the docstring.
        facts: What stands behind `Paper:`, `Run:`, `Takes:` and `Expect:`, each on one line.
        text: The paragraphs in between, Markdown.
        exercises: What follows `Exercises:`, Markdown.
    """

    name: str
    path: Path
    question: str
    facts: dict[str, str]
    text: str
    exercises: str

    @property
    def duration(self) -> str:
        """How long it takes and on what, without the remarks that follow."""
        return re.split(r"[,;(]|\.(?!\d)", self.facts["Takes"])[0].strip()

    @property
    def seconds(self) -> float:
        """How many seconds that is."""
        match = re.match(r"(?:about )?(\d+(?:\.\d+)?|an?) (second|minute|hour)s?\b", self.duration)
        if match is None:
            raise ValueError(
                f"`Takes:` must begin with a time, such as `40 seconds on one core`. Received: {self.facts['Takes']!r} "
                f"of {self.name}."
            )
        return (1.0 if match[1].startswith("a") else float(match[1])) * _SECONDS[match[2]]


def lessons(folder: Path = FOLDER) -> list[Lesson]:
    """All lessons of a folder in the course's order: the modules that have a function `main`.

    One that the course does not know, as while it is being written, comes after all others.

    Args:
        folder: Where to look; the course's own folder unless told otherwise.
    """
    order = {name: index for index, name in enumerate(name for part in PARTS for name in part.pictures)}
    found = [_lesson(path, path.read_text(encoding="utf-8")) for path in sorted(folder.glob("[!_]*.py"))]
    known = [lesson for lesson in found if lesson is not None]
    return sorted(known, key=lambda lesson: order.get(lesson.name, len(order)))


@functools.cache  # A command asks more than once, and parsing all of them takes a third of a second.
def _lesson(path: Path, source: str) -> Lesson | None:
    tree = ast.parse(source, str(path))
    is_lesson = any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body)
    return read(path, tree) if is_lesson else None


def parts() -> list[tuple[Part, list[Lesson]]]:
    """The parts of the course, each with its lessons in reading order."""
    by_name = {lesson.name: lesson for lesson in lessons()}
    return [(part, [by_name[name] for name in part.pictures]) for part in PARTS]


def find(name: str) -> Lesson:
    """The lesson of that name.

    Args:
        name: Name of the module, such as "lenet".
    """
    by_name = {lesson.name: lesson for lesson in lessons()}
    if name not in by_name:
        closest = difflib.get_close_matches(name, by_name, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"There is no lesson {name!r}. The closest name is {closest!r}; without a name, "
            f"`python -m {__package__}` lists all."
        )
    return by_name[name]


def read(path: Path, tree: ast.Module) -> Lesson:
    """Takes a lesson's docstring apart.

    Args:
        path: The lesson's file.
        tree: The file, parsed.
    """
    question, _, rest = (ast.get_docstring(tree) or "").partition("\n")
    rest, _, exercises = rest.partition("\nExercises:")
    facts = {}
    for fact in FACTS:
        # A fact ends where the next line is not indented.
        match = re.search(rf"^{fact}:((?:.*)(?:\n[ \t]+\S.*)*)\n?", rest, re.MULTILINE)
        if match is None:
            raise ValueError(
                f"The docstring of a lesson must have a line that begins with `{fact}:`. Received: {path}."
            )
        facts[fact] = " ".join(match[1].split())
        rest = rest.replace(match[0], "")
    return Lesson(path.stem, path, question.strip(), facts, rest.strip(), exercises.strip())
