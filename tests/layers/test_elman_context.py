"""A context beside the words of Elman's layer: against the loop in NumPy, saved, always or never."""

import keras
import numpy as np
import pytest
from elman_sequences import BATCH, CONTEXT, FEATURES, INPUTS, UNITS, by_hand

from kerasdl.layers import ElmanRNN


def test_context() -> None:
    """W_ih v at every step: the loop in NumPy, saved, in a model, with the mask that Keras carries."""
    words, image = keras.Input((None, FEATURES)), keras.Input((2,))
    layer = ElmanRNN(UNITS, return_sequences=True)
    model = keras.Model([words, image], layer(keras.layers.Masking()(words), context=image))
    assert [tuple(weight.shape) for weight in layer.weights] == [(4, 5), (5, 5), (5,), (2, 5)]
    expected = by_hand(layer, INPUTS, offset=CONTEXT @ np.asarray(layer.weights[3]))
    np.testing.assert_allclose(model([INPUTS, CONTEXT]), expected, atol=1e-6)
    # At each of six steps 4 inputs and 5 states meet 5 units; 2 numbers of context do so once.
    assert layer.multiply_adds(INPUTS.shape, expected.shape) == 6 * (4 + 5) * 5 + 2 * 5
    # Padded: the state stays as it was before.
    padded = np.concatenate([INPUTS, np.zeros((BATCH, 2, FEATURES))], 1)
    np.testing.assert_allclose(model([padded, CONTEXT])[:, -1], expected[:, -1], atol=1e-6)


def test_context_is_saved(tmp_path) -> None:
    """Its weights come back with the file, without foreign code."""
    words, image = keras.Input((None, FEATURES)), keras.Input((2,))
    model = keras.Model([words, image], ElmanRNN(UNITS)(words, context=image))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(loaded([INPUTS, CONTEXT]), model([INPUTS, CONTEXT]), atol=1e-6)
    assert len(loaded.weights) == 4


def test_context_always_or_never() -> None:
    """Weights are made at the first call."""
    layer = ElmanRNN(UNITS)
    layer(INPUTS)
    with pytest.raises(ValueError, match="first called without a `context` and is now called with one"):
        layer(INPUTS, context=CONTEXT)
    layer = ElmanRNN(UNITS)
    layer(INPUTS, context=CONTEXT)
    with pytest.raises(ValueError, match="first called with a `context` and is now called without one"):
        layer(INPUTS)
