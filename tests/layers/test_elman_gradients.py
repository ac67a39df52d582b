"""Gradients of Elman's layer: finite differences, automatic differentiation, and the mode that is refused."""

import numpy as np
import pytest
import tensorflow as tf
from elman_sequences import BATCH, CONTEXT, FEATURES, INPUTS, MASK, STATE, STEPS, UNITS

from kerasdl.layers import ElmanRNN, recurrence


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
    random = np.random.default_rng(4)
    tensors = [
        tf.constant(INPUTS),
        *(
            tf.constant(random.normal(size=shape) * 0.4, tf.float32)
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
def test_forward_mode_of_the_unrolled_layer() -> None:
    """The way that the refusal names gives the finite difference."""
    layer, inputs = ElmanRNN(UNITS, unroll=True), tf.constant(INPUTS)
    expected = (layer(inputs + 1e-2) - layer(inputs - 1e-2)) / 2e-2
    np.testing.assert_allclose(forward_mode(layer, inputs), expected, atol=1e-2)


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
