import re

import keras
import numpy as np
import pytest
from event_helpers import read_scalars
from histogram_helpers import assert_histogram_of, read_histograms

from kerasdl.callbacks import WeightSummary


def started(folder, model):
    callback = WeightSummary(folder)
    callback.set_model(model)
    callback.on_train_begin()
    return callback


def small():
    stack = [keras.layers.Dense(3, kernel_initializer="ones"), keras.layers.BatchNormalization()]
    return keras.Sequential([keras.Input((2,)), *stack])


def test_norms_histograms_and_how_far_weights_have_moved(tmp_path):
    model = small()
    dense, normalization = model.layers
    callback = started(tmp_path, model)
    kernels = np.random.default_rng(0).normal(size=(3, 2, 3)).astype("float32")
    for epoch, kernel in enumerate(kernels):
        dense.kernel.assign(kernel)
        dense.bias.assign(np.full(3, epoch + 1.0))
        normalization.moving_variance.assign(np.full(3, epoch + 2.0))
        callback.on_epoch_end(epoch)
    callback.on_train_end()
    scalars, tables = read_scalars(tmp_path), read_histograms(tmp_path)
    before = [np.ones((2, 3)), *kernels]
    for epoch, kernel in enumerate(kernels):
        norm = np.linalg.norm(kernel)
        assert scalars["weight_norms/dense/kernel"][epoch] == pytest.approx(norm, 1e-6)
        moved = np.linalg.norm(kernel - before[epoch]) / np.linalg.norm(before[epoch])
        assert scalars["update_ratios/dense/kernel"][epoch] == pytest.approx(moved, 1e-6)
        assert_histogram_of(tables["weights/dense/kernel"][epoch], kernel)
    # The bias begins with zeros: from there on there is no ratio.
    assert scalars["update_ratios/dense/bias"] == pytest.approx({1: 1.0, 2: 0.5})
    # What is not trained is shown, without a ratio.
    assert scalars["weight_norms/batch_normalization/moving_variance"] == pytest.approx(
        {epoch: (epoch + 2) * 3**0.5 for epoch in range(3)}
    )
    assert [tag for tag in scalars if "update_ratios/batch" in tag] == ["update_ratios/batch_normalization/gamma"]


def test_the_state_goes_on_where_it_was(tmp_path):
    model = small()
    callback = started(tmp_path / "first", model)
    model.layers[0].kernel.assign(np.full((2, 3), 2.0))
    callback.on_epoch_end(0)
    state = callback.get_state()
    callback.on_train_end()
    # A new process takes up the training: its weights are given back after it has begun.
    model.layers[0].kernel.assign(np.full((2, 3), 7.0))
    callback = started(tmp_path / "second", model)
    callback.set_state(state)
    model.layers[0].kernel.assign(np.full((2, 3), 3.0))
    callback.on_epoch_end(1)
    callback.on_train_end()
    assert read_scalars(tmp_path / "second")["update_ratios/dense/kernel"] == pytest.approx({1: 0.5})


def test_what_was_written_does_not_move_with_the_weights(tmp_path):
    model = small()
    callback = started(tmp_path, model)
    [kept] = [values for name, values in callback.get_state()["last"].items() if name == "dense/kernel"]
    model.layers[0].kernel.assign(np.full((2, 3), 5.0))
    np.testing.assert_array_equal(kept, np.ones((2, 3)))
    callback.on_train_end()


class _Twice(keras.layers.Layer):
    def build(self, shape):
        self.one, self.two = (self.add_weight((2,), name="weight", initializer=value) for value in ("ones", "zeros"))
        self.three = self.add_weight((2,), initializer="ones")
        self.count = self.add_weight((), dtype="int32", initializer="zeros", trainable=False, name="count")

    def call(self, x):
        return x * self.one + self.two * self.three


def test_weights_of_one_name_and_of_none_are_counted_and_whole_numbers_left_out(tmp_path):
    for run in ("one", "two"):
        callback = started(tmp_path / run, keras.Sequential([keras.Input((2,)), _Twice(name="mine")]))
        callback.on_epoch_end(0)
        callback.on_train_end()
        tags = {tag for tag in read_scalars(tmp_path / run) if tag.startswith("weight_norms")}
        assert tags == {f"weight_norms/mine/{name}" for name in ("weight", "weight_1", "variable")}


def test_mixed_precision_and_weights_that_are_no_numbers(tmp_path):
    keras.config.set_dtype_policy("bfloat16")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, kernel_initializer="ones")])
    callback = started(tmp_path, model)
    model.layers[0].kernel.assign(np.full((2, 2), 3.0))
    callback.on_epoch_end(0)
    model.layers[0].kernel.assign(np.array([[np.nan, 1.0], [1.0, 1.0]]))
    callback.on_epoch_end(1)
    callback.on_train_end()
    scalars = read_scalars(tmp_path)
    assert scalars["weight_norms/dense/kernel"][0] == 6
    assert scalars["update_ratios/dense/kernel"][0] == 2
    assert np.isnan(scalars["weight_norms/dense/kernel"][1])
    assert np.isnan(scalars["update_ratios/dense/kernel"][1])
    assert read_histograms(tmp_path)["weights/dense/kernel"][1][:, 2].sum() == 3


def test_a_model_without_weights_is_told(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.ReLU()], name="mine")
    text = "WeightSummary expects a model with weights. Received: model 'mine', which has none."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        started(tmp_path, model)
