"""What cannot be trained under a distribution strategy, said before the first step."""

import json
import re

import distributed_cases
import keras
import pytest
import tensorflow as tf

from kerasdl import training
from kerasdl.training.checks import check_can_train
from kerasdl.training.keras_internals import all_layers
from kerasdl.training.replicas import Replicas
from kerasdl.training.shares import Weighting


def mirrored():
    return tf.distribute.MirroredStrategy(["CPU:0"])


def assert_refused(model, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        training.fit(model, distributed_cases.images(), epochs=1, verbose=0)


def test_other_strategies_are_refused():
    with tf.distribute.experimental.CentralStorageStrategy(["CPU:0"]).scope():
        model = distributed_cases.classifier()
    assert_refused(
        model,
        "The strategy must be a MirroredStrategy (the devices of one machine) or a MultiWorkerMirroredStrategy "
        "(several machines). Received: a model made under CentralStorageStrategy.",
    )


def test_a_model_outside_of_the_workers_strategy_is_refused(monkeypatch):
    model = distributed_cases.classifier()
    cluster = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    name = type(model.distribute_strategy).__name__
    assert_refused(
        model,
        "This process is one of 2 workers, and each would train `model` by itself: build and compile it in "
        f"training.strategy().scope(). Received: a model made under {name}.",
    )


@pytest.mark.parametrize(
    ("part", "path"), [("model", "conv2d/kernel"), ("optimizer", "sgd/iteration"), ("metric", "mine/total")]
)
def test_what_was_made_outside_of_the_scope_is_refused(part, path):
    if part == "model":
        model = distributed_cases.classifier()
    optimizer, metric = keras.optimizers.SGD(), keras.metrics.SparseCategoricalAccuracy(name="mine")
    with mirrored().scope():
        if part == "metric":
            model = distributed_cases.classifier(metrics=[metric])
        if part == "optimizer":
            model = distributed_cases.classifier(optimizer=optimizer)
        assert_refused(
            model,
            "`model` must be built and compiled in the scope of the strategy that trains it, with an optimizer and "
            f"metrics made there. Received: {path!r} made outside of it.",
        )


def test_the_scope_of_another_strategy_is_refused():
    with mirrored().scope():
        model = distributed_cases.classifier()
    with tf.distribute.OneDeviceStrategy("CPU:0").scope():
        assert_refused(
            model,
            "`model` must be trained in the scope of its own strategy, or outside of any. Received: a model made under "
            "MirroredStrategy in the scope of OneDeviceStrategy.",
        )


def test_xla_is_refused():
    with mirrored().scope():
        model = distributed_cases.classifier(jit_compile=True)
    assert_refused(
        model,
        "Under a distribution strategy XLA does not find the variables of the other devices: leave jit_compile out, or "
        'at "auto". Received: jit_compile=True.',
    )


def test_a_compute_loss_of_its_own_is_refused():
    class Own(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return tf.reduce_mean(tf.square(y_pred))

    inputs = keras.Input((6, 6, 2))
    with mirrored().scope():
        model = Own(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))
        model.compile("sgd")
    assert_refused(
        model,
        "Under a distribution strategy nobody knows whether a compute_loss of the model's own is to be divided by the "
        "number of replicas: give the losses to `compile` and to `add_loss`. Received: Own.",
    )


def mean_square(y, outputs):
    return tf.reduce_mean(tf.square(outputs))


def test_a_loss_that_is_one_number_per_batch_is_refused():
    with mirrored().scope():
        model = distributed_cases.classifier(loss=mean_square)
    assert_refused(
        model,
        "Under a distribution strategy a loss must give a value per row, of which Keras takes the mean. "
        "Received: mean_square, which gives one for all.",
    )


def test_inputs_with_a_fixed_batch_size_are_refused():
    with mirrored().scope():
        inputs = keras.Input((6, 6, 2), batch_size=10)
        model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))
        model.compile("sgd", "mse")
    assert_refused(
        model,
        "Under a distribution strategy each replica takes a part of a batch, so that no input may have a batch size of "
        "its own. Received: inputs of shape [(10, 6, 6, 2)].",
    )


