"""The content of one image in the style of others: features of the one, Gram matrices of the others."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.visualization import pixels
from kerasdl.visualization.layer_outputs import layer_values
from kerasdl.visualization.probing import compiled, in_batches


def transfer_style(
    model: keras.Model,
    contents: Any,
    styles: Any,
    *,
    content_layers: pixels.Layers = None,
    style_layers: pixels.Layers = None,
    content_weight: float = 1.0,
    style_weight: float | Sequence[float] = 1.0,
    total_variation: float = 1.0,
    start: Any = "content",
    bounds: pixels.Bounds = (0.0, 1.0),
    steps: int = 200,
    learning_rate: float = 0.05,
    seed: int = 0,
    batch_size: int = 32,
    return_losses: bool = False,
) -> pixels.Result:
    """Images with the contents' features and the styles' Gram matrices, each distance relative to what is wanted.

    What is made small is `content_weight` times the mean over content layers of `|F(x) - F(content)|^2 /
    |F(content)|^2`, plus the sum over styles of their weight times the mean over style layers of
    `|G(x) - G(style)|^2 / |G(style)|^2`.

    Args:
        model: Any Keras model with feature maps; it is left as it is.
        contents: `(N, height, width, channels)`, within the bounds.
        styles: `(S, height, width, channels)`, within the bounds: all of them together are the style of each image.
        content_layers: Names of layers that give maps, or a mapping of their weights, of which only the ratios count;
            None takes the last layer of the second smallest size of maps.
        style_layers: The same for the styles; None takes the last layer of every size of maps.
        content_weight: Weight of the contents.
        style_weight: Weight of the styles together, which count the same, or one weight per style.
        total_variation: Weight of the mean squared difference of neighbours; the paper has no such prior, 0.
        start: "content", "noise", or images of the contents' shape within the bounds.
        bounds: The smallest and the largest value of a pixel.
        steps: Steps of Adam.
        learning_rate: The first step's size as a share of the range; it falls along half a cosine, to zero.
        seed: Decides the noise.
        batch_size: Images at once.
        return_losses: Whether to return, too, what was made small on the way.

    Returns:
        `(N, height, width, channels)`, float32. With `return_losses` also a dictionary of "content", "style" (the
        styles' mean, as they are weighted) and "total_variation", each `(N, steps + 1)`: before each step, and after
        the last. From the content the first loss starts at zero; only from noise both can fall.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.ReLU()])
        >>> content, *styles = np.random.default_rng(0).uniform(size=(3, 8, 8, 3))
        >>> transfer_style(model, content[None], styles, style_weight=(3, 1), steps=2).shape
        (1, 8, 8, 3)

    Reference:
        [Gatys et al., 2015](https://arxiv.org/abs/1508.06576), A neural algorithm of artistic style
    """
    pixels.check_numbers(
        steps=steps,
        learning_rate=learning_rate,
        seed=seed,
        content_weight=content_weight,
        total_variation=total_variation,
    )
    contents = pixels.check_pixels(model, contents, bounds, "contents")
    styles = pixels.check_pixels(model, styles, bounds, "styles")
    shares = _style_weights(style_weight, len(styles))
    above, above_weights = pixels.layer_weights(model, contents, content_layers, "content_layers", only_one=True)
    below, below_weights = pixels.layer_weights(model, contents, style_layers, "style_layers")
    if isinstance(start, str) and start in ("content", "noise"):
        begin = contents if start == "content" else pixels.noise(contents.shape, bounds, seed)
    elif isinstance(start, str) or np.shape(start) != contents.shape:
        raise ValueError(
            '`start` must be "content", "noise", or images of the contents\' shape '
            f"{contents.shape}. Received: {repr(start) if isinstance(start, str) else f'shape {np.shape(start)}'}."
        )
    else:
        begin = pixels.check_pixels(model, start, bounds, "start")
    run = compiled(model, _transfer, content_layers=above, style_layers=below)
    total = float(shares.sum())
    numbers = [
        styles,
        shares / (total or 1.0),
        above_weights,
        below_weights,
        np.array(bounds, "float32"),
        np.array([content_weight, total, total_variation], "float32"),
        np.float32(learning_rate),
        np.int32(steps),
    ]
    made, losses = in_batches(lambda *arrays: run(*arrays, *numbers), batch_size, contents, begin)
    return pixels.result(made, losses, ("content", "style", "total_variation"), return_losses)


def _style_weights(weight: float | Sequence[float], count: int) -> np.ndarray:
    values = np.asarray(weight, dtype="float32")
    if values.shape not in ((), (count,)) or not np.isfinite(values).all() or values.min() < 0:
        raise ValueError(
            f"`style_weight` must be a number of at least 0, or one for each of the {count} styles. "
            f"Received: {weight!r}."
        )
    return values if values.ndim else np.full(count, values / count)


def _transfer(
    model: keras.Model,
    contents: tf.Tensor,
    start: tf.Tensor,
    styles: tf.Tensor,
    shares: tf.Tensor,
    content_layer_weights: tf.Tensor,
    style_layer_weights: tf.Tensor,
    bounds: tf.Tensor,
    weights: tf.Tensor,
    rate: tf.Tensor,
    steps: tf.Tensor,
    *,
    content_layers: tuple[str, ...],
    style_layers: tuple[str, ...],
) -> tuple[tf.Tensor, tf.Tensor]:
    features = layer_values(model, contents, layers=content_layers)
    grams = [pixels.gram(maps) for maps in layer_values(model, styles, layers=style_layers)]

    def parts(x: tf.Tensor) -> tf.Tensor:
        seen = layer_values(model, x, layers=tuple(dict.fromkeys(content_layers + style_layers)))
        maps = dict(zip(dict.fromkeys(content_layers + style_layers), seen, strict=True))
        content = [
            pixels.relative_distance(maps[name], wanted) for name, wanted in zip(content_layers, features, strict=True)
        ]
        # Each image against each style: (N, S).
        style = [
            pixels.relative_distance(pixels.gram(maps[name])[:, None], wanted[None], (2, 3))
            for name, wanted in zip(style_layers, grams, strict=True)
        ]
        content_loss = tf.linalg.matvec(tf.stack(content, axis=1), content_layer_weights)
        style_loss = tf.linalg.matvec(tf.tensordot(style_layer_weights, tf.stack(style), 1), shares)
        return tf.stack([content_loss, style_loss, pixels.total_variation(x, bounds)], axis=1)

    return pixels.descend(model, parts, weights, start, bounds, rate, steps)
