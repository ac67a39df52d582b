"""What is asked of all callbacks alike: they watch and touch nothing, and lose nothing of what they wrote."""

import copy
import gc
import random
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from event_helpers import read_steps

from kerasdl import callbacks, layers, training
from kerasdl.training.batch_hooks import TEST_HOOKS, TRAIN_HOOKS, any_needs_batches


def examples():
    generator = np.random.default_rng(0)
    images = generator.normal(size=(24, 6, 6, 2)).astype("float32")
    return images, (images[:, :3].mean((1, 2, 3)) > images[:, 3:].mean((1, 2, 3))).astype("int64")


def network():
    """Something for every callback to look at, and whatever a callback might disturb: dropout, moving averages."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)
    stack = [
        keras.layers.Conv2D(4, 3, kernel_regularizer=keras.regularizers.L2(0.01)),
        layers.FusedBatchNormalization(),
        keras.layers.ReLU(),
        layers.TernaryConv2D(4, 2),
        keras.layers.Reshape((3, 12)),
        keras.layers.SimpleRNN(3, dropout=0.2, stateful=False),
        layers.HighwayDense(activation="tanh"),
        keras.layers.Dropout(0.3),
        keras.layers.Dense(2, activation="softmax", dtype="float32"),
    ]
    model = keras.Sequential([keras.Input((6, 6, 2)), *stack])
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _say(model, sources):
    """Something that depends on the weights."""
    value = float(keras.ops.sum(model.weights[0]))
    return [f"{source} {value:.3f}" for source in sources]


# How to make each of them.
TABLE = {
    "ActivationSummary": lambda log_dir, data, **every: callbacks.ActivationSummary(log_dir, data, **every),
    "AttributionSummary": lambda log_dir, data, **every: callbacks.AttributionSummary(log_dir, data, **every),
    "BinaryWeightSummary": lambda log_dir, data, **every: callbacks.BinaryWeightSummary(log_dir, **every),
    "ConfusionMatrixSummary": lambda log_dir, data, **every: callbacks.ConfusionMatrixSummary(log_dir, data, **every),
    "DreamSummary": lambda log_dir, data, **every: callbacks.DreamSummary(log_dir, steps=2, bounds=None, **every),
    "EmbeddingSummary": lambda log_dir, data, **every: callbacks.EmbeddingSummary(log_dir, data, **every),
    "FeatureMapSummary": lambda log_dir, data, **every: callbacks.FeatureMapSummary(log_dir, data, **every),
    "FilterSummary": lambda log_dir, data, **every: callbacks.FilterSummary(log_dir, **every),
    "GateSummary": lambda log_dir, data, **every: callbacks.GateSummary(log_dir, data, **every),
    "GradientSummary": lambda log_dir, data, **every: callbacks.GradientSummary(log_dir, data, **every),
    "HyperparameterSummary": lambda log_dir, data, **every: callbacks.HyperparameterSummary(log_dir, {"a": 4}, **every),
    "LearningRateSummary": lambda log_dir, data, **every: callbacks.LearningRateSummary(log_dir, **every),
    "MistakeSummary": lambda log_dir, data, **every: callbacks.MistakeSummary(log_dir, data, **every),
    "PrecisionRecallSummary": lambda log_dir, data, **every: callbacks.PrecisionRecallSummary(log_dir, data, **every),
    "SpectralRadiusSummary": lambda log_dir, data, **every: callbacks.SpectralRadiusSummary(log_dir, data, **every),
    "TextSummary": lambda log_dir, data, **every: callbacks.TextSummary(log_dir, _say, ["Hello"], **every),
    "ThroughputSummary": lambda log_dir, data, **every: callbacks.ThroughputSummary(log_dir, **every),
    "TrainGraphSummary": lambda log_dir, data, **every: callbacks.TrainGraphSummary(log_dir, data),
    "WeightSummary": lambda log_dir, data, **every: callbacks.WeightSummary(log_dir, **every),
}
EPOCHS = 2
WITH_EVERY = sorted(set(TABLE) - {"TrainGraphSummary"})  # A graph is written once.


def build_all(folder, **every):
    return {name: build(folder / name, examples(), **every) for name, build in TABLE.items()}


def train(chosen, loop, model=None):
    """Trains a network; returns it, its history, and what the generators of random numbers give next."""
    model = model or network()
    data = tf.data.Dataset.from_tensor_slices(examples()).batch(8)
    arguments = {"epochs": EPOCHS, "validation_data": data, "callbacks": chosen, "verbose": 0}
    history = (
        training.fit(model, data, **arguments) if loop == "training" else model.fit(data, shuffle=False, **arguments)
    )
    drawn = [
        random.random(),
        np.random.random(),  # noqa: NPY002
        float(tf.random.uniform(())),
        float(keras.random.uniform(())),
    ]
    return model, history.history, drawn


@pytest.fixture(scope="module", params=["training", "model"])
def trained(request, tmp_path_factory):
    """A training with all of them: the folder, the callbacks, and what came of it."""
    folder = tmp_path_factory.mktemp(request.param)
    chosen = build_all(folder)
    return request.param, folder, chosen, train(list(chosen.values()), request.param)


def test_every_callback_is_in_the_table():
    assert sorted(TABLE) == sorted(set(callbacks.__all__) - {"Backup", "Examples", "Summary", "monitor"})


def assert_same(found, expected):
    """Weights, slots, history and random numbers are the same bit for bit."""
    (model, history, drawn), (expected, expected_history, expected_drawn) = found, expected
    for mine, theirs in zip(
        model.variables + model.optimizer.variables, expected.variables + expected.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
    assert history == expected_history
    assert drawn == expected_drawn


def test_training_goes_as_without_those_that_run_the_model(tmp_path):
    """One of each way to run it: to see its layers, its gradients, and what an attribution asks."""
    kinds = ["ActivationSummary", "AttributionSummary", "GradientSummary"]
    chosen = [TABLE[kind](tmp_path, examples()) for kind in kinds]
    assert_same(train(chosen, "training"), train([], "training"))
    assert {tag for tag, found in read_steps(tmp_path).items() if found != [*range(EPOCHS)]} == set()


@pytest.mark.slow
def test_training_goes_as_without_them_bit_for_bit(trained):
    loop, _, _, found = trained
    assert_same(found, train([], loop))


@pytest.fixture(scope="module")
def tags():
    """The tags of each callback in the run before."""
    return {}


@pytest.mark.slow
def test_epochs_are_written_once(trained, tags):
    """By both loops alike, and under the same tags in the second run of a process, where Keras counts layers on."""
    folder = trained[1]
    once = {"__run_graph__": [0], "_hparams_/session_start_info": [0], "_hparams_/session_end_info": [0]}
    once["learning_rate/by_step"] = [*range(3 * EPOCHS)]
    for name in TABLE:
        steps = read_steps(folder / name)
        wrong = {tag: found for tag, found in steps.items() if found != once.get(tag, [*range(EPOCHS)])}
        # A bias that begins with zeros has no ratio in the first epoch.
        assert {tag for tag, found in wrong.items() if "update_ratios/" not in tag or found != [1]} == set(), name
        assert steps, name
        # For `model.fit` nobody has called `watch`.
        shared = sorted(set(steps) - {"throughput/waiting_share"})
        assert tags.setdefault(name, shared) == shared


@pytest.mark.parametrize("name", WITH_EVERY)
@pytest.mark.parametrize("every", [0, 1.5, True, "2"])
def test_wrong_intervals(name, every, tmp_path):
    text = f"`every` must be a whole number of epochs, at least 1. Received: every={every!r}."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        TABLE[name](tmp_path, examples(), every=every)


def test_nobody_asks_for_single_batches(tmp_path):
    assert [
        name for name, each in build_all(tmp_path).items() if any_needs_batches([each], TRAIN_HOOKS + TEST_HOOKS)
    ] == []


class Stop(keras.callbacks.Callback):
    """Ends a training as a mistake of the user's does."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise RuntimeError("in the middle of it")


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["training", "model"])
def test_an_error_loses_nothing_and_leaves_no_file_open(tmp_path, loop):
    chosen = build_all(tmp_path, every=2)
    writers = []
    # `training.fit` closes the files by itself; after `model.fit` they close when nobody holds the callbacks any more.
    kept = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: writers.extend(callback._writer for callback in chosen.values())
    )
    with pytest.raises(RuntimeError, match="in the middle of it"):
        train([*chosen.values(), kept, Stop()], loop)
    for name in WITH_EVERY:
        steps = [
            found
            for tag, found in read_steps(tmp_path / name).items()
            if "/session_" not in tag and "by_step" not in tag
        ]
        assert steps, name
        assert all(found == [1] for found in steps), name
    if loop == "model":
        del chosen, kept
        gc.collect()
    for writer in writers:
        with pytest.raises(RuntimeError, match="already closed"):
            writer.set_as_default()
    assert len(writers) == len(TABLE)


