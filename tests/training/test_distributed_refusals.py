"""What cannot be trained under a distribution strategy, said before the first step."""

import json
import re

import distributed_cases
import keras
import pytest
import tensorflow as tf

from kerasdl import training
from kerasdl.training.checks import check_can_train
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


@pytest.mark.parametrize(("part", "path"), [("model", "conv2d/kernel"), ("optimizer", "sgd/iteration")])
def test_what_was_made_outside_of_the_scope_is_refused(part, path):
    if part == "model":
        model = distributed_cases.classifier()
    optimizer = keras.optimizers.SGD()
    with mirrored().scope():
        if part == "optimizer":
            model = distributed_cases.classifier(optimizer=optimizer)
        assert_refused(
            model,
            "`model` must be built and compiled in the scope of the strategy that trains it, with an optimizer made "
            f"there. Received: {path!r} made outside of it.",
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


def test_a_model_without_a_strategy_is_alone():
    check_can_train(distributed_cases.classifier())
    replicas = Replicas()
    assert (replicas.count, replicas.workers, replicas.is_chief, replicas.are_distributed) == (1, 1, True, False)
    assert (replicas.agree(False), replicas.agree(True), replicas.totals([2.5])) == (False, True, [2.5])
    callbacks = [keras.callbacks.CSVLogger("x"), keras.callbacks.EarlyStopping()]
    assert replicas.callbacks_here(callbacks) == callbacks
