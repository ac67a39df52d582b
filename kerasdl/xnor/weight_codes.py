"""Weights of +1 and -1 as codes of four bits, four weights each, in the order in which a table of sums is looked up."""

import numpy as np

from kerasdl.xnor.bits import PANEL

# Weights in a code, and codes in a number of 32 bits.
GROUP, CODES = 4, 8


def pack_codes(signs: np.ndarray) -> np.ndarray:
    """The codes of a convolution's weights, one bit a weight; two bits where there are zeros among them.

    Four weights of neighbouring channels make one code: its top bit says that the fourth is -1, and each other bit that
    its weight is unlike the fourth. So the code without its top bit is the row of a table of eight sums
    `x3 +- x0 +- x1 +- x2`, and the top bit the sign of what stands there. A zero is half the sum of +1 and -1: weights
    of three values are two planes of signs, whose products are added and halved.

    Args:
        signs: Weights in {-1, 0, +1}, `(height, width, channels, filters)`.

    Returns:
        Codes, `(planes, ceil(filters / 16), ceil(height * width * ceil(channels / 4) / 8), 16)`, uint32; what lies
        beyond the last channel or filter counts as +1.

    Example:
        >>> signs = np.array([[1], [-1], [1], [1]]).reshape(1, 1, 4, 1)
        >>> int(pack_codes(signs)[0, 0, 0, 0])  # the second is unlike the fourth, which is +1
        2
    """
    signs = np.asarray(signs)
    if signs.ndim != 4 or not np.isin(signs, (-1, 0, 1)).all():
        raise ValueError(
            "`signs` must be weights in {-1, 0, +1} with the shape (height, width, channels, filters). "
            f"Received: shape {signs.shape}, values {np.unique(signs)[:6].tolist()}."
        )
    negatives = [signs < 0] if np.all(signs) else [signs < 0, signs <= 0]
    return np.stack([_pack_plane(negative) for negative in negatives])


def _pack_plane(negative: np.ndarray) -> np.ndarray:
    channels, filters = negative.shape[2:]
    negative = np.pad(negative, ((0, 0), (0, 0), (0, -channels % GROUP), (0, -filters % PANEL)))
    bits = negative.reshape(-1, GROUP, negative.shape[-1])
    bits[:, :3] ^= bits[:, 3:]
    codes = np.sum(bits.astype("uint32") << np.arange(GROUP, dtype="uint32")[:, None], axis=1, dtype="uint32")
    codes = np.pad(codes, ((0, -len(codes) % CODES), (0, 0))).reshape(-1, CODES, codes.shape[-1])
    words = np.sum(codes << (GROUP * np.arange(CODES, dtype="uint32"))[:, None], axis=1, dtype="uint32")
    return np.ascontiguousarray(words.reshape(len(words), -1, PANEL).swapaxes(0, 1))


def unpack_codes(planes: np.ndarray, shape: tuple[int, int, int, int]) -> np.ndarray:
    """The weights again, in {-1, 0, +1}, int8.

    Args:
        planes: What `pack_codes` gave.
        shape: The weights' shape, `(height, width, channels, filters)`.

    Example:
        >>> signs = np.array([1, 0, -1, 1, -1]).reshape(1, 1, 5, 1)
        >>> unpack_codes(pack_codes(signs), signs.shape).ravel().tolist()
        [1, 0, -1, 1, -1]
    """
    height, width, channels, filters = shape
    groups = -(-channels // GROUP)
    words = planes.swapaxes(1, 2).reshape(len(planes), planes.shape[2], 1, -1)
    codes = words >> (GROUP * np.arange(CODES, dtype="uint32"))[:, None]
    bits = (codes.reshape(len(planes), -1, 1, words.shape[-1]) >> np.arange(GROUP, dtype="uint32")[:, None]) & 1
    bits[:, :, :3] ^= bits[:, :, 3:]
    bits = bits[:, : height * width * groups].reshape(len(planes), height, width, groups * GROUP, -1)
    signs = 1 - 2 * bits[..., :channels, :filters].astype("int8")
    return np.sum(signs, axis=0, dtype="int8") // np.int8(len(planes))
