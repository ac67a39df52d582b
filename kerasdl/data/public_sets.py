"""The public data sets of TensorFlow Datasets: read where they lie prepared, downloaded where there is a network."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

import requests
import tensorflow_datasets as tfds

# Seconds that a server may take to answer. TFDS itself tries ten times, for minutes, before it gives up.
_PATIENCE = 10


def _data_folder(data_dir: str | os.PathLike | None) -> Path:
    # TFDS itself reads the variable only once, when it is imported.
    folder = data_dir or os.environ.get("TFDS_DATA_DIR") or tfds.core.constants.DATA_DIR
    return Path(folder).expanduser()


def _base_name(name: str) -> str:
    """The name without configuration and version: `glue` of `glue/cola:2.0.0`."""
    return re.split("[/:]", name)[0]


def list_names() -> list[str]:
    """The names of all public data sets, without ours."""
    return [name for name in tfds.list_builders(with_community_datasets=False) if not name.startswith("kerasdl_")]


def exists(name: str, data_dir: str | os.PathLike | None) -> bool:
    """Whether TFDS has a data set of this name, or one lies prepared in the data folder."""
    base = _base_name(name)
    return base in list_names() or (bool(base) and (_data_folder(data_dir) / base).is_dir())


def make_builder(name: str, data_dir: str | os.PathLike | None) -> tfds.core.DatasetBuilder:
    """Makes the builder of a public data set, whether its data are there or not."""
    try:
        return tfds.builder(name, data_dir=_data_folder(data_dir))
    except (ValueError, AssertionError) as error:
        raise ValueError(f"TensorFlow Datasets cannot open {name!r}: {error}") from error


def open_builder(name: str, data_dir: str | os.PathLike | None, inside: Iterable[str]) -> tfds.core.DatasetBuilder:
    """Makes the builder of a public data set and downloads the data if they are not there yet.

    Args:
        name: TFDS's name, with configuration and version if wanted.
        data_dir: Where data sets stand, or None for `TFDS_DATA_DIR` or TFDS's own folder.
        inside: What to use without a network, for the error.

    Returns:
        A builder that has its data.
    """
    builder = make_builder(name, data_dir)
    if builder.data_path.exists():
        return builder
    folder = _data_folder(data_dir)
    try:
        for url in list(builder.url_infos)[:1]:
            requests.head(url, timeout=_PATIENCE, allow_redirects=True)
        # A folder of its own: TFDS knows extracted files by their bare names, and takes one data set's for another's.
        builder.download_and_prepare(download_dir=folder / "downloads" / _base_name(name))
    except (requests.ConnectionError, requests.Timeout) as error:
        raise ConnectionError(
            f"{name!r} is not in {folder} and cannot be downloaded: there is no answer from the network. "
            "Point `data_dir` or the environment variable TFDS_DATA_DIR to a folder that has it, "
            f"or use what ships inside: {', '.join(inside)}."
        ) from error
    return builder
