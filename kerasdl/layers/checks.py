"""What several layers ask of their arguments."""

from numbers import Integral
from typing import Any

import numpy as np


def check_bool(name: str, value: Any) -> bool:
    """Refuses what is neither True nor False, Python's or NumPy's."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"`{name}` must be True or False. Received: {name}={value!r}.")
    return bool(value)


def check_positive(name: str, value: Any) -> int:
    """Refuses what is no positive integer."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}.")
    return int(value)


def check_seed(value: Any) -> int:
    """Refuses what is no whole number of at least 0."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < 0:
        raise ValueError(f"`seed` must be a whole number of at least 0. Received: seed={value!r}.")
    return int(value)


def check_shape(name: str, shape: Any, expected: tuple[int | None, ...], wanted: str) -> None:
    """Refuses a shape that differs from the expected one where both are known.

    Args:
        name: Of what.
        shape: The shape to check.
        expected: What it must be; None where anything is right.
        wanted: The expected shape in words.
    """
    shape = tuple(shape)
    pairs = zip(shape, expected, strict=False)
    if len(shape) != len(expected) or any(one != two for one, two in pairs if None not in (one, two)):
        raise ValueError(f"`{name}` must be of shape {wanted}, here {expected}. Received: {name} of shape {shape}.")
