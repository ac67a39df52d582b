"""Starts several workers of one program on this machine, for trying out what otherwise needs several machines.

    python -m kerasdl.training.launch --workers 3 -m tutorials.lenet --quick
    python -m kerasdl.training.launch --workers 2 --restarts 5 train.py --epochs 20

Each worker is a process that finds in `TF_CONFIG` where the others are, as on a cluster; a program that takes its
strategy from `kerasdl.training.strategy()` needs no change to go from here to there. What the first worker, the chief,
prints is shown. Where one fails, all are ended, and with `--restarts` all are started again: training goes on from its
backup, where the program keeps one (`training.fit(backup_dir=...)`).
"""

import contextlib
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from kerasdl.training.checks import check_count
from kerasdl.training.local_workers import Group, Worker, share_out, visible_gpus

# A worker that lost another one may hang for ever, so it gets this long to end when it is told to.
_SECONDS_TO_END = 5.0
# After a signal from outside the chief may still be writing a large backup when the others have ended.
_SECONDS_TO_SAVE = 60.0
# When one has ended well and the others do not follow, one may want to know.
_SECONDS_TO_FOLLOW = 60.0
_POLL_SECONDS = 0.02
# By convention a command line that was not understood, which no second attempt makes better.
_WRONG_USAGE = 2
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_workers(command: Sequence[str], *, workers: int, restarts: int = 0, show_all: bool = False) -> int:
    """Runs a program as several workers and waits for their end.

    SIGINT, SIGTERM and SIGHUP are passed on to the workers (each time anew: the second Ctrl-C is theirs as well), and
    raised here when all have ended.

    Args:
        command: What comes behind `python`: a script or `-m module`, and its arguments.
        workers: How many.
        restarts: How often to start all again where one fails; never after the exit code 2, a wrong command line.
        show_all: Whether to show what all print, each line behind its worker's number, and not only the chief's.

    Returns:
        0 where all workers ended well, else the exit code of the one that failed first; 128 and the signal's number
        where it was killed.
    """
    workers = check_count("workers", workers)
    if isinstance(restarts, bool) or not isinstance(restarts, int) or restarts < 0:
        raise ValueError(f"`restarts` must be a whole number, 0 or more. Received: restarts={restarts!r}.")
    if isinstance(command, str) or not command:
        raise ValueError(f'`command` must be a list of words such as ["train.py", "--fast"]. Received: {command!r}.')
    if share_out(visible_gpus(), workers)[:1] == ["-1"]:
        _say(f"{workers} workers, and fewer GPUs: all of them compute on the CPU.")
    received: list[int] = []
    with _collected(received), tempfile.TemporaryDirectory(prefix="workers") as folder:
        for attempt in range(restarts + 1):
            begin = time.monotonic()
            group = Group(command, workers, Path(folder), show_all=show_all)
            try:
                failed, early = _watch(group, received)
            finally:
                group.kill()
                group.finish()
            if failed is None or received:
                break
            _say(f"Worker {failed.index} {failed.ending} after {time.monotonic() - begin:.0f} s.", failed.last_lines())
            for worker in early:
                _say(f"Before that worker {worker.index} had {worker.ending}.", worker.last_lines())
            if failed.exit_code == _WRONG_USAGE:
                break
            if attempt < restarts:
                _say(f"Starting all {workers} again (restart {attempt + 1} of {restarts}).")
    if received:
        signal.raise_signal(received[-1])
    return failed.exit_code if failed else 0


def _watch(group: Group, received: list[int]) -> tuple[Worker | None, list[Worker]]:
    """Waits until all have ended; returns the one that failed first, and those that had ended well by then."""
    first, early, deadline, passed_on = None, [], float("inf"), 0
    told, last_end = False, float("inf")
    while group.running():
        for signum in received[passed_on:]:
            group.send(signal.SIGTERM if signum == signal.SIGHUP else signum)
            passed_on += 1
        ended = group.newly_ended()
        failed = [worker for worker in ended if worker.code]
        if ended:
            last_end = time.monotonic()
        if first is None and not told and not received and time.monotonic() > last_end + _SECONDS_TO_FOLLOW:
            told = True
            others = [worker.index for worker in group.running()]
            _say(f"Workers {others} still run, {_SECONDS_TO_FOLLOW:.0f} s after another ended with exit code 0.")
        if failed and first is None:
            first, early = failed[0], [worker for worker in group.workers if worker.code == 0]
            if not received:
                group.send(signal.SIGTERM)
            deadline = time.monotonic() + (_SECONDS_TO_SAVE if received else _SECONDS_TO_END)
        if time.monotonic() > deadline:
            group.kill()
        time.sleep(_POLL_SECONDS)
    return first, early


@contextlib.contextmanager
def _collected(received: list[int]) -> Iterator[None]:
    """Notes signals instead of letting them end this process; those that it ignores stay ignored."""
    if threading.current_thread() is not threading.main_thread():  # Python lets no other thread have handlers.
        yield
        return

    def note(signum: int, frame: FrameType | None) -> None:
        received.append(signum)

    before = {signum: signal.getsignal(signum) for signum in _PASSED_ON}
    before = {signum: handler for signum, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for signum in before:
        signal.signal(signum, note)
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _say(line: str, more: str = "") -> None:
    sys.stdout.flush()
    print(f"launch: {line}\n{more}", end="", file=sys.stderr, flush=True)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


# What stands behind the program's name is the program's.
@app.command(context_settings={"allow_interspersed_args": False})
def main(
    program: Annotated[list[str], typer.Argument(help="A script, or with -m a module; then its arguments.")],
    workers: Annotated[int, typer.Option(min=1, help="How many processes.")],
    restarts: Annotated[int, typer.Option(min=0, help="How often to start all again where one fails.")] = 0,
    module: Annotated[bool, typer.Option("-m", help="The program is a module, as in python -m.")] = False,
    show_all: Annotated[bool, typer.Option("--show-all", help="Show what every worker prints.")] = False,
) -> None:
    """Runs a program as several workers on this machine. The options stand before the program."""
    command = ["-m", *program] if module else program
    try:
        code = run_workers(command, workers=workers, restarts=restarts, show_all=show_all)
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    raise typer.Exit(code)


if __name__ == "__main__":
    app(prog_name="python -m kerasdl.training.launch")
