import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from event_helpers import read_scalars
from histogram_helpers import assert_histogram_of, read_histograms

from kerasdl import layers
from kerasdl.callbacks import ActivationSummary

RNG = np.random.default_rng(0)


def written(folder, model, data, *arguments, **options):
    callback = ActivationSummary(folder, data, *arguments, **options)
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_end(0)
    callback.on_train_end()
    numbers = {tag: steps[0] for tag, steps in read_scalars(folder).items()}
    return numbers, {tag: steps[0] for tag, steps in read_histograms(folder).items()}


def names_of(tags, kind):
    return [tag.removeprefix(f"{kind}/") for tag in tags if tag.startswith(f"{kind}/")]


def check(numbers, tables, name, values):
    assert numbers[f"activation_means/{name}"] == pytest.approx(values.mean(), 1e-4, 1e-6)
    assert numbers[f"activation_deviations/{name}"] == pytest.approx(values.std(), 1e-4)
    assert_histogram_of(tables[f"activations/{name}"], values)


def test_dense_layers_in_numpy(tmp_path):
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(3, "tanh")])
    first, second = model.layers
    # Of four units one is dead, whatever comes, and one is on for a single example of them.
    x = RNG.normal(size=(50, 5)).astype("float32")
    z = x @ first.kernel.numpy()
    first.bias.assign([-1e3, -np.sort(z[:, 1])[-2], 0.0, 1.0])
    hidden = np.maximum(z + first.bias.numpy(), 0)
    numbers, tables = written(tmp_path, model, x)
    check(numbers, tables, "dense", hidden)
    check(numbers, tables, "dense_1", np.tanh(hidden @ second.kernel.numpy()))
    assert numbers["dead_units/dense"] == 0.25
    assert numbers["zero_activations/dense"] == pytest.approx(np.mean(hidden == 0))
    # A tanh may be negative without being dead.
    assert names_of(numbers, "dead_units") == names_of(numbers, "zero_activations") == ["dense"]


def test_units_of_a_convolution_are_its_channels(tmp_path):
    model = keras.Sequential([keras.Input((6, 6, 2)), keras.layers.Conv2D(4, 3), keras.layers.ReLU()])
    model.layers[0].bias.assign([-1e3, 0.0, -1e3, 0.0])
    images = RNG.normal(size=(8, 6, 6, 2)).astype("float32")
    maps = tf.nn.conv2d(images, model.layers[0].kernel.value, 1, "VALID").numpy() + model.layers[0].bias.numpy()
    numbers, tables = written(tmp_path, model, images)
    check(numbers, tables, "conv2d", maps)
    check(numbers, tables, "re_lu", np.maximum(maps, 0))
    assert numbers["dead_units/re_lu"] == 0.5
    assert "dead_units/conv2d" not in numbers


def test_runs_as_for_a_prediction_and_changes_nothing(tmp_path):
    stack = [keras.layers.Dropout(0.5), keras.layers.BatchNormalization(), keras.layers.Dense(2, name="end")]
    model = keras.Sequential([keras.Input((3,)), *stack])
    model.layers[1].moving_mean.assign([1.0, 2.0, 3.0])
    x = RNG.normal(size=(20, 3)).astype("float32")
    before = [variable.numpy() for variable in model.variables]
    numbers, tables = written(tmp_path, model, x)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    normal = (x - [1.0, 2.0, 3.0]) / np.sqrt(1 + 1e-3)
    check(numbers, tables, "batch_normalization", normal)
    check(numbers, tables, "end", normal @ model.layers[2].kernel.numpy())
    assert names_of(numbers, "activation_means") == ["batch_normalization", "end"]


