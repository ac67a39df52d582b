"""Models as lists of calls, and what has no such list."""

import keras
import numpy as np
import pytest

from kerasdl.layers import XnorDense
from kerasdl.xnor import pack
from kerasdl.xnor.graph import read_graph
from kerasdl.xnor.planning import plan


def shared_and_nested() -> keras.Model:
    inputs = keras.Input((4,))
    twice = keras.layers.Dense(4, name="twice")
    x = twice(twice(inputs))
    inner = keras.Model(inputs, [keras.layers.Add(name="sum")([x, inputs]), x + 1.0], name="inner")
    given = keras.Input((4,), name="given")
    first, second = inner(given)
    dropped = keras.layers.Dropout(0.5, name="drop")(first, training=True)
    return keras.Model(given, [keras.layers.Concatenate(name="both")([dropped, second]), first])


def test_every_call_is_a_node() -> None:
    graph = read_graph(shared_and_nested())
    nodes = {node.name: node for node in graph.nodes}
    (added,) = (name for name in nodes if name.startswith("inner/add"))
    assert set(nodes) == {"inner/twice", "inner/twice#2", "inner/sum", added, "drop", "both"}
    reads = {name: [value.name for value in node.inputs] for name, node in nodes.items()}
    assert reads["inner/twice"] == ["input:given"]
    assert reads["inner/sum"] == ["inner/twice#2", "input:given"]
    assert reads["both"] == ["drop", added]
    assert [value.name for value in graph.outputs] == ["both", "inner/sum"]
    assert nodes["inner/twice"].shared
    assert nodes["drop"].kwargs == {"training": True}
    assert not nodes["drop"].plain
    assert nodes["inner/sum"].output.shape == (None, 4)


def test_reading_leaves_the_model_as_it_is() -> None:
    """A second output of a layer would make `layer.output` ambiguous; losses of one's own are not asked for."""
    model = shared_and_nested()
    model.compile("sgd", loss=lambda expected, found: found - expected)
    before = model.get_config()
    read_graph(model)
    assert model.get_config() == before
    assert model.get_layer("both").output is model.outputs[0]


def test_a_sequential_model_that_was_built_is_a_graph() -> None:
    model = keras.Sequential([keras.layers.Dense(3, name="a"), XnorDense(2, name="b")])
    model.build((None, 5))
    assert [node.name for node in read_graph(model).nodes] == ["a", "b"]


class WrittenInPython(keras.Model):
    def __init__(self) -> None:
        super().__init__(name="written")
        self.dense = keras.layers.Dense(3)

    def call(self, inputs):
        return self.dense(inputs)


class OverwritesTheGraph(keras.Model):
    def call(self, inputs):
        return 2 * super().call(inputs)


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(TypeError) as error:
        pack("network.keras")
    assert str(error.value) == (
        "`model` must be a keras.Model with a graph of layers: keras.Model(inputs, outputs), keras.Sequential, or a "
        "network of kerasdl.architectures. Received: str."
    )


def test_a_model_that_is_not_built_is_refused() -> None:
    with pytest.raises(ValueError, match="must be built") as error:
        pack(keras.Sequential([XnorDense(3)], name="soon"))
    assert str(error.value) == (
        "`model` must be built. Received: the sequential model 'soon', whose inputs have no shape yet. Let it begin "
        "with keras.Input(shape), or call model.build((None, *shape)), and load or train its weights."
    )


def test_a_model_with_a_call_of_its_own_is_refused() -> None:
    model = WrittenInPython()
    text = (
        "`model` must be a graph of layers, as keras.Model(inputs, outputs) makes it: what a `call` of its own does "
        "cannot be read. Received: 'written' of the class WrittenInPython. Write it with the functional interface, and "
        "copy the weights with set_weights(get_weights())."
    )
    for _ in range(2):
        with pytest.raises(ValueError, match="must be a graph") as error:
            pack(model)
        assert str(error.value) == text
        model(np.ones((1, 2), "float32"))
    inputs = keras.Input((4,))
    with pytest.raises(ValueError, match="of the class OverwritesTheGraph"):
        pack(OverwritesTheGraph(inputs, keras.layers.Dense(2)(inputs)))


def test_other_precisions_are_refused() -> None:
    inputs = keras.Input((4,))
    x = keras.layers.Dense(3, dtype="mixed_bfloat16", name="first")(inputs)
    model = keras.Model(inputs, XnorDense(2, name="second")(x))
    with pytest.raises(ValueError, match="must compute in float32") as error:
        pack(model)
    assert str(error.value) == (
        "`model` must compute in float32, as packed layers do. Received: the layer 'first' with the dtype policy "
        "'mixed_bfloat16'. Build the model again with float32 (keras.config.set_dtype_policy('float32')), and give it "
        "the weights: set_weights(model.get_weights())."
    )


class HasNoConfiguration(keras.layers.Layer):
    def __init__(self, table: dict[str, object], **kwargs) -> None:
        super().__init__(**kwargs)
        self.table = table

    def call(self, inputs):
        return inputs


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (HasNoConfiguration({"a": object()}, name="odd"), "NotImplementedError: "),
        (keras.layers.Lambda(lambda x: x + 1, name="odd"), "ValueError: "),
    ],
    ids=["no configuration", "Lambda"],
)
def test_a_layer_that_cannot_be_saved_is_named(layer, reason) -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, XnorDense(2)(layer(inputs)))
    with pytest.raises(ValueError, match="which it is not") as error:
        plan(model)
    assert str(error.value).startswith(
        f"The layer 'odd' ({type(layer).__name__}) has no packed form, and to run in Keras it must be one that can be "
        "saved and loaded, which it is not: give it a get_config, and put "
        f"@keras.saving.register_keras_serializable() before its class. The reason: {reason}"
    )
