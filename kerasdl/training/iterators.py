"""Passes over data that end when the last batch was taken."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def one_pass(data: Any) -> Iterator[list[Any]]:
    """Gives a new iterator, in a list that holds it alone, and lets go of it in the background.

    TensorFlow tunes a data set while it is read: a thread wakes after 10 ms, 30, 70, 150 and so on, each pause twice as
    long as the one before, up to a minute. To free an iterator wakes that thread, but tells it too late that it should
    end, and in every second or third pass it sleeps on. Who frees the iterator waits for it: as long as the pass took,
    where that is less than a minute. Nobody need wait for that, but who leaves a pass in its middle and may begin
    another at once: `held.clear()` waits.

    Args:
        data: Any data set.

    Example:
        >>> with one_pass(tf.data.Dataset.range(3)) as held:
        ...     [int(number) for number in held[0]]
        [0, 1, 2]
    """
    held = [iter(data)]
    try:
        yield held
    finally:
        threading.Thread(target=held.clear, daemon=True).start()