@pytest.mark.slow
def test_states_come_back(trained, tmp_path):
    """What one has to remember, another of its kind takes up: only then does a training go on as if undisturbed."""
    _, _, chosen, (model, _, _) = trained
    for name, callback in build_all(tmp_path).items():
        state = chosen[name].get_state()
        callback.set_model(model)
        callback.on_train_begin()
        callback.set_state(copy.deepcopy(state))
        again = callback.get_state()
        for leaf in tf.nest.flatten(state):
            assert isinstance(leaf, bool | int | float | str | np.ndarray | np.generic), f"{name}: {leaf!r}"
        tf.nest.assert_same_structure(state, again)
        for mine, theirs in zip(tf.nest.flatten(again), tf.nest.flatten(state), strict=True):
            np.testing.assert_array_equal(mine, theirs, err_msg=name)
        callback.close()


@pytest.mark.slow
def test_a_network_that_is_lost_ends_in_peace(tmp_path):
    """Where every weight is NaN, `TerminateOnNaN` ends the training, and calls `on_epoch_end` before."""
    model = network()
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    chosen = [*build_all(tmp_path).values(), keras.callbacks.TerminateOnNaN()]
    _, history, _ = train(chosen, "training", model)
    assert np.isnan(history["loss"]).all()
    assert len(history["loss"]) == 1
