import gc
import re
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.callbacks.examples import Examples, as_examples

X = np.random.default_rng(0).random((37, 4, 4, 3), dtype="float32")
Y = np.arange(37) % 5


def classifier():
    model = keras.Sequential(
        [keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dropout(0.5), keras.layers.Dense(5)]
    )
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


class _Batches(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return X[10 * index : 10 * (index + 1)], Y[10 * index : 10 * (index + 1)]


def as_dataset(*parts, size=10):
    return tf.data.Dataset.from_tensor_slices(parts).batch(size)


@pytest.mark.parametrize("count", [None, 1, 10, 25, 37, 50])
@pytest.mark.parametrize("make", [lambda: (X, Y), lambda: as_dataset(X, Y), _Batches], ids=["arrays", "dataset", "py"])
def test_the_first_so_many_are_read(make, count):
    examples = Examples(make(), count)
    np.testing.assert_array_equal(examples.x, X[:count])
    np.testing.assert_array_equal(examples.y, Y[:count])
    np.testing.assert_array_equal(examples.labels, Y[:count])
    assert examples.sample_weight is None
    assert len(examples) == len(X[:count])


def test_no_more_is_read_than_is_wanted_and_only_once():
    read = []

    def generate():
        for index in range(1000):
            read.append(index)
            yield np.full((2, 3), index)

    data = tf.data.Dataset.from_generator(generate, output_signature=tf.TensorSpec((2, 3)))
    examples = Examples(data.repeat(), 5)
    assert read == []
    assert examples.x[:, 0].tolist() == [0, 0, 1, 1, 2]
    assert len(read) < 10
    before = len(read)
    assert len(examples) == 5
    assert examples.y is None
    assert len(read) == before


def test_examples_are_passed_through():
    examples = Examples((X, Y))
    assert as_examples(examples, 3) is examples
    assert len(as_examples((X, Y), 3)) == 3


def test_weights_and_several_inputs_and_outputs_are_kept():
    x, y = {"left": X, "right": X[..., 0]}, {"aside": X[:, 0, 0], "predictions": np.eye(5)[Y]}
    examples = Examples(as_dataset(x, y, np.arange(37)), 12)
    np.testing.assert_array_equal(examples.x["right"], X[:12, ..., 0])
    np.testing.assert_array_equal(examples.sample_weight, np.arange(12))
    np.testing.assert_array_equal(examples.labels, Y[:12])
    left, right = keras.Input((4, 4, 3), name="left"), keras.Input((4, 4), name="right")
    flat = [keras.layers.Flatten()(each) for each in (left, right)]
    outputs = {name: keras.layers.Dense(2, name=name)(each) for name, each in zip("ab", flat, strict=True)}
    model = keras.Model({"left": left, "right": right}, outputs)
    predicted = examples.predict(model, 0)
    for name, array in zip("ab", (X, X[..., 0]), strict=True):
        layer = model.get_layer(name)
        expected = array[:12].reshape(12, -1) @ layer.kernel.numpy() + layer.bias.numpy()
        np.testing.assert_allclose(predicted[name], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([2, 0, 1], [2, 0, 1]),
        ([[2], [0], [1]], [2, 0, 1]),
        ([1.0, 0.0, 1.0], [1, 0, 1]),
        ([True, False, True], [1, 0, 1]),
        ([[0, 0, 1], [1, 0, 0], [0, 1, 0]], [2, 0, 1]),
        ([[0.3, 0.1, 0.6], [0.9, 0.1, 0], [0.4, 0.6, 0]], [2, 0, 1]),  # mixup
    ],
)
def test_labels_are_classes_in_whatever_form_they_come(y, expected):
    labels = Examples((X[:3], np.asarray(y))).labels
    assert labels.tolist() == expected
    assert labels.dtype == "int64"


