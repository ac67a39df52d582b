"""What a layer still knows of an image: the image that is made again from the layer's features alone."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.visualization import pixels
from kerasdl.visualization.layer_outputs import layer_values
from kerasdl.visualization.probing import compiled, feature_layer, in_batches, layer_path


def invert_features(
    model: keras.Model,
    images: Any,
    layer: str | None = None,
    *,
    total_variation: float = 1.0,
    bounds: pixels.Bounds = (0.0, 1.0),
    steps: int = 200,
    learning_rate: float = 0.05,
    seed: int = 0,
    batch_size: int = 32,
    return_losses: bool = False,
) -> pixels.Result:
    """Images made from noise to give a layer the same features as the images: `|F(x) - F(image)|^2 / |F(image)|^2`.

    What differs from the image is what the layer has forgotten, or what the few steps have not found again.

    Args:
        model: Any Keras model; it is left as it is.
        images: `(N, height, width, channels)`, within the bounds.
        layer: Name of a layer, also inside a nested model; None takes the last that gives maps.
        total_variation: Weight of the prior that neighbours are alike: the mean of their squared differences.
        bounds: The smallest and the largest value of a pixel.
        steps: Steps of Adam.
        learning_rate: The first step's size as a share of the range; it falls along half a cosine, to zero.
        seed: Decides the noise.
        batch_size: Images at once.
        return_losses: Whether to return, too, what was made small on the way.

    Returns:
        Images of the same shape, float32. With `return_losses` also a dictionary of "features", the distance above,
        and "total_variation", each `(N, steps + 1)`: before each step, and after the last.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(12, 2), keras.layers.Flatten()])
        >>> image = np.random.default_rng(1).uniform(size=(1, 8, 8, 3))
        >>> _, losses = invert_features(model, image, total_variation=0.0, return_losses=True)
        >>> bool(losses["features"][0, -1] < 0.05 * losses["features"][0, 0])
        True

    Reference:
        [Mahendran and Vedaldi, 2014](https://arxiv.org/abs/1412.0035), sections 3.1 and 3.2
    """
    pixels.check_numbers(steps=steps, learning_rate=learning_rate, seed=seed, total_variation=total_variation)
    images = pixels.check_pixels(model, images, bounds)
    shape = images.shape[1:]
    layer = feature_layer(model, shape) if layer is None else layer_path(model, shape, layer)
    run = compiled(model, _invert, layer=layer)
    numbers = [
        np.array(bounds, "float32"),
        np.array([1.0, total_variation], "float32"),
        np.float32(learning_rate),
        np.int32(steps),
    ]
    made, losses = in_batches(
        lambda *arrays: run(*arrays, *numbers), batch_size, images, pixels.noise(images.shape, bounds, seed)
    )
    return pixels.result(made, losses, ("features", "total_variation"), return_losses)


def _invert(
    model: keras.Model,
    images: tf.Tensor,
    start: tf.Tensor,
    bounds: tf.Tensor,
    weights: tf.Tensor,
    rate: tf.Tensor,
    steps: tf.Tensor,
    *,
    layer: str,
) -> tuple[tf.Tensor, tf.Tensor]:
    (wanted,) = layer_values(model, images, layers=(layer,))

    def parts(x: tf.Tensor) -> tf.Tensor:
        (features,) = layer_values(model, x, layers=(layer,))
        return tf.stack([pixels.relative_distance(features, wanted), pixels.total_variation(x, bounds)], axis=1)

    return pixels.descend(model, parts, weights, start, bounds, rate, steps)
