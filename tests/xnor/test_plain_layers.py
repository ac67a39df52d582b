"""The last layers in NumPy give what Keras gives, and what is not theirs is left to Keras."""

import keras
import numpy as np
import pytest
from xnor_helpers import some_images, trained_looking

from kerasdl.architectures import xnor_resnet18
from kerasdl.layers import FusedBatchNormalization
from kerasdl.xnor import load, pack
from kerasdl.xnor.keras_part import KerasPart
from kerasdl.xnor.plain_layers import plain_layers

CHAINS = {
    "head of a residual network": [
        FusedBatchNormalization,
        keras.layers.ReLU,
        keras.layers.GlobalAveragePooling2D,
        lambda: keras.layers.Dense(7),
        lambda: keras.layers.Activation("softmax"),
    ],
    "head of AlexNet": [
        lambda: keras.layers.BatchNormalization(scale=False),
        lambda: keras.layers.BatchNormalization(center=False),
        lambda: keras.layers.Activation("relu"),
        keras.layers.Flatten,
        lambda: keras.layers.Dropout(0.5),
        keras.layers.Identity,
        lambda: keras.layers.Dense(5, use_bias=False, activation="softmax"),
    ],
}


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_equals_keras(chain):
    images = x = keras.Input((4, 5, 6))
    for make in chain:
        x = make()(x)
    model = trained_looking(keras.Model(images, x))
    given = some_images(3, (4, 5, 6))
    expected = model.predict(given, verbose=0)
    found = plain_layers(model)(given)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.layers.ReLU(6.0),
        lambda: keras.layers.BatchNormalization(axis=1),
        lambda: keras.layers.Activation("tanh"),
        lambda: keras.layers.Dense(3),  # On every pixel.
        lambda: keras.layers.GlobalAveragePooling2D(keepdims=True),
        lambda: keras.layers.Conv2D(2, 3),
        lambda: keras.layers.ReLU(dtype="mixed_bfloat16"),
    ],
)
def test_leaves_the_rest_to_keras(make):
    images = keras.Input((4, 5, 6))
    assert plain_layers(keras.Model(images, make()(images))) is None


def test_leaves_what_is_no_chain_to_keras():
    images = keras.Input((4,))
    x = keras.layers.ReLU()(images)
    assert plain_layers(keras.Model(images, [x, keras.layers.Dense(2)(x)])) is None
    assert plain_layers(keras.Model(images, keras.layers.Add()([images, x]))) is None


def test_the_end_of_a_packed_network_needs_no_tensorflow(tmp_path, monkeypatch):
    model = trained_looking(xnor_resnet18(input_shape=(32, 32, 3), classes=9))
    packed, images = pack(model), some_images(2, (32, 32, 3))
    expected = model.predict(images, verbose=0)
    packed.save(tmp_path / "network")
    for each in (packed, load(tmp_path / "network")):
        stem, head = (step for step in each.steps if isinstance(step, KerasPart))
        np.testing.assert_allclose(each.predict(images), expected, rtol=1e-4, atol=1e-6)
        assert stem._compiled is not None
        assert head._compiled is None
        # Many images are worth the call.
        np.testing.assert_allclose(each.predict(np.repeat(images, 200, 0), 400)[::200], expected, rtol=1e-4, atol=1e-6)
        assert head._compiled is not None
