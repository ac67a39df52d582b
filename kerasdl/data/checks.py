"""What `load` and `from_folder` ask of their arguments, said before anything is read."""

from typing import Any

import numpy as np
import tensorflow_datasets as tfds

_LARGEST_SIDE = 4096


def _is_whole_number(value: Any, least: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= least)


def check_batch_size(batch_size: int | None) -> None:
    """Refuses what is neither None nor a positive whole number."""
    if batch_size is not None and not _is_whole_number(batch_size, 1):
        raise ValueError(
            "`batch_size` must be a positive whole number, or None for single examples. "
            f"Received: batch_size={batch_size!r}."
        )


def check_seed(seed: int) -> None:
    """Refuses what is no whole number from 0."""
    if not _is_whole_number(seed, 0):
        raise ValueError(f"`seed` must be a whole number, 0 or more. Received: seed={seed!r}.")


def standardize_image_size(image_size: Any) -> tuple[int, int] | None:
    """Gives (height, width) for one side or for both, and refuses what is neither."""
    if image_size is None:
        return None
    sides = image_size if isinstance(image_size, tuple | list) else (image_size, image_size)
    if len(sides) != 2 or not all(_is_whole_number(side, 1) and side <= _LARGEST_SIDE for side in sides):
        raise ValueError(
            f"`image_size` must be a number of pixels from 1 to {_LARGEST_SIDE}, or two of them as (height, width). "
            f"Received: image_size={image_size!r}."
        )
    return int(sides[0]), int(sides[1])


def count_examples(split: str, info: tfds.core.DatasetInfo) -> int:
    """The number of examples in a split or a part of one; refuses what the data set does not have."""
    names = ", ".join(f'"{name}" ({info.splits[name].num_examples:,})' for name in info.splits)
    advice = (
        f'There are the splits {names}; "train[:80%]", "train[1000:2000]" and "train+test" give parts and sums of them.'
    )
    if not isinstance(split, str):
        raise TypeError(f"`split` must be a string. {advice} Received: split={split!r}.")
    try:
        parts = tfds.core.ReadInstruction.from_spec(split).to_absolute(info.splits)
    except (ValueError, NotImplementedError):
        raise ValueError(f"`split` is not one that can be read. {advice} Received: split={split!r}.") from None
    count = 0
    for part in parts:
        # Where a part begins and ends: None stands for the whole split's own beginning and end.
        end = info.splits[part.splitname].num_examples if part.to is None else part.to
        count += max(0, end - (part.from_ or 0))
    if count == 0:
        raise ValueError(f"`split` must have at least one example. {advice} Received: split={split!r}.")
    return count
