import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from event_helpers import read_scalars
from picture_helpers import read_images

from kerasdl import layers, training
from kerasdl.callbacks import SpectralRadiusSummary

RNG = np.random.default_rng(0)


def written(folder, model, *data, **options):
    callback = SpectralRadiusSummary(folder, *data, **options)
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_end(0)
    callback.on_train_end()
    return {tag: steps[0] for tag, steps in read_scalars(folder).items()}


def turning(radius):
    """A matrix that turns the plane and stretches it: both eigenvalues have this modulus."""
    return radius * np.array([[0.6, -0.8], [0.8, 0.6]])


def test_the_radius_of_every_matrix_of_every_kind(tmp_path):
    stack = [
        keras.layers.Bidirectional(keras.layers.GRU(2, return_sequences=True)),
        layers.ElmanRNN(2, return_sequences=True),
        keras.layers.LSTM(2, return_sequences=True),
        layers.EchoState(20, spectral_radius=0.7, return_sequences=True),
        keras.layers.RNN([keras.layers.SimpleRNNCell(2), keras.layers.SimpleRNNCell(2)], name="stack"),
    ]
    model = keras.Sequential([keras.Input((5, 3)), *stack])
    both, elman, lstm, _, cells = model.layers
    for place, each in enumerate((both.forward_layer, both.backward_layer)):
        radii = 0.1 + place, 0.2 + place, 0.3 + place
        each.cell.recurrent_kernel.assign(np.concatenate([turning(radius) for radius in radii], 1))
    elman.cell.recurrent_kernel.assign(turning(0.9))
    lstm.cell.recurrent_kernel.assign(np.concatenate([turning(radius) for radius in (0.4, 0.5, 0.6, 0.7)], 1))
    cells.cell.cells[1].recurrent_kernel.assign([[3.0, 1e3], [0.0, -4.0]])
    cells.cell.cells[0].recurrent_kernel.assign(np.zeros((2, 2)))
    numbers = written(tmp_path, model)
    assert {tag.removeprefix("spectral_radius/"): number for tag, number in numbers.items()} == pytest.approx(
        {
            "bidirectional/forward_gru/update": 0.1,
            "bidirectional/forward_gru/reset": 0.2,
            "bidirectional/forward_gru/candidate": 0.3,
            "bidirectional/backward_gru/update": 1.1,
            "bidirectional/backward_gru/reset": 1.2,
            "bidirectional/backward_gru/candidate": 1.3,
            "elman_rnn": 0.9,
            "lstm/input": 0.4,
            "lstm/forget": 0.5,
            "lstm/memory": 0.6,
            "lstm/output": 0.7,
            "echo_state": 0.7,
            "stack/stacked_rnn_cells/simple_rnn_cell": 0,
            "stack/stacked_rnn_cells/simple_rnn_cell_1": 4,
        },
        1e-5,
    )


def linear(radius, **options):
    """Whose gradient is that of the matrix alone."""
    layer = keras.layers.SimpleRNN(2, activation=None, name="linear", **options)
    model = keras.Sequential([keras.Input((None, 3)), layer])
    layer.cell.recurrent_kernel.assign(turning(radius))
    return model


@pytest.mark.parametrize(
    ("radius", "options"), [pytest.param(0.5, {}, marks=pytest.mark.slow), (1.5, {"go_backwards": True})]
)
def test_a_turning_plane_gives_its_radius_as_growth(tmp_path, radius, options):
    numbers = written(tmp_path, linear(radius, **options), RNG.normal(size=(4, 12, 3)))
    assert numbers == pytest.approx({"spectral_radius/linear": radius, "gradient_growth/linear": radius}, 1e-5)


def test_the_memory_of_an_lstm_fades_by_its_forget_gate(tmp_path):
    model = keras.Sequential([keras.Input((9, 3)), keras.layers.LSTM(4)])
    kernel, recurrent, bias = model.layers[0].cell.weights
    # Nothing but the biases acts: the forget gate is open by sigmoid(1.5).
    kernel.assign(np.zeros(kernel.shape))
    recurrent.assign(np.zeros(recurrent.shape))
    bias.assign(np.repeat([0.3, 1.5, 0.2, 0.1], 4))
    numbers = written(tmp_path, model, RNG.normal(size=(2, 9, 3)))
    assert numbers["gradient_growth/lstm"] == pytest.approx(1 / (1 + np.exp(-1.5)), 1e-5)


