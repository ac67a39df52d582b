"""What every builder asks of its arguments, said once and before any layer is made."""


def check_classes(classes: int) -> None:
    """Refuses a number of classes that no softmax can tell apart."""
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 1:
        raise ValueError(f"`classes` must be an integer of at least 2. Received: classes={classes!r}.")
    if classes == 1:
        raise ValueError(
            "`classes` must be at least 2: a softmax over one class is always 1. For a yes-or-no question use "
            "classes=2. Received: classes=1."
        )


def check_image_shape(input_shape: tuple[int, int, int]) -> None:
    """Refuses an input shape that is not that of one image."""
    sides = tuple(input_shape) if isinstance(input_shape, (tuple, list)) else ()
    if len(sides) != 3 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ValueError(
            "`input_shape` must be the height, width and channels of one image, three positive integers such as "
            f"(32, 32, 3). Received: input_shape={input_shape!r}."
        )
