"""What is asked of every network that the package offers."""

import inspect
import re
import subprocess
import sys
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
from front_page_tables import counts_of, short
from helpers import numbers_in
from network_table import NETWORKS, NOT_BUILDERS, Network

import kerasdl
from kerasdl import architectures, layers
from kerasdl.profiling import profile

BUILDERS = [getattr(architectures, name) for name in architectures.__all__ if name not in NOT_BUILDERS]
each_builder = pytest.mark.parametrize("builder", BUILDERS, ids=lambda builder: builder.__name__)


def marked(*, slow: Callable[[Network], bool]) -> pytest.MarkDecorator:
    """Every network of the table, some of them in the slow suite."""
    return pytest.mark.parametrize(
        "network",
        [pytest.param(network, id=network.id, marks=pytest.mark.slow if slow(network) else ()) for network in NETWORKS],
    )


each_network = marked(slow=lambda network: not network.quick)
# A hundred million random numbers take seconds, and so do hundreds of layers.
LONG_TO_BUILD = ("densenet_cifar", "randwire")
each_at_full_size = marked(
    slow=lambda network: not network.quick or network.parameters > 50e6 or network.builder in LONG_TO_BUILD
)
each_small_network = marked(slow=lambda network: not network.quick or network.parameters > 2e6)
ONE_OF_A_FAMILY = [network for network in NETWORKS if network.quick]


def some_images(model: keras.Model, count: int = 8) -> np.ndarray:
    return np.random.default_rng(0).random((count, *model.input_shape[1:]), dtype="float32")


def test_the_table_has_every_builder():
    assert {network.builder for network in NETWORKS} == {builder.__name__ for builder in BUILDERS}


@pytest.mark.usefixtures("zero_weights")
@each_at_full_size
def test_parameters_multiply_adds_and_stages_are_those_of_the_paper(network):
    model = network.build()
    parameters = numbers_in(model.trainable_weights)
    # What is published rounded, as a float here, is compared rounded.
    if isinstance(network.parameters, int):
        assert parameters == network.parameters
    else:
        assert parameters == pytest.approx(network.parameters, rel=0.02)
    stages = [layer.output.shape[1:] for layer in model.layers if re.fullmatch(r"stage\d_out", layer.name)]
    assert stages == list(network.stages)
    multiply_adds = profile(model, repeats=0).multiply_adds
    if isinstance(network.multiply_adds, int):
        assert multiply_adds == network.multiply_adds
    elif network.multiply_adds is not None:
        assert multiply_adds == pytest.approx(network.multiply_adds, rel=0.03 if "rand" in network.id else 0.003)
    assert counts_of(network.builder, network.arguments) in (None, (f"{parameters:,}", short(multiply_adds)))


@each_builder
def test_arguments_are_the_usual_ones(builder):
    parameters = inspect.signature(builder).parameters
    assert {"input_shape", "classes", "name"} <= set(parameters)
    assert parameters["name"].default == builder.__name__
    assert all(parameter.default is not parameter.empty for parameter in parameters.values())
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in ("input_shape", "classes", "name"))


@pytest.mark.usefixtures("zero_weights")
@each_network
def test_is_a_flat_graph_with_the_agreed_names(network):
    model = network.build_small(name="another")
    assert model.name == "another"
    for layer in model.layers:
        assert not isinstance(layer, (keras.Model, keras.layers.Lambda)), layer.name
    names = [layer.name for layer in model.layers]
    assert {"logits", "predictions", "stage1_out"} <= set(names)
    assert model.get_layer("predictions").activation is keras.activations.softmax
    assert model.get_layer("predictions").input is model.get_layer("logits").output
    assert model.get_layer("predictions").output in keras.tree.flatten(model.output)
    for head in ("logits", "predictions"):
        assert model.get_layer(head).compute_dtype == "float32"


