"""What every builder asks of its arguments, said once and before any layer is made."""

from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import keras


def check_classes(classes: Any) -> int:
    """Refuses a number of classes that no softmax can tell apart; gives it as a Python integer."""
    if isinstance(classes, bool) or not isinstance(classes, Integral) or int(classes) < 1:
        raise ValueError(f"`classes` must be an integer of at least 2. Received: classes={classes!r}.")
    if classes == 1:
        raise ValueError(
            "`classes` must be at least 2: a softmax over one class is always 1. For a yes-or-no question use "
            "classes=2. Received: classes=1."
        )
    return int(classes)


def check_image_shape(input_shape: Any, smallest: int = 1) -> tuple[int, int, int]:
    """Refuses what is not the shape of one image with its channels last, or is too small; gives it as a tuple."""
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "The networks take images with their channels last: call "
            'keras.config.set_image_data_format("channels_last") first. '
            f"Received: image_data_format={keras.config.image_data_format()!r}."
        )
    sides = tuple(input_shape) if isinstance(input_shape, Iterable) else ()
    if len(sides) != 3 or not all(isinstance(side, Integral) and int(side) > 0 for side in sides):
        raise ValueError(
            "`input_shape` must be the height, width and channels of one image, three positive integers such as "
            f"(32, 32, 3). Received: input_shape={input_shape!r}."
        )
    height, width, channels = (int(side) for side in sides)
    if min(height, width) < smallest:
        raise ValueError(
            f"`input_shape` must be at least {smallest}x{smallest} here: of smaller images the network's strides leave "
            f"nothing. Received: input_shape={(height, width, channels)}."
        )
    return height, width, channels


def check_choice(name: str, value: Any, choices: Iterable[Any]) -> Any:
    """Refuses what is not one of the choices, and names them."""
    choices = list(choices)
    if isinstance(value, bool) or value not in choices:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, choices))}. Received: {name}={value!r}.")
    return value


def check_dropout(dropout: Any) -> float:
    """Refuses what is no share of the values that training may leave out; gives it as a Python float."""
    if isinstance(dropout, bool) or not isinstance(dropout, Real) or not 0 <= float(dropout) < 1:
        raise ValueError(f"`dropout` must be at least 0, for none, and less than 1. Received: dropout={dropout!r}.")
    return float(dropout)
