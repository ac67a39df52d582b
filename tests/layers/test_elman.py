"""Elman's layer against the stock one, NumPy, automatic differentiation and finite differences."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.layers import ElmanCell, ElmanRNN, recurrence
from tests.helpers import check_layer

BATCH, STEPS, FEATURES, UNITS = 3, 6, 4, 5
RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(BATCH, STEPS, FEATURES)).astype("float32")
STATE = RANDOM.normal(size=(BATCH, UNITS)).astype("float32")
CONTEXT = RANDOM.normal(size=(BATCH, 2)).astype("float32")
# Padding at the end, a hole and a late beginning, and nothing at all.
MASK = np.array([[1, 1, 1, 1, 0, 0], [0, 0, 1, 0, 1, 1], [0, 0, 0, 0, 0, 0]], bool)


def by_hand(layer: ElmanRNN, inputs: np.ndarray, state: np.ndarray | float = 0.0, offset: np.ndarray | float = 0.0):
    """Every state, by a loop in NumPy."""
    kernel, recurrent_kernel, bias = (np.asarray(weight) for weight in layer.weights[:3])
    state, states = np.zeros((len(inputs), layer.units)) + state, []
    for step in range(inputs.shape[1]):
        state = np.tanh(inputs[:, step] @ kernel + state @ recurrent_kernel + bias + offset)
        states.append(state)
    return np.stack(states, 1)


def twins(**kwargs) -> tuple[keras.layers.SimpleRNN, ElmanRNN]:
    """The stock layer and ours with the same weights."""
    stock, ours = keras.layers.SimpleRNN(UNITS, **kwargs), ElmanRNN(UNITS, **kwargs)
    for layer in (stock, ours):
        layer.build(INPUTS.shape)
    stock.set_weights([np.random.default_rng(1).normal(size=weight.shape) * 0.4 for weight in stock.weights])
    ours.set_weights(stock.get_weights())
    return stock, ours


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


def test_gradient_is_the_finite_difference() -> None:
    """In double precision, with a mask, a first state and a context."""
    layer = ElmanRNN(UNITS, return_sequences=True, dtype="float64")
    state, weighting = tf.constant(STATE, tf.float64), np.random.default_rng(2).normal(size=(BATCH, STEPS, UNITS))

    def loss(inputs: tf.Tensor) -> tf.Tensor:
        states = layer(inputs, initial_state=state, mask=MASK, context=CONTEXT)
        return tf.reduce_sum(states * weighting)

    inputs = tf.constant(INPUTS, tf.float64)
    layer(inputs, context=CONTEXT)
    sources = [weight.value for weight in layer.trainable_weights]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = loss(inputs)
    gradients = tape.gradient(value, [inputs, *sources])
    random, size = np.random.default_rng(3), 1e-5
    for place, gradient in enumerate(gradients):
        direction = random.normal(size=gradient.shape)
        around = []
        for sign in (1, -1):
            if place == 0:
                around.append(loss(inputs + sign * size * direction))
            else:
                sources[place - 1].assign_add(sign * size * direction)
                around.append(loss(inputs))
                sources[place - 1].assign_add(-sign * size * direction)
        slope = float(around[0] - around[1]) / (2 * size)
        np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=1e-7)


@pytest.mark.parametrize("compiled", [pytest.param(True, marks=pytest.mark.slow), False])
def test_second_derivative(compiled: bool) -> None:
    """A gradient of the gradient is that of the plain loop, which is differentiated automatically."""
    tensors = [
        tf.constant(INPUTS),
        *(
            tf.constant(RANDOM.normal(size=shape) * 0.4, tf.float32)
            for shape in ((FEATURES, UNITS), (UNITS,), (UNITS, UNITS), (BATCH, UNITS))
        ),
    ]

    def automatic(inputs, kernel, offset, recurrent_kernel, state, mask, *_):
        steps = recurrence.project(inputs, kernel, offset)
        advance = lambda step, h: tf.tanh(step + h @ recurrent_kernel)  # noqa: E731
        states, last = recurrence.loop(steps, state, recurrence.time_first(mask), advance)
        return tf.transpose(states, (1, 0, 2)), last

    def slope_of_slope(run):
        with tf.GradientTape() as outer:
            outer.watch(tensors)
            with tf.GradientTape() as inner:
                inner.watch(tensors)
                loss = tf.reduce_sum(tf.sin(run(*tensors, tf.constant(MASK), "tanh", True)[0]))
            squares = sum(tf.reduce_sum(part**2) for part in inner.gradient(loss, tensors))
        return outer.gradient(squares, tensors)

    ours = tf.function(slope_of_slope) if compiled else slope_of_slope
    for found, expected in zip(ours(recurrence.elman_states), tf.function(slope_of_slope)(automatic), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def forward_mode(layer: ElmanRNN, inputs: tf.Tensor) -> tf.Tensor:
    """How the output changes as all inputs grow alike."""
    with tf.autodiff.ForwardAccumulator(inputs, tf.ones_like(inputs)) as accumulator:
        found = layer(inputs)
    return accumulator.jvp(found)


@pytest.mark.parametrize("within", [False, True])
def test_forward_mode_is_refused(within: bool) -> None:
    """It is not zero, as it would be."""
    run = tf.function(forward_mode, autograph=False) if within else forward_mode
    layer, inputs = ElmanRNN(UNITS), tf.constant(INPUTS)
    layer.build(INPUTS.shape)
    with pytest.raises(
        (NotImplementedError, tf.errors.InvalidArgumentError), match="make the layer with `unroll=True`"
    ):
        run(layer, inputs)


@pytest.mark.slow
def test_export_for_serving(tmp_path) -> None:
    """Which makes the graphs of all gradients, also of the one that refuses."""
    words = keras.Input((None, FEATURES))
    model = keras.Model(words, ElmanRNN(UNITS)(words))
    model.export(tmp_path / "model", verbose=False)
    served = tf.saved_model.load(tmp_path / "model")
    np.testing.assert_allclose(served.serve(INPUTS), model(INPUTS), atol=1e-6)


@pytest.mark.slow
def test_forward_mode_of_the_unrolled_layer() -> None:
    """The way that the refusal names gives the finite difference."""
    layer, inputs = ElmanRNN(UNITS, unroll=True), tf.constant(INPUTS)
    expected = (layer(inputs + 1e-2) - layer(inputs - 1e-2)) / 2e-2
    np.testing.assert_allclose(forward_mode(layer, inputs), expected, atol=1e-2)


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


def test_context() -> None:
    """W_ih v at every step: the loop in NumPy, saved, in a model, with the mask that Keras carries."""
    words, image = keras.Input((None, FEATURES)), keras.Input((2,))
    layer = ElmanRNN(UNITS, return_sequences=True)
    model = keras.Model([words, image], layer(keras.layers.Masking()(words), context=image))
    assert [tuple(weight.shape) for weight in layer.weights] == [(4, 5), (5, 5), (5,), (2, 5)]
    expected = by_hand(layer, INPUTS, offset=CONTEXT @ np.asarray(layer.weights[3]))
    np.testing.assert_allclose(model([INPUTS, CONTEXT]), expected, atol=1e-6)
    # At each of six steps 4 inputs and 5 states meet 5 units; 2 numbers of context do so once.
    assert layer.multiply_adds(INPUTS.shape, expected.shape) == 6 * (4 + 5) * 5 + 2 * 5
    # Padded: the state stays as it was before.
    padded = np.concatenate([INPUTS, np.zeros((BATCH, 2, FEATURES))], 1)
    np.testing.assert_allclose(model([padded, CONTEXT])[:, -1], expected[:, -1], atol=1e-6)


def test_context_is_saved(tmp_path) -> None:
    """Its weights come back with the file, without foreign code."""
    words, image = keras.Input((None, FEATURES)), keras.Input((2,))
    model = keras.Model([words, image], ElmanRNN(UNITS)(words, context=image))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(loaded([INPUTS, CONTEXT]), model([INPUTS, CONTEXT]), atol=1e-6)
    assert len(loaded.weights) == 4


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


def test_one_row_where_the_batch_is_not_known() -> None:
    """A context and a state for all sequences: their gradients are those of the rows that they stand for, summed."""
    layer = ElmanRNN(UNITS)
    layer(INPUTS, context=CONTEXT)

    @tf.function(
        input_signature=[tf.TensorSpec((None, None, FEATURES)), *[tf.TensorSpec((None, n)) for n in (UNITS, 2)]]
    )
    def gradients(inputs: tf.Tensor, state: tf.Tensor, context: tf.Tensor) -> list:
        with tf.GradientTape() as tape:
            tape.watch([state, context])
            loss = tf.reduce_sum(tf.sin(layer(inputs, initial_state=state, context=context)))
        return tape.gradient(loss, [state, context])

    rows = [np.repeat(part[:1], BATCH, 0) for part in (STATE, CONTEXT)]
    for found, expected in zip(gradients(INPUTS, STATE[:1], CONTEXT[:1]), gradients(INPUTS, *rows), strict=True):
        np.testing.assert_allclose(found, np.sum(expected, 0, keepdims=True), rtol=1e-5, atol=1e-6)


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


def of_unknown_length(layer: ElmanRNN) -> None:
    """Traces a call on sequences of any length."""
    tf.function(lambda x: layer(x), input_signature=[tf.TensorSpec((1, None, 3))]).get_concrete_function()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: ElmanRNN(0), r"`units` must be a positive integer\. Received: units=0\."),
        (lambda: ElmanRNN(2)(np.ones((1, 2, 3)), context=np.ones((1, 2, 3))), r"one vector of a known length per seq"),
        (lambda: ElmanRNN(2)(np.ones((1, 2, 3)), initial_state=[np.ones((1, 2))] * 2), r"of 2 tensors\."),
        (lambda: of_unknown_length(ElmanRNN(2, unroll=True)), r"`unroll=True` wants a known number of steps\."),
        *(
            (lambda call=call: call(np.ones((4, 6, 3))), text)
            for call, text in (
                (
                    lambda x: ElmanRNN(2)(x, initial_state=np.ones((1, 2))),
                    r"`initial_state` must be of shape \(batch, units\), here \(4, 2\)\. "
                    r"Received: initial_state of shape \(1, 2\)\.",
                ),
                (
                    lambda x: ElmanRNN(2)(x, initial_state=np.ones((3, 2))),
                    r"Received: initial_state of shape \(3, 2\)\.",
                ),
                (
                    lambda x: ElmanRNN(2)(x, initial_state=np.ones((4, 3))),
                    r"Received: initial_state of shape \(4, 3\)\.",
                ),
                (lambda x: ElmanRNN(2)(x, context=np.ones((1, 5))), r"Received: context of shape \(1, 5\)\."),
                (lambda x: ElmanRNN(2)(x, context=np.ones((3, 5))), r"Received: context of shape \(3, 5\)\."),
                (
                    lambda x: ElmanRNN(2)(x, mask=np.ones((4, 5), bool)),
                    r"`mask` must be of shape \(batch, steps\), here \(4, 6\)\. Received: mask of shape \(4, 5\)\.",
                ),
                (lambda x: ElmanRNN(2)(x, mask=np.ones((4, 6, 2), bool)), r"Received: mask of shape \(4, 6, 2\)\."),
            )
        ),
        (lambda: ElmanRNN(2)(np.ones((1, 3))), r"expected ndim=3, found ndim=2"),
        (lambda: ElmanRNN(2)(keras.Input((4, None))), r"expects vectors of a known length\."),
    ],
)
def test_refuses(call, text: str) -> None:
    """What it cannot do, it says."""
    with pytest.raises(ValueError, match=text):
        call()


def test_other_features_than_it_was_built_for() -> None:
    """Named with both sizes."""
    layer = ElmanRNN(UNITS)
    layer(INPUTS)
    with pytest.raises(
        ValueError, match=r"`sequences` .* here \(3, 6, 4\)\. Received: sequences of shape \(3, 6, 2\)\."
    ):
        layer(INPUTS[..., :2])
    layer = ElmanRNN(UNITS)
    layer(INPUTS, context=CONTEXT)
    with pytest.raises(ValueError, match=r"`context` .* here \(3, 2\)\. Received: context of shape \(3, 1\)\."):
        layer(INPUTS, context=CONTEXT[:, :1])


def test_context_always_or_never() -> None:
    """Weights are made at the first call."""
    layer = ElmanRNN(UNITS)
    layer(INPUTS)
    with pytest.raises(ValueError, match="first called without a `context` and is now called with one"):
        layer(INPUTS, context=CONTEXT)
    layer = ElmanRNN(UNITS)
    layer(INPUTS, context=CONTEXT)
    with pytest.raises(ValueError, match="first called with a `context` and is now called without one"):
        layer(INPUTS)