@each_small_network
def test_every_weight_gets_a_gradient_that_is_not_round_off(network):
    model = network.build_small(classes=4)
    images = np.random.default_rng(0).normal(size=(8, *model.input_shape[1:])).astype("float32")
    with tf.GradientTape() as tape:
        outputs = keras.tree.flatten(model(images, training=True))
        loss = sum(keras.losses.sparse_categorical_crossentropy(np.arange(8) % 4, output) for output in outputs)
    weights = model.trainable_weights
    largest: dict[int, dict[str, float]] = {}
    owners = {id(weight): layer for layer in model.layers for weight in layer.weights}
    for weight, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
        layer = owners[id(weight)].name
        assert gradient is not None, weight.path
        largest.setdefault(layer, {})[weight.name] = float(tf.reduce_max(tf.abs(gradient)))
    for layer, of_weight in largest.items():
        for name, value in of_weight.items():
            if not (network.without_gradient and re.fullmatch(network.without_gradient, f"{layer}/{name}")):
                assert value > 1e-4 * max(of_weight.values()), f"{layer}/{name}: {of_weight}"


@each_small_network
def test_saves_and_loads_in_safe_mode_to_identical_outputs(network, tmp_path):
    model = network.build_small(4)
    images = some_images(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for output, again in zip(keras.tree.flatten(model(images)), keras.tree.flatten(loaded(images)), strict=True):
        np.testing.assert_array_equal(output, again)
    # The images are told apart, though after the softmax of a deep network that has not learnt one may not see it.
    logits = np.asarray(keras.Model(model.input, model.get_layer("logits").output)(images))
    assert np.isfinite(logits).all()
    assert np.ptp(logits, axis=0).max() > 0


@pytest.mark.slow
@pytest.mark.parametrize("network", ONE_OF_A_FAMILY, ids=lambda network: network.id)
@pytest.mark.parametrize("how", ["model.fit", "training.fit"])
def test_learns_something_by_model_fit_and_by_training_fit(network, how):
    model = network.build_small(1, classes=2)
    images, labels = some_images(model, 16), np.arange(16) % 2
    images[labels == 1] *= 0.5
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(16)
    if how == "model.fit":
        losses = model.fit(data, epochs=8, verbose=0, shuffle=False).history["loss"]
    else:
        losses = kerasdl.training.fit(model, data, epochs=8, verbose=0).history["loss"]
    assert min(losses[-3:]) < losses[0]


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


@pytest.mark.usefixtures("zero_weights")
@each_small_network
def test_takes_the_integers_of_numpy_and_the_shapes_of_tensorflow(network):
    model = network.build_small(input_shape=tf.TensorShape((*network.small, 3)), classes=np.int64(7))
    assert keras.tree.flatten(model.output)[0].shape == (None, 7)
    assert keras.Model.from_config(model.get_config()).count_params() == model.count_params()


@pytest.mark.usefixtures("zero_weights")
@each_builder
def test_too_small_an_image_is_explained(builder):
    text = ""
    try:
        model = builder(input_shape=(1, 1, 3))
    except ValueError as error:
        text = str(error)
    else:
        assert np.isfinite(keras.tree.flatten(model(some_images(model, 2)))[0]).all()
    explained = r"`input_shape` must be at least \d+x\d+.*Received: input_shape=\(1, 1, 3\)\."
    assert not text or re.fullmatch(explained, text)


@each_builder
def test_channels_must_come_last(builder):
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match=r'call keras.config.set_image_data_format\("channels_last"\) first'):
            builder()
    finally:
        keras.config.set_image_data_format("channels_last")


def test_every_layer_is_registered_under_its_own_name():
    classes = [thing for name in layers.__all__ if inspect.isclass(thing := getattr(layers, name))]
    names = [keras.saving.get_registered_name(each) for each in classes]
    assert names == [f"kerasdl>{each.__name__}" for each in classes]


@pytest.mark.slow
def test_saved_networks_open_in_a_fresh_process_after_import_kerasdl(tmp_path):
    expected = {}
    small = [network for network in ONE_OF_A_FAMILY if network.parameters < 2e6]
    for network in small:
        model = network.build_small()
        expected[network.id] = np.asarray(keras.tree.flatten(model(some_images(model, 2)))[0])
        model.save(tmp_path / f"{network.id}.keras")
    np.savez(tmp_path / "expected.npz", **expected)
    script = """
import keras, kerasdl, numpy as np
for name, outputs in np.load("expected.npz").items():
    model = keras.saving.load_model(f"{name}.keras")
    images = np.random.default_rng(0).random((2, *model.input_shape[1:]), dtype="float32")
    np.testing.assert_allclose(keras.tree.flatten(model(images))[0], outputs, rtol=1e-5, atol=1e-6)
    print(name)
"""
    shown = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert shown.stdout.split() == [network.id for network in small]
