"""What holds for every attribution: the same network in another form has the same maps, and nothing is traced twice."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl import visualization

METHODS = {
    "saliency": {},
    "smooth_grad": {"samples": 3},
    "integrated_gradients": {"steps": 3},
    "guided_backpropagation": {},
    "deconvolution": {},
    "occlusion": {"patch": 4, "stride": 3},
    "class_activation_map": {},
    "grad_cam": {},
    "grad_cam_plus_plus": {},
    "score_cam": {},
}
IMAGES = np.random.default_rng(0).uniform(size=(5, 12, 12, 3)).astype("float32")
BROKEN = np.where(IMAGES > 0.99, np.nan, IMAGES)
every_method = pytest.mark.parametrize("name", METHODS)


def features():
    return [
        keras.layers.Conv2D(6, 3, activation="relu", name="first"),
        keras.layers.MaxPooling2D(2, name="pool"),
        keras.layers.Conv2D(8, 3, padding="same", name="second"),
        keras.layers.ReLU(name="rectified"),
    ]


def head(activation=None):
    return [keras.layers.GlobalAveragePooling2D(name="mean"), keras.layers.Dense(4, activation, name="scores")]


def chain(x, layers):
    for layer in layers:
        x = layer(x)
    return x


def flat():
    inputs = keras.Input((12, 12, 3))
    return keras.Model(inputs, chain(inputs, features() + head()))


def with_softmax_inside_the_dense_layer():
    return keras.Sequential([keras.Input((12, 12, 3)), *features(), *head("softmax")])


def a_backbone_in_a_model():
    backbone_inputs, inputs = keras.Input((12, 12, 3)), keras.Input((12, 12, 3))
    backbone = keras.Model(backbone_inputs, chain(backbone_inputs, features()), name="backbone")
    return keras.Model(inputs, keras.layers.Softmax(dtype="float32")(chain(inputs, [backbone, *head()])))


def sequential_without_an_input():
    return keras.Sequential([keras.Sequential(features(), name="backbone"), *head()])


class Written(keras.Model):
    """A model that is a class: no graph to cut."""

    def __init__(self):
        super().__init__()
        self.parts = features() + head()

    def call(self, images):
        return chain(images, self.parts)


def as_a_class():
    return Written()


def maps_of(name, model, **arguments):
    return getattr(visualization, name)(model, IMAGES, **METHODS[name], **arguments)


def with_weights_of(model, other):
    model(IMAGES[:1])
    model.set_weights(other.get_weights())
    return model


@pytest.fixture(scope="module")
def plain():
    keras.utils.set_random_seed(3)
    return flat()


@pytest.fixture(scope="module")
def plain_maps(plain):
    return {name: maps_of(name, plain) for name in METHODS}


@every_method
@pytest.mark.parametrize(
    "form",
    [
        a_backbone_in_a_model,
        pytest.param(with_softmax_inside_the_dense_layer, marks=pytest.mark.slow),
        pytest.param(sequential_without_an_input, marks=pytest.mark.slow),
        pytest.param(as_a_class, marks=pytest.mark.slow),
    ],
)
def test_another_form_of_the_network_has_the_same_maps(plain, plain_maps, form, name):
    maps = maps_of(name, with_weights_of(form(), plain))
    assert maps.dtype == "float32"
    assert maps.shape[:3] == IMAGES.shape[:3]
    assert np.abs(plain_maps[name]).max() > 0
    np.testing.assert_allclose(maps, plain_maps[name], atol=1e-5 * np.abs(plain_maps[name]).max())


@every_method
def test_a_second_call_traces_nothing_and_changes_nothing(plain, plain_maps, name, monkeypatch):
    # Another number of images, another class, or none, need no new graph.
    maps_of(name, plain, target=0, batch_size=2)
    weights, runs = plain.get_weights(), []
    original = tf.function
    monkeypatch.setattr(tf, "function", lambda *args, **kwargs: runs.append(args) or original(*args, **kwargs))
    with_batches = maps_of(name, plain, batch_size=2)
    maps_of(name, plain, target=[0, 1, 2, 3, 0], batch_size=2)
    assert runs == []
    np.testing.assert_allclose(with_batches, plain_maps[name], atol=1e-5 * np.abs(plain_maps[name]).max())
    for before, after in zip(weights, plain.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@every_method
def test_the_likeliest_class_is_what_is_explained_without_a_target(plain, plain_maps, name):
    classes = plain(IMAGES).numpy().argmax(axis=1)
    np.testing.assert_allclose(
        maps_of(name, plain, target=classes), plain_maps[name], atol=1e-5 * np.abs(plain_maps[name]).max()
    )
    other = maps_of(name, plain, target=(classes + 1) % 4)
    assert np.abs(other - plain_maps[name]).max() > 1e-3 * np.abs(plain_maps[name]).max()


@every_method
@pytest.mark.parametrize(
    ("images", "arguments", "message"),
    [
        (
            IMAGES[0],
            {},
            r"`images` must have shape \(N, height, width, channels\)\. .* Give one image as images\[None\]",
        ),
        (IMAGES[:, :9], {}, r"takes images of shape \(12, 12, 3\)\. Received: images of shape \(9, 12, 3\)\."),
        (
            np.where(IMAGES > 0.99, np.nan, IMAGES),
            {},
            r"`images` must be finite\. Received: nan or infinity in image 0",
        ),
        (IMAGES, {"target": 4}, r"`target` must be a class from 0 to 3 of model .*\. Received: 4\."),
        (IMAGES, {"target": [0, 1]}, r"`target` must be None, a class number, one per image \(5\), or a callable"),
        (IMAGES, {"batch_size": 0}, r"`batch_size` must be a whole number of at least 1\. Received: 0\."),
    ],
)
def test_what_cannot_be_explained_is_said(plain, name, images, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(visualization, name)(plain, images, **METHODS[name], **arguments)
