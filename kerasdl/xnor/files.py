"""What a packed network's file says: its steps by kind, with their settings and their arrays.

Nothing in it is code: layers that run in Keras are Keras' configuration of them, and are made in safe mode.
"""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasdl.xnor.containers import read_container, write_container
from kerasdl.xnor.convolution_steps import ConvolveBits, ConvolveFloats
from kerasdl.xnor.keras_part import KerasPart
from kerasdl.xnor.real_steps import InputScales, RealConvolve
from kerasdl.xnor.steps import Binarize, CopyBits, PoolBits, Step

_KINDS: dict[str, type[Step]] = {
    kind.__name__: kind
    for kind in (Binarize, ConvolveBits, ConvolveFloats, CopyBits, InputScales, KerasPart, PoolBits, RealConvolve)
}


def write_steps(path: Path, about: dict[str, Any], steps: Sequence[Step]) -> None:
    """Writes the steps, and what else JSON knows about the network."""
    entries: list[dict[str, Any]] = []
    arrays: list[np.ndarray] = []
    for step in steps:
        settings, parts = _settings(step), step.arrays()
        places = {name: len(arrays) + number for number, name in enumerate(parts)}
        entries.append({"kind": type(step).__name__, "settings": settings, "arrays": places})
        arrays += parts.values()
    write_container(path, {**about, "steps": entries}, arrays)


def read_steps(path: Path, custom_objects: dict[str, Any] | None) -> tuple[dict[str, Any], tuple[Step, ...]]:
    """What `write_steps` wrote.

    Args:
        path: The file.
        custom_objects: Classes and functions of one's own by name, as Keras takes them.
    """
    about, arrays = read_container(path)
    steps = []
    with keras.saving.custom_object_scope(custom_objects or {}):
        for entry in about.pop("steps"):
            kind = _KINDS[entry["kind"]]
            if kind is KerasPart:
                _refuse_unknown(entry["settings"]["model"], path)
            parts = {name: arrays[number] for name, number in entry["arrays"].items()}
            steps.append(kind.from_parts(entry["settings"], parts))
    return about, tuple(steps)


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Every object in Keras' configuration of a model."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config
        for value in config.values():
            yield from _objects(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _objects(value)


def _settings(step: Step) -> dict[str, Any]:
    """The step's settings, without code: Keras warns of some lambda functions, and marks the others."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "The object being serialized includes a `lambda`")
        try:
            settings = step.settings()
            code = any(found["class_name"] == "__lambda__" for found in _objects(settings))
        except UserWarning:
            code = True
    if code:
        raise ValueError(
            "A packed network that is saved must have no lambda function, since its file holds no code. Received: one "
            f"in the layers {list(step.layers)}. Make it a function or a layer that "
            "keras.saving.register_keras_serializable registers."
        )
    return settings


def _refuse_unknown(config: Any, path: Path) -> None:
    for found in _objects(config):
        name, module = found.get("registered_name"), found.get("module") or ""
        if name and module.split(".")[0] != "keras" and keras.saving.get_registered_object(name) is None:
            raise ValueError(
                f"The file {str(path)!r} needs the class or function {name!r} of the module {module!r}, which is not "
                "known here. Import that module, if it registers it with Keras, or pass "
                f"`custom_objects={{{found['class_name']!r}: ...}}`."
            )
