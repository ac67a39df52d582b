import keras
import numpy as np
import pytest
from helpers import check_layer

from kerasdl.layers import HighwayConv2D, HighwayDense

RANDOM = np.random.default_rng(0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def convolve(inputs, kernel):
    """Same size, by a loop over the taps."""
    side = kernel.shape[0]
    padded = np.pad(inputs, ((0, 0), *[((side - 1) // 2, side // 2)] * 2, (0, 0)))
    height, width = inputs.shape[1:3]
    return sum(
        padded[:, row : row + height, column : column + width] @ kernel[row, column]
        for row in range(side)
        for column in range(side)
    )


def highway(layer, inputs):
    weights = [np.asarray(weight, "float64") for weight in layer.weights]
    product = convolve if weights[0].ndim == 4 else np.matmul
    block, transform, *carry = (
        product(inputs, kernel) + bias for kernel, bias in zip(weights[::2], weights[1::2], strict=True)
    )
    transform = sigmoid(transform)
    carry = sigmoid(carry[0]) if carry else 1 - transform
    return np.maximum(block, 0) * transform + inputs * carry


@pytest.mark.parametrize("carry", ["coupled", "independent"])
@pytest.mark.parametrize(
    ("layer_class", "kwargs", "shape"),
    [(HighwayDense, {}, (4, 7)), (HighwayConv2D, {"kernel_size": 3}, (2, 5, 6, 4))],
)
def test_mixes_what_it_transforms_with_what_it_carries(layer_class, kwargs, shape, carry):
    layer = check_layer(layer_class, {"carry": carry, **kwargs}, shape, highway)
    assert len(layer.weights) == (4 if carry == "coupled" else 6)


@pytest.mark.parametrize(
    ("make", "shape"), [(HighwayDense, (3, 6)), (lambda **options: HighwayConv2D(3, **options), (2, 5, 5, 4))]
)
def test_passes_its_input_with_closed_gates_and_transforms_with_open_ones(make, shape):
    inputs = RANDOM.normal(size=shape).astype("float32")
    np.testing.assert_array_equal(make(gate_bias=-1e4)(inputs), inputs)
    layer = make(gate_bias=1e4, activation="tanh")
    if len(shape) == 2:
        transform = keras.layers.Dense(6, "tanh")
    else:
        transform = keras.layers.Conv2D(4, 3, padding="same", activation="tanh")
    outputs = layer(inputs)
    transform.build(shape)
    transform.set_weights([layer.kernel, layer.bias])
    np.testing.assert_allclose(outputs, transform(inputs), rtol=1e-6, atol=1e-6)


def test_independent_gates_can_both_be_open_or_both_be_closed():
    inputs = RANDOM.normal(size=(3, 6)).astype("float32")
    layer = HighwayDense(carry="independent")
    layer(inputs)
    np.testing.assert_array_equal(layer.carry_bias, -layer.transform_bias)
    block = np.maximum(inputs @ np.asarray(layer.kernel), 0)
    for bias, expected in ((1e4, block + inputs), (-1e4, np.zeros_like(inputs))):
        layer.transform_bias.assign(np.full(6, bias))
        layer.carry_bias.assign(np.full(6, bias))
        np.testing.assert_allclose(layer(inputs), expected, rtol=1e-5, atol=1e-6)


def test_shows_its_gates():
    inputs = RANDOM.normal(size=(2, 4, 4, 3)).astype("float32")
    layer = HighwayConv2D(3, gate_bias=-2, dtype="mixed_bfloat16")
    layer(inputs)
    transform, carry = layer.gates(inputs)
    assert transform.dtype == "bfloat16"
    kernel, bias = np.asarray(layer.transform_kernel), np.asarray(layer.transform_bias)
    np.testing.assert_array_equal(bias, -2)
    np.testing.assert_allclose(
        keras.ops.cast(transform, "float32"), sigmoid(convolve(inputs, kernel) + bias), rtol=0.03, atol=0.005
    )
    np.testing.assert_allclose(keras.ops.cast(transform + carry, "float32"), 1, atol=0.01)
    # The kernels are drawn apart from each other.
    assert not np.array_equal(layer.kernel, layer.transform_kernel)


def test_counts_its_multiplications():
    layer = HighwayConv2D(3)
    layer.build((None, 8, 8, 16))
    assert layer.multiply_adds((None, 8, 8, 16), (None, 8, 8, 16)) == 2 * 8 * 8 * 3 * 3 * 16 * 16
    assert HighwayDense(carry="independent").multiply_adds((None, 50), (None, 50)) == 3 * 50 * 50
    assert HighwayDense().multiply_adds((None, 4, 50), (None, 4, 50)) == 2 * 4 * 50 * 50


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: HighwayDense(carry="both"),
            '`carry` must be "coupled" or "independent". Received: carry=\'both\'.',
        ),
        (lambda: HighwayConv2D(0), "`kernel_size` must be a positive integer. Received: kernel_size=0."),
        (
            lambda: HighwayConv2D(3).build((None, 4)),
            "HighwayConv2D expects images of shape (batch, height, width, channels) with a known number of channels. "
            "Received: input_shape=(None, 4).",
        ),
        (
            lambda: HighwayDense().build((None, None)),
            "HighwayDense expects vectors of a known length, of shape (batch, ..., length). "
            "Received: input_shape=(None, None).",
        ),
    ],
)
def test_wrong_arguments_are_explained(make, text):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        make()
    assert str(error.value) == text
