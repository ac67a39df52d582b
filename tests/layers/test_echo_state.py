import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import check_layer

from kerasdl.architectures import solve_readout
from kerasdl.layers import EchoState, EchoStateCell


def _in_numpy(layer, inputs, mask=None, state=None):
    """The equation, step by step, in float64."""
    kernel, recurrent, bias = (weight.astype("float64") for weight in layer.get_weights())
    leak = layer.cell.leak
    state = np.zeros((len(inputs), len(bias))) if state is None else state
    states = []
    for step in range(inputs.shape[1]):
        fresh = (1 - leak) * state + leak * np.tanh(inputs[:, step] @ kernel + state @ recurrent + bias)
        state = fresh if mask is None else np.where(mask[:, step, None], fresh, state)
        states.append(state)
    return np.stack(states, axis=1)


def test_the_layer_is_its_equation():
    layer = check_layer(
        EchoState,
        {"units": 40, "leak": 0.3, "return_sequences": True, "seed": 3},
        (2, 7, 3),
        reference=_in_numpy,
    )
    assert not layer.trainable_weights
    assert [weight.shape for weight in layer.non_trainable_weights] == [(3, 40), (40, 40), (40,)]
    # Frozen for good: making the layer trainable trains nothing.
    layer.trainable = True
    assert not layer.trainable_weights


