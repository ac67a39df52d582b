"""GoogLeNet against NumPy and the paper's Table 1, its side heads in training, and what the bottleneck saves."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import softmax
from scipy import signal

from kerasdl import training
from kerasdl.architectures import bottleneck_savings, googlenet, inception_block, with_auxiliary_labels
from kerasdl.architectures.auxiliary import HEADS
from kerasdl.architectures.inception import MODULES

# Table 1 as printed: channels, parameters in K (1024, without biases) and multiply-adds in M.
TABLE_1 = {
    "3a": (256, 159, 128),
    "3b": (480, 380, 304),
    "4a": (512, 364, 73),
    "4b": (512, 437, 88),
    "4c": (512, 463, 100),
    "4d": (528, 580, 119),
    "4e": (832, 840, 170),
    "5a": (832, 1072, 54),
    "5b": (1024, 1388, 71),
}
INCEPTION_3A = MODULES["3a"]


def convolve(x, kernel, bias, *, padding, strides=1):
    """A convolution as in Caffe: one product for each place of the kernel, zeros all around."""
    size = kernel.shape[0]
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))[:, ::strides, ::strides]
    return np.tensordot(windows, kernel, ([4, 5, 3], [0, 1, 2])) + bias


def pool(x, size, strides, *, padding=0, hangs_over=0, reduce=np.max):
    x = np.pad(x, ((0, 0), *((padding, padding + hangs_over),) * 2, (0, 0)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))[:, ::strides, ::strides]
    return reduce(windows, (4, 5))


def normalize(x):
    """Caffe's local response normalisation with local_size 5, alpha 1e-4, beta 0.75 and k 1."""
    squares = np.pad(x**2, ((0, 0), (0, 0), (0, 0), (2, 2)))
    mean = sum(squares[..., shift : shift + x.shape[-1]] for shift in range(5)) / 5
    return x / (1 + 1e-4 * mean) ** 0.75


def forward(model, images):
    """All of GoogLeNet, as in the paper's Figure 3, from the model's weights: logits by name."""

    def weights(name):
        return model.get_layer(name).get_weights()

    def conv(x, name, padding, strides=1):
        return np.maximum(convolve(x, *weights(name), padding=padding, strides=strides), 0)

    def dense(x, name):
        kernel, bias = weights(name)
        return x @ kernel + bias

    logits = {}
    x = pool(conv(images, "conv1_7x7", 3, 2), 3, 2, hangs_over=1)
    x = conv(conv(normalize(x), "conv2_3x3_reduce", 0), "conv2_3x3", 1)
    x = pool(normalize(x), 3, 2, hangs_over=1)
    for module in TABLE_1:
        name = f"inception{module}"
        x = np.concatenate(
            [
                conv(x, f"{name}_1x1", 0),
                conv(conv(x, f"{name}_3x3_reduce", 0), f"{name}_3x3", 1),
                conv(conv(x, f"{name}_5x5_reduce", 0), f"{name}_5x5", 2),
                conv(pool(x, 3, 1, padding=1), f"{name}_pool_proj", 0),
            ],
            axis=-1,
        )
        if module in ("4a", "4d"):
            head = {"4a": "auxiliary1", "4d": "auxiliary2"}[module]
            side = conv(pool(x, 5, 3, reduce=np.mean), f"{head}_1x1", 0)
            side = np.maximum(dense(side.reshape(len(side), -1), f"{head}_dense"), 0)
            logits[head] = dense(side, f"{head}_logits")
        if module in ("3b", "4e"):
            x = pool(x, 3, 2, hangs_over=1)
    return {**logits, "predictions": dense(x.mean((1, 2)), "logits")}


