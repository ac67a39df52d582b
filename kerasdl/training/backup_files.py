"""A backup as a file: written whole or not at all, and trusted only after its checksum was computed again."""

import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import numpy as np

_MAGIC = b"kerasdl backup 1\n"
_KEPT = 3


class BackupFolder:
    """The newest few backups of one run.

    Args:
        folder: Where they are; it is made where it is not there yet.
        writes: Whether this process writes them; the others of a group only read.
    """

    def __init__(self, folder: str | Path, *, writes: bool = True) -> None:
        if not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
            raise ValueError(f"`backup_dir` must be the path of a folder. Received: backup_dir={folder!r}.")
        self.path = Path(folder).absolute()  # Whatever folder the process works in later.
        self._damaged: list[Path] = []
        self._lock = filelock.FileLock(self.path / "lock", is_singleton=True)
        if writes:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise self._refusal(error) from error

    def lock(self) -> None:
        """Keeps out a second training, whose backups would be taken for those of this one."""
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise ValueError(
                f"`backup_dir` must belong to one training at a time. Received: backup_dir={self.path}, into which "
                "another one writes."
            ) from None
        except NotImplementedError:
            pass  # A file system that knows no locks.
        except OSError as error:
            raise self._refusal(error) from error
        try:
            # Of a process that was killed while it wrote; not before the lock is ours, or that process may still write.
            for partial in self.path.glob(".*.partial"):
                partial.unlink()
            probe = self.path / ".probe.partial"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            self.unlock()
            raise self._refusal(error) from error

    def _refusal(self, error: OSError) -> OSError:
        return OSError(
            f"`backup_dir` must be a folder one may write to. Received: backup_dir={self.path} "
            f"({error.strerror or error})."
        )

    def unlock(self) -> None:
        """Lets the next one in; the end of a process does so as well."""
        self._lock.release(force=True)  # Also what a training in this process has left locked that ended in an error.

    def save(self, content: dict[str, Any], name: str | None = None) -> None:
        """Writes a backup and, once it is on the disk, removes those that are too many.

        Args:
            content: What `encode` takes.
            name: The file's name; None gives the next number.
        """
        numbered = self._numbered()
        path = self.path / (name or f"backup-{1 + max(numbered, default=0):06d}")
        try:
            write_whole(path, encode(content))
        except OSError as error:
            last = f"The last good one is {numbered[max(numbered)].name}" if numbered else "There is none before it"
            raise OSError(
                f"The backup cannot be written to {path} ({error.strerror or error}). {last}: make room, and start the "
                "same command again."
            ) from error
        for damaged in self._damaged:
            damaged.unlink(missing_ok=True)
        self._damaged = []
        for _, old in sorted(self._numbered().items())[:-_KEPT]:
            old.unlink()

    def newest(self) -> dict[str, Any] | None:
        """The newest backup that is whole, None where there is none at all."""
        numbered = self._numbered()
        for number in sorted(numbered, reverse=True):
            content = self.read(numbered[number].name)
            if content is not None:
                return content
        if numbered:
            raise ValueError(
                f"One of the backups in {self.path} must be whole. None is: remove the folder to begin anew, or give "
                "another `backup_dir`."
            )
        return None

    def read(self, name: str) -> dict[str, Any] | None:
        """The content of one file; None, and a warning, where it is damaged; None where it is not there."""
        path = self.path / name
        try:
            return decode(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            warnings.warn(f"The backup {path} is damaged and not used: {error}", stacklevel=2)
            self._damaged.append(path)
            return None

    def _numbered(self) -> dict[int, Path]:
        matches = {path: re.fullmatch(r"backup-(\d+)", path.name) for path in self.path.glob("backup-*")}
        return {int(match[1]): path for path, match in matches.items() if match}


def write_whole(path: Path, chunks: Iterator[bytes | memoryview]) -> None:
    """Writes a file so that at every moment, also of a power cut, it is either the old one or the new one.

    Args:
        path: The file.
        chunks: Its content.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with open(partial, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def encode(content: Any) -> Iterator[bytes | memoryview]:
    """The file of a tree of dictionaries, lists, strings, numbers and arrays: a text that says what is where, the
    arrays' bytes, and the SHA-256 of all that.

    No pickle: a file that somebody else has written must not be able to run code.
    """
    arrays: list[np.ndarray] = []
    text = json.dumps(_to_text(content, arrays, "backup")).encode()
    digest = hashlib.sha256()
    chunks: list[Any] = [
        _MAGIC,
        len(text).to_bytes(8, "little"),
        text,
        *(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data for array in arrays),
    ]
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
    yield digest.digest()


def check_content(content: Any, where: str) -> None:
    """Refuses what `encode` cannot write.

    Args:
        content: What is to be written.
        where: How an error calls it.
    """
    _to_text(content, [], where)


def decode(data: bytes) -> Any:
    """The tree of a file that `encode` wrote.

    Raises:
        ValueError: Where the file is not what was written.
    """
    size = hashlib.sha256().digest_size
    if len(data) < len(_MAGIC) + 8 + size:
        raise ValueError(f"it holds only {len(data)} bytes.")
    if not data.startswith(_MAGIC):
        raise ValueError("it does not begin as a backup does.")
    if hashlib.sha256(memoryview(data)[:-size]).digest() != data[-size:]:
        raise ValueError("its checksum is not that of its content.")
    begin = len(_MAGIC) + 8
    end = begin + int.from_bytes(data[begin - 8 : begin], "little")
    return _from_text(json.loads(data[begin:end]), data, end)


def _to_text(content: Any, arrays: list[np.ndarray], where: str) -> Any:
    if content is None or isinstance(content, bool | str) or type(content) in (int, float):
        return content
    if isinstance(content, dict) and all(isinstance(key, str) for key in content):
        return {"dict": {key: _to_text(value, arrays, f"{where}/{key}") for key, value in content.items()}}
    if isinstance(content, list | tuple):
        items = [_to_text(value, arrays, f"{where}/{index}") for index, value in enumerate(content)]
        return {"tuple" if isinstance(content, tuple) else "list": items}
    if isinstance(content, np.ndarray | np.generic) and content.dtype.kind != "O":
        arrays.append(np.asarray(content))
        kind = "array" if isinstance(content, np.ndarray) else "scalar"
        # bfloat16 and its like have a name, but no code of their own.
        dtype = content.dtype.name if content.dtype.kind == "V" else content.dtype.str
        return {kind: [dtype, list(content.shape)]}
    if callable(getattr(content, "numpy", None)):  # A tensor or a variable, which callbacks put among the logs.
        return _to_text(np.asarray(content.numpy())[()], arrays, where)
    raise TypeError(
        "A state must consist of numbers, strings, NumPy arrays, lists, and dictionaries with strings as keys. "
        f"Received: {type(content).__name__} in {where}."
    )


def _from_text(text: Any, data: bytes, offset: int) -> Any:
    """The tree again; the arrays lie from `offset` on, in the order in which the text names them."""

    def build(text: Any) -> Any:
        nonlocal offset
        if not isinstance(text, dict):
            return text
        ((kind, value),) = text.items()
        if kind == "dict":
            return {key: build(item) for key, item in value.items()}
        if kind in ("list", "tuple"):
            items = [build(item) for item in value]
            return tuple(items) if kind == "tuple" else items
        dtype, shape = np.dtype(value[0]), tuple(value[1])
        count = int(np.prod(shape, dtype=np.int64))
        array = np.frombuffer(data, dtype, count, offset).reshape(shape).copy()
        offset += array.nbytes
        return array if kind == "array" else array[()]

    return build(text)
