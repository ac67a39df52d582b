"""From a file to a packed network."""

import os
from pathlib import Path
from typing import Any

from kerasdl.xnor.files import read_steps
from kerasdl.xnor.inputs import Input
from kerasdl.xnor.packed_model import PackedModel


def load(path: str | os.PathLike[str], custom_objects: dict[str, Any] | None = None) -> PackedModel:
    """A packed network from the file that its `save` wrote, equal bit for bit.

    Args:
        path: The file.
        custom_objects: Classes and functions of one's own, by name, that layers outside the packed part are made of;
            what is registered with Keras is found without.

    Example:
        >>> import tempfile
        >>> from kerasdl.architectures import binary_cnn
        >>> from kerasdl.xnor import load, pack
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pack(binary_cnn()).save(f"{folder}/network.xnor")
        ...     load(f"{folder}/network.xnor").name
        'binary_cnn'
    """
    about, steps = read_steps(Path(path), custom_objects)
    inputs = tuple(Input(name, tuple(shape), dtype) for name, shape, dtype in about["inputs"])
    return PackedModel(about["name"], inputs, steps, tuple(about["sources"]), about["outputs"])
