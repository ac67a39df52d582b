"""The decoder of captions against the stock layers and the formulas in NumPy."""

import keras
import numpy as np
import pytest

from kerasdl.layers import ElmanRNN, SpatialAttention
from kerasdl.sequences.caption_decoder import CaptionDecoder

STOCK = {"elman": keras.layers.SimpleRNN, "gru": keras.layers.GRU, "lstm": keras.layers.LSTM}


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_without_attention_it_is_the_stock_layer_that_reads_the_vector_at_each_step(cell):
    rng = np.random.default_rng(1)
    words, image = rng.normal(size=(2, 5, 4)).astype("float32"), rng.normal(size=(2, 3)).astype("float32")
    decoder = CaptionDecoder(6, cell)
    states = decoder([words, image])
    stock = STOCK[cell](6, return_sequences=True)
    beside = np.concatenate([words, np.repeat(image[:, None], 5, axis=1)], axis=-1)
    stock.build(beside.shape)
    stock.set_weights(decoder.get_weights())
    np.testing.assert_allclose(states, stock(beside), atol=1e-6)


def test_the_captioning_formula_in_numpy():
    rng = np.random.default_rng(2)
    words, image = rng.normal(size=(2, 4, 3)).astype("float32"), rng.normal(size=(2, 5)).astype("float32")
    decoder = CaptionDecoder(6, "elman")
    states = decoder([words, image]).numpy()
    kernel, recurrent, bias = (np.asarray(weight) for weight in decoder.get_weights())
    of_word, of_image = kernel[:3], kernel[3:]
    h = np.zeros((2, 6))
    for t in range(4):
        h = np.tanh(words[:, t] @ of_word + h @ recurrent + image @ of_image + bias)
        np.testing.assert_allclose(states[:, t], h, atol=1e-6)
    # The same as the layer that is given v as a context.
    layer = ElmanRNN(6, return_sequences=True)
    layer(words, context=image)
    layer.set_weights([of_word, recurrent, bias, of_image])
    np.testing.assert_allclose(layer(words, context=image), states, atol=1e-6)


def test_with_attention_the_state_before_the_word_is_the_query():
    rng = np.random.default_rng(3)
    words, image = rng.normal(size=(2, 4, 3)).astype("float32"), rng.normal(size=(2, 3, 5, 7)).astype("float32")
    vector = rng.normal(size=(2, 8)).astype("float32")
    decoder = CaptionDecoder(6, "elman", attention=9)
    outputs, maps = (each.numpy() for each in decoder([words, vector, image]))
    kernel, recurrent, bias = (np.asarray(weight) for weight in decoder.cell.get_weights())
    attention = SpatialAttention(9)
    attention.build([(None, 6), image.shape])
    attention.set_weights(decoder.attention.get_weights())
    first_kernel, first_bias = (np.asarray(weight) for weight in decoder.first.get_weights())
    h = np.tanh(vector @ first_kernel + first_bias)
    for t in range(4):
        context, weights = (each.numpy() for each in attention([h.astype("float32"), image]))
        h = np.tanh(np.concatenate([words[:, t], context], axis=-1) @ kernel + h @ recurrent + bias)
        np.testing.assert_allclose(outputs[:, t], np.concatenate([h, context], axis=-1), atol=1e-5)
        np.testing.assert_allclose(maps[:, t], weights, atol=1e-6)
