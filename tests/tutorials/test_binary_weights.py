"""What the lesson on binary weights counts: the signs that an epoch has turned."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kerasdl.layers import BinaryDense, TernaryDense
from kerasdl.tutorials.binary_weights import SignFlips, signs


def network(layer):
    """A real first layer, the layer, and a real last one."""
    layers = [keras.layers.Dense(2), layer, keras.layers.Dense(2)]
    return keras.Sequential([keras.Input((3,)), *layers])


def test_of_every_epoch_the_turned_signs_are_counted_and_logged(tmp_path):
    layer = BinaryDense(4, use_bias=False)
    callback = SignFlips(tmp_path)
    callback.set_model(network(layer))
    start = np.array([[0.5, -0.5, 0.1, -0.1], [0.5, -0.5, 0.0, -0.1]], "float32")
    layer.kernel.assign(start)
    callback.on_train_begin()
    layer.kernel.assign(start / 2)  # nearer to 0, but on the same side
    callback.on_epoch_end(0)
    layer.kernel.assign(start / 2 - 0.05)  # the 0, which counts as +1, and 0.05, which now is one, and stays
    callback.on_epoch_end(1)
    layer.kernel.assign(-start)  # all but the 0, which has turned before
    callback.on_epoch_end(2)
    callback.on_train_end()
    # At the end the 0 is -0.0, which is +1 as well: it turns back.
    assert callback.flips == [0, 1 / 8, 8 / 8]
    np.testing.assert_array_equal(callback.first, start.ravel())
    np.testing.assert_array_equal(callback.last, -start.ravel())
    events = EventAccumulator(str(tmp_path / "signs"), size_guidance={"tensors": 0})
    events.Reload()
    for tag in ("flips/all", f"flips/{layer.name}"):
        written = [float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)]
        assert written == pytest.approx(callback.flips)
    assert len(events.Tensors(f"weights/{layer.name}")) == 3


def test_signs_are_what_the_layer_multiplies_with():
    weights = np.array([[1.0, -1.0], [-0.1, 0.0]], "float32")
    expected = {
        keras.layers.Dense: [[1, -1], [-1, 1]],
        BinaryDense: [[1, -1], [-1, 1]],
        TernaryDense: [[1, -1], [0, 0]],  # below 0.7 of the mean size of the column
    }
    for kind, wanted in expected.items():
        layer = kind(2, use_bias=False)
        layer.build((None, 2))
        layer.kernel.assign(weights)
        np.testing.assert_array_equal(signs(layer), wanted)
