"""Prepared data sets on disk: written whole or not at all, and checked before anything of them is served."""

import contextlib
import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import tensorflow_datasets as tfds

from kerasdl.data import quiet

CHECKSUMS = "checksums.json"

# What was already checked in this process: reading everything once is enough.
_intact: set[Path] = set()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def build(make_builder: Callable[..., tfds.core.DatasetBuilder], folder: Path) -> None:
    """Prepares a data set in `folder`, which appears only when all of it is written, checksums included.

    Args:
        make_builder: Makes the builder when called with `data_dir`.
        folder: Where the prepared files shall stand, as in `.../kerasdl_photos/1.0.0`. Only one process at a time may
            build the same folder.
    """
    # Beside its final place, so that moving it there is one step that cannot be seen half done.
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        # TFDS prints that it is downloading, which none of ours does; its progress bars go to another stream.
        with quiet.without_notes(), contextlib.redirect_stdout(io.StringIO()):
            builder = make_builder(data_dir=unfinished)
            builder.download_and_prepare(download_dir=unfinished / "downloads")
        checksums = {path.name: _sha256(path) for path in sorted(builder.data_path.iterdir())}
        written = Path(builder.data_path)
        (written / CHECKSUMS).write_text(json.dumps(checksums, indent=2) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        written.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def is_built(folder: Path) -> bool:
    """Whether a data set stands in `folder`, whole as far as its list of files goes."""
    return (folder / CHECKSUMS).is_file()


def verify(folder: Path, remedy: str) -> None:
    """Compares the files of a prepared data set with their checksums, once in a process.

    Args:
        folder: The folder that `build` wrote.
        remedy: What to do about a damaged file, said in the error.

    Raises:
        OSError: A file is missing or is not what was written.
    """
    folder = folder.resolve()
    if folder in _intact:
        return
    try:
        checksums = dict(json.loads((folder / CHECKSUMS).read_text()))
        if any(".tfrecord" in path.name and path.name not in checksums for path in folder.iterdir()):
            raise ValueError("Some data have no checksum.")
    except (OSError, ValueError, TypeError):
        raise OSError(f"The list of checksums {folder / CHECKSUMS} cannot be read. {remedy}") from None
    for name, expected in checksums.items():
        path = folder / name
        if not path.is_file():
            raise OSError(f"The data file {path} is missing. {remedy}")
        received = _sha256(path)
        if received != expected:
            raise OSError(
                f"The data file {path} is damaged: its SHA-256 must be {expected}. Received: {received}. {remedy}"
            )
    _intact.add(folder)
