"""The file of a packed network: a header of JSON, arrays as they lie in memory, and a checksum over all of it.

Layout, little-endian: magic (8 bytes), version (u32), length of the header (u64), length of the file (u64), CRC-32 of
these (u32); the header; the arrays, each beginning at a multiple of 64 bytes; SHA-256 of everything before it.
"""

import contextlib
import hashlib
import json
import math
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

VERSION = 1

# With bytes that a transfer as text would change, as in PNG.
_MAGIC = b"\x89kdX\r\n\x1a\n"
_HEAD = struct.Struct("<8sIQQ")
_BEGIN = _HEAD.size + 4
_ALIGNMENT = 64
_DIGEST = hashlib.sha256().digest_size


def write_container(path: Path, header: dict[str, Any], arrays: Sequence[np.ndarray]) -> None:
    """Writes it beside the path, and then puts it in its place: the file is there whole or not at all.

    Args:
        path: Where to; a file that is there is replaced.
        header: What JSON knows.
        arrays: Numbers of any of TensorFlow's dtypes.
    """
    if path.is_dir():
        raise IsADirectoryError(f"`path` must be a file. Received: the folder {str(path)!r}. Add a name to it.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder {str(path.parent)!r} must be there to save in. Make it first.")
    places: list[dict[str, Any]] = []
    position = 0
    for array in arrays:
        places.append({"dtype": array.dtype.name, "shape": list(array.shape), "offset": position})
        position += _aligned(array.nbytes)
    text = json.dumps({**header, "arrays": places}).encode()
    start = _aligned(_BEGIN + len(text))
    head = _HEAD.pack(_MAGIC, VERSION, len(text), start + position + _DIGEST)
    content = bytearray(start + position + _DIGEST)
    content[: _BEGIN + len(text)] = head + struct.pack("<I", zlib.crc32(head)) + text
    for array, place in zip(arrays, places, strict=True):
        begin = start + place["offset"]
        content[begin : begin + array.nbytes] = _little_endian(array).tobytes()
    content[-_DIGEST:] = hashlib.sha256(memoryview(content)[:-_DIGEST]).digest()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def read_container(path: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The header and the arrays of a file that is whole; of any other the error says what is wrong with it."""
    shown = str(path)
    if path.is_dir():
        raise IsADirectoryError(f"`path` must be the file of a packed network. Received: the folder {shown!r}.")
    if not path.exists():
        raise FileNotFoundError(f"There is no file {shown!r}. `PackedModel.save(path)` writes one.")
    content = memoryview(path.read_bytes())
    length, end = _check(content, shown)
    header = json.loads(bytes(content[_BEGIN : _BEGIN + length]))
    numbers = content[_aligned(_BEGIN + length) : end]
    return header, [_array(numbers, **place) for place in header.pop("arrays")]


def _check(content: memoryview, shown: str) -> tuple[int, int]:
    """Refuses what is not a whole file; gives the length of the header, and where the checksum begins."""
    if not content:
        raise ValueError(f"The file {shown!r} is empty. Save the packed network again.")
    if bytes(content[: len(_MAGIC)]) != _MAGIC[: len(content)]:
        raise ValueError(f"{shown!r} is no file of a packed network. {_guess(bytes(content[:8]))}")
    if len(content) < _BEGIN:
        raise ValueError(f"The file {shown!r} is cut off: it ends after {len(content)} bytes. Copy or save it again.")
    _, version, length, total = _HEAD.unpack_from(content)
    damaged = f"The file {shown!r} is damaged: its checksum does not fit what is in it. Copy or save it again."
    if struct.pack("<I", zlib.crc32(content[: _HEAD.size])) != content[_HEAD.size : _BEGIN]:
        raise ValueError(damaged)
    if version > VERSION:
        raise ValueError(
            f"The file {shown!r} has the format {version}, and this version of kerasdl reads formats up to {VERSION}. "
            "Update kerasdl, or save the network again with the version that is here."
        )
    if len(content) < total:
        raise ValueError(
            f"The file {shown!r} is cut off: it has {len(content):,} of {total:,} bytes. Copy or save it again."
        )
    end = total - _DIGEST
    if len(content) > total or hashlib.sha256(content[:end]).digest() != content[end:]:
        raise ValueError(damaged)
    return length, end


def _guess(start: bytes) -> str:
    if start.startswith(b"PK") or start == b"\x89HDF\r\n\x1a\n":
        return "If it is a Keras model, open it with keras.saving.load_model, and kerasdl.xnor.pack packs it."
    return f"It begins with {start!r}. `PackedModel.save(path)` writes the files that `load` reads."


def _array(numbers: memoryview, dtype: str, shape: list[int], offset: int) -> np.ndarray:
    """A copy, so that the bytes of the file need not stay."""
    array = np.frombuffer(numbers, np.dtype(tf.as_dtype(dtype).as_numpy_dtype), math.prod(shape), offset)
    return np.array(_little_endian(array)).reshape(shape)


def _little_endian(array: np.ndarray) -> np.ndarray:
    """The array with the bytes of each number in the other order where this machine has them so; and back."""
    return array if np.little_endian else array.byteswap()


def _aligned(position: int) -> int:
    return -(-position // _ALIGNMENT) * _ALIGNMENT
