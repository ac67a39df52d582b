"""The files that TensorBoard's projector reads: points, what is known of each, a picture of each, and where all lie."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kerasdl.callbacks.images import displayable, sheet

CONFIG = "projector_config.pbtxt"  # TensorBoard looks for this name, in a run's folder.
_FOLDER = "projector"
_LARGEST_SHEET, _LARGEST_PICTURE = 8192, 64  # Pixels; the projector takes no larger sheet.


def write_points(
    log_dir: Path,
    name: str,
    points: np.ndarray,
    columns: Mapping[str, Sequence[Any]],
    pictures: tuple[str, int] | None = None,
) -> None:
    """Writes points, and lists them beside those that `log_dir` has already. Files of this name are replaced.

    Every file is complete as soon as it is there. Numbers are written as text: of a binary file the projector guesses
    that it is one, and guesses wrong where the bytes happen to be letters.

    Args:
        log_dir: The run's folder.
        name: What they are called in the projector, such as "embeddings/features".
        points: `(N, dimensions)`.
        columns: What is known of each point: heading and N values; at least one column.
        pictures: What `write_pictures` returned for these points.
    """
    folder = Path(_FOLDER) / name
    # The projector looks for three principal components, and shows nothing where there are fewer dimensions.
    points = np.pad(points, ((0, 0), (0, max(0, 3 - points.shape[1]))))
    lines = ["\t".join(f"{number:.6g}" for number in point) for point in points.tolist()]
    _write(log_dir / folder / "tensor.tsv", "\n".join(lines) + "\n")
    rows = ["\t".join(map(_cell, row)) for row in zip(*columns.values(), strict=True)]
    # A file of one column has no heading: the projector would take it for a point.
    heading = ["\t".join(map(_cell, columns))] if len(columns) > 1 else []
    _write(log_dir / folder / "metadata.tsv", "\n".join(heading + rows) + "\n")
    _list(log_dir, name, folder, points.shape, pictures)


def write_pictures(log_dir: Path, name: str, images: np.ndarray) -> tuple[str, int]:
    """Writes small pictures of images as one large one.

    Args:
        log_dir: The run's folder.
        name: Of the points they belong to.
        images: `(N, height, width[, channels])`, of any range.

    Returns:
        The file, as seen from `log_dir`, and the side of one picture.
    """
    tiles = displayable(images)
    side = math.ceil(math.sqrt(len(tiles)))
    largest = min(_LARGEST_PICTURE, _LARGEST_SHEET // side)
    height, width = tiles.shape[1:3]
    if max(height, width) > largest:
        factor = largest / max(height, width)
        height, width = max(round(height * factor), 1), max(round(width * factor), 1)
        tiles = tf.cast(tf.round(tf.image.resize(tiles, (height, width), "area")), "uint8").numpy()
    # The projector draws every picture as a square, and wants as many rows as columns.
    square = max(height, width)
    top, left = (square - height) // 2, (square - width) // 2
    squares = np.full((side * side, square, square, 3), 255, "uint8")
    squares[: len(tiles), top : top + height, left : left + width] = tiles
    png = tf.io.encode_png(sheet(squares, side, gap=0)).numpy()
    path = Path(_FOLDER) / name / "sprite.png"
    _write(log_dir / path, png)
    return path.as_posix(), square


def read_config(log_dir: Path) -> Any:
    """What the projector knows of in a run's folder: a `ProjectorConfig`, which is empty where there is none yet.

    Args:
        log_dir: The run's folder.
    """
    from google.protobuf import text_format
    from tensorboard.plugins import projector

    config, path = projector.ProjectorConfig(), log_dir / CONFIG
    if path.exists():
        try:
            text_format.Parse(path.read_text(), config)
        except text_format.ParseError as error:
            raise ValueError(f"Expected {path} to be the projector's: mend or remove it. Received: {error}") from None
    return config


def _list(log_dir: Path, name: str, folder: Path, shape: tuple[int, ...], pictures: Any) -> None:
    """Adds the points to those that the projector knows of, in place of earlier ones of the same name."""
    from google.protobuf import text_format
    from tensorboard.plugins import projector

    config = read_config(log_dir)
    others = [entry for entry in config.embeddings if entry.tensor_name != name]
    entry = projector.EmbeddingInfo(
        tensor_name=name,
        tensor_shape=shape,
        tensor_path=(folder / "tensor.tsv").as_posix(),
        metadata_path=(folder / "metadata.tsv").as_posix(),
    )
    if pictures is not None:
        entry.sprite.image_path = pictures[0]
        entry.sprite.single_image_dim.extend([pictures[1], pictures[1]])
    del config.embeddings[:]
    config.embeddings.extend([*others, entry])
    _write(log_dir / CONFIG, text_format.MessageToString(config))


def _write(path: Path, content: str | bytes) -> None:
    """Writes a file that is there as a whole or not at all: a TensorBoard may be reading."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_bytes(content if isinstance(content, bytes) else content.encode())
    os.replace(unfinished, path)


def _cell(value: Any) -> str:
    """A value without what ends a column or a line. The projector shows nothing for an empty one."""
    return " ".join(str(value).split()) or "(empty)"
