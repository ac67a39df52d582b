"""The image that a class, a neuron or a channel likes best: gradient ascent on the image, or on a generator's code."""

import math
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from kerasdl.visualization.checks import check_count, check_seed
from kerasdl.visualization.layer_outputs import layer_values
from kerasdl.visualization.probing import compiled, execution, in_batches, layer_path
from kerasdl.visualization.regularizers import Regularizer
from kerasdl.visualization.targets import (
    Target,
    Unit,
    check_gradient,
    check_images,
    check_target,
    check_unit,
    score_of,
)

Bounds = tuple[float, float] | None
Generator = Callable[[tf.Tensor], tf.Tensor]


class Ascent(NamedTuple):
    """What `maximize` returns.

    Attributes:
        images: The images reached, `(N, height, width, channels)` float32.
        scores: `(steps + 1, N)`: the score before each step, of the image as the model was shown it, and that of the
            final image.
        codes: What the generator made the images of; None without one.
    """

    images: np.ndarray
    scores: np.ndarray
    codes: np.ndarray | None


def maximize(
    model: keras.Model,
    target: Target = None,
    *,
    unit: Unit | None = None,
    layer: str | None = None,
    start: str | np.ndarray = "zeros",
    steps: int = 200,
    learning_rate: float = 0.02,
    normalized: bool = True,
    regularizers: Sequence[Regularizer] = (),
    generator: Generator | None = None,
    bounds: Bounds = (0.0, 1.0),
    code_bounds: Bounds = None,
    image_shape: tuple[int, int, int] | None = None,
    seed: int = 0,
    batch_size: int = 16,
) -> Ascent:
    """Images that maximise a score, by gradient ascent: `x <- x + learning_rate * d score / dx`, then the regularisers.

    Args:
        model: Any Keras model; it is left as it is.
        target: A class, or several for one image each, or a callable on the unnormalised scores.
        unit: In the place of a class, one neuron: (layer, (row, column, channel)).
        layer: If given, `target` counts this layer's channels, and the score is a channel's mean; a callable gets what
            the layer gives.
        start: "zeros", the middle of the bounds; "noise" around it; or an array, one image or several, for instance
            from `facets`. With a generator these are codes: zeros, or normal noise.
        steps: Steps of the ascent.
        learning_rate: The length of a step: how far a value moves on average.
        normalized: Whether the gradient is divided by its mean absolute value, so that one learning rate suits all
            units. Without it the step is the plain gradient times the learning rate.
        regularizers: From `kerasdl.visualization.regularizers`, or your own; applied in this order.
        generator: A model or a function that makes images of codes. The codes are what is optimised then; what a
            regulariser shows or takes off the score concerns the images, what it weighs or mends the codes.
        bounds: Smallest and largest value of an image; None for none. The images of a generator are its own affair.
        code_bounds: The same for the codes of a generator.
        image_shape: Height, width and channels, where the model takes any.
        seed: Decides the noise and all that the regularisers draw.
        batch_size: Images at once.

    Returns:
        The images, the scores on the way, and the codes.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(4)])
        >>> images, scores, _ = maximize(model, [0, 3], steps=5)
        >>> images.shape, scores.shape, bool((scores[-1] > scores[0]).all())
        ((2, 8, 8, 3), (6, 2), True)

    Reference:
        [Simonyan et al., 2013](https://arxiv.org/abs/1312.6034), section 2; with a generator
        [Nguyen et al., 2016](https://arxiv.org/abs/1605.09304)
    """
    check_count("steps", steps)
    check_seed(seed)
    for regularizer in regularizers:
        if not isinstance(regularizer, Regularizer):
            raise TypeError(f"`regularizers` must hold objects such as Decay(0.01). Received: {regularizer!r}.")
    low, high = _check_bounds("bounds", bounds)
    middle = 0.0 if bounds is None else (low + high) / 2
    noise = 0.1 if bounds is None else 0.1 * (high - low)
    count = 1 if target is None or callable(target) or np.ndim(target) == 0 else len(np.asarray(target))
    if generator is None:
        starts = _starts(start, count, _shape(model, start, image_shape, "image_shape"), middle, noise, seed)
        images = starts = check_images(model, starts)
    else:
        starts = _starts(start, count, _shape(generator, start, None, "start"), 0.0, 1.0, seed)
        low, high = _check_bounds("code_bounds", code_bounds)
        images = np.repeat(check_images(model, _generate(generator, tf.constant(starts[:1]))), len(starts), axis=0)
    if isinstance(start, str):
        starts = np.clip(starts, low, high)
    elif starts.min() < low or starts.max() > high:
        raise ValueError(
            f"`start` must lie within the bounds, {low} to {high}. Received: {starts.min()} to {starts.max()}."
        )
    layer = None if layer is None else layer_path(model, images.shape[1:], layer)
    classes, function, unit = _check_score(model, images, target, unit, layer)
    run = compiled(
        model,
        _ascend,
        function=function,
        unit=unit,
        layer=layer,
        normalized=normalized,
        regularizers=tuple(regularizers),
        # What is compiled is kept with the model, and must not keep the generator.
        generator=weakref.ref(generator) if isinstance(generator, keras.Model) else generator,
    )
    numbers = [np.float32(value) for value in (learning_rate, low, high, middle)] + [np.int32(steps), np.int32(seed)]
    found, scores = in_batches(lambda *batch: run(*batch, *numbers), batch_size, starts, classes)
    _warn_of_still_ones(found, starts, low, high)
    if generator is None:
        return Ascent(found, scores.T, None)
    make = compiled(generator, _generate) if isinstance(generator, keras.Model) else lambda z: _generate(generator, z)
    return Ascent(in_batches(make, batch_size, found), scores.T, found)


