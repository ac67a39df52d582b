"""Keeps from the user's screen what TFDS 4.9.10 only says to itself."""

import contextlib
import logging
from collections.abc import Iterator

_NOTES = (
    # Its own code uses its own deprecated attribute.
    ".dtype` is deprecated",
    # A size of a drawn data set that nobody listed beforehand is what the option is for.
    "Using custom data configuration",
)


def _matters(record: logging.LogRecord) -> bool:
    return not any(note in record.getMessage() for note in _NOTES)


@contextlib.contextmanager
def without_notes() -> Iterator[None]:
    """Leaves two kinds of log lines out, and no others."""
    logger = logging.getLogger("absl")
    logger.addFilter(_matters)
    try:
        yield
    finally:
        logger.removeFilter(_matters)
