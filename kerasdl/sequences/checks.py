"""Checks of arguments that several builders and functions here have in common."""

import math
from numbers import Integral, Real
from typing import Any


def check_whole(name: str, value: Any, *, least: int = 1) -> None:
    """Refuses what is no whole number, or too small a one.

    Args:
        name: The argument's name.
        value: What the user gave for it.
        least: The smallest value that makes sense.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"`{name}` must be a whole number of at least {least}. Received: {name}={value!r}.")


def check_dropout(value: Any) -> None:
    """Refuses what is no share that may be dropped: of everything nothing would be left to learn from."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= float(value) < 1:
        raise ValueError(f"`dropout` must be a number from 0 to below 1. Received: dropout={value!r}.")


def check_length_penalty(value: Any) -> float:
    """The exponent of `beam_search` as a float: a negative one would end the search before the best sentence does."""
    try:
        number = float("nan") if isinstance(value, str | bytes | bool) else float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0 <= number < math.inf:
        raise ValueError(f"`length_penalty` must be a number of at least 0. Received: length_penalty={value!r}.")
    return number
