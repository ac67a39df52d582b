"""What inversion, textures and styles share: pixels that descend until layers see in them what they should see.

Only the pixels are learnt; the model's weights stay as they are.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.visualization.checks import check_count, check_seed
from kerasdl.visualization.probing import all_layers, compiled, execution, feature_layer, forward, gives_features
from kerasdl.visualization.targets import check_gradient, check_images

Layers = str | Sequence[str] | Mapping[str, float] | None
Result = np.ndarray | tuple[np.ndarray, dict[str, np.ndarray]]
Bounds = tuple[float, float]

# Adam's, but it forgets sooner how steep it was at the start, where all losses are large; they get small.
_MEAN_DECAY, _SQUARE_DECAY, _SMALL = 0.9, 0.95, 1e-12


def descend(
    model: keras.Model,
    parts: Callable[[tf.Tensor], tf.Tensor],
    weights: tf.Tensor,
    start: tf.Tensor,
    bounds: tf.Tensor,
    rate: tf.Tensor,
    steps: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The images after some steps of Adam, clipped to the bounds after each, and the losses on the way.

    Args:
        model: Whose layers the losses see, for the error where there is no gradient.
        parts: The losses of each of the images, `(N, losses)`.
        weights: One per loss.
        start: Where the pixels begin.
        bounds: The smallest and the largest value of a pixel.
        rate: The first step's size, as a share of the range; it falls along half a cosine, to zero.
        steps: How many.

    Returns:
        The images, and `(N, steps + 1, losses)`: before each step, and after the last.
    """
    scale = bounds[1] - bounds[0]

    def step(number: tf.Tensor, images: tf.Tensor, mean: tf.Tensor, square: tf.Tensor, losses: Any) -> tuple:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            values = parts(images)
            total = tf.reduce_sum(values * weights)
        gradient = scale * check_gradient(model, tape.gradient(total, images), images)
        losses = losses.write(number, values)
        mean = _MEAN_DECAY * mean + (1 - _MEAN_DECAY) * gradient
        square = _SQUARE_DECAY * square + (1 - _SQUARE_DECAY) * tf.square(gradient)
        time = tf.cast(number, "float32")
        unbiased = mean / (1 - _MEAN_DECAY ** (time + 1))
        deviation = tf.sqrt(square / (1 - _SQUARE_DECAY ** (time + 1)))
        # Half a cosine ends at zero, so the round after the last step only measures.
        size = rate * scale * 0.5 * (1 + tf.cos(np.pi * time / tf.cast(steps, "float32")))
        images = tf.clip_by_value(images - size * unbiased / (deviation + _SMALL), bounds[0], bounds[1])
        return number + 1, images, mean, square, losses

    nothing = tf.zeros_like(start)
    first = (tf.constant(0), start, nothing, nothing, tf.TensorArray(tf.float32, size=steps + 1))
    _, images, _, _, losses = tf.while_loop(lambda number, *_: number <= steps, step, first)
    return images, tf.transpose(losses.stack(), (1, 0, 2))


def relative_distance(values: tf.Tensor, wanted: tf.Tensor, axes: tuple[int, ...] | None = None) -> tf.Tensor:
    """The squared distance over the wanted's own square: summed over the axes, or over all but the first."""
    axes = axes or tuple(range(1, len(wanted.shape)))
    return tf.reduce_sum(tf.square(values - wanted), axes) / tf.reduce_sum(tf.square(wanted), axes)


def gram(features: tf.Tensor) -> tf.Tensor:
    """How strongly each two of the maps are active together: `G = F^T F / places`, `(N, channels, channels)`."""
    flat = tf.reshape(features, (tf.shape(features)[0], -1, features.shape[-1]))
    return tf.matmul(flat, flat, transpose_a=True) / tf.cast(tf.shape(flat)[1], "float32")


def total_variation(images: tf.Tensor, bounds: tf.Tensor) -> tf.Tensor:
    """The squared differences of neighbours beside and below, per number of the image; pixels count from 0 to 1."""
    beside = tf.reduce_sum(tf.square(images[:, :, 1:] - images[:, :, :-1]), (1, 2, 3))
    below = tf.reduce_sum(tf.square(images[:, 1:] - images[:, :-1]), (1, 2, 3))
    return (beside + below) / (float(np.prod(images.shape[1:])) * tf.square(bounds[1] - bounds[0]))


