"""Memory against cases worked out by hand, time, and what is refused."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl import architectures, profiling
from kerasdl.profiling import Latency, measuring, profile


def test_memory_of_a_residual_block_worked_out_by_hand():
    x = keras.Input((8, 8, 2))  # 512 bytes an image
    a = keras.layers.Conv2D(4, 3, padding="same", name="a")(x)  # 1024
    b = keras.layers.Conv2D(16, 1, name="b")(a)  # 4096
    c = keras.layers.Conv2D(4, 1, name="c")(b)  # 1024
    d = keras.layers.Add(name="d")([a, c])  # 1024
    e = keras.layers.GlobalAveragePooling2D(name="e")(d)  # 16
    model = keras.Model(x, e)
    costs = profile(model, 3, repeats=0)
    assert costs.activation_bytes == 3 * (512 + 1024 + 4096 + 1024 + 1024 + 16)
    # While c is computed there are a, which waits for the addition, b and c.
    assert costs.peak_activation_bytes == 3 * (1024 + 4096 + 1024)
    memory = {layer.path: layer.activation_bytes for layer in costs.layers}
    assert memory == {"a": 3072, "b": 12288, "c": 3072, "d": 3072, "e": 48}
    assert costs.weight_bytes == 4 * costs.parameters == 4 * ((9 * 2 * 4 + 4) + (4 * 16 + 16) + (16 * 4 + 4))


def test_memory_without_copies_in_half_precision_and_to_the_end():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        x = keras.Input((100,))  # 400 bytes: the batch comes in float32
        wide = keras.layers.Dense(1000, name="wide")(x)  # 2000
        same = keras.layers.Dropout(0.5)(wide)  # nothing: in inference it passes on what it gets
        view = keras.layers.Reshape((10, 100))(same)  # nothing: the same numbers
        small = keras.layers.Dense(1, name="small")(view)  # 20
        last = keras.layers.Dense(3, name="last", dtype="float32")(keras.layers.Flatten()(small))  # 12
        model = keras.Model(x, [wide, last])
    finally:
        keras.config.set_dtype_policy("float32")
    costs = profile(model, repeats=0)
    assert costs.activation_bytes == 400 + 2000 + 20 + 12
    # `wide` is an output of the model, and stays.
    assert costs.peak_activation_bytes == max(400 + 2000, 2000 + 20 + 12)


def test_frozen_weights_are_not_trainable_and_shared_weights_count_once():
    layer = keras.layers.Dense(5)
    x = keras.Input((5,))
    model = keras.Model(x, keras.layers.Dense(2)(layer(layer(x))))
    layer.trainable = False
    costs = profile(model, repeats=0)
    assert (costs.parameters, costs.trainable_parameters) == (30 + 12, 12)


def test_several_inputs_of_several_kinds():
    words = keras.Input((7,), dtype="int32", name="words")
    image = keras.Input((4, 4, 1), name="image")
    seen = keras.layers.Dense(3)(keras.layers.Flatten()(image))
    read = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(50, 3)(words))
    model = keras.Model({"image": image, "words": words}, keras.layers.Add()([seen, read]))
    costs = profile(model, 2, repeats=1)
    assert costs.multiply_adds == 16 * 3
    assert costs.activation_bytes == 2 * 4 * (7 + 16 + 3 + 7 * 3 + 3 + 3)
    assert costs.latency.repeats == 1


def test_the_time_is_the_median_of_real_calls(monkeypatch):
    now, takes = 0.0, iter([16.0, 16.0, 1.0, 4.0, 2.0, 5.0, 3.0])
    monkeypatch.setattr(measuring, "time", SimpleNamespace(perf_counter=lambda: now))

    def work(x):
        nonlocal now
        now += next(takes)
        return x

    class Works(keras.layers.Layer):
        def call(self, inputs):
            return tf.ensure_shape(tf.numpy_function(work, [inputs], tf.float32, stateful=True), inputs.shape)

    model = keras.Sequential([keras.Input((1,)), Works()])
    assert profile(model, 4, repeats=5).latency == Latency(median=3.0, lower=2.0, upper=4.0, repeats=5)
    assert next(takes, None) is None
    assert profile(model, repeats=0).latency is None


def test_the_model_is_left_as_it_was():
    model = architectures.lenet5_modern()
    before, call = model.get_weights(), keras.Operation.__call__
    profile(model, 2, repeats=1)
    assert keras.Operation.__call__ is call
    assert model.get_layer("c1").output.shape == (None, 28, 28, 6)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_print_shows_a_table_and_every_layer():
    costs = profile(architectures.lenet5_modern(), repeats=1)
    for text in ("61,706", "416,520", "246.8 kB", "of 1)"):
        assert text in str(costs)
    for layer in ("c1", "stage1_out", "logits"):
        assert layer in str(costs.by_layer())
    assert "layers" not in repr(costs)


def test_an_input_of_any_size_needs_one():
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3)])
    assert profile(model, input_shape=(10, 12, 3), repeats=0).multiply_adds == 8 * 10 * 9 * 3 * 4
    with pytest.raises(ValueError, match="takes inputs of many sizes") as error:
        profile(model)
    assert str(error.value) == (
        f"Model {model.name!r} takes inputs of many sizes: tell one of them by input_shape=(height, width, channels), "
        "without the batch. Received: an input of shape (None, None, None, 3)."
    )


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda: profile("resnet18"), "`model` must be a keras.Model. Received: str."),
        (
            lambda: profile(keras.Sequential([keras.layers.Dense(2)], name="open")),
            "The input shape of model 'open' is not known, for it does not begin with a keras.Input: tell it by "
            "input_shape=(height, width, channels), without the batch.",
        ),
        (
            lambda: profile(keras.Sequential([keras.Input((2,))]), 0),
            "`batch_size` must be an integer of at least 1. Received: batch_size=0.",
        ),
        (
            lambda: profile(keras.Sequential([keras.Input((2,))]), repeats=-1),
            "`repeats` must be an integer of at least 0. Received: repeats=-1.",
        ),
    ],
)
def test_refusals(ask, text):
    with pytest.raises((TypeError, ValueError)) as error:
        ask()
    assert str(error.value) == text


def test_everything_public_is_there():
    assert set(profiling.__all__) <= set(dir(profiling))
