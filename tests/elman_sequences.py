"""Short sequences, the stock layer beside Elman's with the same weights, and the loop in NumPy."""

import keras
import numpy as np

from kerasdl.layers import ElmanRNN

BATCH, STEPS, FEATURES, UNITS = 3, 6, 4, 5
RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(BATCH, STEPS, FEATURES)).astype("float32")
STATE = RANDOM.normal(size=(BATCH, UNITS)).astype("float32")
CONTEXT = RANDOM.normal(size=(BATCH, 2)).astype("float32")
# Padding at the end, a hole and a late beginning, and nothing at all.
MASK = np.array([[1, 1, 1, 1, 0, 0], [0, 0, 1, 0, 1, 1], [0, 0, 0, 0, 0, 0]], bool)


def by_hand(layer: ElmanRNN, inputs: np.ndarray, state: np.ndarray | float = 0.0, offset: np.ndarray | float = 0.0):
    """Every state, by a loop in NumPy."""
    kernel, recurrent_kernel, bias = (np.asarray(weight) for weight in layer.weights[:3])
    state, states = np.zeros((len(inputs), layer.units)) + state, []
    for step in range(inputs.shape[1]):
        state = np.tanh(inputs[:, step] @ kernel + state @ recurrent_kernel + bias + offset)
        states.append(state)
    return np.stack(states, 1)


def twins(**kwargs) -> tuple[keras.layers.SimpleRNN, ElmanRNN]:
    """The stock layer and ours with the same weights."""
    stock, ours = keras.layers.SimpleRNN(UNITS, **kwargs), ElmanRNN(UNITS, **kwargs)
    for layer in (stock, ours):
        layer.build(INPUTS.shape)
    stock.set_weights([np.random.default_rng(1).normal(size=weight.shape) * 0.4 for weight in stock.weights])
    ours.set_weights(stock.get_weights())
    return stock, ours
