"""How uncertain a mean is."""

from typing import Any

import numpy as np


def standard_error(values: Any) -> Any:
    """Standard error of the mean over the first axis; 0 for a single value, which tells nothing of the others.

    Args:
        values: One number, or one row of numbers, per repetition.

    Example:
        >>> float(standard_error([1.0, 3.0])), float(standard_error([1.0]))
        (1.0, 0.0)
    """
    return np.std(values, axis=0, ddof=min(1, len(values) - 1)) / np.sqrt(len(values))
