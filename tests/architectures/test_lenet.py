"""LeNet-5 against the paper's counts, its tables, and its equations written out in NumPy and SciPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import numbers_in
from scipy.signal import correlate
from scipy.special import logsumexp

from kerasdl.architectures import lenet5, lenet5_modern
from kerasdl.architectures.lenet import C3_CONNECTIONS, output_codes


def squash(a):
    return 1.7159 * np.tanh(2 / 3 * a)


def test_has_the_sixty_thousand_weights_of_the_paper():
    model = lenet5()
    counts = {layer.name: numbers_in(layer.trainable_weights) for layer in model.layers if layer.trainable_weights}
    # Section II.B of the paper names each of these.
    assert counts == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48120, "f6": 10164}
    assert numbers_in(model.trainable_weights) == 60_000
    assert numbers_in(model.non_trainable_weights) == 10 * 84


def test_modern_counts():
    model = lenet5_modern()
    counts = [numbers_in(layer.weights) for layer in model.layers if layer.weights]
    # 5*5*1*6+6, 5*5*6*16+16, 400*120+120, 120*84+84, 84*10+10
    assert counts == [156, 2416, 48120, 10164, 850]
    assert model.count_params() == 61_706


@pytest.mark.parametrize("builder", [lenet5, lenet5_modern])
def test_stages_have_the_papers_sizes(builder):
    model = builder()
    assert model.get_layer("c1").output.shape == (None, 28, 28, 6)
    assert model.get_layer("stage1_out").output.shape == (None, 14, 14, 6)
    assert model.get_layer("c3").output.shape == (None, 10, 10, 16)
    assert model.get_layer("stage2_out").output.shape == (None, 5, 5, 16)


def test_each_map_of_c3_sees_what_table_one_says():
    # The text under Table I: six take every contiguous three, six every contiguous four, three discontinuous fours,
    # one all.
    columns = [frozenset(np.flatnonzero(column)) for column in C3_CONNECTIONS.T]
    assert set(columns[:6]) == {frozenset((k + step) % 6 for step in range(3)) for k in range(6)}
    assert set(columns[6:12]) == {frozenset((k + step) % 6 for step in range(4)) for k in range(6)}
    assert [sorted(column) for column in columns[12:]] == [[0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5], [0, 1, 2, 3, 4, 5]]
    assert C3_CONNECTIONS.sum() == 60


def in_numpy(model, image):
    """The paper's equations for one 32x32 image, unit by unit, with the model's weights."""
    weights = {layer.name: [weight.numpy() for weight in layer.weights] for layer in model.layers if layer.weights}
    maps = [1.275 * image[:, :, 0] - 0.1]

    def convolve(maps, kernels, biases, table):
        result, kernels = [], iter(kernels)
        kernel_of = {pair: next(kernels) for pair in np.argwhere(table).tolist() for pair in [tuple(pair)]}
        for target in range(table.shape[1]):
            total = sum(
                correlate(maps[source], kernel_of[source, target], "valid")
                for source in range(table.shape[0])
                if table[source, target]
            )
            result.append(squash(total + biases[target]))
        return result

    def pool(maps, alpha, beta):
        sums = [m[::2, ::2] + m[1::2, ::2] + m[::2, 1::2] + m[1::2, 1::2] for m in maps]
        return [squash(a * s + b) for a, b, s in zip(alpha, beta, sums, strict=True)]

    def listed(kernel):
        return [kernel[:, :, i, o] for i in range(kernel.shape[2]) for o in range(kernel.shape[3])]

    kernel, bias = weights["c1"]
    maps = pool(convolve(maps, listed(kernel), bias, np.ones((1, 6))), *weights["s2"])
    kernel, bias = weights["c3"]
    maps = pool(convolve(maps, list(np.moveaxis(kernel, -1, 0)), bias, C3_CONNECTIONS), *weights["s4"])
    kernel, bias = weights["c5"]
    maps = convolve(maps, listed(kernel), bias, np.ones((16, 120)))
    x = np.array([m.item() for m in maps])
    kernel, bias = weights["f6"]
    x = squash(x @ kernel + bias)
    return -np.array([np.sum((x - code) ** 2) for code in output_codes(10)])


def test_computes_what_the_paper_says():
    model = lenet5()
    random = np.random.default_rng(0)
    for layer in model.layers:
        if layer.trainable_weights and layer.name != "rbf":
            layer.set_weights([w.numpy() + random.normal(0, 0.1, w.shape) for w in layer.weights])
    image = random.random((32, 32, 1)).astype("float32")
    logits = keras.Model(model.input, model.get_layer("logits").output)(image[None])[0]
    np.testing.assert_allclose(logits, in_numpy(model, image), rtol=1e-4)


def test_codes_are_pictures_of_different_digits():
    codes = output_codes(10)
    assert set(np.unique(codes)) == {-1.0, 1.0}
    differing = (codes[:, None] != codes[None]).sum(-1)
    # 8 and 3 are drawn most alike, and still differ in six of 84 dots.
    assert differing[np.triu_indices(10, 1)].min() == 6
    zero = codes[0].reshape(12, 7)
    np.testing.assert_array_equal(zero, zero[:, ::-1])
    np.testing.assert_array_equal(zero, zero[::-1])
    np.testing.assert_array_equal(output_codes(12)[:10], codes)
    assert len(np.unique(output_codes(100), axis=0)) == 100


@pytest.mark.parametrize("builder", [lenet5, lenet5_modern])
def test_a_smaller_image_is_framed_with_background(builder):
    small, full = builder(input_shape=(28, 28, 1)), builder()
    full.set_weights(small.get_weights())
    images = np.random.default_rng(0).random((2, 28, 28, 1)).astype("float32")
    framed = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    np.testing.assert_allclose(small(images), full(framed), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("builder", [lenet5, lenet5_modern])
@pytest.mark.parametrize(("shape", "classes"), [((48, 40, 3), 7), ((20, 33, 2), 12)])
def test_takes_other_sizes_channels_and_classes(builder, shape, classes):
    model = builder(input_shape=shape, classes=classes)
    # Two convolutions of 5x5 and two halvings of at least 32 by 32.
    height, width = (((max(side, 32) - 4) // 2 - 4) // 2 for side in shape[:2])
    c1, f6 = 25 * shape[2] * 6 + 6, 120 * 84 + 84
    if builder is lenet5:
        positions = (height - 4) * (width - 4)
        expected = c1 + 12 + 1516 + 32 + 48120 + (120 * positions) * 84 + 84 + 84 * classes
    else:
        expected = c1 + 2416 + height * width * 16 * 120 + 120 + f6 + 84 * classes + classes
    assert model.count_params() == expected
    outputs = model(np.random.default_rng(0).random((2, *shape), dtype="float32"))
    assert outputs.shape == (2, classes)
    assert np.all(np.isfinite(outputs))


def test_the_loss_reaches_a_network_whose_answer_is_far_off():
    # exp(-distance) underflows here: a loss that took the probabilities at their word would have no gradient.
    model = lenet5()
    model.get_layer("f6").set_weights([weight.numpy() * 100 for weight in model.get_layer("f6").weights])
    images = np.random.default_rng(0).random((4, 32, 32, 1), dtype="float32")
    answers = np.argmin(model(images), axis=-1)
    model.compile(loss="sparse_categorical_crossentropy")
    logits = keras.Model(model.input, model.get_layer("logits").output)(images).numpy().astype("float64")
    expected = np.mean(logsumexp(logits, axis=-1) - logits[range(4), answers])

    @tf.function
    def loss():
        return model.compute_loss(images, answers, model(images, training=True))

    assert expected > 50
    assert float(loss()) == pytest.approx(expected, rel=1e-4)
