"""The loss around a network: a quadratic known in closed form, lengths of filters, and weights that stay."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.visualization import landscapes, loss_landscape

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(60, 6, 6, 2)).astype("float32")
LABELS = RANDOM.integers(0, 3, size=60)


def network():
    layers = [
        keras.layers.Conv2D(4, 3, activation="relu", kernel_regularizer=keras.regularizers.L2(0.01)),
        keras.layers.BatchNormalization(),
        keras.layers.DepthwiseConv2D(2),
        keras.layers.Conv2DTranspose(5, 2, activity_regularizer=keras.regularizers.L1(0.001)),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(3, activation="softmax"),
    ]
    model = keras.Sequential([keras.Input((6, 6, 2)), *layers])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    # Other moving statistics and biases than the first ones.
    model.set_weights([weight + RANDOM.uniform(0, 0.5, size=weight.shape) for weight in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def trained():
    return network()


def test_least_squares_is_the_quadratic_of_the_closed_form():
    x, y = RANDOM.normal(size=(50, 4)), RANDOM.normal(size=(50, 2))
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile(loss="mse")
    kernel, bias = (weight.numpy() for weight in model.weights)
    found = loss_landscape(model, (x, y), points=7, extent=1.5, batch_size=16, seed=5)
    (first, zeros), (second, _) = found.directions
    assert not zeros.any()
    expected = [
        [np.mean((x @ (kernel + a * first + b * second) + bias - y) ** 2) for b in found.coordinates]
        for a in found.coordinates
    ]
    np.testing.assert_allclose(found.losses, expected, rtol=1e-5)
    assert found.accuracies is None

    # Along a line it is a parabola: f(0) + 2 a mean((x w + bias - y) x d) + a^2 mean((x d)^2).
    error, change = x @ kernel + bias - y, x @ first
    line = loss_landscape(model, (x, y), points=7, extent=1.5, directions=[found.directions[0]])
    a = line.coordinates
    parabola = np.mean(error**2) + 2 * a * np.mean(error * change) + a**2 * np.mean(change**2)
    np.testing.assert_allclose(line.losses, parabola, rtol=1e-5)

    # Another loss, or another weight of it, is not taken for the one that was compiled before.
    absolute = np.abs(error).mean()
    for options, expected in (
        ({"loss": ["mae"]}, absolute),
        ({"loss": ["mae"], "loss_weights": [10.0]}, 10 * absolute),
    ):
        model.compile(**options)
        line = loss_landscape(model, (x, y), points=3, directions=1)
        assert line.losses[1] == pytest.approx(expected, rel=1e-5)


def test_filters_of_a_direction_are_as_long_as_those_of_the_network(trained):
    directions = landscapes._directions(trained, 2, seed=0)
    conv, depthwise, transposed, dense = (i for i, weight in enumerate(trained.trainable_variables) if weight.ndim > 1)
    axes = {conv: (0, 1, 2), depthwise: (0, 1), transposed: (0, 1, 3), dense: (0,)}
    for direction in directions:
        for index, (weight, part) in enumerate(zip(trained.trainable_variables, direction, strict=True)):
            if index in axes:
                lengths = [np.sqrt((values**2).sum(axis=axes[index])) for values in (weight.numpy(), part)]
                np.testing.assert_allclose(lengths[1], lengths[0], rtol=1e-5)
            else:
                assert not part.any()  # biases, and what batch normalisation learns
    one, other = (np.concatenate([part.ravel() for part in way]) for way in directions)
    assert abs(one @ other) < 0.5 * np.linalg.norm(one) * np.linalg.norm(other)
    again = landscapes._directions(trained, 1, seed=0)
    assert all(np.array_equal(*parts) for parts in zip(again[0], directions[0], strict=True))
    assert not np.array_equal(landscapes._directions(trained, 1, seed=1)[0][0], directions[0][0])


def test_the_middle_is_what_evaluate_says_and_all_else_what_it_says_of_moved_weights(trained):
    before = [weight.copy() for weight in trained.get_weights()]
    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(25)
    found = loss_landscape(trained, data, points=3, extent=0.5, batch_size=32)
    assert all(np.array_equal(*pair) for pair in zip(trained.get_weights(), before, strict=True))
    moved = keras.models.clone_model(trained)
    moved.compile(loss=trained.loss, metrics=["accuracy"])
    for row, column in [(1, 1), (0, 2), (2, 1)]:
        moved.set_weights(before)
        for weight, *parts in zip(moved.trainable_variables, *found.directions, strict=True):
            a, b = found.coordinates[[row, column]]
            weight.assign(weight.numpy() + a * parts[0] + b * parts[1])
        # Penalties on the weights and on what a layer gives are part of it.
        loss, accuracy = moved.evaluate(IMAGES, LABELS, batch_size=32, verbose=0)
        assert found.losses[row, column] == pytest.approx(loss, rel=1e-5)
        assert found.accuracies[row, column] == pytest.approx(accuracy, abs=1e-6)


def test_statistics_of_the_batch_do_not_notice_larger_filters():
    # Behind normalisation a filter twice as large is the same filter; with the moving statistics it is not.
    layers = [keras.layers.Conv2D(4, 3, use_bias=False), keras.layers.BatchNormalization(epsilon=1e-9)]
    model = keras.Sequential([keras.Input((6, 6, 2)), *layers, keras.layers.GlobalMaxPooling2D()])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    kernel, *others = (weight.numpy() for weight in model.trainable_variables)
    larger = [[kernel, *(np.zeros_like(other) for other in others)]]
    before = [weight.copy() for weight in model.get_weights()]
    batch = {"directions": larger, "points": 3, "extent": 0.5}
    as_in_training = loss_landscape(model, (IMAGES, LABELS), batch_statistics=True, **batch).losses
    np.testing.assert_allclose(as_in_training, as_in_training[1], rtol=1e-4)
    assert np.ptp(loss_landscape(model, (IMAGES, LABELS), **batch).losses) > 0.01
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), before, strict=True))


def test_weights_stay_when_the_loss_fails_and_nothing_is_traced_twice(trained):
    before = [weight.copy() for weight in trained.get_weights()]
    traces = []

    def failing(labels, outputs):
        raise RuntimeError("no loss today")

    def worst(labels, outputs):
        traces.append(1)
        return -tf.gather(outputs, labels, axis=1, batch_dims=1)

    with pytest.raises(RuntimeError, match="no loss today"):
        loss_landscape(trained, (IMAGES, LABELS), points=3, loss=failing)
    assert all(np.array_equal(*pair) for pair in zip(trained.get_weights(), before, strict=True))
    found = loss_landscape(trained, (IMAGES, LABELS), points=3, loss=worst)
    rows = np.arange(len(LABELS))
    assert found.losses[1, 1] == pytest.approx(-trained.predict(IMAGES, verbose=0)[rows, LABELS].mean(), rel=1e-5)
    count = len(traces)
    loss_landscape(trained, (IMAGES, LABELS), points=5, loss=worst, seed=3, extent=0.2)
    assert len(traces) == count


@pytest.mark.parametrize("kind", [list, iter])
def test_data_may_be_batches_or_two_arrays(trained, kind):
    batches = [(IMAGES[:40], LABELS[:40]), (IMAGES[40:], LABELS[40:])]
    for data in (kind(batches), [IMAGES, LABELS], (IMAGES.tolist(), LABELS.tolist())):
        inputs, labels = landscapes.labelled_arrays(trained, data)
        np.testing.assert_array_equal(labels, LABELS)
        np.testing.assert_array_equal(inputs, IMAGES)


def test_what_tells_compiled_losses_apart():
    class Scaled(keras.losses.Loss):
        def __init__(self, scale):
            super().__init__()
            self.scale = scale

        def call(self, labels, outputs):
            return self.scale * (labels - outputs) ** 2

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    # Two losses that write down the same of themselves are two; a lambda is no reason to warn.
    kinds = [Scaled(1.0), Scaled(2.0), lambda labels, outputs: labels - outputs, "mse"]
    found = []
    for loss in kinds:
        for weights in (None, [2.0]):
            model.compile(loss=loss, loss_weights=weights)
            found.append(landscapes._compiled_loss(model))
            model.compile("sgd", loss=loss, loss_weights=weights)
            assert landscapes._compiled_loss(model) == found[-1]
    assert len(set(found)) == 2 * len(kinds)
    # What does not write itself down may be another loss every time.
    model.compile(loss=functools.partial(keras.losses.huber, delta=2.0))
    assert landscapes._compiled_loss(model) != landscapes._compiled_loss(model)


def test_embeddings_have_one_filter_per_word():
    layer = keras.layers.Embedding(7, 3)
    layer.build()
    assert landscapes._filter_axes(layer, layer.weights[0]) == (0,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"directions": 3}, r"`directions` must be 1 or 2, or one or two directions\. Received: 3\."),
        ({"directions": []}, r"`directions` must be 1 or 2, or one or two directions\. Received: 0 directions\."),
        (
            {"directions": [[np.zeros((4, 1))]]},
            r"A direction must be one array for each of model\.trainable_variables, with shapes "
            r"\[\(4, 1\), \(1,\)\]\. Received: \[\(4, 1\)\]\.",
        ),
        (
            {"points": 4},
            r"`points` must be an odd number of at least 3, so that the network itself is one\. Received: 4\.",
        ),
        ({"extent": 0}, r"`extent` must be a number above 0\. Received: 0\."),
        ({"batch_size": 0}, r"`batch_size` must be a whole number of at least 1\. Received: 0\."),
        ({}, r"Model 'line' is not compiled, so it has no loss\. Call model\.compile\(loss=\.\.\.\) or give `loss=`\."),
        ({"data": 3}, r"`data` must be inputs and labels, as two arrays or in batches of two\. Received: int\."),
        ({"data": (np.ones(3),)}, r"`data` must be inputs and labels, .*Received: 1 parts\."),
        ({"data": []}, r"`data` must be inputs and labels, .*Received: nothing\."),
        (
            {"data": tf.data.Dataset.from_tensors((np.ones((3, 4)), np.ones(3))).repeat()},
            r"`data` must come to an end: call data\.take\(batches\)\. Received: an endless data set\.",
        ),
        ({"data": (np.ones((3, 4)), np.ones(2))}, r"one label per input\. Received: 3 inputs, 2 labels\."),
        ({"data": (np.full((3, 4), np.nan), np.ones(3))}, r"in `data` must be finite\. Received: nan or infinity\."),
    ],
)
def test_refuses(arguments, message):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)], name="line")
    if arguments and "data" not in arguments:
        model.compile(loss="mse")
    data = arguments.pop("data", (np.ones((8, 4)), np.ones((8, 1))))
    with pytest.raises(ValueError, match=message):
        loss_landscape(model, data, **arguments)


def test_refuses_a_model_without_filters():
    model = keras.Sequential([keras.Input((4,)), keras.layers.LayerNormalization()], name="norm")
    model.compile(loss="mse")
    with pytest.raises(ValueError, match=r"Model 'norm' has no filter that can be trained, so there is no direction."):
        loss_landscape(model, (np.ones((8, 4)), np.ones((8, 4))))
    with pytest.raises(TypeError, match=r"`model` must be a keras.Model. Received: int."):
        loss_landscape(3, None)