def _ascend(
    model: keras.Model,
    starts: tf.Tensor,
    classes: tf.Tensor,
    learning_rate: tf.Tensor,
    low: tf.Tensor,
    high: tf.Tensor,
    middle: tf.Tensor,
    steps: tf.Tensor,
    seed: tf.Tensor,
    *,
    function: Callable | None,
    unit: Unit | None,
    layer: str | None,
    normalized: bool,
    regularizers: tuple[Regularizer, ...],
    generator: Any,
) -> tuple[tf.Tensor, tf.Tensor]:
    if isinstance(generator, weakref.ref):
        generator = generator()
    zero = middle if generator is None else 0.0  # The regularisers' zero.

    def generate(x: tf.Tensor) -> tf.Tensor:
        return x if generator is None else _generate(generator, x)

    def measure(images: tf.Tensor) -> tf.Tensor:
        if layer is None:
            return score_of(model, images, classes, function=function, unit=unit)
        return _score_of_channel(model, images, classes, function, layer)

    def step(at: tf.Tensor, x: tf.Tensor, scores: tf.TensorArray) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(x)
            images = shown = generate(x) - middle
            for index, each in enumerate(regularizers):
                shown = each.view(shown, tf.stack([seed, at * len(regularizers) + index]))
            score = measure(shown + middle)
            penalties = [p for p in (each.penalty(images) for each in regularizers) if tf.is_tensor(p)]
            penalty = tf.add_n(penalties) if penalties else None
        gradient = check_gradient(model, tape.gradient(score, x), images + middle)
        direction = gradient if penalty is None else gradient - tape.gradient(penalty, x)
        progress = tf.cast(at, "float32") / tf.cast(tf.maximum(steps - 1, 1), "float32")
        for each in regularizers:
            direction = each.weigh(direction, progress)
        if normalized:
            size = tf.reduce_mean(tf.abs(direction), axis=range(1, direction.shape.rank), keepdims=True)
            direction = tf.math.divide_no_nan(direction, size)
        y = x + learning_rate * direction - zero
        for each in regularizers:
            y = each.mend(y, gradient, at)
        y = tf.ensure_shape(tf.clip_by_value(y + zero, low, high), x.shape)
        return at + 1, y, scores.write(at, score)

    scores = tf.TensorArray(tf.float32, size=steps + 1, element_shape=[None])
    _, x, scores = tf.while_loop(lambda at, *_: at < steps, step, (tf.constant(0), starts, scores))
    return x, tf.transpose(scores.write(steps, measure(generate(x))).stack())


def _generate(generator: Generator, codes: tf.Tensor) -> tf.Tensor:
    images = generator(codes, training=False) if isinstance(generator, keras.Model) else generator(codes)
    return tf.cast(images, "float32")


