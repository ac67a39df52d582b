"""Finds what runs of lessons left in folders: their records, their figures, and the last words of those that failed."""

import dataclasses
import datetime
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import catalogue

# What a progress bar writes into a log: colours, characters that go back to mend the line, and the bar.
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f━]")
_FAILED = re.compile(r"exit code -?\d+|interrupted")


@dataclasses.dataclass(frozen=True)
class Run:
    """What one run of a lesson left.

    Args:
        lesson: Name of the lesson.
        folder: Where it lies, as seen from the folder that was searched; "." is that folder itself.
        record: What is in `metrics.json`; empty where the run came to no result.
        figures: Its pictures, in the order in which they were drawn.
        last_words: The end of its log where it came to no result, or where a later run in the same folder failed; None
            where there is no log, too: only `run` writes one.
    """

    lesson: str
    folder: Path
    record: dict[str, Any]
    figures: list[Path]
    last_words: str | None

    @property
    def metrics(self) -> dict[str, float]:
        """What it measured."""
        return self.record.get("metrics", {})

    @property
    def quick(self) -> bool:
        """Whether it was only to show that the lesson works."""
        arguments = self.record.get("arguments")
        return isinstance(arguments, dict) and arguments.get("quick") is True

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        return self._time("seconds")

    @property
    def seconds_of_computing(self) -> float | None:
        """How long all cores computed for it."""
        return self._time("seconds_of_computing")

    def _time(self, name: str) -> float | None:
        seconds = self.record.get(name)
        return seconds if isinstance(seconds, int | float) and 0 <= seconds < 1e12 else None

    @property
    def finished(self) -> datetime.datetime | None:
        """When it came to its result, in UTC."""
        try:
            return datetime.datetime.fromisoformat(self.record["finished"]).astimezone(datetime.UTC)
        except (KeyError, TypeError, ValueError, OverflowError):
            return None

    @property
    def versions(self) -> dict[str, str]:
        """What it ran with: Python and the packages."""
        versions = self.record.get("versions")
        return {name: str(version) for name, version in versions.items()} if isinstance(versions, dict) else {}


def find(folder: Path) -> tuple[list[Run], list[str]]:
    """All runs of lessons that lie in a folder, at whatever depth.

    Args:
        folder: Where to look.

    Returns:
        The runs, by lesson in the course's order, the quick ones last and else by the time at which they ended; and
        for each folder that is no run a sentence that says why it was left out.
    """
    order = {lesson.name: index for index, lesson in enumerate(catalogue.lessons())}
    found, skipped, empty = [], [], []
    for place in _folders(folder):
        run = _read(place, folder, order)
        if isinstance(run, Run):
            found.append(run)
        elif run is not None:
            skipped.append(run)
        elif place.parent == folder:
            empty.append(place)
    used = {folder / run.folder.parts[0] if run.folder.parts else folder for run in found}
    if folder not in used:
        skipped += [f"{place}: there is no run of a lesson in it." for place in empty if place not in used]
    never = datetime.datetime.max.replace(tzinfo=datetime.UTC)
    return sorted(
        found, key=lambda run: (order[run.lesson], run.quick, run.finished or never, str(run.folder))
    ), skipped


def _folders(folder: Path) -> Iterator[Path]:
    for place, folders, _ in os.walk(folder):
        # In order, and without what is hidden or is a part of a run.
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in ("figures", "logs"))
        yield Path(place)


def _read(place: Path, top: Path, lessons: dict[str, int]) -> Run | str | None:
    """The run that lies directly in a folder, or why what looks like one is none, or None where nothing does."""
    path, log = place / "metrics.json", place / "log.txt"
    figures = [figure for figure in (place / "figures").glob("*.png") if figure.is_file()]
    figures.sort(key=lambda figure: (figure.stat().st_mtime_ns, figure.name))
    if path.exists():
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            return f"{path}: it cannot be read ({error})."
        if not (
            isinstance(record, dict) and record.get("lesson") in list(lessons) and _are_numbers(record.get("metrics"))
        ):
            return f"{path}: it is no record of a lesson of this course."
        failed_later = log.exists() and log.stat().st_mtime >= path.stat().st_mtime and _end(log)[1]
        return Run(record["lesson"], place.relative_to(top), record, figures, _end(log)[0] if failed_later else None)
    # Without a record only the folder's name tells the lesson: `run` calls it so, and by default the lesson itself.
    if place.name in lessons and (log.exists() or (place / "figures").is_dir()):
        last_words = _end(log)[0] if log.exists() else None
        return Run(place.name, place.relative_to(top), {}, figures, last_words)
    return None


def _are_numbers(metrics: object) -> bool:
    # A whole number may be too large for a float.
    return isinstance(metrics, dict) and all(
        isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**1023) for value in metrics.values()
    )


def _end(log: Path) -> tuple[str, bool]:
    """The last line of a log, and whether `run` has added that it failed."""
    try:
        with log.open("rb") as file:
            file.seek(max(log.stat().st_size - 65536, 0))
            text = file.read().decode("utf-8", errors="replace")
    except OSError as error:
        return f"It cannot be read ({error.strerror}).", False
    lines = [line for line in (" ".join(_CONTROL.sub("", line).split()) for line in re.split(r"[\r\n]", text)) if line]
    failed = bool(lines) and _FAILED.fullmatch(lines[-1]) is not None
    if failed and len(lines) > 1:
        return f"{lines[-1]}: {lines[-2]}", True
    return lines[-1] if lines else "It printed nothing.", failed