def test_different_reductions_are_refused():
    model = distributed_cases.two_heads()
    losses = {"main": distributed_cases.cross_entropy("sum"), "side": "sparse_categorical_crossentropy"}
    model.compile("sgd", losses)
    message = (
        "Under a distribution strategy the losses of all outputs must have the same reduction, `sum_over_batch_size`, "
        "`mean_with_sample_weight` or `sum`. Received: ['sum', 'sum_over_batch_size']."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        Weighting(model, Replicas())


def refused_by_a_step(make, data, message):
    with mirrored().scope():
        model = make()
    with pytest.raises(ValueError, match=re.escape(message)):
        training.fit(model, data, epochs=1, verbose=0)


@pytest.mark.parametrize("loss", ["dice", keras.losses.Tversky(name="of_regions")])
def test_a_loss_of_keras_for_the_whole_batch_is_refused(loss):
    refused_by_a_step(
        lambda: distributed_cases.classifier(loss=loss, metrics=None),
        distributed_cases.images().map(lambda x, y: (x, tf.one_hot(y, 3))),
        "Under a distribution strategy a loss must give a value per row, of which Keras takes the mean. Received: "
        f"{loss if loss == 'dice' else 'of_regions'}, which gives one for all.",
    )


def test_a_loss_without_reduction_is_refused():
    refused_by_a_step(
        lambda: distributed_cases.classifier(loss=distributed_cases.cross_entropy(None)),
        distributed_cases.images(),
        "Under a distribution strategy a loss must say whether it is a mean or a sum: give it the reduction "
        "`sum_over_batch_size`, `mean_with_sample_weight` or `sum`. Received: ['none'].",
    )


def test_several_outputs_that_count_by_their_weights_are_refused():
    def make():
        model = distributed_cases.two_heads()
        model.compile(
            "sgd", dict.fromkeys(("main", "side"), distributed_cases.cross_entropy("mean_with_sample_weight"))
        )
        return model

    data = distributed_cases.images(weights=True)
    refused_by_a_step(
        make,
        data.map(lambda x, y, weight: (x, {"main": y, "side": y}, {"main": weight, "side": 1 - weight})),
        "Under a distribution strategy several outputs cannot have the reduction `mean_with_sample_weight`: use "
        "`sum_over_batch_size`. Received: sample weights for a model with 2 outputs.",
    )


@pytest.mark.slow
def test_an_attack_that_draws_from_a_thread_is_refused():
    with mirrored().scope():
        model = distributed_cases.classifier()
    with pytest.raises(ValueError, match="Received: 'seed_generator_state' made in a step"):
        training.fit(
            model,
            distributed_cases.images(),
            epochs=1,
            verbose=0,
            attack=lambda model, x, y: x + keras.random.normal(tf.shape(x)),
        )


def test_random_numbers_of_a_thread_are_refused():
    class Noise(keras.layers.Layer):
        def call(self, inputs):
            return inputs + keras.random.normal(keras.ops.shape(inputs))

    def make():
        inputs = keras.Input((6, 6, 2))
        model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(Noise()(inputs))))
        model.compile("sgd", distributed_cases.cross_entropy("sum_over_batch_size"))
        return model

    refused_by_a_step(
        make,
        distributed_cases.images(),
        "Under a distribution strategy a step may make no variable: let a layer make its weights in `build`, and draw "
        "random numbers with `seed=` a keras.random.SeedGenerator that was made before, by a layer in `__init__`. "
        "Received: 'seed_generator_state' made in a step.",
    )


def test_layers_inside_of_layers_are_found():
    class Block(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = keras.layers.BatchNormalization()

    block, spread = Block(), keras.layers.TimeDistributed(keras.layers.BatchNormalization())
    model = keras.Sequential([keras.Sequential([block]), spread])
    found = all_layers(model)
    assert any(layer is block.inner for layer in found)
    assert any(layer is spread.layer for layer in found)


def test_a_model_without_a_strategy_is_alone():
    check_can_train(distributed_cases.classifier())
    replicas = Replicas()
    assert (replicas.count, replicas.workers, replicas.is_chief, replicas.are_distributed) == (1, 1, True, False)
    assert (replicas.agree(False), replicas.agree(True), replicas.totals([2.5])) == (False, True, [2.5])
    callbacks = [keras.callbacks.CSVLogger("x"), keras.callbacks.EarlyStopping()]
    assert replicas.callbacks_here(callbacks) == callbacks
