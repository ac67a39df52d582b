"""The graph that is written is that of the step that trains."""

import collections

import keras
import numpy as np
import pytest
import tensorflow as tf
from event_helpers import read_graphs

from kerasdl import training
from kerasdl.callbacks import TrainGraphSummary

# What a step consists of, whatever a loop puts around it.
KINDS = (
    "Conv2D",
    "Conv2DBackpropFilter",
    "MatMul",
    "Relu",
    "ReluGrad",
    "AssignSubVariableOp",
    "StatelessRandomUniformV2",
)


def arrays():
    generator = np.random.default_rng(0)
    return generator.normal(size=(8, 6, 6, 2)).astype("float32"), generator.integers(0, 2, 8)


def batches():
    return tf.data.Dataset.from_tensor_slices(arrays()).batch(4)


def network(cls=keras.Model, **arguments):
    x = inputs = keras.Input((6, 6, 2))
    for _ in range(2):
        x = keras.layers.Conv2D(3, 3, activation="relu")(x)
    x = keras.layers.Dropout(0.5)(keras.layers.Flatten()(x))
    model = cls(inputs, keras.layers.Dense(2, name="logits")(x), name="net")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"], **arguments)
    return model


def counted(nodes):
    counts = collections.Counter(node.op for node in nodes)
    return {kind: counts[kind] for kind in KINDS}


def scopes(graph):
    return {node.name.split("/")[0] for node in graph.node if "/" in node.name}


@pytest.mark.slow
def test_it_has_the_operations_of_keras_own_step(tmp_path):
    model = network()
    model.fit(batches(), epochs=2, callbacks=[TrainGraphSummary(tmp_path, arrays())], verbose=0, shuffle=False)
    graph, *others = read_graphs(tmp_path)
    keras_step = tf.function(lambda x, y: model.train_step((x, y)), autograph=False)
    theirs = keras_step.get_concrete_function(*batches().element_spec).graph.as_graph_def()
    assert others == []
    assert counted(graph.node) == counted(theirs.node)
    assert counted(graph.node)["Conv2D"] == 2
    with tf.Graph().as_default():
        tf.import_graph_def(graph)  # Every name that is referred to exists.


def test_parts_and_layers_have_the_same_plain_names_in_every_run(tmp_path):
    names = []
    for run in range(2):
        training.fit(network(), batches(), epochs=1, callbacks=TrainGraphSummary(tmp_path / str(run)), verbose=0)
        (graph,) = read_graphs(tmp_path / str(run))
        assert scopes(graph) == {"net", "loss", "gradients", "gradient_tape", "optimizer", "metrics"}
        names.append(sorted(node.name for node in graph.node))
    layers = {name.split("/")[1] for name in names[0] if name.startswith("net/")}
    assert layers >= {"conv2d", "conv2d_1", "dropout", "flatten", "logits"}
    assert names[0] == names[1]


def test_clipping_and_an_attack_are_seen(tmp_path):
    def attack(model, x, y):
        return x + 0.1 * tf.sign(x)

    callback = TrainGraphSummary(tmp_path)
    training.fit(network(), batches(), epochs=1, clip_norm=1.0, attack=attack, callbacks=callback, verbose=0)
    (graph,) = read_graphs(tmp_path)
    assert scopes(graph) >= {"clipping", "attack"}
    assert "Sign" in {node.op for node in graph.node}


@pytest.mark.slow
def test_a_step_of_ones_own_is_shown(tmp_path):
    class Own(keras.Model):
        def train_step(self, data):
            return {**super().train_step(data), "own": tf.math.lgamma(tf.reduce_sum(data[0]))}

    network(Own).fit(batches(), callbacks=[TrainGraphSummary(tmp_path, batches())], verbose=0, shuffle=False)
    assert "Lgamma" in {node.op for node in read_graphs(tmp_path)[0].node}


def test_a_model_without_a_graph_writes_none(tmp_path):
    callback = TrainGraphSummary(tmp_path, batches())
    network(run_eagerly=True).fit(batches(), callbacks=[callback], verbose=0, shuffle=False)
    assert read_graphs(tmp_path) == []


def test_a_run_that_goes_on_writes_it_no_more(tmp_path):
    callback = TrainGraphSummary(tmp_path, batches())
    callback.set_model(network())
    callback.on_train_begin()
    callback.set_state({"written": True})
    callback.on_epoch_end(0)
    callback.on_train_end()
    assert read_graphs(tmp_path) == []


def test_a_batch_must_be_known():
    text = (
        r"^TrainGraphSummary must know what a batch looks like. Give it the data, as in "
        r"TrainGraphSummary\('logs', data\), or train with kerasdl.training.fit.$"
    )
    with pytest.raises(ValueError, match=text):
        network().fit(batches(), callbacks=[TrainGraphSummary("logs")], verbose=0, shuffle=False)