def test_padding_and_too_small_gradients_are_left_out(tmp_path):
    """A step that is masked copies the gradient; one of 1e-38 is 0, and would make the rest seem to fade less."""
    inputs = keras.Input((None,), dtype="int32")
    layer = keras.layers.SimpleRNN(2, activation=None, name="linear")
    model = keras.Model(inputs, layer(keras.layers.Embedding(5, 3, mask_zero=True)(inputs)))
    words = RNG.integers(1, 5, (3, 200))
    words[0, 10:] = 0
    words[1, :2] = 0
    words[2, 1:] = 0  # One word alone says nothing about time.
    for radius in (0.5, 0.9):
        layer.cell.recurrent_kernel.assign(turning(radius))
        numbers = written(tmp_path / str(radius), model, words)
        assert numbers["gradient_growth/linear"] == pytest.approx(radius, 0.02)
        assert len(read_images(tmp_path / str(radius), "gradient_through_time/linear")[0]) == 1
    # Where nothing at all comes back, the factor is 0, and there is nothing to draw.
    layer.cell.recurrent_kernel.assign(np.zeros((2, 2)))
    assert written(tmp_path / "0", model, words)["gradient_growth/linear"] == 0
    assert read_images(tmp_path / "0", "gradient_through_time/linear") == {}


@pytest.mark.slow
def test_the_second_layer_reads_what_the_first_gives(tmp_path):
    """The slope of tanh depends on the inputs: by the products of Jacobians, in NumPy."""
    stack = [keras.layers.SimpleRNN(4, return_sequences=True), keras.layers.SimpleRNN(3, name="upper")]
    model = keras.Sequential([keras.Input((8, 2)), *stack])
    x = 2 * RNG.normal(size=(1, 8, 2)).astype("float32")
    kernel, recurrent, bias = (weight.numpy() for weight in stack[1].weights)
    states, h = [], np.zeros(3)
    for row in stack[0](x)[0].numpy():
        h = np.tanh(row @ kernel + h @ recurrent + bias)
        states.append(h)
    lengths, back = [], np.ones(3)
    for h in states[:0:-1]:
        back = recurrent @ ((1 - h**2) * back)
        lengths.append(np.linalg.norm(back))
    numbers = written(tmp_path, model, x)
    assert numbers["gradient_growth/upper"] == pytest.approx((lengths[-1] / lengths[0]) ** (1 / 6), 1e-4)


def test_layers_whose_gradient_cannot_be_seen_have_their_radius_all_the_same(tmp_path):
    words, image = keras.Input((5, 3)), keras.Input((2,))
    told = layers.ElmanRNN(2, return_sequences=True, name="told")(words, context=image)
    frames = keras.layers.RNN([keras.layers.GRUCell(2), keras.layers.GRUCell(2)], name="stack")(told)
    model = keras.Model([words, image], frames)
    numbers = written(tmp_path, model, [np.ones((4, 5, 3)), np.ones((4, 2))])
    assert "spectral_radius/told" in numbers
    assert len(numbers) == 7


@pytest.mark.slow
def test_training_shows_the_picture_of_each_epoch_and_draws_no_dropout(tmp_path):
    model, x = linear(0.8, dropout=0.5, recurrent_dropout=0.5), np.ones((8, 6, 3), "float32")
    model.compile(keras.optimizers.SGD(1e-4), "mse")  # Nothing saturates here: larger steps end in infinity.
    data = tf.data.Dataset.from_tensor_slices((x, np.ones((8, 2)))).batch(4)
    callback = SpectralRadiusSummary(tmp_path, data)
    training.fit(model, data, epochs=2, verbose=0, callbacks=[callback])
    seeds = [variable.numpy() for variable in model.variables]
    callback.write(2, {})
    for variable, before in zip(model.variables, seeds, strict=True):
        np.testing.assert_array_equal(variable, before)
    pictures = read_images(tmp_path, "gradient_through_time/linear")
    assert [*pictures] == [0, 1]
    # A black line that falls, on white.
    [first] = pictures[0]
    dark = np.argwhere(first.max(-1) < 40)
    left, right = (dark[dark[:, 1] == column, 0].mean() for column in np.percentile(dark[:, 1], [30, 70]).astype(int))
    assert left < right


def test_numbers_that_are_none_end_nothing(tmp_path):
    model = linear(np.nan)
    numbers = written(tmp_path / "weights", model, np.ones((2, 6, 3)))
    assert all(np.isnan(number) for number in numbers.values())
    model = linear(0.5)
    numbers = written(tmp_path / "inputs", model, np.full((2, 6, 3), np.nan))
    assert numbers["spectral_radius/linear"] == pytest.approx(0.5)
    assert np.isnan(numbers["gradient_growth/linear"])


def test_a_model_without_recurrent_layers_is_told(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)], name="mine")
    text = (
        "SpectralRadiusSummary expects a model with recurrent layers, such as ElmanRNN, GRU or LSTM. "
        "Received: model 'mine', which has none."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        written(tmp_path, model)
