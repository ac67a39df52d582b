"""Linear models, for which every attack has a closed form, and images that they get right."""

import keras
import numpy as np

SHAPE = (4, 4, 3)


def linear(classes=2, seed=0, scale=1.0, activation=None):
    """A linear model of images, with its weights as rows of one class and its biases."""
    dense = keras.layers.Dense(classes, activation=activation)
    model = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), dense])
    random = np.random.default_rng(seed)
    kernel = scale * random.normal(size=(48, classes)).astype("float32")
    # So that grey, the middle of all images, is on every boundary.
    bias = -0.5 * kernel.sum(axis=0)
    dense.set_weights([kernel, bias])
    return model, kernel.T.reshape(classes, *SHAPE), bias


def some_images(count=6, seed=1, spread=0.1):
    """Images around grey, far from the bounds."""
    return np.random.default_rng(seed).uniform(0.5 - spread, 0.5 + spread, size=(count, *SHAPE)).astype("float32")


def scores(weights, bias, images):
    return np.einsum("nhwc,khwc->nk", images, weights) + bias


def network(seed=0):
    """A small network that bends, with a softmax at its end."""
    keras.utils.set_random_seed(seed)
    layers = [
        keras.layers.Conv2D(6, 3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(4, activation="softmax"),
    ]
    return keras.Sequential([keras.Input(SHAPE), *layers])