def test_all_three_heads_are_those_of_a_network_in_numpy():
    # 128 pixels are halved without a rest, and the heads' 5x5 averages leave part of the 8x8 maps out.
    model = googlenet(auxiliary_heads=True, input_shape=(128, 128, 3), classes=7)
    random = np.random.default_rng(0)
    for layer in model.layers:
        if len(layer.get_weights()) == 2:  # Biases start at zero, where nobody would miss them.
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, random.normal(0, 0.1, bias.shape)])
    # Large numbers, or the local response normalisation does next to nothing.
    images = 100 * random.random((2, 128, 128, 3), dtype="float32")
    expected = forward(model, images.astype("float64"))
    outputs = model(images)
    assert set(outputs) == {"predictions", "auxiliary1", "auxiliary2"}
    linear = {"predictions": "logits", "auxiliary1": "auxiliary1_logits", "auxiliary2": "auxiliary2_logits"}
    logits = keras.Model(model.input, {name: model.get_layer(layer).output for name, layer in linear.items()})(images)
    for name, values in expected.items():
        spread = values.std()
        assert np.abs(logits[name] - values).max() < 1e-4 * spread
        assert np.abs(values[0] - values[1]).max() > 1e-2 * spread
        np.testing.assert_allclose(outputs[name], softmax(np.asarray(logits[name])), atol=1e-6)


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("reduce", [True, False])
def test_a_module_is_its_branches_side_by_side_as_scipy_correlates_them(reduce, normalized):
    maps = keras.Input((6, 5, 3))
    block = inception_block(maps, (2, 3, 4, 2, 3, 2), reduce, normalized=normalized, name="block")
    model = keras.Model(maps, block)
    random = np.random.default_rng(0)
    for weight in model.weights:
        values = random.normal(size=weight.shape)
        weight.assign(np.abs(values) if "variance" in weight.path else values)
    x = random.normal(size=(1, 6, 5, 3)).astype("float32")

    def conv(x, suffix):
        kernel, *bias = model.get_layer(f"block_{suffix}").get_weights()
        filters = [
            sum(signal.correlate2d(x[..., i], kernel[:, :, i, o], mode="same") for i in range(x.shape[-1]))
            for o in range(kernel.shape[-1])
        ]
        if not normalized:
            return np.maximum(np.stack(filters, -1) + bias[0], 0)
        gamma, beta, mean, variance = model.get_layer(f"block_{suffix}_norm").get_weights()
        return np.maximum((np.stack(filters, -1) - mean) / np.sqrt(variance + 1e-5) * gamma + beta, 0)

    image = x[0].astype("float64")
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    pooled = np.max([padded[i : i + 6, j : j + 5] for i in range(3) for j in range(3)], axis=0)
    if reduce:
        before3, before5, last = conv(image, "3x3_reduce"), conv(image, "5x5_reduce"), conv(pooled, "pool_proj")
    else:
        before3, before5, last = image, image, pooled
    expected = np.concatenate([conv(image, "1x1"), conv(before3, "3x3"), conv(before5, "5x5"), last], axis=-1)
    np.testing.assert_allclose(model(x)[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("zero_weights")
def test_every_module_has_the_channels_parameters_and_multiply_adds_of_table_1():
    model = googlenet()
    # The paper's two other figures for 5a and its parameters of 4c are not what its own filters give.
    for module, (channels, kilo, mega) in TABLE_1.items():
        layers = [layer for layer in model.layers if layer.name.startswith(f"inception{module}") and layer.weights]
        assert len(layers) == 6
        kernels = [layer.kernel.shape for layer in layers]
        assert sum(kernel[-1] for kernel, layer in zip(kernels, layers, strict=True) if "red" not in layer.name) == (
            channels
        )
        parameters = sum(np.prod(kernel) for kernel in kernels)
        multiply_adds = parameters * np.prod(layers[0].output.shape[1:3])
        if module not in ("4c", "5a"):
            assert parameters / 1024 == pytest.approx(kilo, rel=0.02)
        if module != "5a":
            assert multiply_adds / 1e6 == pytest.approx(mega, abs=1)


@pytest.mark.usefixtures("zero_weights")
def test_parameters_with_and_without_heads():
    assert googlenet().count_params() == 6_998_552
    model = googlenet(auxiliary_heads=True)
    assert model.count_params() == 13_378_280
    assert model.get_layer("auxiliary1_average").output.shape[1:] == (4, 4, 512)
    assert model.get_layer("auxiliary2_average").output.shape[1:] == (4, 4, 528)
    assert (model.get_layer("auxiliary1_dropout").rate, model.get_layer("dropout").rate) == (0.7, 0.4)


@pytest.mark.parametrize("input_shape", [(28, 28, 192), (7, 9, 5)])
def test_savings_are_those_of_real_layers(input_shape):
    maps = keras.Input(input_shape)
    savings = bottleneck_savings(input_shape, INCEPTION_3A)
    measured = {}
    for field, reduce in (("naive_", False), ("", True)):
        name = f"{field or 'reduced_'}block"
        model = keras.Model(maps, inception_block(maps, INCEPTION_3A, reduce, name=name))
        costs = {
            layer.name.removeprefix(f"{name}_"): int(np.prod(layer.kernel.shape) * np.prod(layer.output.shape[1:3]))
            for layer in model.layers
            if layer.weights
        }
        for branch in ("1x1", "3x3", "5x5", "pool"):
            parts = [cost for layer, cost in costs.items() if layer.startswith(branch)]
            measured[branch, f"{field}multiply_adds"] = sum(parts)
        measured["total", f"{field}multiply_adds"] = sum(costs.values())
        measured["total", f"{field}channels"] = model.output_shape[-1]
    assert measured == {(branch, field): getattr(savings[branch], field) for branch, field in measured}
    assert savings["pool"].naive_channels == input_shape[-1]
    assert savings["pool"].channels == 32


def test_savings_of_the_examples_that_lectures_show():
    # Ng's course: 5x5 convolution of 28x28x192 to 32 maps, 120 M, or 2.4 M and 10.0 M with 16 maps between.
    savings = bottleneck_savings((28, 28, 192), INCEPTION_3A)["5x5"]
    assert (savings.naive_multiply_adds, savings.multiply_adds) == (120_422_400, 2_408_448 + 10_035_200)
    # Stanford's CS231n: the naive module on 28x28x256 costs 854 M and gives 672 maps, 480 with the bottleneck.
    savings = bottleneck_savings((28, 28, 256), (128, 64, 192, 64, 96, 64))["total"]
    assert round(savings.naive_multiply_adds / 1e6) == 854
    assert (savings.naive_channels, savings.channels) == (672, 480)


def cross_entropy(probabilities, labels):
    return -np.log(np.asarray(probabilities)[np.arange(len(labels)), labels])


@pytest.mark.slow
def test_both_fits_add_the_heads_losses_up_with_their_weights():
    random = np.random.default_rng(0)
    images, labels = random.random((4, 65, 65, 3), dtype="float32"), np.array([0, 1, 2, 1])
    weights = np.array([1.0, 2.0, 0.5, 1.0], "float32")
    plain = tf.data.Dataset.from_tensor_slices((images, labels, weights)).batch(4)
    data = with_auxiliary_labels(plain)
    assert data.cardinality() == 1
    heads = {"predictions": 1.0, "auxiliary1": 0.3, "auxiliary2": 0.3}
    model = googlenet(auxiliary_heads=True, input_shape=(65, 65, 3), classes=3)
    start = model.get_weights()
    for fit in ("keras", "ours"):
        model.set_weights(start)
        model.compile(
            keras.optimizers.SGD(1e-3),
            loss=dict.fromkeys(heads, "sparse_categorical_crossentropy"),
            loss_weights=heads,
            metrics={"predictions": ["accuracy"]},
        )
        if fit == "keras":
            logs = model.fit(data, epochs=1, validation_data=data, verbose=0, shuffle=False).history
        else:
            logs = training.fit(model, data, epochs=1, validation_data=data, verbose=0).history
        outputs = model(images)
        means = {name: np.mean(weights * cross_entropy(outputs[name], labels)) for name in heads}
        assert logs["val_loss"][0] == pytest.approx(sum(heads[name] * means[name] for name in heads), rel=1e-4)
        for name in heads:
            assert logs[f"val_{name}_loss"][0] == pytest.approx(means[name], rel=1e-4)
        assert logs["loss"][0] == pytest.approx(
            logs["predictions_loss"][0] + 0.3 * logs["auxiliary1_loss"][0] + 0.3 * logs["auxiliary2_loss"][0], rel=1e-5
        )
        assert logs["val_predictions_accuracy"][0] == np.mean(np.argmax(outputs["predictions"], 1) == labels)
        changed = [not np.array_equal(old, new) for old, new in zip(start, model.get_weights(), strict=True)]
        assert all(changed)


def test_labels_for_all_heads():
    data = tf.data.Dataset.from_tensor_slices((np.zeros((3, 2)), [5, 6, 7]))
    x, y = next(iter(with_auxiliary_labels(data.batch(3))))
    assert x.shape == (3, 2)
    assert {name: labels.numpy().tolist() for name, labels in y.items()} == {name: [5, 6, 7] for name in HEADS}


def test_what_cannot_be_labelled_is_refused():
    with pytest.raises(TypeError, match=r"`dataset` must be a tf.data.Dataset of \(x, y\). Received: list."):
        with_auxiliary_labels([])
    data = tf.data.Dataset.from_tensor_slices((np.zeros((3, 2)), [5, 6, 7]))
    with pytest.raises(ValueError, match=r"must give \(x, y\) or \(x, y, sample_weight\). Received: TensorSpec"):
        with_auxiliary_labels(data.map(lambda x, y: x))
    with pytest.raises(ValueError, match=r"Received: labels for \['auxiliary1', 'auxiliary2', 'predictions'\]."):
        with_auxiliary_labels(with_auxiliary_labels(data))


def test_images_too_small_for_the_heads_are_refused():
    with pytest.raises(ValueError) as error:  # noqa: PT011
        googlenet(auxiliary_heads=True, input_shape=(96, 64, 3))
    assert str(error.value) == (
        "`input_shape` must be at least 65x65 with `auxiliary_heads`: the heads average over 5x5 pixels of maps that "
        "are 16 times smaller than the image. Take larger images, or leave the heads out. "
        "Received: input_shape=(96, 64, 3)."
    )


@pytest.mark.parametrize("filters", [(64, 96, 128), (64, 96, 128, 16, 32, 0), 64, (64, 96, 128, 16, 32, 32.0)])
def test_a_row_that_is_not_one_of_table_1_is_refused(filters):
    for refuse in (
        lambda: inception_block(keras.Input((8, 8, 3)), filters, name="block"),
        lambda: bottleneck_savings((8, 8, 3), filters),
    ):
        with pytest.raises(ValueError) as error:  # noqa: PT011
            refuse()
        assert str(error.value) == (
            "`filters` must be six positive integers, #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5 and pool proj, such "
            f"as (64, 96, 128, 16, 32, 32). Received: filters={filters!r}."
        )
