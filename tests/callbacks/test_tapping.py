import gc
import re
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.callbacks import ActivationSummary, Examples, GateSummary, GradientSummary, SpectralRadiusSummary
from kerasdl.callbacks.tapping import compile_taps, first_examples


def outputs_of(args, kwargs, result):
    return result


def test_the_calls_of_a_layer_in_their_order_and_nothing_else_changes():
    shared = keras.layers.Dense(2, kernel_initializer=keras.initializers.Identity(3.0), name="triple")
    inputs = keras.Input((2,))
    model = keras.Model(inputs, shared(keras.layers.Dropout(0.9)(shared(inputs))))
    x = np.array([[1.0, 2.0]], "float32")
    look = compile_taps(model, x, {"mine": shared}, "call", outputs_of)
    for factor in (1, 2):
        first, second = look(tf.constant(factor * x))["mine"]
        np.testing.assert_allclose(first, 3 * factor * x)
        np.testing.assert_allclose(second, 9 * factor * x)
    # The layer's own `call` is there again, as a method of its class.
    assert "call" not in vars(shared)


def test_what_an_error_leaves_behind_is_the_model_as_it_was():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="mine")])
    with pytest.raises(ValueError, match="incompatible with the layer"):
        compile_taps(model, np.ones((1, 5), "float32"), {"mine": model.layers[0]}, "call", outputs_of)
    assert "call" not in vars(model.layers[0])


def test_layers_that_do_not_run():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="mine")])
    other, x = keras.layers.Dense(2), np.ones((1, 2), "float32")
    text = "^Expected layers that can be seen from outside. Received: 'other', which does not run when the model is "
    with pytest.raises(ValueError, match=text):
        compile_taps(model, x, {"other": other}, "call", outputs_of)
    layers = {"other": other, "mine": model.layers[0]}
    assert [*compile_taps(model, x, layers, "call", outputs_of, required=False)(tf.constant(x))] == ["mine"]


def test_examples_are_as_many_as_the_model_wants():
    examples = Examples((np.arange(10.0)[:, None], np.arange(10)))
    for batch_size, expected in ((None, [0, 1, 2, 3, 4, 5]), (4, [0, 1, 2, 3])):
        model = keras.Sequential([keras.Input((1,), batch_size=batch_size), keras.layers.Dense(1)])
        x, y, sample_weight = first_examples(model, examples, 6)
        assert (x[:, 0].tolist(), y.tolist(), sample_weight) == (expected, expected, None)


@pytest.mark.parametrize("kind", [ActivationSummary, GateSummary, GradientSummary, SpectralRadiusSummary])
@pytest.mark.parametrize("count", [0, -3, 2.0, True])
def test_a_wrong_count_is_told(tmp_path, kind, count):
    text = f"`count` must be a whole number of examples, at least 1. Received: count={count!r}."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        kind(tmp_path, Examples(np.ones((4, 2))), count=count)


@pytest.mark.slow
def test_nothing_holds_the_model_when_training_is_over(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, "relu"), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = np.ones((4, 3)), np.ones(4)
    chosen = [GradientSummary(tmp_path, (x, y)), ActivationSummary(tmp_path, x)]
    model.fit(x, y, callbacks=chosen, verbose=0)
    gone = weakref.ref(model)
    del model, chosen
    gc.collect()
    assert gone() is None
