"""What is asked of every network that the package offers."""

import inspect
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasdl
from kerasdl import architectures

BUILDERS = [getattr(architectures, name) for name in architectures.__all__]
each_builder = pytest.mark.parametrize("builder", BUILDERS, ids=lambda builder: builder.__name__)


@each_builder
def test_arguments_are_keywords_and_the_usual_ones(builder):
    parameters = inspect.signature(builder).parameters
    assert {"input_shape", "classes", "name"} <= set(parameters)
    assert parameters["name"].default == builder.__name__
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in ("input_shape", "classes", "name"))


@each_builder
def test_is_a_flat_graph_with_the_agreed_names(builder):
    model = builder(name="another")
    assert model.name == "another"
    for layer in model.layers:
        assert not isinstance(layer, (keras.Model, keras.layers.Lambda)), layer.name
    names = [layer.name for layer in model.layers]
    assert names[-2:] == ["logits", "predictions"]
    assert "stage1_out" in names
    assert model.get_layer("predictions").activation is keras.activations.softmax


@each_builder
def test_learns_something_by_model_fit_and_by_training_fit(builder):
    random = np.random.default_rng(0)
    shape = builder().input_shape[1:]
    images, labels = random.random((16, *shape), dtype="float32"), random.integers(0, 10, 16)
    for fit in ("keras", "ours"):
        model = builder()
        model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
        before = model.evaluate(images, labels, verbose=0)
        if fit == "keras":
            model.fit(images, labels, epochs=5, verbose=0)
        else:
            data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(16)
            kerasdl.training.fit(model, data, epochs=5, verbose=0)
        assert model.evaluate(images, labels, verbose=0) < before


@each_builder
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"classes": 1},
            "`classes` must be at least 2: a softmax over one class is always 1. For a yes-or-no question use "
            "classes=2. Received: classes=1.",
        ),
        ({"classes": 0}, "`classes` must be an integer of at least 2. Received: classes=0."),
        ({"classes": 2.0}, "`classes` must be an integer of at least 2. Received: classes=2.0."),
        (
            {"input_shape": (32, 32)},
            "`input_shape` must be the height, width and channels of one image, three positive integers such as "
            "(32, 32, 3). Received: input_shape=(32, 32).",
        ),
    ],
)
def test_wrong_arguments_are_explained(builder, arguments, text):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        builder(**arguments)
    assert str(error.value) == text


@each_builder
def test_takes_the_integers_of_numpy_and_the_shapes_of_tensorflow(builder):
    shape = builder().input_shape[1:]
    model = builder(input_shape=tf.TensorShape(shape), classes=np.int64(7))
    assert model.output_shape == (None, 7)
    assert keras.Model.from_config(model.get_config()).count_params() == model.count_params()


@each_builder
def test_channels_must_come_last(builder):
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match=r'call keras.config.set_image_data_format\("channels_last"\) first'):
            builder()
    finally:
        keras.config.set_image_data_format("channels_last")


def test_saved_networks_open_in_a_fresh_process_after_import_kerasdl(tmp_path):
    expected = {}
    for builder in BUILDERS:
        model = builder()
        images = np.random.default_rng(0).random((2, *model.input_shape[1:]), dtype="float32")
        expected[builder.__name__] = np.asarray(model(images))
        model.save(tmp_path / f"{builder.__name__}.keras")
    np.savez(tmp_path / "expected.npz", **expected)
    script = """
import keras, kerasdl, numpy as np
for name, outputs in np.load("expected.npz").items():
    model = keras.saving.load_model(f"{name}.keras")
    images = np.random.default_rng(0).random((2, *model.input_shape[1:]), dtype="float32")
    np.testing.assert_allclose(model(images), outputs, rtol=1e-5, atol=1e-6)
    print(name)
"""
    shown = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert shown.stdout.split() == [builder.__name__ for builder in BUILDERS]
