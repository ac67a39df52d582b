"""Which data sets there are by name: those that ship inside, those that are drawn, and all of TFDS."""

import dataclasses
import difflib
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import tensorflow_datasets as tfds

from kerasdl.data import balloons, integrity, public_sets, quiet, shapes

PREPARED = Path(__file__).parent / "prepared"
# Real data, prepared once by `kerasdl.data.prepare` and read only.
SHIPPED = ("fashion_sample", "messages", "photos", "sentence_pairs", "shakespeare", "tagged_sentences")


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A data set that code draws on the user's machine.

    Args:
        builder: The builder's class.
        config: Makes the configuration for a size, or the default one without.
        counts: The examples of each split, to be told before anything is drawn.
    """

    builder: type[tfds.core.DatasetBuilder]
    config: Callable[..., tfds.core.BuilderConfig]
    counts: dict[str, int]


DRAWN = {
    "shapes/one": Drawn(shapes.KerasdlShapes, functools.partial(shapes.ShapesConfig, kind="one"), shapes.COUNTS),
    "shapes/pair": Drawn(shapes.KerasdlShapes, functools.partial(shapes.ShapesConfig, kind="pair"), shapes.COUNTS),
    "balloons": Drawn(balloons.KerasdlBalloons, balloons.BalloonsConfig, balloons.COUNTS),
}

INSIDE = tuple(sorted((*SHIPPED, *DRAWN)))


def shipped_folder(name: str) -> Path:
    """Where a data set of `SHIPPED` stands in the package."""
    return PREPARED / f"kerasdl_{name}" / "1.0.0"


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kerasdl"


def _configure(name: str, size: int | None) -> tfds.core.BuilderConfig:
    try:
        return DRAWN[name].config() if size is None else DRAWN[name].config(size=size)
    except ValueError as error:
        raise ValueError(f"{name!r} cannot be drawn with image_size={size!r}: {error}") from None


def _open_shipped(name: str) -> tfds.core.DatasetBuilder:
    folder = shipped_folder(name)
    integrity.verify(folder, "Install kerasdl again.")
    return tfds.builder_from_directory(folder)


def _open_drawn(name: str, size: int | None, data_dir: Path) -> tfds.core.DatasetBuilder:
    config = _configure(name, size)
    make: Any = DRAWN[name].builder
    folder = data_dir / make.name / config.name / str(make.VERSION)
    try:
        if not integrity.is_built(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            # Of several processes that want it one draws and the others wait.
            with filelock.FileLock(folder.parent / "lock"):
                if not integrity.is_built(folder):
                    sides = f"{config.size}x{config.size}"
                    print(f"Drawing {name} ({sides}) once into {folder}.", file=sys.stderr)
                    integrity.build(functools.partial(make, config=config), folder)
    except OSError as error:
        raise OSError(
            f"{name!r} is drawn once on this machine and cannot be written to {folder}: {error.strerror or error}. "
            "Name another folder with `data_dir` or with the environment variable XDG_CACHE_HOME."
        ) from error
    integrity.verify(folder, "Delete this folder and it will be drawn again.")
    return tfds.builder_from_directory(folder)


def open_builder(
    name: str, *, size: int | None = None, data_dir: str | os.PathLike | None = None
) -> tfds.core.DatasetBuilder:
    """Opens a data set for reading, drawing or downloading it where it is not there yet.

    Args:
        name: A name of `INSIDE` or of TFDS, which `check_name` has found good.
        size: The side of the pictures of a drawn data set; others take no notice.
        data_dir: Where drawn and downloaded data sets stand; those that ship inside take no notice.

    Returns:
        A builder that has its data.
    """
    if name in SHIPPED:
        return _open_shipped(name)
    if name in DRAWN:
        return _open_drawn(name, size, _cache_folder() if data_dir is None else Path(data_dir).expanduser())
    return public_sets.open_builder(name, data_dir, INSIDE)


def describe_builder(
    name: str, data_dir: str | os.PathLike | None = None
) -> tuple[tfds.core.DatasetInfo, dict[str, int]]:
    """What is known of a data set without reading, drawing or downloading it: TFDS's info and the splits' sizes."""
    check_name(name, data_dir)
    if name in DRAWN:
        drawn = DRAWN[name]
        with quiet.without_notes():
            return drawn.builder(config=_configure(name, None), data_dir=_cache_folder()).info, dict(drawn.counts)
    folder = shipped_folder(name)
    builder = tfds.builder_from_directory(folder) if name in SHIPPED else public_sets.make_builder(name, data_dir)
    return builder.info, {split: part.num_examples for split, part in builder.info.splits.items()}


def is_name(name: str, data_dir: str | os.PathLike | None = None) -> bool:
    """Whether there is a data set of this name."""
    return name in INSIDE or public_sets.exists(name, data_dir)


def check_name(name: str, data_dir: str | os.PathLike | None = None) -> None:
    """Refuses what is no data set's name, and names the closest."""
    if not isinstance(name, str):
        raise TypeError(f"`name` must be a string such as 'fashion_sample'. Received: name={name!r}.")
    if is_name(name, data_dir):
        return
    known = [*INSIDE, *public_sets.list_names()]
    # "shapes" is close to "shapes/one" for people, if not for difflib.
    close = [other for other in INSIDE if other.split("/")[0] == name] or difflib.get_close_matches(name, known, n=3)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    if name and Path(name).is_dir():
        hint = f" For a folder of your own images use kerasdl.data.from_folder({name!r})."
    raise ValueError(
        f"There is no data set {name!r}.{hint} These ship inside: {', '.join(INSIDE)}; any name of TensorFlow Datasets "
        "works too."
    )
