import re

import keras
import numpy as np
import pytest
from event_helpers import read_scalars

from kerasdl import layers
from kerasdl.callbacks import BinaryWeightSummary


def started(folder, model):
    callback = BinaryWeightSummary(folder)
    callback.set_model(model)
    callback.on_train_begin()
    return callback


def dense(kernel, kind=layers.BinaryDense, **options):
    kernel = np.array(kernel, "float32")
    model = keras.Sequential([keras.Input((len(kernel),)), kind(kernel.shape[1], **options)])
    model.layers[0].kernel.assign(kernel)
    return model


def test_signs_that_turn_are_counted_from_one_time_to_the_next(tmp_path):
    model = dense([[0.5, -0.5], [0.5, -0.5]])
    callback = started(tmp_path, model)
    # One sign turns, then none, then two back and forth at once; 0 has the sign +.
    kernels = [[0.5, 0.1], [0.5, -0.5]], [[0.3, 0.2], [0.1, -0.9]], [[0.3, -0.2], [0.1, 0.0]]
    for epoch, kernel in enumerate(kernels):
        model.layers[0].kernel.assign(kernel)
        callback.on_epoch_end(epoch)
    callback.on_train_end()
    assert read_scalars(tmp_path)["sign_flips/binary_dense"] == {0: 0.25, 1: 0.0, 2: 0.5}


def test_weights_at_their_limits_and_near_zero(tmp_path):
    # The mean size is 0.6, a tenth of which 0.05 is below and 0.07 is not.
    model = dense([[1.0, -1.0], [0.05, -0.07], [0.73, -0.75]])
    callback = started(tmp_path, model)
    callback.on_epoch_end(0)
    # Without a constraint weights may be beyond.
    model.layers[0].kernel.assign([[1.5, -3.0], [0.1, -0.1], [0.9, 1.0]])
    callback.on_epoch_end(1)
    callback.on_train_end()
    scalars = read_scalars(tmp_path)
    assert scalars["saturated_weights/binary_dense"] == pytest.approx({0: 2 / 6, 1: 3 / 6})
    assert scalars["weights_near_zero/binary_dense"] == pytest.approx({0: 1 / 6, 1: 2 / 6})
    assert "zero_signs/binary_dense" not in scalars


def test_ternary_signs_may_be_zero_and_turn_from_there(tmp_path):
    # Of the first filter the mean size is 0.5, so that 0.35 is the threshold; of the second it is 1 and 0.7.
    model = dense([[0.9, 1.0], [0.1, 1.0], [0.5, 1.0]], layers.TernaryDense)
    callback = started(tmp_path, model)
    callback.on_epoch_end(0)
    model.layers[0].kernel.assign([[0.9, 1.0], [-0.5, 1.0], [0.1, -1.0]])
    callback.on_epoch_end(1)
    callback.on_train_end()
    scalars = read_scalars(tmp_path)
    assert scalars["zero_signs/ternary_dense"] == pytest.approx({0: 1 / 6, 1: 1 / 6})
    # 0 became -1, 1 became 0, 1 became -1.
    assert scalars["sign_flips/ternary_dense"] == {0: 0, 1: 0.5}


@pytest.mark.parametrize("kind", ["XnorConv2D", "TernaryConv2D"])
def test_a_step_of_training_turns_signs_also_in_nested_models(tmp_path, kind):
    inner = keras.Sequential([keras.Input((6, 6, 4)), getattr(layers, kind)(4, 3, name="signs")], name="inner")
    model = keras.Sequential([keras.Input((6, 6, 4)), inner])
    model.compile(keras.optimizers.SGD(5.0), "mse")
    images = np.random.default_rng(0).normal(size=(8, 6, 6, 4))
    before = inner.layers[0].kernel_signs().numpy()
    model.fit(images, np.ones((8, 4, 4, 4)), epochs=1, verbose=0, callbacks=[BinaryWeightSummary(tmp_path)])
    turned = np.mean(inner.layers[0].kernel_signs().numpy() != before)
    assert 0 < turned < 1
    assert read_scalars(tmp_path)["sign_flips/inner/signs"][0] == pytest.approx(turned)


def test_the_state_goes_on_where_it_was(tmp_path):
    model = dense([[0.5, -0.5], [0.5, -0.5]])
    callback = started(tmp_path / "first", model)
    callback.on_epoch_end(0)
    state = callback.get_state()
    callback.on_train_end()
    model.layers[0].kernel.assign([[-0.5, 0.5], [-0.5, 0.5]])
    callback = started(tmp_path / "second", model)
    callback.set_state(state)
    callback.on_epoch_end(1)
    callback.on_train_end()
    assert read_scalars(tmp_path / "second")["sign_flips/binary_dense"] == {1: 1.0}


def test_weights_that_are_no_numbers_end_nothing(tmp_path):
    model = dense([[0.5, -0.5], [0.5, -0.5]])
    callback = started(tmp_path, model)
    model.layers[0].kernel.assign(np.full((2, 2), np.nan))
    callback.on_epoch_end(0)
    callback.on_train_end()
    assert read_scalars(tmp_path)["sign_flips/binary_dense"] == {0: 1.0}


def test_a_model_without_signs_is_told(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)], name="mine")
    text = (
        "BinaryWeightSummary expects a model with layers of binary or ternary weights, such as "
        "kerasdl.layers.BinaryConv2D, XnorDense or TernaryConv2D. Received: model 'mine', which has none."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        started(tmp_path, model)
