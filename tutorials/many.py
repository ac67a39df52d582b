"""Runs lessons one after the other, each in a process of its own, and tells how each went."""

import dataclasses
import gc
import json
import multiprocessing
import os
import runpy
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .catalogue import Lesson

# On Linux the processes of the lessons branch off one that has imported TensorFlow and the like, and done nothing else:
# that takes four seconds, half of a quick run. Elsewhere, where that is not safe, each imports all for itself.
_PROCESSES: Any = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
if sys.platform == "linux":
    _PROCESSES.set_forkserver_preload([f"{__package__}.common_imports"])

# How long a lesson that was stopped may put its things in order, in seconds.
_PATIENCE = 10


@dataclasses.dataclass(frozen=True)
class Result:
    """How a lesson went.

    Args:
        lesson: Its name.
        seconds: From start to end.
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
        arguments = ["--out", str(folder), *["--quick"] * quick]
        process = _PROCESSES.Process(target=_run, args=(f"{__package__}.{lesson.name}", arguments, path))
        record = folder / "metrics.json"
        earlier = _written(record)
        path.write_text("")
        begin = time.perf_counter()
        try:
            code = _exit_code(process)
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


def _run(module: str, arguments: list[str], log: Path) -> None:
    """In a process of its own: does what `python -m` does, and prints into a file."""
    with log.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = [sys.argv[0], *arguments]
    code: Any = None
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = ended.code
    except Exception:
        traceback.print_exc()
        code = 1
    # A process that branched off ends without what others do at their end: what a failed lesson has left open is closed
    # when nobody holds it any more.
    gc.collect()
    sys.exit(code)


def _exit_code(process: Any) -> int | None:
    """Waits for a lesson, and where Ctrl-C comes, until it has put its things in order: it hears Ctrl-C as well."""
    try:
        process.start()
        process.join()
    except KeyboardInterrupt:
        if process.pid is not None:
            try:
                process.join(_PATIENCE)
            finally:  # also where Ctrl-C comes once more
                process.kill()
                process.join()
        raise
    return process.exitcode


def _append(log: Path, line: str) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
