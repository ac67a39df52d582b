"""Writes tutorials/README.md, the page of the course, out of what the lessons say and their runs drew."""

import io
from pathlib import Path

import PIL.Image

from . import catalogue, runs
from .course import PARTS
from .gallery import on_white, words

# Where the page stands, and its pictures, in a checkout.
PAGE = Path("tutorials/README.md")
PICTURES = Path("docs/pictures/lessons")
WIDTH, BYTES = 800, 60_000
_TITLE = 0x010E  # where a picture's description stands among its EXIF tags; UTF-8, which Pillow reads as Latin-1

_HEAD = """<!-- Written by `python -m tutorials page RUNS` out of the lessons' docstrings and their runs' figures. -->

# The course

{count} lessons, each a question, the paper that answers it, and a program that shows it on a laptop within minutes,
without a download. At so small a size not every paper's gain shows; then the lesson says so. A lesson is one file that
reads from top to bottom; the text at its head ends in exercises. The lessons of a part build on each other; the parts
are independent.

```
python -m tutorials                  # lists the lessons
python -m tutorials.lenet            # runs one; with --help it tells its options
python -m tutorials run              # runs all of them, one after the other: {hours:.1f} hours on one core
python -m tutorials run --quick      # seconds per lesson, only to see that all of them work
python -m tutorials report report    # makes one HTML page of all runs: figures, metrics, commands
python -m tutorials export           # writes all of them as notebooks
tensorboard --logdir runs            # shows the curves
```

`python` is that of the environment which the [front page](../README.md#set-up) sets up; outside of a checkout the
lessons are called `kerasdl.tutorials`. Notebooks need one thing more: `pip install jupyterlab`, then
`jupyter lab notebooks/index.ipynb`. What to expect of a lesson was measured by its command, with its defaults. On
another processor or number of cores sums are rounded otherwise, and results differ by about their errors (±)."""


def page(root: Path) -> str:
    """The text of the page.

    Args:
        root: Folder of the checkout, in which the pictures are looked for.
    """
    lessons = catalogue.lessons()
    hours = sum(lesson.seconds for lesson in lessons) / 3600
    contents = [
        f"1. [{part.title}](#{part.title.lower().replace(' ', '-')}): {len(part.pictures)} lessons" for part in PARTS
    ]
    blocks = [_HEAD.format(count=len(lessons), hours=hours), "\n".join(contents)]
    for part, found in catalogue.parts():
        blocks += [f"## {part.title}", part.introduction]
        for lesson in found:
            blocks += [f"### {lesson.question}", *_picture(root, lesson)]
            facts = [
                f"- **Lesson**: [{lesson.name}.py]({lesson.name}.py), `python -m tutorials.{lesson.name}`",
                f"- **Paper**: {lesson.facts['Paper']}",
                f"- **Takes**: {lesson.duration}",
                f"- **Expect**: {lesson.facts['Expect']}",
            ]
            blocks.append("\n".join(facts))
    return "\n\n".join(blocks) + "\n"


def _picture(root: Path, lesson: catalogue.Lesson) -> list[str]:
    path = root / PICTURES / f"{lesson.name}.webp"
    if not path.exists():
        return []
    with PIL.Image.open(path) as image:
        title = image.getexif().get(_TITLE, "").encode("latin-1").decode()
    return [f"![{title}](../{PICTURES}/{lesson.name}.webp)"]


def write(root: Path, folder: Path | None) -> list[str]:
    """Writes the page, and its pictures where there are runs to take them from.

    Args:
        root: Folder of the checkout.
        folder: Where the runs are.

    Returns:
        As `write_pictures` does.
    """
    path = root / PAGE
    if not path.exists():
        raise ValueError(
            f"The page stands in a checkout of the repository. Received: {root}, where there is no {PAGE}."
        )
    missing = write_pictures(root, folder) if folder else []
    path.write_text(page(root), encoding="utf-8")
    return missing


def write_pictures(root: Path, folder: Path) -> list[str]:
    """Makes the pictures of the page out of the figures of runs.

    Args:
        root: Folder of the checkout.
        folder: Where the runs are; those made with `--quick` do not count.

    Returns:
        Names of the lessons of which there is no run with the figure that answers the question.
    """
    found, _ = runs.find(folder)
    missing = []
    for name, answer in ((name, answer) for part in PARTS for name, answer in part.pictures.items()):
        whole = [run for run in found if run.lesson == name and run.record and not run.quick]
        figures = [path for run in whole for path in run.figures if path.stem == answer]
        if not figures:
            missing.append(name)
            continue
        path = root / PICTURES / f"{name}.webp"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(small(figures[-1]))  # of several runs that of the last one
    return missing


def small(figure: Path) -> bytes:
    """A figure as WebP that loads at once: at most 800 pixels wide and 60 kB, as sharp as that allows, with its title.

    Args:
        figure: The PNG.
    """
    with PIL.Image.open(figure) as opened:
        image = on_white(opened)
        title = str(opened.info.get("Title") or words(figure.stem))
    if image.width > WIDTH:
        image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), PIL.Image.Resampling.LANCZOS)
    exif = PIL.Image.Exif()
    exif[_TITLE] = title.encode()
    for quality in (None, 95, 90, 85, 80, 70, 60, 50, 40, 30, 20):
        file = io.BytesIO()
        # Nothing is lost where the figure is plain enough, as curves are.
        image.save(file, "WEBP", lossless=quality is None, quality=quality or 100, exif=exif)
        if file.tell() <= BYTES:
            return file.getvalue()
    raise ValueError(
        f"A figure of the page must be smaller than {BYTES} bytes, {WIDTH} pixels wide. Received: {figure}."
    )
