"""Inputs of compiled functions in one form: numba compiles anew for each mixture of forms that it sees."""

from typing import Any

import numpy as np


def read_only(values: np.ndarray, dtype: Any) -> np.ndarray:
    """The same numbers in C order, not to be written to: a view where they are so already, or else a copy.

    Example:
        >>> values = np.zeros(3, "float32")
        >>> view = read_only(values, np.float32)
        >>> values.flags.writeable, view.flags.writeable, np.shares_memory(values, view)
        (True, False, True)
    """
    view = np.ascontiguousarray(values, dtype).view()
    view.setflags(write=False)
    return view
