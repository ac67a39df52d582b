"""New pieces of a texture: noise that descends until maps are active together as they are in the texture."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.visualization import pixels
from kerasdl.visualization.layer_outputs import layer_values
from kerasdl.visualization.probing import compiled, in_batches
from kerasdl.visualization.targets import check_images


def synthesize_texture(
    model: keras.Model,
    textures: Any,
    layers: pixels.Layers = None,
    *,
    shape: tuple[int, int] | None = None,
    total_variation: float = 1.0,
    bounds: pixels.Bounds = (0.0, 1.0),
    steps: int = 200,
    learning_rate: float = 0.05,
    seed: int = 0,
    batch_size: int = 32,
    return_losses: bool = False,
) -> pixels.Result:
    """New images with the textures' Gram matrices: `|G(x) - G(texture)|^2 / |G(texture)|^2`, summed over layers.

    A Gram matrix sums over all places, so it says which features stand together, but not where.

    Args:
        model: Any Keras model with feature maps; it is left as it is.
        textures: `(N, height, width, channels)`, within the bounds.
        layers: Names of layers that give maps, or a mapping of their weights, of which only the ratios count; None
            takes the last layer of every size of maps.
        shape: Height and width of what is made, if the model takes images of any; None for the textures' own.
        total_variation: Weight of the mean squared difference of neighbours; the paper has no such prior, 0.
        bounds: The smallest and the largest value of a pixel.
        steps: Steps of Adam.
        learning_rate: The first step's size as a share of the range; it falls along half a cosine, to zero.
        seed: Decides the noise from which the new images start.
        batch_size: Images at once.
        return_losses: Whether to return, too, what was made small on the way.

    Returns:
        `(N, *shape, channels)`, float32. With `return_losses` also a dictionary: under each layer's name its loss, and
        "total_variation", each `(N, steps + 1)`: before each step, and after the last.

    Example:
        >>> model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(8, 3)])
        >>> textures = np.random.default_rng(0).uniform(size=(2, 8, 8, 3))
        >>> synthesize_texture(model, textures, shape=(12, 16), steps=2).shape
        (2, 12, 16, 3)

    Reference:
        [Gatys et al., 2015](https://arxiv.org/abs/1505.07376), Texture synthesis, section 3
    """
    pixels.check_numbers(steps=steps, learning_rate=learning_rate, seed=seed, total_variation=total_variation)
    textures = pixels.check_pixels(model, textures, bounds, "textures")
    paths, weights = pixels.layer_weights(model, textures, layers, "layers")
    sides = textures.shape[1:3] if shape is None else shape
    if np.shape(sides) != (2,) or not all(isinstance(side, int) and side >= 1 for side in sides):
        raise ValueError(f"`shape` must be a height and a width of at least 1. Received: {shape!r}.")
    start = pixels.noise((len(textures), *sides, textures.shape[3]), bounds, seed)
    pixels.check_pixels(model, start, bounds)
    run = compiled(model, _synthesize, layers=paths)
    numbers = [
        np.array(bounds, "float32"),
        np.array([*weights, total_variation], "float32"),
        np.float32(learning_rate),
        np.int32(steps),
    ]
    made, losses = in_batches(lambda *arrays: run(*arrays, *numbers), batch_size, textures, start)
    return pixels.result(made, losses, (*paths, "total_variation"), return_losses)


def gram_matrices(
    model: keras.Model, images: Any, layers: pixels.Layers = None, *, batch_size: int = 32
) -> dict[str, np.ndarray]:
    """How strongly each two maps of a layer are active together: `G = F^T F / places`, `(N, channels, channels)`.

    Args:
        model: Any Keras model with feature maps; it is left as it is.
        images: `(N, height, width, channels)`, in the range the model was trained on.
        layers: Names of layers that give maps; None takes the last layer of every size of maps.
        batch_size: Images at once.

    Returns:
        The matrices of each layer under its name, float32.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, name="maps")])
        >>> gram_matrices(model, np.zeros((5, 8, 8, 3)))["maps"].shape
        (5, 4, 4)

    Reference:
        [Gatys et al., 2015](https://arxiv.org/abs/1505.07376), Texture synthesis, equation 1
    """
    images = check_images(model, images)
    paths, _ = pixels.layer_weights(model, images, layers, "layers")
    matrices = in_batches(compiled(model, _grams, layers=paths), batch_size, images)
    return dict(zip(paths, matrices, strict=True))


def _grams(model: keras.Model, images: tf.Tensor, *, layers: tuple[str, ...]) -> list[tf.Tensor]:
    return [pixels.gram(features) for features in layer_values(model, images, layers=layers)]


def _synthesize(
    model: keras.Model,
    textures: tf.Tensor,
    start: tf.Tensor,
    bounds: tf.Tensor,
    weights: tf.Tensor,
    rate: tf.Tensor,
    steps: tf.Tensor,
    *,
    layers: tuple[str, ...],
) -> tuple[tf.Tensor, tf.Tensor]:
    wanted = _grams(model, textures, layers=layers)

    def parts(x: tf.Tensor) -> tf.Tensor:
        made = _grams(model, x, layers=layers)
        losses = [pixels.relative_distance(one, other) for one, other in zip(made, wanted, strict=True)]
        return tf.stack([*losses, pixels.total_variation(x, bounds)], axis=1)

    return pixels.descend(model, parts, weights, start, bounds, rate, steps)
