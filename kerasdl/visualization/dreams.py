"""DeepDream: whatever a layer sees in a picture, make more of it."""

import weakref
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.visualization.checks import check_count, check_seed
from kerasdl.visualization.layer_outputs import layer_values
from kerasdl.visualization.probing import (
    all_layers,
    compiled,
    execution,
    feature_layer,
    find_layer,
    forward,
    in_batches,
)
from kerasdl.visualization.regularizers import Jitter
from kerasdl.visualization.targets import check_gradient, check_images

Copy = tuple[tuple[str, ...], keras.Model, list[tuple[keras.layers.Layer, keras.layers.Layer]]]

# Of each model the last copy alone: it has all the weights once more.
_copies: weakref.WeakKeyDictionary[keras.Model, Copy] = weakref.WeakKeyDictionary()


def deep_dream(
    model: keras.Model,
    images: Any,
    layers: str | Sequence[str],
    *,
    octaves: int = 4,
    octave_scale: float = 1.4,
    steps: int = 20,
    learning_rate: float = 0.01,
    jitter: int = 16,
    bounds: tuple[float, float] | None = (0.0, 1.0),
    seed: int = 0,
    batch_size: int = 8,
) -> np.ndarray:
    """The images with what layers see in them made stronger: ascent on half the squared activation, octave by octave.

    The gradient of `|a|^2 / 2` with respect to the activation `a` is `a` itself: what is strong becomes stronger. It
    begins on a small copy of the image. What has been dreamt there is enlarged and added to the next copy, which still
    has its own fine detail, and so patterns of many sizes grow into each other.

    Args:
        model: Any Keras model. Of one that is built for a single size a copy is made that takes any, as far as its
            layers allow; the model is left as it is.
        images: `(N, height, width, channels)`, of any size that the layers allow.
        layers: Names of layers that give maps; each counts with the mean over its values.
        octaves: Sizes that are dreamt on.
        octave_scale: How much larger each is than the one before; the last is that of the images.
        steps: Steps in each octave.
        learning_rate: The length of a step: how far a pixel moves on average.
        jitter: The image is shifted at random by up to so many pixels in each step, or edges of cells would show.
        bounds: Smallest and largest value of an image; None for none.
        seed: Decides the shifts.
        batch_size: Images at once.

    Returns:
        As large as the images, float32.

    Example:
        >>> model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3, name="conv")])
        >>> deep_dream(model, np.random.default_rng(0).uniform(size=(2, 32, 48, 3)), "conv", octaves=2).shape
        (2, 32, 48, 3)

    Reference:
        [Mordvintsev et al., 2015](https://research.google/blog/inceptionism-going-deeper-into-neural-networks/)
    """
    check_count("octaves", octaves)
    check_count("steps", steps)
    check_seed(seed)
    if not octave_scale > 1:
        raise ValueError(f"`octave_scale` must be a number above 1. Received: {octave_scale!r}.")
    names = [layers] if isinstance(layers, str) else list(layers)
    if not names:
        raise ValueError("`layers` must name at least one layer. Received: none.")
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a keras.Model. Received: {type(model).__name__}.")
    model = _of_any_size(model, names)
    images = check_images(model, images)
    low, high = (-np.inf, np.inf) if bounds is None else bounds
    if images.min() < low or images.max() > high:
        raise ValueError(
            f"`images` must lie within `bounds`, {low} to {high}. Received: {images.min()} to {images.max()}."
        )
    sizes = octave_sizes(images.shape[1:3], octaves, octave_scale)
    paths = _map_layers(model, (*sizes[0], images.shape[3]), names)
    run = compiled(model, _climb, layers=paths, jitter=Jitter(jitter))
    numbers = np.float32(learning_rate), np.float32(low), np.float32(high), np.int32(steps)

    def dream(batch: np.ndarray) -> tf.Tensor:
        detail = tf.zeros_like(batch)
        for octave, size in enumerate(sizes):
            base = tf.image.resize(batch, size, antialias=True)
            start = tf.clip_by_value(base + tf.image.resize(detail, size), low, high)
            # Every octave draws shifts of its own.
            detail = run(start, *numbers, np.int32((seed * octaves + octave) % 2**31)) - base
        return base + detail

    return in_batches(dream, batch_size, images)


def octave_sizes(size: tuple[int, ...], octaves: int, scale: float) -> list[tuple[int, int]]:
    """Height and width in each octave, from the smallest to that of the image."""
    return [
        (max(1, round(size[0] / scale**smaller)), max(1, round(size[1] / scale**smaller)))
        for smaller in reversed(range(octaves))
    ]