def _score_of_channel(
    model: keras.Model, images: tf.Tensor, channels: tf.Tensor, function: Callable | None, layer: str
) -> tf.Tensor:
    """The mean of one channel for each image, or what the callable makes of the whole layer."""
    (values,) = layer_values(model, images, layers=(layer,))
    if function is not None:
        score = tf.convert_to_tensor(function(values))
        if score.shape.rank != 1:
            raise ValueError(
                f"`target` as a callable gets what layer {layer!r} gives, {tuple(values.shape)}, and must return one "
                f"number per image, shape (N,). It returned shape {score.shape}."
            )
        return score
    means = tf.reduce_mean(values, axis=range(1, values.shape.rank - 1))
    return tf.gather(means, channels, axis=1, batch_dims=1)


def _warn_of_still_ones(found: np.ndarray, starts: np.ndarray, low: float, high: float) -> None:
    """Says how many starts have not moved, and why."""
    axes = tuple(range(1, starts.ndim))
    still = (found == starts).all(axis=axes)
    is_bound = ((starts == low) | (starts == high)).any(axis=axes)
    flat = 'the score does not change there. A unit behind a rectifier may be off; start="noise" may wake it.'
    beyond = "they lie on the bounds, and the score does not change there or grows only beyond. Start between them."
    for which, reason in ((still & ~is_bound, flat), (still & is_bound, beyond)):
        if which.any():
            warnings.warn(f"{which.sum()} of {len(starts)} starts have not moved: {reason}", stacklevel=3)


def _check_score(
    model: keras.Model, images: np.ndarray, target: Target, unit: Unit | None, layer: str | None
) -> tuple[np.ndarray, Callable | None, Unit | None]:
    if (target is None) == (unit is None) or (unit is not None and layer is not None):
        raise ValueError(
            "Give one thing to maximise: `target`, a class; or `layer` and `target`, a channel; or `unit`, a neuron. "
            f"Received: target={target!r}, layer={layer!r}, unit={unit!r}."
        )
    if unit is not None:
        return np.zeros(len(images), "int32"), None, check_unit(model, images, unit)
    if layer is None or callable(target):
        return *check_target(model, images, target), None
    count = execution(model, images.shape[1:])[layer][-1]
    channels = np.asarray(target)
    if channels.dtype.kind not in "iu" or channels.ndim > 1 or channels.min() < 0 or channels.max() >= count:
        raise ValueError(f"`target` must be channels of {layer!r}, 0 to {count - 1}. Received: {target!r}.")
    return np.broadcast_to(channels.astype("int32"), (len(images),)).copy(), None, None


def _check_bounds(name: str, bounds: Bounds) -> tuple[float, float]:
    low, high = (-math.inf, math.inf) if bounds is None else bounds
    if not low < high:
        raise ValueError(f"`{name}` must be a smaller and a larger number, or None. Received: {bounds!r}.")
    return low, high


def _shape(
    source: Any, start: str | np.ndarray, given: tuple[int, ...] | None, name: str
) -> tuple[int | None, ...] | None:
    """The shape of one image or code, as far as the model or generator says."""
    known = tuple((getattr(source, "input_shape", None) or (None,))[1:])
    if given is None and isinstance(start, str) and (not known or None in known):
        needed = "Give `image_shape`" if name == "image_shape" else "Give codes as `start`"
        raise ValueError(f"The size of what is to be optimised is not known from the model. {needed}.")
    return given or known or None


def _starts(
    start: str | np.ndarray, count: int, shape: tuple[int | None, ...] | None, middle: float, noise: float, seed: int
) -> np.ndarray:
    """The first images or codes, at least `count` of them."""
    if isinstance(start, str):
        if start not in ("zeros", "noise"):
            raise ValueError(f'`start` must be "zeros", "noise" or an array. Received: {start!r}.')
        size = (count, *(shape or ()))
        values = middle + noise * np.random.default_rng(seed).normal(size=size) * (start == "noise")  # type: ignore
        return values.astype("float32")
    values = np.asarray(start, "float32")
    if shape is not None and values.ndim == len(shape):
        values = values[None]
    if len(values) != count and 1 not in (len(values), count):
        raise ValueError(f"Expected one start for each of {count} targets. Received: {len(values)} starts.")
    if not np.isfinite(values).all():
        raise ValueError("`start` must be finite. Received: nan or infinity.")
    return np.repeat(values, count, axis=0) if len(values) == 1 else values
