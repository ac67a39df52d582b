"""Checks of numbers that most functions here are given."""

from typing import Any

import numpy as np


def check_count(name: str, value: Any) -> None:
    """Refuses what is not a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"`{name}` must be a whole number of at least 1. Received: {value!r}.")


def check_seed(seed: int) -> np.int32:
    """The seed as NumPy and TensorFlow's stateless chance both take it."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**31:
        raise ValueError(f"`seed` must be a whole number from 0 to 2**31 - 1. Received: {seed!r}.")
    return np.int32(seed)
