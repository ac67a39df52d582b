"""Products of signs: exact integers, padded with signs, and scaled afterwards, against integer loops in NumPy."""

import functools
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import check_layer
from sign_padding import OPTIONS, pads, signs

import kerasdl
from kerasdl.layers import BinaryConv2D, TernaryConv2D, XnorConv2D, XnorDense, sign_ste, xnor_products


def convolve(layer, images, kernel, pad_value):
    """Any numbers times a kernel, in loops over the taps."""
    images = np.pad(images, [(0, 0), *pads(layer, images.shape[1:3]), (0, 0)], constant_values=pad_value)
    (height, width), (down, right) = kernel.shape[:2], layer.strides
    (tall, wide), rows = layer.dilation_rate, images.shape[1] - (kernel.shape[0] - 1) * layer.dilation_rate[0]
    columns = images.shape[2] - (kernel.shape[1] - 1) * layer.dilation_rate[1]
    shares = images.shape[-1] // kernel.shape[2]
    outputs = []
    for share, kernels in zip(np.split(images, shares, -1), np.split(kernel, shares, -1), strict=True):
        taps = [
            share[:, row * tall :][:, :rows:down, column * wide :][:, :, :columns:right] @ kernels[row, column]
            for row in range(height)
            for column in range(width)
        ]
        outputs.append(sum(taps[1:], start=taps[0]))
    return np.concatenate(outputs, -1)