def test_states_masks_and_directions():
    inputs = np.random.default_rng(0).normal(size=(3, 6, 2)).astype("float32")
    mask = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0]], bool)
    start = np.random.default_rng(1).normal(size=(3, 30)).astype("float32")
    layer = EchoState(30, spectral_radius=1.2, input_scale=0.5, return_state=True, seed=0)
    last, state = layer(inputs, mask=mask, initial_state=start)
    expected = _in_numpy(layer, inputs, mask, start)[:, -1]
    np.testing.assert_allclose(state, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(last[:2], state[:2])
    # A row that is all padding says nothing.
    np.testing.assert_array_equal(layer(inputs, mask=mask)[0][2], np.zeros(30))

    # From the end, with the same weights; and in two pieces, with the state kept between them.
    config = {**layer.get_config(), "return_state": False}
    backwards = EchoState.from_config({**config, "go_backwards": True})
    np.testing.assert_allclose(backwards(inputs), _in_numpy(layer, inputs[:, ::-1])[:, -1], rtol=1e-4, atol=1e-5)
    stateful = EchoState.from_config({**config, "stateful": True})
    stateful(inputs[:, :2])
    np.testing.assert_allclose(stateful(inputs[:, 2:]), _in_numpy(layer, inputs)[:, -1], rtol=1e-4, atol=1e-5)

    # The cell alone makes the same steps.
    cell = EchoStateCell(**{name: config[name] for name in ("units", "spectral_radius", "input_scale", "seed")})
    output, _ = cell(inputs[:, 0], [start])
    np.testing.assert_allclose(output, _in_numpy(layer, inputs[:, :1], state=start)[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "radius", [0.0, pytest.param(0.5, marks=pytest.mark.slow), 0.99, pytest.param(1.7, marks=pytest.mark.slow)]
)
def test_the_spectral_radius_is_what_was_asked_for(radius):
    layer = EchoState(100, spectral_radius=radius, connectivity=0.2, input_scale=0.3, bias_scale=0.7, seed=5)
    layer.build((None, None, 4))
    kernel, recurrent, bias = layer.get_weights()
    assert np.abs(np.linalg.eigvals(recurrent)).max() == pytest.approx(radius, rel=1e-5)
    # An even distribution from -a to a has the deviation a / sqrt(3).
    assert kernel.std() == pytest.approx(0.3 / 3**0.5, rel=0.1)
    assert bias.std() == pytest.approx(0.7 / 3**0.5, rel=0.2)
    assert max(np.abs(kernel).max() / 0.3, np.abs(bias).max() / 0.7) <= 1
    if radius:
        # Of 10,000 connections a fifth, give or take 4 standard deviations.
        assert np.mean(recurrent != 0) == pytest.approx(0.2, abs=4 * (0.2 * 0.8 / 10000) ** 0.5)


def test_below_one_the_beginning_is_forgotten_and_above_it_is_not():
    inputs = 0.1 * np.random.default_rng(0).normal(size=(2, 300, 1)).astype("float32")
    inputs[1] = inputs[0]
    start = np.random.default_rng(1).uniform(-1, 1, (2, 100)).astype("float32")
    apart = {}
    # One layer whose W is changed for each radius, so that one function is compiled.
    layer = EchoState(100, spectral_radius=1.0, return_sequences=True, seed=0)
    layer(inputs)
    run, (kernel, recurrent, bias) = tf.function(layer), layer.get_weights()
    for radius in (0.5, 0.9, 2.0):
        layer.set_weights([kernel, radius * recurrent, bias])
        states = np.asarray(run(inputs, initial_state=start))
        apart[radius] = np.linalg.norm(states[0] - states[1], axis=1)
    # Of a difference r^t is left, as tanh only ever makes it smaller; what is left at last is rounding.
    assert apart[0.5][20] < 1e-4 * np.linalg.norm(start[0] - start[1])
    assert apart[0.5][-1] < 1e-5
    assert apart[0.9][-1] < 1e-5 < apart[0.9][30]
    assert apart[2.0][-1] > 1


def test_seeds_decide_what_is_drawn():
    def weights(seed):
        layer = EchoState(20, connectivity=0.5, seed=seed)
        layer.build((None, None, 1))
        return layer.get_weights()[1]

    np.testing.assert_array_equal(weights(1), weights(1))
    assert not np.allclose(weights(1), weights(2))
    assert not np.allclose(weights(None), weights(None))
    keras.utils.set_random_seed(0)
    first = weights(None)
    keras.utils.set_random_seed(0)
    np.testing.assert_array_equal(weights(None), first)


def test_read_out_in_closed_form_it_remembers(tmp_path):
    # The input of three steps ago, and the product of the last two: memory, and something that no linear filter has.
    series = np.random.default_rng(0).uniform(-1, 1, 1203).astype("float32")
    inputs = series[None, 3:, None]
    targets = np.stack([series[:-3], series[3:] * series[2:-1]], axis=-1)[None]
    late = np.arange(1200)[None] >= 50  # when the zeros of the beginning are forgotten
    given = keras.Input((None, 1))
    states = EchoState(150, spectral_radius=0.8, input_scale=0.5, bias_scale=0.5, return_sequences=True, seed=0)(given)
    model = keras.Model(given, keras.layers.Dense(2, name="logits")(states))
    known = (inputs[:, :900], targets[:, :900], late[:, :900].astype("float32"))
    logs = solve_readout(model, tf.data.Dataset.from_tensors(known), l2=1e-6)
    assert logs["examples"] == 850

    outputs = model.predict(inputs, verbose=0)
    errors = np.mean((outputs - targets)[0, 900:] ** 2, axis=0) / targets[0, 900:].var(axis=0)
    assert (errors < 0.01).all()
    # The best readout, by NumPy from the states, has the same predictions.
    states = _in_numpy(model.layers[1], inputs)[0]
    rows = np.concatenate([states, np.ones((1200, 1))], axis=1)
    best = rows @ np.linalg.lstsq(rows[50:900], targets[0, 50:900], rcond=None)[0]
    np.testing.assert_allclose(outputs[0, 900:], best[900:], atol=0.02)

    model.save(tmp_path / "echo.keras")
    loaded = keras.saving.load_model(tmp_path / "echo.keras", safe_mode=True)
    np.testing.assert_allclose(loaded.predict(inputs, verbose=0), outputs, atol=1e-6)


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        ({"units": 0}, "`units` must be a positive integer. Received: units=0."),
        (
            {"spectral_radius": -0.1},
            "`spectral_radius` must be a number of at least 0. Received: spectral_radius=-0.1.",
        ),
        ({"leak": 1.5}, "`leak` must be a number from 0 to 1. Received: leak=1.5."),
        ({"leak": 0}, "`leak` must be above 0, or the state would never change. Received: leak=0."),
        ({"connectivity": "all"}, "`connectivity` must be a number from 0 to 1. Received: connectivity='all'."),
        ({"seed": -1}, "`seed` must be a whole number of at least 0. Received: seed=-1."),
        ({"seed": 1.5}, "`seed` must be a whole number of at least 0. Received: seed=1.5."),
        ({"seed": True}, "`seed` must be a whole number of at least 0. Received: seed=True."),
        ({"input_scale": float("nan")}, "`input_scale` must be a number of at least 0. Received: input_scale=nan."),
    ],
)
def test_wrong_arguments_are_refused(kwargs, text):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        EchoState(**{"units": 10, **kwargs})
    assert str(error.value) == text


def test_wrong_inputs_are_refused():
    for shape in ((2, 5), (2, 5, 3, 1)):
        with pytest.raises(ValueError) as error:  # noqa: PT011
            EchoState(10)(np.zeros(shape))
        assert str(error.value) == (
            "EchoState expects sequences of vectors of a known length, of shape (batch, steps, features). "
            f"Received: input_shape={shape}."
        )
    with pytest.raises(ValueError, match=r"EchoState expects at least one step. Received: .*\(2, 0, 3\)"):
        EchoState(10, connectivity=0.5)(np.zeros((2, 0, 3)))
    layer = EchoState(10, connectivity=0.5)
    run = tf.function(lambda x: layer(x), input_signature=[tf.TensorSpec((None, None, 3))], autograph=False)
    with pytest.raises(tf.errors.InvalidArgumentError, match="EchoState expects at least one step"):
        run(np.zeros((2, 0, 3)))
    with pytest.raises(ValueError) as error:  # noqa: PT011
        EchoState(10, connectivity=0)(np.zeros((2, 5, 3)))
    assert str(error.value) == (
        "So few connections make no circle that an echo could run around, hence no spectral radius but 0: give more "
        "units or a larger `connectivity`. Received: units=10, connectivity=0."
    )
