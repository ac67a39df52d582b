"""Signs as bits: +1 is the bit 1, -1 the bit 0; channel c is bit `c % 64` of word `c // 64`."""

import numpy as np

WORD = 64
"""Bits in a word."""
PANEL = 16
"""Filters that a kernel computes side by side."""


def words_for(channels: int) -> int:
    """How many words of 64 bits hold one bit of each of `channels`: `ceil(channels / 64)`."""
    return -(-channels // WORD)


def pack_bits(positive: np.ndarray) -> np.ndarray:
    """Packs the last axis of an array of bools into words, `(..., words)` uint64; bits beyond the last are 0.

    Example:
        >>> [int(word) for word in pack_bits(np.array([True, False, True] + 61 * [False] + [True]))]
        [5, 1]
    """
    channels = positive.shape[-1]
    octets = np.zeros((*positive.shape[:-1], words_for(channels) * 8), np.uint8)
    octets[..., : -(-channels // 8)] = np.packbits(positive.astype(bool, copy=False), axis=-1, bitorder="little")
    return octets.view("<u8").astype(np.uint64, copy=False)


def unpack_bits(words: np.ndarray, channels: int) -> np.ndarray:
    """The first `channels` bits of the last axis of words, `(..., channels)` bool.

    Example:
        >>> unpack_bits(np.array([5], np.uint64), 4)
        array([ True, False,  True, False])
    """
    octets = np.ascontiguousarray(words.astype("<u8", copy=False)).view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=channels, bitorder="little").astype(bool)


def pack_filters(signs: np.ndarray) -> np.ndarray:
    """Packs the signs of a kernel `(kh, kw, channels, filters)` into the panels that the kernels read.

    A panel is 16 filters side by side: word by word, in the order of rows, columns and channels, the word of each
    of the 16. Filters beyond the last have no bit set, nor have channels beyond the last: there the input has none,
    either, and no mismatch is counted.

    Returns:
        `(ceil(filters / 16), kh * kw * words, 16)` uint64.

    Example:
        >>> pack_filters(np.ones((3, 3, 65, 17), "float32")).shape
        (2, 18, 16)
    """
    if signs.ndim != 4:
        raise ValueError(
            "`pack_filters` takes the kernel of a convolution, (height, width, channels, filters); reshape the kernel "
            f"of a dense layer to (1, 1, inputs, units). Received shape: {signs.shape}."
        )
    height, width, _, filters = signs.shape
    words = pack_bits(np.moveaxis(signs > 0, 3, 0)).reshape(filters, height * width * words_for(signs.shape[2]))
    panels = -(-filters // PANEL)
    padded = np.zeros((panels * PANEL, words.shape[1]), np.uint64)
    padded[:filters] = words
    return np.ascontiguousarray(padded.reshape(panels, PANEL, -1).transpose(0, 2, 1))
