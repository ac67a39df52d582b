"""DeepDream: the closed form on a linear layer, octaves against their definition, and models of one size."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.visualization import deep_dream, dreams
from kerasdl.visualization.dreams import octave_sizes

RANDOM = np.random.default_rng(0)


def mixing(size=(None, None)):
    """A convolution of 1x1, so that `a = M x` in each pixel, and `M`."""
    layers = [keras.layers.Conv2D(5, 1, use_bias=False, name="mix"), keras.layers.GlobalAveragePooling2D()]
    model = keras.Sequential([keras.Input((*size, 3)), *layers])
    matrix = RANDOM.normal(size=(3, 5)).astype("float32")
    model.get_layer("mix").set_weights([matrix[None, None]])
    return model, matrix


def test_the_gradient_is_the_activation():
    # The gradient of |M x|^2 / 2 is M' M x: the activation, sent back through the layer.
    model, matrix = mixing()
    image = RANDOM.normal(size=(2, 6, 7, 3)).astype("float32")
    options = {"octaves": 1, "steps": 3, "learning_rate": 0.1, "bounds": None}
    x = image
    for _ in range(3):
        gradient = x @ matrix @ matrix.T
        x = x + 0.1 * gradient / np.abs(gradient).mean(axis=(1, 2, 3), keepdims=True)
    for jitter in (0, 4):  # A layer that treats all pixels alike does not care for shifts.
        np.testing.assert_allclose(deep_dream(model, image, "mix", jitter=jitter, **options), x, rtol=1e-4, atol=1e-5)


def test_octaves_hand_on_what_was_dreamt_and_keep_the_detail():
    model, matrix = mixing()
    image = RANDOM.uniform(size=(1, 20, 30, 3)).astype("float32")
    dreamt = deep_dream(model, image, "mix", octaves=3, octave_scale=1.5, steps=1, learning_rate=0.1)
    detail = np.zeros_like(image)
    for size in ((9, 13), (13, 20), (20, 30)):
        base = tf.image.resize(image, size, antialias=True).numpy()
        x = np.clip(base + tf.image.resize(detail, size).numpy(), 0, 1)
        gradient = x @ matrix @ matrix.T
        detail = np.clip(x + 0.1 * gradient / np.abs(gradient).mean(), 0, 1) - base
    np.testing.assert_allclose(dreamt, image + detail, atol=1e-5)
    # Without a step nothing is dreamt, and all of the image comes back through the octaves.
    np.testing.assert_allclose(deep_dream(model, image, "mix", learning_rate=0.0), image, atol=1e-6)


def test_octave_sizes():
    assert octave_sizes((100, 196), 3, 1.4) == [(51, 100), (71, 140), (100, 196)]


def nested():
    """A backbone of one size inside a model with a dense head, which no other size can go through."""
    inner = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu", name="first")(inner)
    backbone = keras.Model(inner, keras.layers.Conv2D(4, 3, name="second")(x), name="backbone")
    image = keras.Input((16, 16, 3))
    head = keras.layers.Flatten()(backbone(keras.layers.Rescaling(2.0, offset=-1.0, name="scale")(image)))
    return keras.Model(image, keras.layers.Dense(3, activation="softmax")(head))


@pytest.mark.slow
def test_a_model_of_one_size_dreams_on_other_sizes_and_is_left_as_it_is():
    model = nested()
    weights = model.get_weights()
    image = RANDOM.uniform(size=(1, 24, 20, 3)).astype("float32")
    dreamt = deep_dream(model, image, ["first", "backbone/second"], octaves=2, steps=4)
    assert dreamt.shape == image.shape
    assert 0 <= dreamt.min() < dreamt.max() <= 1

    # The same layers, called one after the other.
    first, second = (model.get_layer("backbone").get_layer(name) for name in ("first", "second"))
    maps = [first(2 * tf.constant(x) - 1) for x in (image, dreamt)]
    before, after = (float(tf.reduce_mean(a**2) + tf.reduce_mean(second(a) ** 2)) for a in maps)
    assert after > 1.2 * before
    # Everything is as before: the model takes its size only, and the copy follows its weights.
    np.testing.assert_array_equal(np.concatenate([w.flatten() for w in weights]), flat(model))
    assert model.input_shape == (None, 16, 16, 3)
    assert second.output.shape == (None, 12, 12, 4)
    model.set_weights([0 * w for w in weights])
    np.testing.assert_allclose(deep_dream(model, image, ["first", "second"], octaves=2, steps=4), image, atol=1e-6)
    gone = weakref.ref(model)
    del model, first, second
    keras.utils.clear_session()
    gc.collect()
    assert gone() is None


def test_of_the_copies_only_the_last_is_kept():
    model = nested()
    copies = [weakref.ref(dreams._of_any_size(model, [name])) for name in ("first", "second", "second")]
    gc.collect()
    assert copies[0]() is None
    assert copies[1]() is copies[2]() is not None


def flat(model):
    return np.concatenate([w.flatten() for w in model.get_weights()])


def test_compiles_once_per_octave_and_follows_the_seed():
    traces = []

    class Counting(keras.layers.Layer):
        def call(self, x):
            traces.append(1)
            return x

    layers = [Counting(), keras.layers.Conv2D(3, 3, name="conv")]
    model = keras.Sequential([keras.Input((None, None, 3)), *layers])
    image = RANDOM.uniform(size=(1, 20, 20, 3))
    first = deep_dream(model, image, "conv", octaves=2, steps=3)
    count = len(traces)
    again = deep_dream(model, np.concatenate([image, 1 - image]), "conv", octaves=2, steps=3)
    np.testing.assert_allclose(again[:1], first, atol=1e-6)
    other = deep_dream(model, image, "conv", octaves=2, steps=3, seed=1)
    assert np.abs(other - first).max() > 1e-3
    assert len(traces) == count


@pytest.mark.parametrize(
    ("layers", "arguments", "message"),
    [
        ("mix", {"octaves": 0}, r"`octaves` must be a whole number of at least 1\. Received: 0\."),
        ("mix", {"steps": 2.5}, r"`steps` must be a whole number of at least 1\. Received: 2\.5\."),
        ("mix", {"octave_scale": 1.0}, r"`octave_scale` must be a number above 1\. Received: 1\.0\."),
        ("mix", {"bounds": (0, 0.5)}, r"`images` must lie within `bounds`, 0 to 0\.5\. Received: "),
        ("mxi", {}, r"`layer` must name a layer of model .*Received: 'mxi'\. The closest are: mix\."),
        ("global_average_pooling2d", {}, r"`layer` must give maps, \(height, width, channels\)\. Received: "),
        ("mix", {"seed": 2**31}, r"`seed` must be a whole number from 0 to 2\*\*31 - 1\. Received: 2147483648\."),
        ("mix", {"seed": True}, r"`seed` must be a whole number from 0 to 2\*\*31 - 1\. Received: True\."),
        ([], {}, r"`layers` must name at least one layer\."),
    ],
)
def test_refuses(layers, arguments, message):
    with pytest.raises(ValueError, match=message):
        deep_dream(mixing()[0], np.linspace(0, 1, 8 * 8 * 3).reshape(1, 8, 8, 3), layers, **arguments)


@pytest.mark.parametrize(("side", "smallest"), [(8, 4), (10, 5)])
def test_says_so_where_an_octave_is_too_small(side, smallest):
    # Two convolutions of five pixels take eight off a side, and the first leaves nothing of four.
    layers = [keras.layers.Conv2D(1, 5, name=name) for name in ("first", "second")]
    model = keras.Sequential([keras.Input((None, None, 1)), *layers], name="small")
    message = rf"^Model 'small' does not run on the smallest octave, {smallest}x{smallest} pixels\. .* take fewer `octa"
    with pytest.raises(ValueError, match=message):
        deep_dream(model, np.zeros((1, side, side, 1)), "second", octaves=2, octave_scale=2.0)


def test_the_largest_seed_is_one():
    image = RANDOM.uniform(size=(1, 8, 8, 3))
    assert np.isfinite(deep_dream(mixing()[0], image, "mix", octaves=2, steps=1, seed=2**31 - 1)).all()


def test_says_so_where_no_copy_can_be_made():
    layers = [keras.layers.Flatten(), keras.layers.Dense(27), keras.layers.Reshape((3, 3, 3), name="maps")]
    model = keras.Sequential([keras.Input((4, 4, 3)), *layers], name="fixed")
    with pytest.raises(
        ValueError, match=r"Model 'fixed' takes images of shape \(4, 4, 3\) only, and no copy for other"
    ):
        deep_dream(model, np.zeros((1, 8, 8, 3)), "maps")