def k_map(layer, images):
    """Rastegari et al., 2016, section 3.2: the mean size over the channels, and then over the window."""
    maps = []
    for share in np.split(np.abs(images), layer.groups, -1):
        box = np.full((*layer.kernel_size, 1, 1), 1 / np.prod(layer.kernel_size))
        maps.append(convolve(layer, share.mean(-1, keepdims=True), box, 0))
    return np.repeat(np.concatenate(maps, -1), layer.filters // layer.groups, -1)


def xnor_convolution(layer, images):
    kernel = np.asarray(layer.kernel)
    outputs = convolve(layer, signs(images), signs(kernel), layer.pad_value)
    assert outputs.dtype.kind == "i"
    if layer.weight_scale:
        outputs = outputs * np.abs(kernel.astype("float64")).mean((0, 1, 2))
    if layer.input_scale:
        outputs = outputs * k_map(layer, images)
    return np.asarray(layer.activation(outputs + (np.asarray(layer.bias) if layer.use_bias else 0)))


def xnor_dense(layer, rows):
    kernel = np.asarray(layer.kernel)
    outputs = signs(rows) @ signs(kernel) * (np.abs(kernel).mean(0) if layer.weight_scale else 1)
    if layer.input_scale:
        outputs = outputs * np.abs(rows).mean(-1, keepdims=True)
    return np.asarray(layer.activation(outputs + (np.asarray(layer.bias) if layer.use_bias else 0)))


@pytest.mark.parametrize(
    "kwargs",
    [
        {"padding": "same", "strides": 2, "pad_value": -1},
        {"input_scale": True, "padding": "same", "groups": 2, "estimator": "swish_sign", "use_bias": False},
    ],
)
def test_is_a_convolution_of_signs(kwargs):
    kwargs = {"filters": 6, "kernel_size": 3, "bias_initializer": "random_normal", "activation": "tanh"} | kwargs
    layer = check_layer(XnorConv2D, kwargs, (2, 8, 7, 4), xnor_convolution)
    assert isinstance(layer, keras.layers.Conv2D)


@pytest.mark.parametrize("kwargs", [{}, {"input_scale": True, "weight_scale": False, "estimator": "approx_sign"}])
def test_is_a_product_of_signs(kwargs):
    kwargs = {"units": 6, "bias_initializer": "random_normal", "activation": "tanh"} | kwargs
    layer = check_layer(XnorDense, kwargs, (5, 9), xnor_dense)
    assert isinstance(layer, keras.layers.Dense)
    rows = np.random.default_rng(1).normal(size=(2, 3, 9)).astype("float32")
    np.testing.assert_allclose(layer(rows), xnor_dense(layer, rows), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("size", [(9, 10), (10, 7)])
def test_sums_are_the_integers_and_are_scaled_only_then(options, size):
    layer = XnorConv2D(6, **{"kernel_size": 3} | options, bias_initializer="random_normal")
    images = np.random.default_rng(0).normal(size=(2, *size, 4)).astype("float32")
    images[:, ::3, ::2] = 0
    layer.build(images.shape)
    sums = convolve(layer, signs(images), signs(layer.kernel), layer.pad_value)
    scale, bias = np.asarray(layer.kernel_scale()), np.asarray(layer.bias)
    np.testing.assert_allclose(scale, np.abs(np.asarray(layer.kernel)).mean((0, 1, 2)), rtol=1e-6)
    # Bit for bit: nothing is rounded before the product with alpha.
    expected = sums.astype("float32") * scale + bias
    assert expected.dtype == np.float32
    for run in (layer, tf.function(layer), tf.function(layer, input_signature=[tf.TensorSpec([None, None, None, 4])])):
        np.testing.assert_array_equal(run(images), expected)
    np.testing.assert_array_equal(layer.scale_sums(sums.astype("float32")), expected)
    layer.weight_scale = False
    np.testing.assert_array_equal(layer(images), sums.astype("float32") + bias)


def test_sums_of_0_stay_0():
    layer = XnorConv2D(32, 3, use_bias=False)
    images = np.random.default_rng(0).normal(size=(2, 9, 9, 64)).astype("float32")
    outputs = np.asarray(layer(images))
    zero = convolve(layer, signs(images), signs(layer.kernel), 1) == 0
    assert zero.mean() > 0.02
    np.testing.assert_array_equal(outputs == 0, zero)
    np.testing.assert_array_equal(sign_ste(outputs)[zero], 1)
    # With alpha inside the sum, as float layers have it, many of them would have got a sign by rounding.
    inside = tf.nn.conv2d(sign_ste(images), layer.kernel_signs() * layer.kernel_scale(), 1, "VALID").numpy()
    assert (inside[zero] < 0).any()


def test_sums_are_integers_also_where_a_gpu_leaves_them_a_little_off(monkeypatch):
    images = tf.constant(np.random.default_rng(0).normal(size=(2, 9, 9, 4)), "float32")
    layer = XnorConv2D(3, 3, padding="same")
    exact = np.asarray(layer(images))
    convolve_exactly = layer.convolution_op
    monkeypatch.setattr(layer, "convolution_op", lambda *args: convolve_exactly(*args) * (1 + 1e-5))
    assert (np.asarray(layer(images)) != exact).any()
    monkeypatch.setattr(xnor_products, "_has_gpu", lambda: True)
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = layer(images)
    np.testing.assert_array_equal(outputs, exact)
    assert np.abs(tape.gradient(outputs, images)).max() > 0.01


@pytest.mark.parametrize("options", OPTIONS[1:])
def test_pads_where_keras_pads(options):
    """The mean of what padding with +1 and with -1 gives is what padding with 0 gives."""
    images = np.random.default_rng(0).normal(size=(2, 9, 10, 4)).astype("float32")
    options = {"kernel_size": 3, "use_bias": False} | options
    layers = [XnorConv2D(6, **options | {"pad_value": value}, weight_scale=False) for value in (1, -1)]
    stock = keras.layers.Conv2D(6, **{name: value for name, value in options.items() if name != "pad_value"})
    for layer in (*layers, stock):
        layer.build(images.shape)
        layer.kernel.assign(signs(layers[0].kernel))
    plus, minus = (np.asarray(layer(images)) for layer in layers)
    assert options["kernel_size"] == 1 or (plus != minus).any()
    np.testing.assert_array_equal((plus + minus) / 2, stock(signs(images).astype("float32")))


@pytest.mark.parametrize("options", OPTIONS)
def test_k_is_the_mean_size_of_what_each_sum_has_read(options):
    images = np.random.default_rng(0).normal(size=(2, 9, 10, 4)).astype("float32")
    layer = XnorConv2D(6, **{"kernel_size": 3} | options, input_scale=True, use_bias=False)
    scaled = np.asarray(layer(images))
    layer.input_scale = False
    plain = np.asarray(layer(images))
    np.testing.assert_allclose(scaled, plain * k_map(layer, images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("padding", "width"), [("valid", 3), ("same", 2), ("same", 3)])
@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("options", [{}, {"kernel_size": 2}, {"kernel_size": (1, 3), "input_scale": False}])
def test_batches_are_read_right_where_unequal_strides_leave_one_column(padding, width, channels, options):
    """TensorFlow's convolution of a single channel is not, and K is one, and the sums outside the image are."""
    images = np.random.default_rng(0).normal(size=(3, 6, width, channels)).astype("float32")
    options = {"kernel_size": 3, "input_scale": True, "strides": (1, 3), "padding": padding} | options
    layer = XnorConv2D(5, **options)
    outputs = layer(images)
    assert outputs.shape[2] == 1
    np.testing.assert_allclose(outputs, xnor_convolution(layer, images), rtol=1e-5, atol=1e-6)


def test_k_is_0_outside_the_image():
    layer = XnorConv2D(1, 3, padding="same", input_scale=True, weight_scale=False, use_bias=False, pad_value=-1)
    layer.build((None, 4, 5, 2))
    layer.kernel.assign(np.ones((3, 3, 2, 1)))
    outputs = np.asarray(layer(np.full((1, 4, 5, 2), 0.5, "float32")))[0, ..., 0]
    # In the corner 4 places of 9 are inside: 2 (4 - 5) 4/9 0.5.
    np.testing.assert_allclose([outputs[0, 0], outputs[0, 1], outputs[1, 1]], [-4 / 9, 2 * 3 / 3, 9], rtol=1e-6)


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
@pytest.mark.parametrize("policy", ["mixed_{}", "{}"])
def test_sums_are_exact_also_in_half_precision(policy, half):
    rng = np.random.default_rng(0)
    images = tf.cast(rng.normal(1, 0.6, size=(2, 5, 5, 300)), half)
    layer = XnorConv2D(4, 3, padding="same", use_bias=False, dtype=policy.format(half))
    dense = XnorDense(4, use_bias=False, dtype=policy.format(half))
    rows = tf.reshape(images, (2, -1))
    for each, inputs in ((layer, images), (dense, rows)):
        each.build(inputs.shape)
        each.kernel.assign(rng.normal(0.5, 0.4, size=each.kernel.shape))
        kernel = tf.cast(each.kernel, half) if policy == "{}" else each.kernel
        exact = signs(inputs) @ signs(kernel) if each is dense else convolve(each, signs(inputs), signs(kernel), 1)
        # More than float16 can tell apart.
        assert exact.max() > 2048
        assert (exact % 8).any()
        expected = tf.cast(exact.astype("float32") * np.asarray(each.kernel_scale()), half)
        outputs = each(inputs)
        assert outputs.dtype == half
        np.testing.assert_array_equal(np.asarray(tf.cast(outputs, "float32")), np.asarray(tf.cast(expected, "float32")))
        each.weight_scale = False
        np.testing.assert_array_equal(each.kernel_signs(), signs(kernel))


KINDS = {
    "stock": keras.layers.Conv2D,
    "binary": BinaryConv2D,
    "ternary": TernaryConv2D,
    "xnor": XnorConv2D,
    "xnor with K": functools.partial(XnorConv2D, input_scale=True),
}


def multiply_adds_of_a_training_step(layer_class):
    """Those of all convolutions in the compiled step, forwards and backwards, of an image of 14x14x16."""
    layer = layer_class(16, 3, padding="same", use_bias=False)
    layer.build((None, 14, 14, 16))

    @tf.function(autograph=False)
    def step(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            loss = tf.reduce_sum(tf.square(layer(images, training=True)))
        return tape.gradient(loss, [images, *layer.trainable_variables])

    graph = step.get_concrete_function(tf.TensorSpec((1, 14, 14, 16))).graph
    operations = graph.get_operations()
    assert not any("MatMul" in operation.type for operation in operations)
    kernels = [
        operation.outputs[0] if operation.type == "Conv2DBackpropFilter" else operation.inputs[1]
        for operation in operations
        if operation.type.startswith("Conv2D")
    ]
    return sum(14 * 14 * kernel.shape.num_elements() for kernel in kernels)


def test_a_training_step_multiplies_hardly_more_often_than_that_of_the_stock_layer():
    found = {kind: multiply_adds_of_a_training_step(layer_class) for kind, layer_class in KINDS.items()}
    forwards_and_backwards = 3 * 14 * 14
    stock = forwards_and_backwards * 9 * 16 * 16
    # What the signs outside add is a convolution of one channel, and the map K one from a channel to a channel.
    xnor = stock + forwards_and_backwards * 9 * 16
    with_k = xnor + forwards_and_backwards * 9
    assert found == {"stock": stock, "binary": stock, "ternary": stock, "xnor": xnor, "xnor with K": with_k}


@pytest.mark.slow
def test_trains_about_as_fast_as_the_stock_layer():
    """Signs are cheap beside products: a tenth more at most, as `pytest -s -m slow` prints."""
    steps, times = {}, {}
    images = np.random.default_rng(0).normal(size=(16, 14, 14, 256)).astype("float32")
    for kind, layer_class in KINDS.items():
        inputs = keras.Input(images.shape[1:])
        # A layer before, so that the gradient by the inputs is computed as well.
        model = keras.Model(inputs, layer_class(256, 3, padding="same")(keras.layers.Conv2D(256, 1)(inputs)))
        model.compile(keras.optimizers.SGD(0.01), "mse")
        steps[kind] = kerasdl.training.make_train_step(model)
        times[kind] = []
    for _ in range(11):
        for kind, step in steps.items():
            start = time.perf_counter()
            float(step(images, images)["loss"])
            times[kind].append(time.perf_counter() - start)
    ratios = {kind: np.median(each) / np.median(times["stock"]) for kind, each in times.items()}
    print("\n" + ", ".join(f"{kind} {ratio:.2f}" for kind, ratio in ratios.items()))
    assert max(ratios.values()) < 1.3
