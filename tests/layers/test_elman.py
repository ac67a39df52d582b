"""Elman's layer against the stock one and the loop in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from elman_sequences import BATCH, CONTEXT, FEATURES, INPUTS, MASK, STATE, STEPS, UNITS, by_hand, twins
from helpers import check_layer

from kerasdl.layers import ElmanCell, ElmanRNN, recurrence


def outputs_and_gradients(layer: keras.layers.Layer, known: bool, masked: bool, started: bool) -> list:
    """What a layer gives and the gradients of inputs, first state and weights, within a function."""
    shapes = (INPUTS.shape, STATE.shape) if known else ((None, None, FEATURES), (None, UNITS))

    @tf.function(input_signature=[tf.TensorSpec(shape) for shape in shapes])
    def run(inputs: tf.Tensor, state: tf.Tensor) -> list:
        with tf.GradientTape() as tape:
            tape.watch([inputs, state])
            found = layer(inputs, initial_state=state if started else None, mask=tf.constant(MASK) if masked else None)
            loss = sum(tf.reduce_sum(tf.sin(part + place)) for place, part in enumerate(tf.nest.flatten(found)))
        sources = [inputs, state, *(weight.value for weight in layer.trainable_weights)]
        return tf.nest.flatten(found) + tape.gradient(loss, sources, unconnected_gradients="zero")

    return run(INPUTS, STATE)


@pytest.mark.parametrize(
    ("kwargs", "known", "masked", "started"),
    [
        pytest.param({}, True, False, False, marks=pytest.mark.slow),
        ({"return_sequences": True, "return_state": True}, True, True, True),
        ({"return_sequences": True, "activation": "relu", "use_bias": False}, False, True, True),
        pytest.param(
            {"return_state": True, "go_backwards": True, "activation": "sigmoid"},
            False,
            True,
            True,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"return_sequences": True, "zero_output_for_mask": True, "activation": None},
            False,
            True,
            False,
            marks=pytest.mark.slow,
        ),
        pytest.param({"return_sequences": True, "activation": "elu"}, False, True, True, marks=pytest.mark.slow),
        pytest.param({"unroll": True}, True, True, True, marks=pytest.mark.slow),
    ],
)
def test_it_is_the_stock_layer(kwargs: dict, known: bool, masked: bool, started: bool) -> None:
    """The same weights give the same outputs and the same gradients."""
    results = [outputs_and_gradients(layer, known, masked, started) for layer in twins(**kwargs)]
    for expected, found in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_layer() -> None:
    """Configuration, saving, shapes, training, bfloat16, any batch size."""
    check_layer(ElmanRNN, {"units": 5, "return_sequences": True, "seed": 3}, (2, 4, 3), by_hand)


def test_dropout_is_the_stock_layers() -> None:
    """The same seed drops the same inputs and states."""
    stock, ours = twins(dropout=0.3, recurrent_dropout=0.5, seed=3)
    np.testing.assert_allclose(ours(INPUTS, training=True), stock(INPUTS, training=True), atol=1e-6)
    np.testing.assert_allclose(ours(INPUTS), stock(INPUTS), atol=1e-6)


@pytest.mark.slow
def test_export_for_serving(tmp_path) -> None:
    """Which makes the graphs of all gradients, also of the one that refuses."""
    words = keras.Input((None, FEATURES))
    model = keras.Model(words, ElmanRNN(UNITS)(words))
    model.export(tmp_path / "model", verbose=False)
    served = tf.saved_model.load(tmp_path / "model")
    np.testing.assert_allclose(served.serve(INPUTS), model(INPUTS), atol=1e-6)


def test_compilations_do_not_grow_with_lengths() -> None:
    """Twenty lengths: none is compiled where they are unknown, few where they are known; eager calls trace twice."""
    layer = ElmanRNN(2)
    layer.build((1, 1, 3))
    compiled = recurrence._compiled_forward.experimental_get_tracing_count
    traced = recurrence._traced_forward.experimental_get_tracing_count
    sequences = [tf.zeros((1, length, 3)) for length in range(1, 21)]

    before = compiled(), traced()
    for sequence in sequences:
        layer(sequence)
    assert compiled() == before[0]
    assert traced() <= before[1] + 2

    unknown = tf.function(lambda x: layer(x), input_signature=[tf.TensorSpec((1, None, 3))])
    for sequence in sequences:
        unknown(sequence)
    assert (compiled(), unknown.experimental_get_tracing_count()) == (before[0], 1)

    known = tf.function(lambda x: layer(x), reduce_retracing=False)
    for sequence in sequences[:6]:
        known(sequence)
    assert compiled() == before[0] + recurrence.MOST_LENGTHS


def test_cell() -> None:
    """A cell of ours in the stock loop is the stock cell, and takes a step with a context."""
    stock, _ = twins(return_sequences=True)
    around = keras.layers.RNN(ElmanCell(UNITS), return_sequences=True)
    around.build(INPUTS.shape)
    around.set_weights(stock.get_weights())
    np.testing.assert_allclose(around(INPUTS), stock(INPUTS), atol=1e-6)

    layer = ElmanRNN(UNITS, return_sequences=True)
    states = layer(INPUTS[:, :2], initial_state=STATE, context=CONTEXT)
    step, _ = layer.cell(INPUTS[:, 1], [states[:, 0]], context=CONTEXT)
    np.testing.assert_allclose(step, states[:, 1], atol=1e-6)


def test_whole_numbers() -> None:
    """Sequences of whole numbers are read as the numbers that they are."""
    _, ours = twins()
    whole = np.arange(BATCH * STEPS * FEATURES).reshape(INPUTS.shape) % 3
    np.testing.assert_array_equal(ours(whole), ours(whole.astype("float32")))


def test_mask_of_one_column() -> None:
    """Taken as the stock layer takes it."""
    stock, ours = twins()
    np.testing.assert_allclose(ours(INPUTS, mask=MASK[..., None]), stock(INPUTS, mask=MASK[..., None]), atol=1e-6)


def test_both_directions() -> None:
    """Inside `Bidirectional`, with a mask, as the stock layer."""
    both = [keras.layers.Bidirectional(layer) for layer in twins(return_sequences=True)]
    for layer in both:
        layer.build(INPUTS.shape)
    both[1].set_weights(both[0].get_weights())
    np.testing.assert_allclose(both[1](INPUTS, mask=MASK), both[0](INPUTS, mask=MASK), atol=1e-6)


def test_stateful() -> None:
    """The last state of a batch is the first of the next, until it is reset."""
    _, ours = twins(return_sequences=True)
    layer = ElmanRNN(UNITS, stateful=True)
    layer.build(INPUTS.shape)
    layer.set_weights(ours.get_weights())
    twice = ours(np.concatenate([INPUTS, INPUTS], 1))
    np.testing.assert_allclose(layer(INPUTS), twice[:, STEPS - 1], atol=1e-6)
    np.testing.assert_allclose(layer(INPUTS), twice[:, -1], atol=1e-6)
    with pytest.raises(ValueError, match=r"keeps the batch size that it was built with, 3\. Received: a batch of 2\."):
        layer(INPUTS[:2])
    layer.reset_state()
    np.testing.assert_allclose(layer(INPUTS), twice[:, STEPS - 1], atol=1e-6)


def test_no_steps_and_no_words() -> None:
    """Without a step, or where all are masked, the state stays as it was; gradients are numbers."""
    _, ours = twins(return_state=True)
    _, state = ours(INPUTS[:, :0], initial_state=STATE)
    np.testing.assert_array_equal(state, STATE)
    _, state = ours(INPUTS, initial_state=STATE, mask=np.zeros((BATCH, STEPS), bool))
    np.testing.assert_array_equal(state, STATE)
    # A mask of no step hides nothing.
    output, state = ours(INPUTS[:, :0], initial_state=STATE, mask=MASK[:, :0])
    np.testing.assert_array_equal(output, STATE)
    np.testing.assert_array_equal(state, STATE)

    @tf.function(input_signature=[tf.TensorSpec((None, None, FEATURES))])
    def gradients(inputs: tf.Tensor) -> list:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(ours(inputs)[0])
        return tape.gradient(loss, [weight.value for weight in ours.trainable_weights])

    for gradient in gradients(INPUTS[:, :0]):
        np.testing.assert_array_equal(gradient, np.zeros_like(gradient))


@pytest.mark.slow
def test_within_a_compiled_step() -> None:
    """A model whose whole step is compiled by XLA learns as one that is not."""
    losses = []
    for jit in (True, False):
        keras.utils.set_random_seed(0)
        words = keras.Input((None, FEATURES))
        model = keras.Model(words, ElmanRNN(UNITS)(words))
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit)
        losses.append(model.fit(INPUTS, STATE, epochs=2, verbose=0).history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
