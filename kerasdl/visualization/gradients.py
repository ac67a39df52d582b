"""What in the image moves a score: the gradient, plain, averaged over noise, and along a way."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.visualization.checks import check_count, check_seed
from kerasdl.visualization.probing import compiled, in_batches
from kerasdl.visualization.targets import (
    Target,
    Unit,
    check_arguments,
    check_gradient,
    predicted_classes,
    score_of,
    warn_if_empty,
)


def saliency(
    model: keras.Model, images: Any, target: Target = None, *, unit: Unit | None = None, batch_size: int = 32
) -> np.ndarray:
    """How much each pixel moves the score: the gradient's largest absolute value among the channels, `(N, H, W)`.

    Args:
        model: Any Keras model; it is left as it is.
        images: `(N, height, width, channels)`, in the range the model was trained on.
        target: None for the predicted class, a class, one class per image, or a callable on the unnormalised scores.
        unit: In the place of a class, one neuron: (layer, (row, column, channel)).
        batch_size: Images at once.

    Returns:
        Maps, float32, raw.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
        >>> saliency(model, np.zeros((4, 8, 8, 3)), target=1).shape
        (4, 8, 8)

    Reference:
        [Simonyan et al., 2013](https://arxiv.org/abs/1312.6034), section 3.1
    """
    images, classes, function, unit = check_arguments(model, images, target, unit)
    run = compiled(model, _saliency, function=function, unit=unit)
    maps = in_batches(run, batch_size, images, classes)
    warn_if_empty(maps, "the score does not change with the image; a unit behind a rectifier may be off.")
    return maps


def image_gradient(
    model: keras.Model,
    images: tf.Tensor,
    classes: tf.Tensor,
    function: Callable | None = None,
    unit: Unit | None = None,
    **options: Any,
) -> tf.Tensor:
    """The gradient of each image's score with respect to the image; `options` are those of `forward`."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        scores = score_of(model, images, classes, function=function, unit=unit, **options)
    return check_gradient(model, tape.gradient(scores, images), images)


def _saliency(
    model: keras.Model, images: tf.Tensor, classes: tf.Tensor, *, function: Callable | None, unit: Unit | None
) -> tf.Tensor:
    return tf.reduce_max(tf.abs(image_gradient(model, images, classes, function, unit)), axis=-1)


def smooth_grad(
    model: keras.Model,
    images: Any,
    target: Target = None,
    *,
    unit: Unit | None = None,
    samples: int = 32,
    noise: float = 0.15,
    seed: int = 0,
    batch_size: int = 32,
) -> np.ndarray:
    """Saliency of the mean gradient over noisy copies of an image: what is left when the small wiggles cancel out.

    Args:
        model: Any Keras model; it is left as it is.
        images: `(N, height, width, channels)`, in the range the model was trained on.
        target: None for the predicted class (of the image without noise), a class, one class per image, or a callable
            on the unnormalised scores.
        unit: In the place of a class, one neuron: (layer, (row, column, channel)).
        samples: Noisy copies of each image. They are made batch by batch, so memory does not grow with them.
        noise: Deviation of the noise, as a share of the image's range, its largest value less its smallest.
        seed: Decides the noise.
        batch_size: Images, and copies of them, at once.

    Returns:
        Maps, `(N, H, W)` float32, raw.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
        >>> images = np.random.default_rng(0).normal(size=(4, 8, 8, 3))
        >>> bool(np.allclose(smooth_grad(model, images, 1, samples=8), saliency(model, images, 1)))  # a linear model
        True

    Reference:
        [Smilkov et al., 2017](https://arxiv.org/abs/1706.03825)
    """
    check_count("samples", samples)
    images, classes, function, unit = _prepare(model, images, target, unit, batch_size)
    if not noise >= 0:
        raise ValueError(f"`noise` must be a number of at least 0. Received: {noise!r}.")
    run = compiled(model, _smooth_grad, function=function, unit=unit, samples=samples)
    numbers = np.arange(len(images), dtype="int32")  # Each image has noise of its own, whatever batch it comes in.
    deviation = noise * (images.max(axis=(1, 2, 3)) - images.min(axis=(1, 2, 3)))
    first = check_seed(seed)

    def batch(*arrays: np.ndarray) -> tf.Tensor:
        return run(*arrays, first, np.int32(batch_size))

    return in_batches(batch, batch_size, images, classes, deviation.astype("float32"), numbers)


def integrated_gradients(
    model: keras.Model,
    images: Any,
    target: Target = None,
    *,
    unit: Unit | None = None,
    baseline: float | np.ndarray = 0.0,
    steps: int = 64,
    batch_size: int = 32,
) -> np.ndarray:
    """What each pixel and channel adds to the score on the straight way from a baseline to the image.

    All parts together are the score of the image less that of the baseline, but for the error of adding up `steps`
    gradients in the place of an integral.

    Args:
        model: Any Keras model; it is left as it is.
        images: `(N, height, width, channels)`, in the range the model was trained on.
        target: None for the predicted class (of the image itself), a class, one class per image, or a callable on the
            unnormalised scores.
        unit: In the place of a class, one neuron: (layer, (row, column, channel)).
        baseline: The image that stands for nothing: a number, or an array as large as one image.
        steps: Gradients on the way, taken batch by batch, so memory does not grow with them.
        batch_size: Images, and copies of them, at once.

    Returns:
        Parts with their signs, `(N, height, width, channels)` float32.

    Example:
        >>> model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
        >>> parts = integrated_gradients(model, np.ones((1, 2, 2, 1)), 0)
        >>> bool(np.isclose(parts.sum(), model(np.ones((1, 2, 2, 1)))[0, 0]))
        True

    Reference:
        [Sundararajan et al., 2017](https://arxiv.org/abs/1703.01365), equation 1
    """
    check_count("steps", steps)
    images, classes, function, unit = _prepare(model, images, target, unit, batch_size)
    start = np.asarray(baseline, "float32")
    if start.shape not in ((), images.shape[1:]) or not np.isfinite(start).all():
        raise ValueError(
            f"`baseline` must be a number, or an array of shape {images.shape[1:]}, and finite. "
            f"Received: shape {start.shape}."
        )
    starts = np.broadcast_to(start, images.shape)
    run = compiled(model, _integrated_gradients, function=function, unit=unit, steps=steps)

    def batch(*arrays: np.ndarray) -> tf.Tensor:
        return run(*arrays, np.int32(batch_size))

    return in_batches(batch, batch_size, images, classes, starts)


def _prepare(
    model: keras.Model, images: Any, target: Target, unit: Unit | None, batch_size: int
) -> tuple[np.ndarray, np.ndarray, Callable | None, Unit | None]:
    """Checks the arguments; the predicted class is that of the image itself, on all of the way."""
    images, classes, function, unit = check_arguments(model, images, target, unit)
    if unit is None and target is None:
        classes = in_batches(compiled(model, predicted_classes), batch_size, images)
    return images, classes, function, unit


def _smooth_grad(
    model: keras.Model,
    images: tf.Tensor,
    classes: tf.Tensor,
    deviation: tf.Tensor,
    numbers: tf.Tensor,
    seed: tf.Tensor,
    batch_size: tf.Tensor,
    *,
    function: Callable | None,
    unit: Unit | None,
    samples: int,
) -> tf.Tensor:
    def noisy(which: tf.Tensor, sample: tf.Tensor) -> tf.Tensor:
        keys = tf.gather(numbers, which) * samples + sample
        noise = tf.map_fn(
            lambda key: tf.random.stateless_normal(images.shape[1:], tf.stack([seed, key])),
            keys,
            fn_output_signature=tf.float32,
        )
        return tf.gather(images, which) + noise * tf.gather(deviation, which)[:, None, None, None]

    total = _total_gradient(model, images, classes, noisy, samples, batch_size, function, unit)
    return tf.reduce_max(tf.abs(total / samples), axis=-1)


def _integrated_gradients(
    model: keras.Model,
    images: tf.Tensor,
    classes: tf.Tensor,
    starts: tf.Tensor,
    batch_size: tf.Tensor,
    *,
    function: Callable | None,
    unit: Unit | None,
    steps: int,
) -> tf.Tensor:
    def between(which: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
        # In the middle of each of the equal parts of the way.
        share = (tf.cast(place, "float32") + 0.5)[:, None, None, None] / steps
        return tf.gather(starts, which) + share * tf.gather(images - starts, which)

    total = _total_gradient(model, images, classes, between, steps, batch_size, function, unit)
    return (images - starts) * total / steps


def _total_gradient(
    model: keras.Model,
    images: tf.Tensor,
    classes: tf.Tensor,
    change: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    count: int,
    batch_size: tf.Tensor,
    function: Callable | None,
    unit: Unit | None,
) -> tf.Tensor:
    """The sum of the gradients at `count` changed copies of each image, in batches of copies of whichever images.

    A batch of few images costs more for each: a full one of 32 takes 0.9 of the time of four of 8 (VGG16), and 0.4 of
    that of 32 of one (SqueezeNet), images of 64x64 on one core.
    """

    def step(first: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pairs = tf.range(first, tf.minimum(first + batch_size, tf.shape(images)[0] * count))
        which = pairs // count
        gradient = image_gradient(model, change(which, pairs % count), tf.gather(classes, which), function, unit)
        return first + batch_size, tf.tensor_scatter_nd_add(total, which[:, None], gradient)

    start = (tf.constant(0), tf.zeros_like(images))
    return tf.while_loop(lambda first, _: first < tf.shape(images)[0] * count, step, start, parallel_iterations=1)[1]
