"""Receptive fields against the closed form: sizes add up as (kernel - 1) times the strides before."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.architectures import lenet5_modern, squeezenet1_1
from kerasdl.initializers import DeltaOrthogonal
from kerasdl.visualization import receptive_field

Conv, Pool = keras.layers.Conv2D, keras.layers.MaxPooling2D


def closed_form(steps):
    """Size, stride and start from rows of (kernel size, stride, padding at the top, dilation)."""
    size, stride, start = 1, 1, 0
    for kernel_size, step, padding, dilation in steps:
        size += (kernel_size - 1) * dilation * stride
        start -= padding * stride
        stride *= step
    return (size, size), (stride, stride), (start, start)


STACKS = {
    # VGG's first stages, their maps fewer.
    "vgg": (
        [Conv(2, 3, padding="same"), Conv(2, 3, padding="same"), Pool(2)] * 3,
        [(3, 1, 1, 1), (3, 1, 1, 1), (2, 2, 0, 1)] * 3,
    ),
    "valid": (
        [Conv(2, 7, strides=2, activation="relu"), Pool(3, 2), Conv(2, 3)],
        [(7, 2, 0, 1), (3, 2, 0, 1), (3, 1, 0, 1)],
    ),
    # Keras pads a strided convolution of an even side by one pixel less at the top.
    "strided": (
        [Conv(2, 5, strides=2, padding="same"), Conv(2, 3, strides=2, padding="same")],
        [(5, 2, 1, 1), (3, 2, 0, 1)],
    ),
    "dilated": ([Conv(2, 3, dilation_rate=4), keras.layers.DepthwiseConv2D(3)], [(3, 1, 0, 4), (3, 1, 0, 1)]),
}


@pytest.mark.parametrize("name", STACKS)
def test_of_stacks_is_the_closed_form(name):
    layers, steps = STACKS[name]
    layers = [
        layer.__class__.from_config({**layer.get_config(), "name": f"layer{i}"}) for i, layer in enumerate(layers)
    ]
    model = keras.Sequential([keras.Input((64, 64, 3)), *layers])
    assert receptive_field(model, f"layer{len(layers) - 1}") == closed_form(steps)


def test_of_published_networks_is_the_closed_form():
    lenet = lenet5_modern()
    assert receptive_field(lenet, "stage2_out") == ((16, 16), (4, 4), (0, 0))
    # Convolution and pooling of 3 pixels by 2, then two fire modules and a pooling.
    steps = [(3, 2, 0, 1), (3, 2, 0, 1), (3, 1, 1, 1), (3, 1, 1, 1), (3, 2, 0, 1)]
    assert receptive_field(squeezenet1_1(input_shape=(67, 67, 3)), "stage2_out") == closed_form(steps)


def test_is_found_though_units_are_off_and_inside_a_nested_model():
    inner = keras.Sequential([keras.Input((16, 12, 1)), Conv(1, (5, 3), activation="relu", name="maps")], name="inner")
    inner.layers[0].set_weights([-np.ones((5, 3, 1, 1)), np.array([-9.0])])
    inputs = keras.Input((16, 12, 1))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name="mean")(inner(inputs)))
    field = receptive_field(model, "inner/maps")
    assert field == ((5, 3), (1, 1), (0, 0))
    assert field.box(2, 4) == (2, 4, 7, 7)
    assert receptive_field(model, "mean") == ((16, 12), (0, 0), (0, 0))


@pytest.mark.parametrize("initializer", [DeltaOrthogonal(), "zeros"])
def test_zeros_among_the_weights_hide_nothing(initializer):
    # A delta-orthogonal kernel is zero but at its centre, and a gain of zero shuts a branch.
    convolutions = [Conv(4, 3, padding="same", kernel_initializer=initializer, name=f"conv{i}") for i in range(3)]
    gain = keras.layers.BatchNormalization(gamma_initializer="zeros", name="gain")
    model = keras.Sequential([keras.Input((16, 16, 4)), *convolutions, gain])
    before = model.get_weights()
    assert receptive_field(model, "gain") == closed_form([(3, 1, 1, 1)] * 3)
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), before, strict=True))


def test_of_what_sees_everything_is_the_image():
    inputs = keras.Input((12, 12, 2))
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True)(inputs)
    model = keras.Model(inputs, keras.layers.Multiply(name="gated")([Conv(2, 3, padding="same")(inputs), gate]))
    assert receptive_field(model, "gated") == ((12, 12), (0, 0), (0, 0))


def test_refuses():
    model = keras.Sequential([keras.Input((None, None, 3)), Conv(2, 3, name="maps")])
    with pytest.raises(ValueError, match=r"^`image_shape` must be .* Received: None, for model .*\(None, None, 3\)\.$"):
        receptive_field(model, "maps")
    assert receptive_field(model, "maps", (9, 9, 3)).size == (3, 3)
    rounding = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Lambda(tf.round, name="rounded")])
    with pytest.raises(ValueError, match=r"^No gradient comes from the layer to the image"):
        receptive_field(rounding, "rounded")