def _map_layers(model: keras.Model, shape: tuple[int, ...], names: Sequence[str]) -> tuple[str, ...]:
    """The paths of layers that give maps, if the model takes images of the smallest octave's shape."""
    try:
        execution(model, shape)
        # A convolution without a place to stand on fails for sure in a graph alone.
        compiled(model, forward)(tf.zeros((1, *shape)))
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise ValueError(
            f"Model {model.name!r} does not run on the smallest octave, {shape[0]}x{shape[1]} pixels. Most likely that "
            "is too small: take fewer `octaves`, a smaller `octave_scale` or larger images."
        ) from error
    return tuple(feature_layer(model, shape, name) for name in names)


def _climb(
    model: keras.Model,
    images: tf.Tensor,
    learning_rate: tf.Tensor,
    low: tf.Tensor,
    high: tf.Tensor,
    steps: tf.Tensor,
    seed: tf.Tensor,
    *,
    layers: tuple[str, ...],
    jitter: Jitter,
) -> tf.Tensor:
    def step(at: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            energy = _energy(model, jitter.view(x, tf.stack([seed, at])), layers)
        gradient = check_gradient(model, tape.gradient(energy, x), images)
        size = tf.reduce_mean(tf.abs(gradient), axis=(1, 2, 3), keepdims=True)
        y = x + learning_rate * tf.math.divide_no_nan(gradient, size)
        return at + 1, tf.ensure_shape(tf.clip_by_value(y, low, high), x.shape)

    return tf.while_loop(lambda at, _: at < steps, step, (tf.constant(0), images))[1]


def _energy(model: keras.Model, images: tf.Tensor, layers: tuple[str, ...]) -> tf.Tensor:
    """Half the squared activation: the sum over layers of the mean over values, for each image."""
    values = layer_values(model, images, layers=layers)
    return tf.add_n([tf.reduce_mean(tf.square(each), axis=range(1, each.shape.rank)) / 2 for each in values])


def _of_any_size(model: keras.Model, names: Sequence[str]) -> keras.Model:
    """The model, if it takes images of any size; else a copy, up to these layers, that does, with the same weights."""
    wanted = [find_layer(model, name) for name in names]
    shape = getattr(model, "input_shape", None) if model.built else None
    if not isinstance(shape, tuple) or shape[1:3] == (None, None) or not getattr(model, "inputs", None):
        return model
    if model not in _copies or _copies[model][0] != tuple(names):
        _copies.pop(model, None)  # Before there is another.
        new: list[tuple[keras.layers.Layer, keras.layers.Layer]] = []
        try:
            _copies[model] = tuple(names), _resizable(model, wanted, new), new
        except (ValueError, TypeError, NotImplementedError) as error:
            raise ValueError(
                f"Model {model.name!r} takes images of shape {shape[1:]} only, and no copy for other sizes could be "
                "made. Build it with height and width None, or without the layers that need one size. "
                f"Keras says: {error}"
            ) from error
    _, copy, pairs = _copies[model]
    for original, twin in pairs:
        if twin.built:
            twin.set_weights(original.get_weights())
    return copy


def _resizable(
    model: keras.Model,
    wanted: Sequence[keras.layers.Layer],
    pairs: list[tuple[keras.layers.Layer, keras.layers.Layer]],
) -> keras.Model:
    """A copy of the graph for images of any size, also of models inside it; `pairs` gets each layer with its copy."""
    inner = {layer: [each for _, each in all_layers(layer)] for layer in model.layers}
    left = [layer for layer, inside in inner.items() if any(each is w for w in wanted for each in (layer, *inside))]
    is_whole = not left
    originals = {}

    def copied(layer: Any) -> Any:
        if isinstance(layer, keras.Model):
            twin = _resizable(layer, (), pairs)
        else:
            twin = type(layer).from_config(layer.get_config())
            if isinstance(layer, keras.layers.Layer):
                pairs.append((layer, twin))
        originals[id(twin)] = layer
        return twin

    def call(twin: Any, *args: Any, **kwargs: Any) -> Any:
        if not left and not is_whole:
            # What comes after the last layer that is wanted may need the one size: a flattening, a dense layer.
            return tf.nest.flatten((args, kwargs))[0]
        if originals[id(twin)] in left:
            left.remove(originals[id(twin)])
        return twin(*args, **kwargs)

    graph = keras.Model(model.inputs[0], model.outputs, name=model.name)
    image = keras.Input((None, None, model.inputs[0].shape[-1]))
    return keras.models.clone_model(graph, input_tensors=image, clone_function=copied, call_function=call)