@pytest.mark.parametrize("y", [np.array([0.5, 1.0]), np.array([-1, 1]), np.eye(2)[[0, 1]] + 1, np.zeros((2, 4, 4))])
def test_what_is_no_class_is_refused(y):
    text = (
        "Expected one class per example: whole numbers of shape (N,) or (N, 1), or rows of shape (N, classes) that add "
        f"up to one. Received: y of shape {y.shape} and dtype {y.dtype}, from {y.min()} to {y.max()}."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        _ = Examples((X[:2], y)).labels


@pytest.mark.parametrize(
    ("data", "received"),
    [
        ((X[:3], np.array(["a", "b", "c"])), "y of shape (3,) and dtype <U1."),
        ([X, Y], "data without y; a list of arrays stands for several inputs, and (x, y) must be a tuple."),
        ((X, {"one": Y, "two": Y}), "targets of one, two, and none of the output that is looked at."),
    ],
)
def test_what_is_told_of_labels_that_are_none(data, received):
    inputs = keras.Input((2,))
    model = keras.Model(inputs, [keras.layers.Dense(2, name=name)(inputs) for name in ("zero", "one")])
    with pytest.raises(ValueError, match=f"Received: {re.escape(received)}$"):
        Examples(data).labels_for(model)


def test_a_list_of_numbers_is_told_in_one_line():
    text = (
        "Received: a tuple of (3000, 2), int, int, int, int, ...; a list stands for several inputs or outputs, of "
        "numbers make an array with np.array(...)."
    )
    with pytest.raises(ValueError, match=f"{re.escape(text)}$"):
        Examples((np.zeros((3000, 2)), [0] * 3000))


def test_targets_belong_to_the_output_that_is_looked_at():
    """Of outputs in a list and targets by their names, in whatever order."""
    inputs, others = keras.Input((2,)), (Y + 1) % 3
    layers = {name: keras.layers.Dense(3, name=name) for name in ("aside", "predictions")}
    model = keras.Model(inputs, [layer(inputs) for layer in layers.values()])
    for y in ({"aside": others, "predictions": Y}, {"predictions": Y, "aside": others}, (others, Y), [others, Y]):
        np.testing.assert_array_equal(Examples((X, y)).labels_for(model), Y)
    model = keras.Model(inputs, {"b": layers["aside"](inputs), "a": layers["predictions"](inputs)})
    np.testing.assert_array_equal(Examples((X, {"a": others, "b": Y})).labels_for(model), Y)


def test_labels_need_labels():
    with pytest.raises(ValueError, match=r"^Expected data with labels, \(x, y\)\. Received: data without y\.$"):
        _ = Examples(X).labels


@pytest.mark.parametrize("make", [lambda: (X, Y), lambda: as_dataset(X, Y)], ids=["arrays", "dataset"])
def test_the_outputs_are_the_models_and_computed_once(make):
    model, examples = classifier(), Examples(make())
    first = examples.predict(model, 0)
    dense = model.layers[-1]
    np.testing.assert_allclose(first, X.reshape(37, -1) @ dense.kernel.numpy() + dense.bias.numpy(), atol=1e-5)
    assert examples.predict(model, 0) is first
    assert examples.predict(model, 1) is not first
    # A second training begins at step 0 again, with other weights.
    again = examples.predict(model, 0)
    model.fit(X, Y, verbose=0)
    trained = examples.predict(model, 0)
    assert np.abs(trained - again).max() > 1e-3
    np.testing.assert_allclose(trained, X.reshape(37, -1) @ dense.kernel.numpy() + dense.bias.numpy(), atol=1e-5)
    assert np.abs(examples.predict(classifier(), 0) - trained).max() > 1e-3
    # Where all weights are NaN, which is not even itself, it is computed once too.
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    assert examples.predict(model, 2) is examples.predict(model, 2)


def test_a_layer_that_remembers_remembers_nothing():
    steps = np.random.default_rng(1).random((10, 5, 3), dtype="float32")
    gru = keras.layers.GRU(6, stateful=True)
    model = keras.Sequential([keras.Input((5, 3), batch_size=4), gru])
    before = [variable.numpy().copy() for variable in model.variables]
    predicted = Examples(as_dataset(steps, size=4)).predict(model, 0)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    # The last batch is filled up to the only size that the model takes, and every batch begins anew.
    plain = keras.layers.GRU(6)
    plain.build((None, 5, 3))
    plain.set_weights([weight.numpy() for weight in gru.weights[:3]])
    np.testing.assert_allclose(predicted, plain(steps), atol=1e-6)


def test_half_precision_comes_as_single():
    keras.config.set_dtype_policy("mixed_bfloat16")
    predicted = Examples((X, Y)).predict(classifier(), 0)
    assert predicted.dtype == "float32"


def test_shorter_batches_are_filled_up_as_padded_batch_does():
    rows = [[1, 2], [3], [4, 5, 6], [7]]
    data = tf.data.Dataset.from_generator(lambda: rows, output_signature=tf.TensorSpec((None,), tf.int64))
    expected = [[1, 2, 0], [3, 0, 0], [4, 5, 6], [7, 0, 0]]
    assert Examples(data.padded_batch(2)).x.tolist() == expected
    words = [["a", "b"], ["c"], ["d", "e", "f"], ["g"]]
    data = tf.data.Dataset.from_generator(lambda: words, output_signature=tf.TensorSpec((None,), tf.string))
    assert Examples(data.padded_batch(2)).x.tolist()[1] == [b"c", b"", b""]


def test_a_model_is_not_kept_alive():
    model, examples = classifier(), Examples((X, Y))
    examples.predict(model, 0)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    assert examples.predict(classifier(), 0).shape == (37, 5)


def test_no_random_number_is_drawn():
    tf.random.set_seed(5)
    keras.utils.set_random_seed(5)
    expected = [float(tf.random.uniform(())), float(keras.random.uniform(()))]
    keras.utils.set_random_seed(5)
    model = classifier()
    keras.utils.set_random_seed(5)
    Examples(as_dataset(X, Y)).predict(model, 0)
    assert [float(tf.random.uniform(())), float(keras.random.uniform(()))] == expected


@pytest.mark.parametrize(
    ("data", "received"),
    [
        ((X, Y[:3]), "a tuple of (37, 4, 4, 3), (3,)"),
        (3, "a int"),
        ((), "a tuple of nothing"),
        ((X, Y, Y, Y), "a tuple of (37, 4, 4, 3), (37,), (37,), (37,)"),
        ("runs", "a str"),
        (None, "a NoneType"),
    ],
)
def test_data_of_no_kind_is_refused(data, received):
    text = (
        "`data` must be a tf.data.Dataset of batches, or arrays of equally many examples: x, (x, y) or (x, y, "
        f"sample_weight). Received: {received}."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        Examples(data)


def test_single_examples_are_refused():
    text = (
        "`data` must give batches, whose parts all have as many rows as there are examples in the batch; of a data set "
        "of single examples make some with `.batch(32)`. Received: parts of [0, 4] rows."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        _ = Examples(tf.data.Dataset.from_tensor_slices((X, Y))).x


def test_no_examples_are_refused():
    with pytest.raises(ValueError, match=r"^`data` must hold at least one example\. Received: none\.$"):
        _ = Examples(as_dataset(X[:0], Y[:0])).x


def test_ragged_tensors_are_refused():
    text = "`data` must give dense tensors. Received: a RaggedTensor; make it one with `.to_tensor()`"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}"):
        _ = Examples(as_dataset(tf.ragged.constant([[1, 2], [3]]))).x


@pytest.mark.parametrize("count", [0, -1, 2.5, True])
def test_the_count_must_be_a_number(count):
    text = f"`count` must be a whole number of at least 1, or None for all. Received: count={count}."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        Examples((X, Y), count)


def test_a_model_of_several_devices_answers_too():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        model = classifier()
    examples = Examples((X, Y))
    first = examples.predict(model, 0)
    np.testing.assert_allclose(first, X.reshape(37, -1) @ model.layers[-1].get_weights()[0], atol=1e-5)
    assert examples.predict(model, 0) is first


def test_a_model_that_runs_eagerly_may_do_what_no_graph_can():
    class ByNumPy(keras.layers.Layer):
        def call(self, inputs):
            return tf.constant(inputs.numpy() + 1)

        def compute_output_spec(self, inputs):
            return keras.KerasTensor(inputs.shape, inputs.dtype)

    model = keras.Sequential([keras.Input((2,)), ByNumPy()])
    model.compile("sgd", "mse", run_eagerly=True)
    np.testing.assert_array_equal(Examples(np.ones((3, 2))).predict(model, 0), np.full((3, 2), 2.0))