def test_layers_of_nested_models_and_one_at_two_places(tmp_path):
    shared = keras.layers.Dense(3, "relu", name="shared")
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3), keras.layers.Flatten()])
    inputs = keras.Input((3,))
    once = shared(inputs)
    outputs = keras.layers.Add()([inner(once), shared(once)])
    model, x = keras.Model(inputs, outputs), RNG.normal(size=(20, 3)).astype("float32")
    numbers, tables = written(tmp_path, model, x)
    first = np.maximum(x @ shared.kernel.numpy(), 0)
    second = np.maximum(first @ shared.kernel.numpy(), 0)
    middle = first @ inner.layers[0].kernel.numpy()
    check(numbers, tables, "shared", first)
    check(numbers, tables, "shared_call_2", second)
    check(numbers, tables, "sequential/dense", middle)
    check(numbers, tables, "add", middle + second)
    assert len(names_of(numbers, "activation_means")) == 4


@pytest.mark.slow
def test_layers_by_name_and_the_first_examples(tmp_path):
    model = keras.Sequential(
        [keras.Input((6, 2)), keras.layers.Bidirectional(keras.layers.GRU(3)), keras.layers.Dense(2)]
    )
    x, y = RNG.normal(size=(30, 6, 2)).astype("float32"), np.zeros(30)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(7)
    forwards = model.layers[0].forward_layer
    numbers, tables = written(tmp_path / "one", model, data, "bidirectional/forward_gru", count=10)
    check(numbers, tables, "bidirectional/forward_gru", forwards(x[:10]).numpy())
    assert len(tables) == 1
    numbers, tables = written(tmp_path / "two", model, data, [model.layers[1].name, forwards.name], count=10)
    assert sorted(tables) == ["activations/bidirectional/forward_gru", "activations/dense"]


def test_words_and_parts_that_do_not_run_are_passed_over(tmp_path):
    class Mine(keras.Model):
        def __init__(self):
            super().__init__()
            self.ids = keras.layers.StringLookup(vocabulary=["a", "b"])
            self.vectors = keras.layers.Embedding(3, 2)
            self.unused = keras.layers.Dense(2)

        def build(self, shape):
            self.vectors.build(shape)
            self.unused.build((None, 2))

        def call(self, words):
            return self.vectors(self.ids(words))

    model, words = Mine(), np.array([["a", "b"], ["b", "c"]], dtype=object)
    vectors = model(tf.constant(words)).numpy()
    numbers, tables = written(tmp_path, model, words)
    check(numbers, tables, "embedding", vectors)
    assert list(tables) == ["activations/embedding"]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(tmp_path, policy):
    keras.config.set_dtype_policy(policy)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(200, name="many")])
    # More numbers than float16 can add up one by one.
    x = 50 * RNG.normal(size=(50, 3)).astype("float32")
    numbers, _ = written(tmp_path, model, x)
    values = x @ model.layers[0].kernel.numpy()
    assert numbers["activation_means/many"] == pytest.approx(values.mean(), abs=0.02 * float(values.std()))
    assert numbers["activation_deviations/many"] == pytest.approx(values.std(), 0.02)


def test_a_highway_layer_is_no_rectifier(tmp_path):
    model = keras.Sequential([keras.Input((3,)), layers.HighwayDense(activation="relu")])
    numbers, _ = written(tmp_path, model, np.abs(RNG.normal(size=(10, 3))))
    assert names_of(numbers, "dead_units") == []


def test_numbers_that_are_none_end_nothing(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.layers[0].kernel.assign(np.full((3, 2), np.nan))
    numbers, tables = written(tmp_path, model, np.ones((4, 3)))
    assert np.isnan(numbers["activation_means/dense"])
    assert tables == {}


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["gru/gru_cell"], "Received: 'gru/gru_cell', which runs inside a loop over steps."),
        (["dens"], "`layer` must name a layer of model 'mine'. Received: 'dens'. The closest are: dense."),
        ([], "ActivationSummary expects a model that is made of layers, or the names of some. Received: layers=[] for"),
    ],
)
def test_what_cannot_be_seen_is_told_before_the_first_epoch(tmp_path, names, text):
    model = keras.Sequential([keras.Input((4, 2)), keras.layers.GRU(3), keras.layers.Dense(2)], name="mine")
    with pytest.raises(ValueError, match=re.escape(text)):
        written(tmp_path, model, np.zeros((2, 4, 2)), names)
    assert list(tmp_path.iterdir()) == []
