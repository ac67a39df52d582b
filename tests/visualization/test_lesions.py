"""Lesions: each against a network built by hand without the block, or with the weights moved by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.architectures import resnet_cifar, wide_resnet
from kerasdl.visualization import lesion_study
from kerasdl.visualization.residual_blocks import residual_blocks

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(40, 8, 8, 3)).astype("float32")
LABELS = RANDOM.integers(0, 4, size=40)


def convolve(x, filters, name, strides=1):
    x = keras.layers.Conv2D(filters, 3, strides, padding="same", name=f"{name}_conv")(x)
    return keras.layers.BatchNormalization(name=f"{name}_norm")(x)


def network(dropped=(), softmax=True):
    """Four residual blocks, the third with a projection; the last two sums are no layers."""
    inputs = keras.Input((8, 8, 3))
    x = convolve(inputs, 6, "stem")
    for number in range(4):
        filters, strides = (6, 1) if number < 2 else (8, 2 if number == 2 else 1)
        shortcut = convolve(x, filters, "project", strides) if number == 2 else x
        branch = keras.layers.ReLU()(convolve(x, filters, f"a{number}", strides))
        branch = convolve(branch, filters, f"b{number}")
        if number in dropped:
            x = shortcut
        elif number < 2:
            x = keras.layers.Add(name=f"sum{number}")([branch, shortcut])
        else:
            x = shortcut + branch
        x = keras.layers.ReLU(name=f"out{number}")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(4, activation="softmax" if softmax else None, name="scores")(x)
    return keras.Model(inputs, x)


@pytest.fixture(scope="module")
def trained():
    model = network()
    # Moving statistics and offsets that are not those of a network just made.
    noise = [RANDOM.uniform(0, 0.4, size=weight.shape) if weight.ndim == 1 else 0 for weight in model.get_weights()]
    model.set_weights([weight + more for weight, more in zip(model.get_weights(), noise, strict=True)])
    return model


def measured(model):
    chances = model(IMAGES, training=False).numpy()
    return [-np.log(chances[np.arange(len(LABELS)), LABELS]).mean(), np.mean(chances.argmax(axis=1) == LABELS)]


def without(trained, dropped):
    model = network(dropped)
    for layer in model.layers:
        layer.set_weights(trained.get_layer(layer.name).get_weights() if layer.weights else [])
    return model


def test_dropping_a_block_is_building_the_network_without_it(trained):
    before = [weight.copy() for weight in trained.get_weights()]
    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(16)
    study = lesion_study(trained, data, batch_size=25)
    assert study.blocks[:2] == ["sum0", "sum1"]
    assert len(study.blocks) == 4
    np.testing.assert_array_equal(study.lesions, np.eye(4, dtype=bool))
    trained.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    expected = trained.evaluate(IMAGES, LABELS, verbose=0)
    np.testing.assert_allclose([study.loss, study.accuracy], expected, rtol=1e-5)
    for number in (0, 2):  # an ordinary block, and one whose shortcut has a projection and whose sum is no layer
        expected = measured(without(trained, {number}))
        np.testing.assert_allclose([study.losses[number], study.accuracies[number]], expected, rtol=1e-5)
    assert np.ptp(study.losses) > 0.01
    assert all(np.array_equal(*pair) for pair in zip(trained.get_weights(), before, strict=True))


def test_several_at_once_are_drawn_by_the_seed_and_traced_once(trained):
    study = lesion_study(trained, (IMAGES, LABELS), number=2, samples=6, seed=3)
    assert (study.lesions.sum(axis=1) == 2).all()
    assert len(np.unique(study.lesions, axis=0)) > 1
    dropped = set(np.flatnonzero(study.lesions[0]))
    np.testing.assert_allclose([study.losses[0], study.accuracies[0]], measured(without(trained, dropped)), rtol=1e-5)
    again = lesion_study(trained, (IMAGES, LABELS), number=2, samples=6, seed=3)
    np.testing.assert_array_equal(again.lesions, study.lesions)

    traces = []
    layer = trained.get_layer("scores")
    call = layer.call
    layer.__dict__["call"] = lambda *args: traces.append(1) or call(*args)
    try:
        lesion_study(trained, (IMAGES, LABELS), number=3, samples=2, seed=4)
    finally:
        del layer.__dict__["call"]
    assert not traces


def test_permuted_blocks_have_each_others_weights(trained):
    before = [weight.copy() for weight in trained.get_weights()]
    study = lesion_study(trained, (IMAGES, LABELS), how="permute", samples=2)
    # Only the first two are alike: the third makes more and smaller maps of them, the fourth works on these.
    np.testing.assert_array_equal(study.lesions, [[1, 0, 2, 3]] * 2)
    exchanged = keras.models.clone_model(trained)
    exchanged.set_weights(before)
    for layer in ("a{}_conv", "a{}_norm", "b{}_conv", "b{}_norm"):
        for one, other in ((0, 1), (1, 0)):
            weights = trained.get_layer(layer.format(one)).get_weights()
            exchanged.get_layer(layer.format(other)).set_weights(weights)
    np.testing.assert_allclose([study.losses[0], study.accuracies[0]], measured(exchanged), rtol=1e-5)
    np.testing.assert_allclose([study.loss, study.accuracy], measured(trained), rtol=1e-5)
    # Twice the same exchange is none.
    study = lesion_study(trained, (IMAGES, LABELS), how="permute", number=2, samples=1)
    assert study.losses[0] == pytest.approx(study.loss, rel=1e-6)
    assert all(np.array_equal(*pair) for pair in zip(trained.get_weights(), before, strict=True))


def test_layers_of_a_plain_network_hand_on_what_they_get():
    layers = [
        keras.layers.Dense(5, activation="relu", name=f"dense{number}", bias_initializer="normal")
        for number in range(4)
    ]
    inner = keras.Sequential([keras.Input((3,)), *layers], name="inner")
    model = keras.Sequential([keras.Input((3,)), inner, keras.layers.Dense(1, name="score")])
    data = RANDOM.normal(size=(30, 3)).astype("float32"), np.arange(30) % 2
    pairs = [("dense0", "dense1"), ("dense1", "dense2"), ("inner/dense2", "dense3")]
    study = lesion_study(model, data, blocks=pairs, number=3, samples=1)
    assert study.blocks == ["dense1", "dense2", "dense3"]
    score = model.layers[-1](layers[0](data[0])).numpy()[:, 0]
    # A single score is for class 1.
    assert study.losses[0] == pytest.approx(np.log1p(np.exp(np.where(data[1] == 1, -score, score))).mean(), rel=1e-5)
    assert study.accuracies[0] == pytest.approx(np.mean((score > 0) == data[1]))
    order = lesion_study(model, data, blocks=pairs, how="permute", samples=1, seed=1)
    x = layers[0](data[0])
    for number in order.lesions[0]:
        x = layers[number + 1](x)
    score = model.layers[-1](x).numpy()[:, 0]
    assert order.losses[0] == pytest.approx(np.log1p(np.exp(np.where(data[1] == 1, -score, score))).mean(), rel=1e-5)


def test_finds_the_blocks_of_known_networks():
    # Depth 14 has (14 - 2) / 6 = 2 blocks per stage, WRN-16-1 (16 - 4) / 6.
    names = [f"stage{stage}_block{block}" for stage in (1, 2, 3) for block in (1, 2)]
    for shortcut in "AB":
        blocks = residual_blocks(resnet_cifar(14, shortcut, input_shape=(8, 8, 1)))
        assert [block.way for block in blocks] == [(None, f"{name}_conv2_norm") for name in names]
        assert all("shortcut" not in layer for block in blocks for layer in block.layers)
        assert blocks[0].shape == blocks[1].shape != blocks[2].shape != blocks[3].shape
    blocks = residual_blocks(wide_resnet(16, 1, input_shape=(8, 8, 1)))
    assert [block.way[1] for block in blocks] == [
        f"stage{stage}_block{block}_conv2" for stage in (2, 3, 4) for block in (1, 2)
    ]


@pytest.mark.slow
def test_finds_the_blocks_of_a_network_within_another():
    # ResNet-50 has 3 + 4 + 6 + 3, in keras.applications as everywhere.
    inner = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(32, 32, 3))
    outer = keras.Sequential([keras.Input((32, 32, 3)), inner, keras.layers.Flatten(), keras.layers.Dense(2)])
    blocks = residual_blocks(outer)
    assert len(blocks) == 16
    assert blocks[0].way == (None, "resnet50/conv2_block1_3_bn")
    assert len({block.shape for block in blocks}) == 8  # a first block and the others, in each of four stages


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"how": "shuffle"}, r'`how` must be "drop" or "permute"\. Received: \'shuffle\'\.'),
        ({"number": 0}, r"`number` must be a whole number of at least 1\. Received: 0\."),
        ({"samples": 1.5}, r"`samples` must be a whole number of at least 1\. Received: 1\.5\."),
        ({"number": 5}, r"`number` must be at most the number of blocks, 4\. Received: 5\."),
        ({"blocks": ["out0"]}, r"`blocks` must be pairs of layers' names, \(before, last\)\. Received: \['out0'\]\."),
        (
            {"blocks": [("out1", "out0")]},
            r"In each pair of `blocks` the second layer must follow on the first in one graph and give the same shape, "
            r"and the first must not be the input\. Received: \('out1', 'out0'\)\.",
        ),
        ({"blocks": [("out0", "out2")]}, r"give the same shape, .*Received: \('out0', 'out2'\)\."),
        (
            {"blocks": [("out0", "out1")], "how": "permute"},
            r'No two blocks have the same layers and shapes, so none can change places: use how="drop"\.',
        ),
        (
            {"data": (IMAGES, LABELS + 1)},
            r"The labels in `data` must be classes from 0 to 3\. Received: shape \(40, 1\), 1 to 4\.",
        ),
        ({"data": (IMAGES, LABELS + 0.5)}, r"The labels in `data` must be classes from 0 to 3\."),
    ],
)
def test_refuses(trained, arguments, message):
    data = arguments.pop("data", (IMAGES, LABELS))
    with pytest.raises(ValueError, match=message):
        lesion_study(trained, data, **arguments)


def test_a_network_without_shortcuts_is_told_what_to_do():
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(4)], name="plain")
    with pytest.raises(
        ValueError,
        match=r"Expected a model with residual blocks, .* Model 'plain' has none\. Blocks of other networks are given "
        r"as `blocks=\[\(before, last\), \.\.\.\]`, pairs of layers\.",
    ):
        lesion_study(model, (IMAGES, LABELS))
