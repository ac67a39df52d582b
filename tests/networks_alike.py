"""Whether a network of ours computes what another implementation computes with the same weights."""

from collections.abc import Callable

import keras
import numpy as np

from kerasdl import data


def layers_with_weights(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a network and of the networks inside it that hold weights."""
    flat = [
        inner
        for layer in model.layers
        for inner in (layers_with_weights(layer) if isinstance(layer, keras.Model) else [layer])
    ]
    return [layer for layer in flat if layer.weights]


def randomize(model: keras.Model, seed: int = 0) -> None:
    """Gives every weight a random value that is not its first one, at scales that keep the maps alive.

    Args:
        model: The network.
        seed: Where chance starts.
    """
    random = np.random.default_rng(seed)
    for layer in layers_with_weights(model):
        values = []
        for weight in layer.weights:
            shape = tuple(weight.shape)
            if "variance" in weight.path or "gamma" in weight.path or (len(shape) == 1 and "scale" in layer.name):
                values.append(random.uniform(0.5, 1.5, shape))
            elif len(shape) == 1:
                values.append(0.1 * random.normal(size=shape))
            else:
                # A depthwise kernel has its maps third and sees only one of them at a time.
                fan_in = np.prod(shape[:2]) if len(shape) == 4 and 1 in shape[2:] else np.prod(shape[:-1])
                values.append(random.normal(size=shape) * np.sqrt(1.5 / fan_in))
        layer.set_weights(values)


def copy_weights(source: keras.Model, target: keras.Model, name_in_target: Callable[[str], str]) -> None:
    """Fills each layer of `target`, and says so if one is left.

    Args:
        source: Has the weights.
        target: Gets them.
        name_in_target: From the name of a layer in `source` to its name in `target`.
    """
    left = {layer.name for layer in layers_with_weights(target)}
    for layer in layers_with_weights(source):
        name = name_in_target(layer.name)
        left.remove(name)
        there = target.get_layer(name)
        weights = layer.get_weights()
        if isinstance(there, keras.layers.DepthwiseConv2D):
            # A grouped convolution with as many groups as maps.
            weights[0] = weights[0].reshape(there.get_weights()[0].shape)
        there.set_weights(weights)
    assert left == set()


def check_same_logits(ours: keras.Model, theirs: keras.Model, name_here: Callable[[str], str]) -> None:
    """Random weights in both, two photographs, and no difference but round-off.

    Args:
        ours: With layers `logits` and `predictions`.
        theirs: Ends in logits.
        name_here: From the name of a layer of theirs to ours.
    """
    randomize(theirs)
    copy_weights(theirs, ours, name_here)
    height = ours.input_shape[1]
    photos = np.stack([image for image, _ in data.load("photos", image_size=height).take(2).as_numpy_iterator()])
    logits = keras.Model(ours.input, ours.get_layer("logits").output)
    expected, found = theirs.predict(photos, verbose=0), logits.predict(photos, verbose=0)
    spread = expected.std()
    assert np.abs(found - expected).max() < 1e-4 * spread
    # The photographs are told apart, so that it matters what went in.
    assert np.abs(expected[0] - expected[1]).max() > 0.1 * spread
