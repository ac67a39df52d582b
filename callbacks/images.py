"""Pictures for TensorBoard: whatever a network is fed as pixels a screen can show, and figures as pixels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

_DOTS_PER_INCH = 80  # TensorBoard shows a picture in its own size when it is clicked on: about a screen's width then.


def displayable(images: Any) -> np.ndarray:
    """Images as a screen shows them, `(N, height, width, 1 or 3)` uint8.

    Numbers that all lie in [0, 1], in [-1, 1] or in [0, 255] become what they mean. Any others, such as standardised
    ones, are stretched channel by channel from the smallest to the largest value of all the images, which gives their
    colours back where all shades occur. What is not a number is black.

    Args:
        images: `(N, height, width)` or `(N, height, width, channels)`. Of four channels and more the first three are
            taken for red, green and blue; of two their mean.

    Example:
        >>> displayable(np.array([0.0, 0.5, 1.0]).reshape(1, 1, 3, 1))[0, 0, :, 0]
        array([  0, 128, 255], dtype=uint8)
        >>> displayable(np.array([-2.0, 0.0, 2.0]).reshape(1, 1, 3, 1))[0, 0, :, 0]
        array([  0, 128, 255], dtype=uint8)
    """
    values = np.asarray(images)
    if values.dtype.name == "bfloat16":
        values = values.astype("float32")
    if values.ndim == 3:
        values = values[..., None]
    if values.ndim != 4 or 0 in values.shape or values.dtype.kind not in "buif":
        raise ValueError(
            "`images` must be numbers of shape (N, height, width) or (N, height, width, channels). Received: shape "
            f"{values.shape} of {values.dtype}."
        )
    values = values.astype("float32")
    if values.shape[-1] == 2:
        values = values.mean(-1, keepdims=True)
    elif values.shape[-1] > 3:
        values = values[..., :3]
    finite = np.isfinite(values)
    known = values[finite]
    least, most = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    if least >= 0 and most <= 1:
        shares = values
    elif least >= -1 and most <= 1:
        shares = (values + 1) / 2
    elif least >= 0 and most <= 255:
        shares = values / 255
    else:
        low = np.where(finite, values, np.inf).min((0, 1, 2))
        high = np.where(finite, values, -np.inf).max((0, 1, 2))
        shares = (values - low) / np.maximum(high - low, 1e-12)
    return np.rint(255 * np.clip(np.where(finite, shares, 0), 0, 1)).astype("uint8")


def sheet(tiles: Sequence[np.ndarray] | np.ndarray, columns: int, *, gap: int = 1, background: int = 255) -> np.ndarray:
    """Pictures of one size in one, row by row.

    Args:
        tiles: `(N, height, width, 1 or 3)` uint8.
        columns: How many stand side by side.
        gap: Pixels between them.
        background: The shade of the gaps and of what is left over in the last row.

    Example:
        >>> sheet(np.zeros((5, 4, 4, 1), "uint8"), columns=3).shape
        (9, 14, 1)
    """
    tiles = np.asarray(tiles)
    count, height, width, depth = tiles.shape
    rows = -(-count // columns)
    widened = np.pad(tiles, ((0, rows * columns - count), (0, 0), (0, 0), (0, 0)), constant_values=background)
    widened = np.pad(widened, ((0, 0), (0, gap), (0, gap), (0, 0)), constant_values=background)
    grid = widened.reshape(rows, columns, height + gap, width + gap, depth).transpose(0, 2, 1, 3, 4)
    return grid.reshape(rows * (height + gap), columns * (width + gap), depth)[: -gap or None, : -gap or None]


def write_images(tag: str, images: np.ndarray, step: int) -> None:
    """Writes pictures of one size, all under one tag, with the default writer.

    As `tf.summary.image` does, but compressed quickly rather than well: a third less time for a twentieth more bytes.

    Args:
        tag: What they are called in TensorBoard.
        images: `(N, height, width, 1 or 3)` uint8.
        step: The epoch.
    """
    from tensorboard.plugins.image import metadata

    height, width = images.shape[1:3]
    encoded = [tf.io.encode_png(image, compression=1).numpy() for image in images]
    content = tf.constant([str(width).encode(), str(height).encode(), *encoded])
    tf.summary.write(tag, content, step, metadata.create_summary_metadata(None, None))


def write_figure(tag: str, figure: Any, step: int) -> None:
    """Writes one of the figures of `kerasdl.visualization.plots` as an image, with the default writer.

    Args:
        tag: What it is called in TensorBoard.
        figure: What the plots return.
        step: The epoch.
    """
    write_images(tag, pixels(figure)[None], step)


def pixels(figure: Any) -> np.ndarray:
    """A figure of `kerasdl.visualization.plots` as pixels, `(height, width, 3)` uint8.

    Args:
        figure: What the plots return.

    Example:
        >>> from kerasdl.visualization import plots
        >>> pixels(plots.image_grid(np.zeros((2, 4, 4)), ["one", "two"])).shape[-1]
        3
    """
    from kerasdl.visualization.plots.style import drawn  # Here, for it takes long to load.

    return drawn(figure, dpi=_DOTS_PER_INCH)