def check_pixels(model: keras.Model, images: Any, bounds: Bounds, name: str = "images") -> np.ndarray:
    """The images as float32, if the model can take them and they lie between the bounds."""
    images = check_images(model, images)
    try:
        low, high = map(float, bounds)
    except (TypeError, ValueError):
        low, high = np.nan, np.nan
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(f"`bounds` must be two finite numbers, the smaller first. Received: {bounds!r}.")
    if images.min() < low or images.max() > high:
        raise ValueError(
            f"`{name}` must lie within `bounds`, {low:g} to {high:g}. "
            f"Received: values from {images.min():g} to {images.max():g}."
        )
    return images


def check_numbers(*, steps: int, learning_rate: float, seed: int, **weights: float) -> None:
    """Refuses what no descent can be made with."""
    check_count("steps", steps)
    check_seed(seed)
    if not (isinstance(learning_rate, int | float) and 0 < learning_rate < np.inf):
        raise ValueError(f"`learning_rate` must be a number above 0. Received: {learning_rate!r}.")
    for name, weight in weights.items():
        if not (isinstance(weight, int | float) and 0 <= weight < np.inf):
            raise ValueError(f"`{name}` must be a number of at least 0. Received: {weight!r}.")


def noise(shape: tuple[int, ...], bounds: Bounds, seed: int) -> np.ndarray:
    """Pixels drawn around the middle of the range, a tenth of it far: little that would have to be unlearnt."""
    low, high = map(float, bounds)
    drawn = np.random.default_rng(seed).normal(0.5, 0.1, size=shape)
    return (low + (high - low) * drawn).clip(low, high).astype("float32")


def layer_weights(
    model: keras.Model, images: np.ndarray, layers: Layers, name: str, only_one: bool = False
) -> tuple[tuple[str, ...], np.ndarray]:
    """The paths of layers that give maps, and the weight of each; the weights add up to one.

    Without a choice it is all that `layers_by_size` finds, or only the last but one of them.
    """
    chosen: Any = [layers] if isinstance(layers, str) else layers
    if layers is None:
        found = layers_by_size(model, images)
        chosen = found[-2:][:1] if only_one else found
    if not isinstance(chosen, Sequence | Mapping) or not chosen:
        raise ValueError(f"`{name}` must be None, names of layers, or a weight for each. Received: {layers!r}.")
    values = np.array(list(chosen.values()) if isinstance(chosen, Mapping) else [1.0] * len(chosen), "float32")
    if not np.isfinite(values).all() or values.min() < 0 or not values.any():
        raise ValueError(f"The weights of `{name}` must be at least 0, and one above. Received: {layers!r}.")
    return tuple(feature_layer(model, images.shape[1:], each) for each in chosen), values / values.sum()


def layers_by_size(model: keras.Model, images: np.ndarray) -> list[str]:
    """The last layer before each change of the maps' size, of those that give features; the classes' own maps aside.

    What comes before the first weights is no feature.
    """
    layers, class_maps = dict(all_layers(model)), _class_maps(model, images)
    found: dict[tuple[int, ...], str] = {}
    begun = False
    for path, shape in execution(model, images.shape[1:]).items():
        begun = begun or bool(layers[path].weights)
        is_own = gives_features(layers[path]) and path not in class_maps
        if begun and is_own and len(shape) == 3 and shape[0] * shape[1] > 1:
            found[shape[:2]] = path
    return list(found.values()) or [feature_layer(model, images.shape[1:])]


def _class_maps(model: keras.Model, images: np.ndarray) -> set[str]:
    """The layers at the end that give a value for each class: from the last kernel on, if classes are scored at all."""
    scores = compiled(model, forward)(images[:1]).shape[1:]
    layers = dict(all_layers(model))
    found: set[str] = set()
    for path, shape in reversed(execution(model, images.shape[1:]).items()):
        if len(scores) != 1 or shape[-1:] != scores:
            break
        found.add(path)
        # Only a kernel mixes channels; what has layers inside has been their last one's output.
        has_kernel = any(len(weight.shape) > 1 for weight in layers[path].weights)
        if has_kernel and not any(all_layers(layers[path])):
            break
    return found


def result(images: np.ndarray, losses: np.ndarray, names: Sequence[str], return_losses: bool) -> Result:
    """The images, if the losses are numbers, and with them each loss under its name, if asked for."""
    if not np.isfinite(losses).all():
        image = np.flatnonzero(~np.isfinite(losses).all(axis=(1, 2)))[0]
        part = np.flatnonzero(~np.isfinite(losses[image]).all(axis=0))[0]
        raise ValueError(
            f"The loss {names[part]!r} of image {image} is not a number. Most likely the layer gives zeros only for "
            "what it shall match, and there is nothing to match; take an earlier layer."
        )
    return (images, {name: losses[..., part] for part, name in enumerate(names)}) if return_losses else images
