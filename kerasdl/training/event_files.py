"""Files that callbacks write on and on: cut to where they were at the backup, so that no step is shown twice."""

import os
import re
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import keras

from kerasdl.training.keras_internals import close_writers, flush_writers

# events.out.tfevents.<second in which it was made>.<host>.<process>.<count>.v2
_NAME = re.compile(r"events\.out\.tfevents\.(\d+)\.(.+)\.(\d+)\.\d+(\..*)?")


@contextmanager
def closed_after_errors(callbacks: Iterable[keras.callbacks.Callback]) -> Iterator[None]:
    """Closes what callbacks have open where a training ends in an error, for then nobody calls `on_train_end`."""
    try:
        yield
    except BaseException:
        with ExitStack() as stack:  # All of them, also where one cannot be closed, as on a full disk.
            for callback in callbacks:
                stack.callback(close_writers, callback)
                if hasattr(callback, "log_dir") and callable(getattr(callback, "close", None)):
                    stack.callback(callback.close)
                if isinstance(callback, keras.callbacks.CSVLogger) and callback.csv_file is not None:
                    stack.callback(callback.csv_file.close)
        raise


class EventFiles:
    """TensorBoard's files under the callbacks' `log_dir`, and the tables of `CSVLogger`.

    Other runs may write into the same folders, so a file is ours only where its name says that it was made by one of
    the processes of this run, while that ran. Which those are stands in a small text file beside the backups.

    Args:
        callbacks: The callbacks that write.
        attempts: The text file that names the processes.
    """

    def __init__(self, callbacks: Iterable[keras.callbacks.Callback], attempts: Path) -> None:
        self._callbacks = list(callbacks)
        self._attempts = attempts
        self._here = Path.cwd()  # From here relative paths are meant, whatever folder the process works in later.

    def begin(self) -> None:
        """Says that this process writes from now on."""
        self._note("begin")

    def end(self) -> None:
        """Says that this process writes no more."""
        self._note("end")

    def flush(self) -> None:
        """Puts on the disk what was written."""
        for callback in self._callbacks:
            flush_writers(callback)
            if hasattr(callback, "log_dir") and callable(getattr(callback, "flush", None)):
                callback.flush()

    def sizes(self) -> dict[str, Any]:
        """How long each file is, after all was written that callbacks still held back."""
        self.flush()
        events = {
            str(folder): {name: _size_on_disk(path) for name, path in self._ours(folder).items()}
            for folder in self._folders()
        }
        return {"events": events, "tables": {table: _size_on_disk(self._here / table) for table in self._tables()}}

    def cut(self, sizes: dict[str, Any] | None) -> None:
        """Takes away what was written after the backup in which these sizes stand.

        Args:
            sizes: What `sizes` returned; None where there is no backup, and earlier attempts count for nothing.
        """
        if sizes is None:
            for folder in self._folders():
                for path in self._ours(folder).values():
                    path.unlink()
            return
        for folder in self._folders():
            known = sizes["events"].get(str(folder))
            if known is None:
                continue  # A callback that was not there then.
            for name, path in self._ours(folder).items():
                size = known.get(name)
                if size is None:
                    path.unlink()
                else:
                    _shorten(path, size)
        for table, callback in self._tables().items():
            if table in sizes["tables"]:
                _shorten(self._here / table, sizes["tables"][table])
                callback.append = True  # Or it would begin the table anew, and the lines so far were lost.
        for callback in self._callbacks:
            if isinstance(callback, keras.callbacks.TensorBoard) and str(Path(callback.log_dir)) in sizes["events"]:
                callback.write_graph = False  # It stands in the file of the first attempt.

    def _folders(self) -> list[Path]:
        return sorted({Path(callback.log_dir) for callback in self._callbacks if getattr(callback, "log_dir", None)})

    def _tables(self) -> dict[str, Any]:
        tables = {
            callback.filename: callback
            for callback in self._callbacks
            if isinstance(callback, keras.callbacks.CSVLogger)
        }
        return {name: callback for name, callback in tables.items() if (self._here / name).exists()}

    def _ours(self, folder: Path) -> dict[str, Path]:
        spans = self._spans()
        found = {}
        for path in sorted((self._here / folder).rglob("*tfevents*")):
            match = _NAME.fullmatch(path.name)
            if match and any(begin <= int(match[1]) <= end for begin, end in spans.get((match[2], match[3]), ())):
                found[str(path.relative_to(self._here / folder))] = path
        return found

    def _note(self, what: str) -> None:
        with open(self._attempts, "a", encoding="utf-8") as file:
            file.write(f"{what} {int(time.time())} {socket.gethostname()} {os.getpid()}\n")
            file.flush()
            os.fsync(file.fileno())

    def _spans(self) -> dict[tuple[str, str], list[list[float]]]:
        """From when to when each process wrote, as (host, process) -> spans of seconds."""
        spans: dict[tuple[str, str], list[list[float]]] = {}
        if not self._attempts.exists():
            return spans
        for line in self._attempts.read_text(encoding="utf-8").splitlines():
            words = line.split(" ")
            if len(words) != 4:
                continue  # The process was killed while it wrote the line, and has written nothing else yet.
            what, second, host, process = words
            known = spans.setdefault((host, process), [])
            if what == "begin":
                known.append([int(second), float("inf")])
            elif known:
                known[-1][1] = int(second)
        return spans


def _size_on_disk(path: Path) -> int:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    return path.stat().st_size


def _shorten(path: Path, size: int) -> None:
    if path.stat().st_size > size:
        os.truncate(path, size)
