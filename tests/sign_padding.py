"""Ways to convolve signs, and what stands around an image, written out for the tests of products of signs."""

import numpy as np

OPTIONS = [
    {},
    {"padding": "same"},
    {"padding": "same", "pad_value": -1, "strides": 2},
    {"padding": "same", "strides": (3, 2), "kernel_size": (2, 5)},
    {"padding": "same", "dilation_rate": (2, 1), "kernel_size": (3, 2)},
    {"padding": "same", "groups": 2, "pad_value": -1},
    {"padding": "same", "kernel_size": 1, "strides": 2},
]


def signs(x):
    return np.where(np.asarray(x) >= 0, 1, -1)


def pads(layer, shape):
    """How "same" pads: as little as gives ceil(size / stride) outputs, the larger half at the end."""
    widths = []
    options = (layer.kernel_size, layer.strides, layer.dilation_rate)
    for size, kernel, stride, dilation in zip(shape, *options, strict=True):
        outputs = -(-size // stride)
        total = max((outputs - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
        widths.append((total // 2, total - total // 2) if layer.padding == "same" else (0, 0))
    return widths
