"""Linear models, for which every attack has a closed form, and images that they get right."""

import functools

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


@functools.cache
def shared_network():
    """One network for all tests that only ask what is refused: what is compiled for it is compiled once."""
    return network()


def distance_to_boundary(weights, bias, images, target=None):
    """Of a linear model: how far each image is from the nearest other class, or from where the target wins.

    The latter is the smallest r with (w_t - w_k) (x + r) + b_t - b_k >= 0 for all k, a quadratic programme. With the
    multipliers m >= 0 of these conditions r is a sum of their normals, and minus its dual is a least-squares problem
    without signs once it is known which conditions hold with equality: with few classes all sets of them are tried.
    """
    outputs = scores(weights, bias, images)
    flat = weights.reshape(len(weights), -1)
    distances = []
    for row in outputs:
        said = row.argmax()
        others = [k for k in range(len(flat)) if k != (said if target is None else target)]
        if target is None:
            distances.append(min((row[said] - row[k]) / np.linalg.norm(flat[k] - flat[said]) for k in others))
            continue
        normals, missing = flat[target] - flat[others], row[others] - row[target]
        best = np.inf
        for chosen in range(1, 2 ** len(others)):
            active = [k for k in range(len(others)) if chosen >> k & 1]
            r = np.linalg.pinv(normals[active]) @ missing[active]
            if (normals @ r >= missing - 1e-5 * np.abs(missing).max()).all():
                best = min(best, np.linalg.norm(r))
        distances.append(best)
    return np.array(distances)
