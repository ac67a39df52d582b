"""Runs lessons one after the other, each in a process of its own, and tells how each went."""

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from .catalogue import Lesson

# How long a lesson that was stopped may put its things in order, in seconds.
_PATIENCE = 10


@dataclasses.dataclass(frozen=True)
class Result:
    """How a lesson went.

    Args:
        lesson: Its name.
        seconds: From start to end, imports included.
        metrics: What it measured; empty where it failed.
        error: The last line it wrote where it failed, else None.
    """

    lesson: str
    seconds: float
    metrics: dict[str, float]
    error: str | None


def run(chosen: list[Lesson], out: Path, *, quick: bool) -> Iterator[Result]:
    """Runs the lessons; one that fails does not keep the others from running.

    A process each, as when one runs a lesson by hand: none sees the memory, the seeds or the threads of another. A log
    that ends in "exit code 1" or "interrupted" is one of a lesson that did not end well.

    Args:
        chosen: Which ones, in this order.
        out: Their results go to `out/<lesson>`, what they print to `out/<lesson>/log.txt`.
        quick: Whether to run them in seconds, only to see that they work.
    """
    for lesson in chosen:
        folder = out / lesson.name
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "log.txt"
        command = [sys.executable, "-m", f"{__package__}.{lesson.name}", "--out", str(folder), *["--quick"] * quick]
        record = folder / "metrics.json"
        earlier = _written(record)
        begin = time.perf_counter()
        try:
            code = _exit_code(command, path)
        except KeyboardInterrupt:
            if _written(record) == earlier:
                _append(path, "interrupted")
                raise
            # It came when all was done but the lesson's farewell.
            yield Result(lesson.name, time.perf_counter() - begin, _metrics(record), None)
            raise
        seconds = time.perf_counter() - begin
        if code == 0:
            yield Result(lesson.name, seconds, _metrics(record), None)
        else:
            lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
            last = next((line.strip() for line in reversed(lines) if line.strip()), "It printed nothing.")
            _append(path, f"exit code {code}")
            yield Result(lesson.name, seconds, {}, f"exit code {code}: {last}")


def _written(record: Path) -> int | None:
    """When a record was written; None where there is none."""
    return record.stat().st_mtime_ns if record.exists() else None


def _metrics(record: Path) -> dict[str, float]:
    return json.loads(record.read_text(encoding="utf-8"))["metrics"]


def _exit_code(command: list[str], log: Path) -> int:
    """Waits for a lesson, and where Ctrl-C comes, until it has put its things in order: it hears Ctrl-C as well."""
    process = None
    try:
        with log.open("w", encoding="utf-8") as file:
            process = subprocess.Popen(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL)
        return process.wait()
    except KeyboardInterrupt:
        if process is not None:
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                pass
            finally:  # also where Ctrl-C comes once more
                process.kill()
                process.wait()
        raise


def _append(log: Path, line: str) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
