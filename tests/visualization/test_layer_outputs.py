"""Activations: the numbers of NumPy and of a model cut out of the graph, also from inside nested models."""

import keras
import numpy as np
import pytest

from kerasdl.visualization import activations

IMAGES = np.random.default_rng(0).normal(size=(5, 6, 6, 3)).astype("float32")


def nested():
    inner = keras.Sequential([keras.Input((6, 6, 3)), keras.layers.Conv2D(4, 1, activation="relu", name="maps")])
    inputs = keras.Input((6, 6, 3))
    x = keras.layers.Flatten()(inner(inputs))
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax", name="predictions")(x)), inner


def test_are_those_of_numpy_also_inside_a_nested_model_and_of_one_run():
    model, inner = nested()
    kernel, bias = inner.layers[0].get_weights()
    maps = np.maximum(IMAGES @ kernel[0, 0] + bias, 0)
    np.testing.assert_allclose(activations(model, IMAGES, "maps"), maps, atol=1e-5)
    both = activations(model, IMAGES, ["predictions", f"{inner.name}/maps"], batch_size=2)
    assert list(both) == ["predictions", f"{inner.name}/maps"]
    np.testing.assert_allclose(both[f"{inner.name}/maps"], maps, atol=1e-5)
    # The softmax's own output, not what is before it.
    np.testing.assert_allclose(both["predictions"], model(IMAGES), atol=1e-6)


def test_traces_nothing_the_second_time():
    traces = []

    class Counting(keras.layers.Layer):
        def call(self, x):
            traces.append(1)
            return 2 * x

    model = keras.Sequential([keras.Input((6, 6, 3)), Counting(name="doubled"), keras.layers.Flatten()])
    np.testing.assert_array_equal(activations(model, IMAGES, "doubled"), 2 * IMAGES)
    count = len(traces)
    activations(model, IMAGES[:3], "doubled")
    assert len(traces) == count


def test_refuses():
    model, _ = nested()
    with pytest.raises(ValueError, match=r"^`layer` must name a layer of model .* The closest are: maps"):
        activations(model, IMAGES, "map")
    with pytest.raises(ValueError, match=r"^`layers` must name at least one layer\. Received none\.$"):
        activations(model, IMAGES, [])
    with pytest.raises(ValueError, match=r"^`images` must have shape \(N, height, width, channels\)"):
        activations(model, IMAGES[0], "maps")
