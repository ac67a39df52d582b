"""What several layers ask of their arguments."""

from numbers import Integral
from typing import Any


def check_positive(name: str, value: Any) -> int:
    """Refuses what is no positive integer."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}.")
    return int(value)
