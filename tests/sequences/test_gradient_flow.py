"""Gradients that vanish, explode, and stay."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.layers import ElmanRNN
from kerasdl.sequences import gradient_flow, gradient_norms

BATCH, STEPS, FEATURES, UNITS = 3, 7, 2, 4


def some_inputs(steps=STEPS):
    return np.random.default_rng(1).normal(size=(BATCH, steps, FEATURES)).astype("float32")


def built(layer, inputs_shape=(BATCH, STEPS, FEATURES)):
    layer.build(inputs_shape)
    return layer


def with_a_context():
    layer = ElmanRNN(3)
    layer(np.zeros((1, 2, 3), "float32"), context=np.zeros((1, 2), "float32"))
    return layer


def orthogonal(units, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(units, units)))[0].astype("float32")


def by_products_of_jacobians(layer, inputs, mask=None):
    """`dL/dh_t = (prod over k > t of W_h diag(1 - h_k^2)) 1`, in NumPy."""
    kernel, recurrent, bias = (weight.astype("float64") for weight in layer.get_weights())
    mask = np.ones(inputs.shape[:2], bool) if mask is None else mask
    norms = np.zeros(inputs.shape[:2])
    for example, kept, row in zip(inputs, mask, norms, strict=True):
        state, states = np.zeros(len(recurrent)), []
        for x, real in zip(example, kept, strict=True):
            state = np.tanh(x @ kernel + state @ recurrent + bias) if real else state
            states.append(state)
        gradient = np.ones(len(recurrent))
        for t in reversed(range(len(example))):
            row[t] = np.linalg.norm(gradient)
            if kept[t]:
                gradient = recurrent @ ((1 - states[t] ** 2) * gradient)
    return norms


@pytest.mark.parametrize("kind", [ElmanRNN, keras.layers.SimpleRNN])
def test_of_an_elman_layer_they_are_those_of_the_products_of_its_jacobians(kind):
    layer, inputs = kind(UNITS, bias_initializer="random_normal"), some_inputs()
    norms = gradient_norms(layer, inputs)
    assert norms.shape == (BATCH, STEPS)
    assert norms.dtype == np.float64
    np.testing.assert_allclose(norms, by_products_of_jacobians(layer, inputs), rtol=1e-5)
    np.testing.assert_allclose(norms[:, -1], UNITS**0.5, rtol=1e-6)


def test_padding_before_behind_and_between_copies_the_gradient():
    layer, inputs = ElmanRNN(UNITS), some_inputs()
    mask = np.ones((BATCH, STEPS), bool)
    mask[0, :2] = mask[1, 5:] = mask[2, 3] = False
    norms = gradient_norms(layer, inputs, mask=mask)
    np.testing.assert_allclose(norms, by_products_of_jacobians(layer, inputs, mask), rtol=1e-5)
    np.testing.assert_allclose(norms[1, :5], gradient_norms(layer, inputs[1:2, :5])[0], rtol=1e-6)


def test_of_a_layer_that_reads_backwards_they_stand_at_the_steps_of_its_inputs():
    layer, inputs = ElmanRNN(UNITS, go_backwards=True), some_inputs()
    norms = gradient_norms(layer, inputs)
    np.testing.assert_allclose(norms, by_products_of_jacobians(layer, inputs[:, ::-1])[:, ::-1], rtol=1e-5)


@pytest.mark.parametrize(("kind", "state"), [(keras.layers.GRU, 0), (keras.layers.LSTM, 0), (keras.layers.LSTM, 1)])
def test_with_gates_they_are_the_finite_differences_of_a_run_from_there(kind, state):
    # The layer itself runs on from the states after step t, with one unit of one state moved, all in one batch.
    layer, inputs, t, small = kind(UNITS, return_state=True), some_inputs(), 3, 1e-2
    _, *states = layer(inputs[:, : t + 1])
    states = [np.repeat(each, 2 * UNITS, axis=0) for each in states]
    states[state] += np.tile(small * np.concatenate([np.eye(UNITS), -np.eye(UNITS)]), [BATCH, 1]).astype("float32")
    ends = layer(np.repeat(inputs[:, t + 1 :], 2 * UNITS, axis=0), initial_state=states)[0]
    ends = np.sum(ends, axis=-1).reshape(BATCH, 2, UNITS)
    expected = np.linalg.norm((ends[:, 0] - ends[:, 1]) / (2 * small), axis=-1)
    norms = gradient_norms(layer, inputs, state=state)
    np.testing.assert_allclose(norms[:, t], expected, rtol=2e-3)
    np.testing.assert_allclose(norms[:, -1], 0 if state else UNITS**0.5, rtol=1e-6)


def test_without_squashing_an_orthogonal_matrix_scales_them_exactly():
    layer = built(keras.layers.SimpleRNN(8, activation=None), (1, 90, 2))
    kernel, _, bias = layer.get_weights()
    for scale in (0.5, 0.9, 1.0, 1.1):
        layer.set_weights([kernel, scale * orthogonal(8), bias])
        # 0.5^89 is 1.6e-27, whose square float32 would not hold.
        norms = gradient_norms(layer, np.zeros((1, 90, 2)))[0]
        np.testing.assert_allclose(norms, 8**0.5 * scale ** np.arange(89.0, -1, -1), rtol=1e-4)


def test_no_gradient_is_above_the_bound_of_the_largest_singular_value():
    layer, inputs = built(ElmanRNN(16)), some_inputs(30)
    kernel, _, bias = layer.get_weights()
    recurrent = np.random.default_rng(0).normal(size=(16, 16)).astype("float32")
    for largest in (0.8, 1.5):
        layer.set_weights([kernel, largest * recurrent / np.linalg.norm(recurrent, 2), bias])
        norms = gradient_norms(layer, inputs)
        bound = largest ** np.arange(29.0, -1, -1) * 4
        assert (norms <= bound * 1.00001).all()
        assert (norms[:, 0] < bound[0] / 10).all()  # A bound, not the value: the singular vectors do not line up.


def test_a_large_singular_value_explodes_only_with_a_large_eigenvalue():
    # [[0, 3], [0, 0]] has the singular value 3 and no eigenvalue but 0: after two steps nothing is left.
    layer = built(keras.layers.SimpleRNN(2, activation=None), (1, 5, 1))
    kernel, _, bias = layer.get_weights()
    layer.set_weights([kernel, np.array([[0, 3], [0, 0]], "float32"), bias])
    np.testing.assert_allclose(gradient_norms(layer, np.zeros((1, 5, 1)))[0], [0, 0, 0, 3, 2**0.5], rtol=1e-6)
    layer.set_weights([kernel, np.array([[3, 0], [0, 0]], "float32"), bias])
    np.testing.assert_allclose(gradient_norms(layer, np.zeros((1, 5, 1)))[0], [81, 27, 9, 3, 2**0.5], rtol=1e-6)


def test_an_open_forget_gate_carries_the_memory_and_a_half_open_one_halves_it():
    # With all other weights 0, c_t = f c_{t-1}, and h_T = tanh(c_T) / 2: dL/dc_t is f^(T-t) / 2 for every unit.
    layer = built(keras.layers.LSTM(UNITS), (1, 20, FEATURES))
    for bias, gate in ((0.0, 0.5), (5.0, 1 / (1 + np.exp(-5.0)))):
        zeros = [np.zeros_like(weight) for weight in layer.get_weights()]
        zeros[2][UNITS : 2 * UNITS] = bias
        layer.set_weights(zeros)
        norms = gradient_norms(layer, np.zeros((1, 20, FEATURES)), state=1)[0]
        np.testing.assert_allclose(norms[:-1], gate ** np.arange(19.0, 0, -1), rtol=1e-5)  # sqrt(4) / 2 = 1


def test_clipping_keeps_the_direction_and_bounds_the_length_of_a_step():
    # What a lesson does against explosions: `global_clipnorm`, here against the formula.
    weights = [tf.Variable([3.0, 4.0]), tf.Variable([[12.0]])]
    model_gradients = [tf.constant([3.0, 4.0]), tf.constant([[12.0]])]  # of norm 13
    keras.optimizers.SGD(1.0, global_clipnorm=1.3).apply_gradients(zip(model_gradients, weights, strict=True))
    np.testing.assert_allclose(weights[0], [2.7, 3.6], rtol=1e-6)
    np.testing.assert_allclose(weights[1], [[10.8]], rtol=1e-6)


def test_one_compilation_serves_new_weights_lengths_and_batches_and_goes_with_the_layer(monkeypatch):
    traced = []
    body = gradient_flow._gradients
    monkeypatch.setattr(gradient_flow, "_gradients", lambda *args: traced.append(1) or body(*args))
    layer = ElmanRNN(UNITS)
    for inputs in (some_inputs(), some_inputs(20), some_inputs()[:1]):
        gradient_norms(layer, inputs)
        layer.set_weights([1.1 * weight for weight in layer.get_weights()])
    np.testing.assert_allclose(
        gradient_norms(layer, some_inputs()), by_products_of_jacobians(layer, some_inputs()), rtol=1e-5
    )
    assert len(traced) == 1
    gone = weakref.ref(layer)
    del layer
    gc.collect()
    assert gone() is None


def test_half_precision_gives_about_the_same():
    layer, inputs = ElmanRNN(UNITS), some_inputs()
    expected = gradient_norms(layer, inputs)
    half = built(ElmanRNN(UNITS, dtype="mixed_bfloat16"))
    half.set_weights(layer.get_weights())
    np.testing.assert_allclose(gradient_norms(half, inputs), expected, rtol=0.05)


@pytest.mark.parametrize(
    ("layer", "inputs", "options", "error", "message"),
    [
        (
            keras.layers.Dense(3),
            np.zeros((1, 2, 3)),
            {},
            TypeError,
            "`layer` must be one recurrent layer, such as ElmanRNN, GRU or LSTM; of a Bidirectional one give its "
            "`forward_layer` or `backward_layer`. Received: Dense.",
        ),
        (
            ElmanRNN(3),
            np.zeros((1, 0, 3)),
            {},
            ValueError,
            "`inputs` must be numbers of shape (batch, steps, features), with at least one of each. "
            "Received: shape (1, 0, 3), float64.",
        ),
        (
            ElmanRNN(3),
            np.array([["a", "b"]]),
            {},
            ValueError,
            "`inputs` must be numbers of shape (batch, steps, features), with at least one of each. "
            "Received: shape (1, 2), <U1.",
        ),
        (
            ElmanRNN(3),
            np.zeros((1, 2, 3)),
            {"mask": [[1, 0]]},
            ValueError,
            "`mask` must be booleans of shape (batch, steps), here (1, 2). Received: shape (1, 2), int64.",
        ),
        (
            ElmanRNN(3),
            np.zeros((1, 2, 3)),
            {"state": 1},
            ValueError,
            "`state` must be in range(1), as many as this layer has. Received: state=1.",
        ),
        (
            ElmanRNN(3),
            np.zeros((1, 2, 3)),
            {"state": False},
            ValueError,
            "`state` must be in range(1), as many as this layer has. Received: state=False.",
        ),
        (
            built(keras.layers.GRU(3)),
            np.zeros((1, 2, 3)),
            {},
            ValueError,
            "`inputs` must have the 2 features that the layer was built for. Received: 3.",
        ),
        (
            built(ElmanRNN(3)),
            np.zeros((1, 2, 3)),
            {},
            ValueError,
            "`inputs` must have the 2 features that the layer was built for. Received: 3.",
        ),
        (
            ElmanRNN(3),
            np.full((1, 2, 3), np.nan),
            {},
            ValueError,
            "`inputs` must be finite. Received: some that are NaN or infinite.",
        ),
        (
            with_a_context(),
            np.zeros((1, 2, 3)),
            {},
            ValueError,
            "`layer` must be one that is called without a context. Received: one that has weights for it.",
        ),
        (
            keras.layers.RNN([keras.layers.GRUCell(2)] * 2),
            np.zeros((1, 2, 3)),
            {},
            TypeError,
            "`layer` must be one recurrent layer, such as ElmanRNN, GRU or LSTM; of a Bidirectional one give its "
            "`forward_layer` or `backward_layer`. Received: RNN of several cells.",
        ),
    ],
)
def test_refuses(layer, inputs, options, error, message):
    with pytest.raises(error) as caught:
        gradient_norms(layer, inputs, **options)
    assert str(caught.value) == message
