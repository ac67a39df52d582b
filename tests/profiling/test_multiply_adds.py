"""Multiply-adds, against TensorFlow's own profiler, the papers' figures and sums written out."""

import io
from contextlib import redirect_stderr, redirect_stdout

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl import architectures
from kerasdl.layers import BinaryConv2D, BinaryDense, TernaryConv2D, TernaryDense, XnorConv2D, XnorDense
from kerasdl.profiling import profile


def by_tensorflow(model, batch_size=1):
    """Half the floating-point operations that TensorFlow's profiler sees in convolutions and matrix products."""
    specs = keras.tree.map_structure(lambda x: tf.TensorSpec((batch_size, *x.shape[1:]), x.dtype), model.inputs[0])
    run = tf.function(lambda inputs: model(inputs, training=False)).get_concrete_function(specs)
    options = (
        tf.compat.v1.profiler.ProfileOptionBuilder(tf.compat.v1.profiler.ProfileOptionBuilder.float_operation())
        .with_accounted_types(
            ["Conv2D", "Conv3D", "Conv2DBackpropInput", "DepthwiseConv2dNative", "MatMul", "BatchMatMulV2"]
        )
        .with_empty_output()
        .build()
    )
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return tf.compat.v1.profiler.profile(run.graph, cmd="op", options=options).total_float_ops / 2 / batch_size


IMAGES, SERIES = (16, 20, 6), (12, 6)
LAYERS = [
    (keras.layers.Conv2D(8, (3, 5), strides=2, padding="same"), IMAGES),
    (keras.layers.Conv2D(8, 3, dilation_rate=2, padding="same"), IMAGES),
    (keras.layers.DepthwiseConv2D(3, strides=2, depth_multiplier=3), IMAGES),
    (keras.layers.SeparableConv2D(8, 3, strides=2, depth_multiplier=2), IMAGES),
    (keras.layers.Conv2DTranspose(8, 3, strides=2, padding="same"), IMAGES),
    (keras.layers.Conv1D(8, 3, strides=2), SERIES),
    (keras.layers.Conv1D(8, 3, padding="causal"), SERIES),
    (keras.layers.DepthwiseConv1D(3), SERIES),
    (keras.layers.SeparableConv1D(8, 3), SERIES),
    (keras.layers.Conv3D(4, 2), (5, 6, 7, 3)),
    (keras.layers.Dense(7), (6,)),
    (keras.layers.Dense(7), SERIES),
    (keras.layers.Dense(7), IMAGES),
    (BinaryConv2D(8, (3, 5), strides=2, padding="same"), IMAGES),
    (TernaryConv2D(8, 3), IMAGES),
    (XnorConv2D(8, 3, strides=2), IMAGES),
    (BinaryDense(7), (6,)),
    (TernaryDense(7), (6,)),
    (XnorDense(7), (6,)),
]


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda case: getattr(case, "name", None))
def test_a_layer_counts_what_tensorflow_counts(layer, shape):
    model = keras.Sequential([keras.Input(shape), layer])
    assert profile(model, 2, repeats=0).multiply_adds == by_tensorflow(model, 2)


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        # A transposed convolution in space: every one of 4x5x6 places meets every entry of the kernel.
        (keras.layers.Conv3DTranspose(4, 2, strides=2), (4, 5, 6, 3), 4 * 5 * 6 * (2 * 2 * 2 * 3 * 4)),
        (keras.layers.Conv1DTranspose(8, 3, strides=2), SERIES, 12 * (3 * 6 * 8)),
        # Two groups of three channels each. (Keras hides grouped convolutions from TensorFlow's profiler.)
        (keras.layers.Conv2D(8, 3, groups=2), IMAGES, 14 * 18 * (9 * 3 * 8)),
        # Channels first: 14x18 places remain.
        (keras.layers.Conv2D(8, 3, data_format="channels_first"), (6, 16, 20), 14 * 18 * (9 * 6 * 8)),
        # Four heads of five: 6 inputs to 20 outputs for each of 12 entries.
        (keras.layers.EinsumDense("abc,cde->abde", output_shape=(None, 4, 5)), SERIES, 12 * 6 * 20),
        (keras.layers.EinsumDense("...x,xy->...y", output_shape=9), IMAGES, 16 * 20 * 6 * 9),
        # A recurrent step takes (6 + 7) numbers to each unit of each gate.
        (keras.layers.LSTM(7), SERIES, 12 * 4 * 7 * (6 + 7)),
        (keras.layers.GRU(7, return_sequences=True), SERIES, 12 * 3 * 7 * (6 + 7)),
        (keras.layers.Bidirectional(keras.layers.SimpleRNN(7)), SERIES, 2 * 12 * 7 * (6 + 7)),
        (
            keras.layers.RNN([keras.layers.LSTMCell(7), keras.layers.LSTMCell(5)]),
            SERIES,
            12 * 4 * (7 * (6 + 7) + 5 * (7 + 5)),
        ),
        (keras.layers.TimeDistributed(keras.layers.Conv2D(8, 3)), (4, 10, 10, 3), 4 * 8 * 8 * (9 * 3 * 8)),
        # As many products as any convolution has, of one bit or not; the sums behind K are left out.
        (XnorConv2D(8, 3, input_scale=True), IMAGES, 14 * 18 * (9 * 6 * 8)),
        # The weights that lie outside are summed once for all images, which is left out too.
        (XnorConv2D(8, 3, padding="same"), IMAGES, 16 * 20 * (9 * 6 * 8)),
        (keras.layers.BatchNormalization(), IMAGES, 0),
        (keras.layers.PReLU(), IMAGES, 0),
    ],
    ids=lambda case: getattr(case, "name", None),
)
def test_a_layer_counts_what_the_sum_says(layer, shape, expected):
    costs = profile(keras.Sequential([keras.Input(shape), layer]), 2, repeats=0)
    assert costs.multiply_adds == expected
    assert costs.not_counted == ()


