"""Models as lists of calls, and what has no such list."""

import keras
import numpy as np
import pytest

from kerasdl.layers import XnorConv2D, XnorDense
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


def never_symbolic(how: str) -> keras.Sequential:
    """A sequential model that does not begin with `keras.Input`."""
    model = keras.Sequential([keras.layers.Dense(6), keras.layers.BatchNormalization(), XnorDense(3)])
    images = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
    if how == "fit":
        model.compile("sgd", "mse")
        model.fit(images, np.zeros((8, 3)), verbose=0)
    elif how == "called":
        model(images)
    else:
        model.build((None, 5))
    return model


@pytest.mark.parametrize("how", ["fit", "called", "built"])
def test_a_sequential_model_needs_no_input_layer(how) -> None:
    """Keras gives such a model an `inputs`, but no `input` and no `output`."""
    model = never_symbolic(how)
    packed = pack(model)
    images = np.random.default_rng(1).normal(size=(4, 5)).astype("float32")
    np.testing.assert_allclose(packed.predict(images), model.predict(images, verbose=0), rtol=1e-6)
    assert packed.inputs[0].shape == (5,)


def test_outputs_have_the_structure_that_predict_gives() -> None:
    """Keras unpacks a list of one output, and no dictionary of one."""
    inputs = keras.Input((5,))
    x = XnorDense(3, name="a")(inputs)
    images = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
    for outputs in ([x], {"a": x}, [x, x]):
        model = keras.Model(inputs, outputs)
        expected, found = model.predict(images, verbose=0), pack(model).predict(images)
        assert type(found) is type(expected)
        keras.tree.map_structure(np.testing.assert_array_equal, expected, found)


@pytest.mark.parametrize("named", [False, True])
def test_nested_models_of_several_inputs_are_laid_open(named) -> None:
    """Keras notes a mask of None for each input; in a dictionary the names decide, whatever the order."""
    left, right = keras.Input((5,), name="y"), keras.Input((5,), name="x")
    x = XnorDense(3, name="binary")(keras.layers.Subtract(name="less")([left, right]))
    inner = keras.Model({"y": left, "x": right} if named else [left, right], x, name="inner")
    first, second = keras.Input((5,), name="first"), keras.Input((5,), name="second")
    model = keras.Model([first, second], inner({"x": second, "y": first} if named else [first, second]))
    graph = read_graph(model)
    assert [node.name for node in graph.nodes] == ["inner/less", "inner/binary"]
    assert [value.name for value in graph.nodes[0].inputs] == ["input:first", "input:second"]


def test_a_nested_model_whose_inputs_keras_would_reorder_stays_closed() -> None:
    """A dictionary for a list: Keras takes what it needs by the inputs' names."""
    left, right = keras.Input((5,), name="left"), keras.Input((5,), name="right")
    inner = keras.Model([right, left], keras.layers.Subtract()([right, left]), name="inner")
    first, second = keras.Input((5,)), keras.Input((5,))
    model = keras.Model([first, second], XnorDense(3, name="a")(inner({"left": first, "right": second})))
    assert [node.name for node in read_graph(model).nodes] == ["inner", "a"]
    images = [np.random.default_rng(seed).normal(size=(4, 5)).astype("float32") for seed in (0, 1)]
    np.testing.assert_array_equal(pack(model).predict(images), model.predict(images, verbose=0))


@pytest.mark.parametrize("inner_shape", [(6, 6, 3), (None, None, 3)])
def test_a_nested_model_casts_what_it_is_given(inner_shape) -> None:
    """A backbone of floats behind images of uint8."""
    inner = keras.Sequential(
        [keras.Input(inner_shape), keras.layers.Rescaling(1 / 127.5, -1.0, name="scale")], name="inner"
    )
    inputs = keras.Input((6, 6, 3), dtype="uint8", name="images")
    model = keras.Model(inputs, XnorConv2D(4, 3, name="a")(inner(inputs)))
    nodes = read_graph(model).nodes
    assert [(node.name, node.stands_for, node.output.dtype) for node in nodes] == [
        ("inner/float32", (), "float32"),
        ("inner/scale", ("inner/scale",), "float32"),
        ("a", ("a",), "float32"),
    ]
    images = np.random.default_rng(0).integers(0, 256, (3, 6, 6, 3), "uint8")
    np.testing.assert_array_equal(pack(model).predict(images), model.predict(images, verbose=0))


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


def test_other_precisions_may_come_behind_the_last_sign() -> None:
    """They run in Keras, and nothing of float32 is folded into them."""
    inputs = keras.Input((6,))
    x = XnorDense(4, activation="relu", name="a")(inputs)
    y = keras.layers.BatchNormalization(dtype="mixed_bfloat16", name="norm")(x)
    z = keras.layers.Add(dtype="mixed_bfloat16", name="add")([XnorDense(4, name="b")(inputs), x])
    z = keras.layers.Dense(3, dtype="mixed_bfloat16", name="last")(z)
    model = keras.Model(inputs, [y, z])
    planned = plan(model)
    assert set(planned.steps[-1].layers) == {"norm", "add", "last"}
    images = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    for found, expected in zip(pack(model).predict(images), model.predict(images, verbose=0), strict=True):
        np.testing.assert_array_equal(found, np.asarray(expected, "float32"))


class HasNoConfiguration(keras.layers.Layer):
    def __init__(self, table: dict[str, object], **kwargs) -> None:
        super().__init__(**kwargs)
        self.table = table

    def call(self, inputs):
        return inputs


def test_a_layer_that_cannot_be_saved_is_named() -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, XnorDense(2)(HasNoConfiguration({"a": object()}, name="odd")(inputs)))
    with pytest.raises(ValueError, match="which it is not") as error:
        plan(model)
    assert str(error.value).startswith(
        "The layer 'odd' (HasNoConfiguration) has no packed form, and to run in Keras it must be one that can be "
        "saved and loaded, which it is not: give it a get_config, and put "
        "@keras.saving.register_keras_serializable() before its class. The reason: NotImplementedError: "
    )


def test_the_code_of_a_lambda_layer_is_no_part_of_a_packed_network() -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, XnorDense(2)(keras.layers.Lambda(lambda x: x + 1, name="odd")(inputs)))
    with pytest.raises(ValueError, match="Lambda") as error:
        plan(model)
    assert str(error.value) == (
        "The layer 'odd' (Lambda) must run in Keras, and no file can hold its code safely. Write it with operations of "
        "keras.ops in its place, or as a keras.layers.Layer with a get_config, under "
        "@keras.saving.register_keras_serializable(), and copy the weights."
    )
