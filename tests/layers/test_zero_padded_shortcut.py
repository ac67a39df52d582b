"""The shortcut without parameters against its definition, pixel by pixel."""

import numpy as np
import pytest
from helpers import check_layer

from kerasdl.layers import ZeroPaddedShortcut


@pytest.mark.parametrize(
    ("filters", "strides", "shape"), [(7, 2, (2, 6, 5, 3)), (4, 1, (1, 3, 3, 4)), (5, 3, (2, 7, 4, 2))]
)
def test_takes_every_few_pixels_and_adds_empty_maps(filters, strides, shape):
    def reference(_, inputs):
        batch, height, width, channels = inputs.shape
        expected = np.zeros((batch, (height + strides - 1) // strides, (width + strides - 1) // strides, filters))
        for b, i, j, c in np.ndindex(expected.shape):
            if c < channels:
                expected[b, i, j, c] = inputs[b, strides * i, strides * j, c]
        return expected

    layer = check_layer(ZeroPaddedShortcut, {"filters": filters, "strides": strides}, shape, reference)
    assert layer.weights == []


def test_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match=r"`filters` must be a positive integer\. Received: filters=0\."):
        ZeroPaddedShortcut(0)
    with pytest.raises(ValueError, match=r"`strides` must be a positive integer\. Received: strides=1\.5\."):
        ZeroPaddedShortcut(4, 1.5)
    with pytest.raises(ValueError, match=r"expects maps of shape \(batch, height, width, channels\)\. Received: inp"):
        ZeroPaddedShortcut(4)(np.ones((2, 3)))
    expected = r"takes none away\. Received: filters=4, input_shape=\(2, 3, 3, 5\)\."
    with pytest.raises(ValueError, match=expected):
        ZeroPaddedShortcut(4)(np.ones((2, 3, 3, 5)))