def test_attention_counts_its_four_projections():
    # Query, key, value and output; the products of attention itself have no kernel.
    x = keras.Input(SERIES)
    model = keras.Model(x, keras.layers.MultiHeadAttention(4, 5)(x, x))
    assert profile(model, 2, repeats=0).multiply_adds == 4 * 12 * 6 * 20


def test_a_layer_counts_as_often_as_it_is_called_also_in_nested_models():
    shared = keras.layers.Conv2D(6, 3, padding="same", name="shared")
    small = keras.Sequential([keras.Input(IMAGES), shared, keras.layers.ReLU()], name="small")
    x = keras.Input(IMAGES)
    y = small(x) + shared(small(x))
    model = keras.Model(x, keras.layers.Dense(3)(keras.layers.Flatten()(y)))
    costs = profile(model, 3, repeats=0)
    assert costs.multiply_adds == 3 * 16 * 20 * (9 * 6 * 6) + 16 * 20 * 6 * 3 == by_tensorflow(model)
    (row,) = (layer for layer in costs.layers if layer.path.endswith("shared"))
    assert (row.calls, row.parameters) == (3, 9 * 6 * 6 + 6)
    assert sum(layer.parameters for layer in costs.layers) == costs.parameters == model.count_params()


@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize(
    ("name", "expected"),
    [("resnet18", 1_814_073_344), pytest.param("resnet50", 3_857_973_248, marks=pytest.mark.slow)],
)
def test_a_network_counts_what_is_published(name, expected):
    model = getattr(architectures, name)()
    costs = profile(model, repeats=0)
    assert costs.multiply_adds == expected == by_tensorflow(model)
    assert costs.parameters == model.count_params()


@pytest.mark.usefixtures("zero_weights")
def test_a_binary_network_counts_what_its_float_one_counts():
    model = architectures.xnor_resnet18()
    # Beside its products a layer sums, once for all images, the weights that lie outside: a convolution of one channel.
    binary = [layer for layer in model.layers if isinstance(layer, XnorConv2D)]
    padded = [layer for layer in binary if layer.padding == "same" and layer.kernel_size == (3, 3)]
    outside = sum(9 * layer.filters * layer.output.shape[1] * layer.output.shape[2] for layer in padded)
    assert len(padded) == 13
    assert profile(model, repeats=0).multiply_adds == by_tensorflow(model) - outside == 1_814_073_344


def test_lenet5_counts_the_papers_connections_without_the_biases():
    # LeCun et al. 1998, section II.B, counts connections: 122,304 in C1, 151,600 in C3, 48,120 in C5, and 10,164 in F6;
    # each unit has one to its bias. The radial basis functions have 84 each.
    biases = 6 * 28 * 28 + 16 * 10 * 10 + 120 + 84
    expected = 122_304 + 151_600 + 48_120 + 10_164 - biases + 10 * 84
    assert profile(architectures.lenet5(), repeats=0).multiply_adds == expected


@keras.saving.register_keras_serializable(package="tests")
class Twice(keras.layers.Layer):
    """Multiplies by a matrix, and says so where `honest`."""

    def build(self, input_shape):
        self.matrix = self.add_weight(shape=(input_shape[-1], 5), name="matrix")

    def call(self, inputs):
        return keras.ops.matmul(inputs, self.matrix)


@keras.saving.register_keras_serializable(package="tests")
class TwiceAndSaysSo(Twice):
    def multiply_adds(self, input_shape, output_shape):
        assert input_shape == (4, 6)
        assert output_shape == (4, 5)
        return 6 * 5


def test_a_layer_of_ones_own_says_its_number_or_is_named():
    said = profile(keras.Sequential([keras.Input((6,)), TwiceAndSaysSo()]), 4, repeats=0)
    assert said.multiply_adds == 30
    silent = profile(keras.Sequential([keras.Input((6,)), Twice(name="secret")]), 4, repeats=0)
    assert silent.multiply_adds == 0
    assert silent.not_counted == ("secret",)
    assert "not counted" in str(silent)
    assert "?" in str(silent.by_layer())


def test_subclassed_models_are_seen_through():
    class Branches(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.second = keras.layers.Dense(4), keras.layers.Dense(4)

        def call(self, inputs):
            return tf.concat([self.first(inputs), self.second(self.first(inputs[:, ::-1])[:, :3])], -1)

    costs = profile(Branches(), 2, input_shape=(6,), repeats=0)
    assert costs.multiply_adds == 6 * 4 + 6 * 4 + 3 * 4
    assert [layer.calls for layer in costs.layers] == [2, 1]
    assert costs.parameters == (6 * 4 + 4) + (3 * 4 + 4)
    np.testing.assert_equal(costs.input_shape, (2, 6))
