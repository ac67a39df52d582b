"""Wide residual networks against NumPy and the paper's Table 4."""

import re

import keras
import numpy as np
import pytest
from helpers import logits_of, numbers_in
from residual_helpers import InNumpy, randomize, relu

from kerasdl.architectures import wide_resnet


@pytest.mark.parametrize("width", [1, 3])
def test_computes_what_the_paper_says(width):
    model = wide_resnet(16, width, 0.3, input_shape=(9, 12, 3))
    randomize(model)
    image = np.random.default_rng(0).random((9, 12, 3))
    net = InNumpy(model)
    x = net.convolve(image, "stage1_out")
    for stage in (2, 3, 4):
        for block in (1, 2):
            name, strides = f"stage{stage}_block{block}", 2 if stage > 2 and block == 1 else 1
            active = relu(net.norm(x, f"{name}_norm1"))
            residual = relu(net.norm(net.convolve(active, f"{name}_conv1", strides), f"{name}_norm2"))
            residual = net.convolve(residual, f"{name}_conv2")
            # The first block of a stage projects the normalised maps, the others add the maps as they came.
            changes = strides == 2 or residual.shape[-1] != x.shape[-1]
            x = residual + (net.convolve(active, f"{name}_shortcut", strides) if changes else x)
    expected = net.logits(relu(net.norm(x, "final_norm")))
    np.testing.assert_allclose(logits_of(model, image[None])[0], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize(
    ("depth", "width", "count", "millions"),
    [(40, 4, 8_949_210, 8.9), (16, 8, 10_961_370, 11.0), (28, 10, 36_479_194, 36.5)],
)
def test_counts_of_table_four(depth, width, count, millions):
    model = wide_resnet(depth, width)
    assert numbers_in(model.trainable_weights) == count
    assert round(count / 1e6, 1) == millions
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers) == depth


def test_dropout_stands_between_the_convolutions():
    model = wide_resnet(10, 1, 0.3, input_shape=(8, 8, 3))
    rates = {layer.name: layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)}
    assert rates == {f"stage{stage}_block1_dropout": 0.3 for stage in (2, 3, 4)}
    assert model.get_layer("stage2_block1_conv2").input is model.get_layer("stage2_block1_dropout").output
    assert not any(isinstance(layer, keras.layers.Dropout) for layer in wide_resnet(10, 1).layers)


@pytest.mark.parametrize("depth", [4, 27, None])
def test_refuses_depths_that_do_not_exist(depth):
    expected = f"`depth` must be 6n + 4 with n at least 1, such as 16, 22, 28 or 40. Received: depth={depth!r}."
    with pytest.raises(ValueError, match=re.escape(expected)):
        wide_resnet(depth)


def test_refuses_other_widths_and_dropouts():
    with pytest.raises(ValueError, match=r"`width` must be a positive integer\. Received: width=0\.5\."):
        wide_resnet(16, 0.5)
    for dropout in (1, -0.1, True):
        with pytest.raises(ValueError, match=rf"at least 0, for none, and less than 1\. Received: dropout={dropout}\."):
            wide_resnet(16, 1, dropout)
