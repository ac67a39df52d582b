"""Checks and small sums that many tests share."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

import kerasdl


def numbers_in(weights: list) -> int:
    """How many numbers the weights are together."""
    return sum(int(np.prod(weight.shape)) for weight in weights)


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def logits_of(model: keras.Model, images: np.ndarray) -> np.ndarray:
    return np.asarray(keras.Model(model.input, model.get_layer("logits").output)(images))


def check_layer(
    layer_class: type[keras.layers.Layer],
    kwargs: dict[str, Any],
    input_shape: tuple[int, ...],
    reference: Callable[[keras.layers.Layer, np.ndarray], np.ndarray] | None = None,
    tolerance: float = 1e-5,
) -> keras.layers.Layer:
    """Everything that a layer must do: configuration, saving, shapes, training, bfloat16, any batch size, right values.

    Args:
        layer_class: The layer's class.
        kwargs: Its arguments.
        input_shape: The shape of an input with the batch size.
        reference: Computes the expected output of `(layer, inputs)` independently.
        tolerance: How far output and reference may differ, relative to the largest value.

    Returns:
        The layer, built, for further tests.
    """
    inputs = np.random.default_rng(0).normal(size=input_shape).astype("float32")

    # The configuration makes the same layer again.
    layer = layer_class(**kwargs)
    config = layer.get_config()
    again = layer_class.from_config(config)
    assert again.get_config() == config

    # Symbolic and real shapes agree, with a batch size that is not known.
    given = keras.Input(input_shape[1:])
    model = keras.Model(given, layer(given))
    outputs = np.asarray(layer(inputs))
    assert model.output_shape == (None, *outputs.shape[1:])
    assert tuple(layer.compute_output_shape(input_shape)) == outputs.shape
    np.testing.assert_allclose(model.predict(inputs[:1], verbose=0), layer(inputs[:1]), rtol=1e-4, atol=1e-5)

    # The value from elsewhere.
    if reference is not None:
        expected = reference(layer, inputs)
        np.testing.assert_allclose(outputs, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())

    # Saved and loaded without running foreign code.
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        loaded = keras.saving.load_model(Path(folder) / "model.keras", safe_mode=True)
    np.testing.assert_allclose(loaded(inputs), outputs, rtol=1e-6, atol=1e-6)

    # A compiled step moves every weight that can be trained, also those before the layer.
    given = keras.Input(input_shape[1:])
    before = keras.layers.Dense(input_shape[-1], name="before")
    trained = keras.Model(given, layer_class.from_config(config)(before(given)))
    trained.compile(keras.optimizers.SGD(0.01), "mse")
    start = [weight.numpy() for weight in trained.trainable_weights]
    targets = np.random.default_rng(1).normal(size=outputs.shape).astype("float32")
    logs = kerasdl.training.make_train_step(trained)(inputs, targets)
    assert np.isfinite(logs["loss"])
    for weight, old in zip(trained.trainable_weights, start, strict=True):
        assert not np.array_equal(weight, old), f"{weight.path} got no gradient"

    # Under mixed precision: computes in bfloat16, keeps its weights in float32, and gives about the same.
    half = layer_class.from_config({**config, "dtype": "mixed_bfloat16"})
    half.build(input_shape)
    half.set_weights(layer.get_weights())
    rough = half(inputs)
    assert keras.backend.standardize_dtype(rough.dtype) == "bfloat16"
    assert all(weight.dtype == "float32" for weight in half.weights)
    rough = np.asarray(keras.ops.cast(rough, "float32"))
    np.testing.assert_allclose(rough, outputs, rtol=0.05, atol=0.05 * np.abs(outputs).max())
    return layer
