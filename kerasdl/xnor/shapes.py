"""How a tensor of bits lies in memory: pixels, channels, and the border around them."""

import dataclasses

import numpy as np

from kerasdl.xnor.bits import pack_bits, words_for


@dataclasses.dataclass(frozen=True)
class Border:
    """What is physically there around the pixels, so that a padded convolution needs no special case.

    Args:
        top: Rows above.
        bottom: Rows below.
        left: Columns to the left.
        right: Columns to the right.
        value: What stands there, +1 or -1.
    """

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0
    value: int = 1

    def __post_init__(self) -> None:
        if self.value not in (1, -1) or min(self.top, self.bottom, self.left, self.right) < 0:
            raise ValueError(f"A border has a width of 0 or more on each side, and +1 or -1 in it. Received: {self}.")


@dataclasses.dataclass(frozen=True)
class BitShape:
    """A tensor whose values are +1 and -1: one bit each, 64 channels of a pixel in a word.

    Args:
        height: Rows of pixels; 1 for a vector.
        width: Columns of pixels; 1 for a vector.
        channels: Values per pixel.
        border: What is around them.
    """

    height: int
    width: int
    channels: int
    border: Border = Border()

    def __post_init__(self) -> None:
        if min(self.height, self.width, self.channels) < 1:
            raise ValueError(f"A tensor of bits needs pixels and channels. Received: {self}.")

    @property
    def words(self) -> int:
        """Words of 64 bits per pixel."""
        return words_for(self.channels)

    @property
    def array_shape(self) -> tuple[int, int, int]:
        """The array's shape for one image, border included: `(top + H + bottom, left + W + right, words)`."""
        border = self.border
        height = border.top + self.height + border.bottom
        return height, border.left + self.width + border.right, self.words

    @property
    def origin(self) -> tuple[int, int]:
        """Where the first pixel lies."""
        return self.border.top, self.border.left

    def bordered(self, batch: int) -> np.ndarray:
        """An array for so many images, with the border's value everywhere; bits beyond the last channel are 0."""
        return np.full((batch, *self.array_shape), pack_bits(np.full(self.channels, self.border.value == 1)))
