"""Where in the image the evidence for a class lies: a layer's maps, weighted by what each does for the score."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.visualization.probing import (
    all_layers,
    compiled,
    execution,
    feature_layer,
    find_layer,
    forward,
    in_batches,
)
from kerasdl.visualization.targets import Target, check_gradient, check_images, check_target, score, warn_if_empty

_NO_CAM = (
    "Expected a network that ends in global average pooling and one dense layer, or in a 1x1 convolution and global "
    "average pooling. Received: model {!r}, which {}; take `grad_cam`, which works on any."
)
_TOO_SMALL = (
    "Expected images so large that the maps before global average pooling have more than one place. Received: images "
    "of {} x {} pixels, for which layer {!r} of model {!r} has one; take larger images."
)


def class_activation_map(model: keras.Model, images: Any, target: Target = None, *, batch_size: int = 32) -> np.ndarray:
    """CAM: the maps before global average pooling, weighted as the dense layer weights their means; `(N, H, W)`.

    The mean of a map over all places is the score, less its bias: a place's value is what it adds to the score. Only a
    network that ends in global average pooling and one dense layer has such maps; one that ends in a 1x1 convolution
    and global average pooling, as SqueezeNet does, has them ready.

    Args:
        model: A Keras model that ends so; it is left as it is.
        images: `(N, height, width, channels)`, in the range the model was trained on.
        target: None for the predicted class, a class, one class per image, or a callable on the unnormalised scores.
        batch_size: Images at once.

    Returns:
        Maps at the images' size, float32, raw, with their signs.

    Example:
        >>> layers = [keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)]
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
        >>> class_activation_map(model, np.random.default_rng(0).normal(size=(5, 8, 8, 3)), 1).shape
        (5, 8, 8)

    Reference:
        [Zhou et al., 2015](https://arxiv.org/abs/1512.04150), equation 2
    """
    images = check_images(model, images)
    classes, function = check_target(model, images, target)
    layer, dense = _last_maps(model, images)
    run = compiled(model, _class_activation_map, function=function, layer=layer, dense=dense)
    maps, expected, scores = in_batches(run, batch_size, images, classes)
    # Wide enough for half precision; in another kind of network the two have nothing to do with each other.
    if np.abs(expected - scores).max() > 0.05 * np.abs(scores).max() + 1e-6:
        raise _refusal(model, images, "does something else between its last maps and its scores")
    warn_if_empty(maps, "the last maps are empty, or weigh nothing in the score.")
    return maps


def grad_cam(
    model: keras.Model, images: Any, target: Target = None, *, layer: str | None = None, batch_size: int = 32
) -> np.ndarray:
    """Grad-CAM: a layer's maps, each weighted by its mean gradient, summed and rectified; `(N, H, W)`, not normalised.

    Args:
        model: Any Keras model; it is left as it is.
        images: `(N, height, width, channels)`, in the range the model was trained on.
        target: None for the predicted class, a class, one class per image, or a callable on the unnormalised scores.
        layer: Name of a layer that gives maps, also inside a nested model; None takes the last such layer.
        batch_size: Images at once.

    Returns:
        Maps at the images' size, float32, raw.

    Example:
        >>> layers = [keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)]
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
        >>> grad_cam(model, np.random.default_rng(0).normal(size=(5, 8, 8, 3)), layer=model.layers[0].name).shape
        (5, 8, 8)

    Reference:
        [Selvaraju et al., 2016](https://arxiv.org/abs/1610.02391), equations 1 and 2
    """
    return _gradient_maps(model, images, target, layer, batch_size, weigh=_mean_weights)


def grad_cam_plus_plus(
    model: keras.Model, images: Any, target: Target = None, *, layer: str | None = None, batch_size: int = 32
) -> np.ndarray:
    """Grad-CAM++: as Grad-CAM, but places count by their share, so that several objects all show; `(N, H, W)`.

    The paper's score is exp(S), for S before the softmax. Its factor exp(S) in every weight of an image is left out:
    the map is the same but for its scale, and large scores do not overflow.

    Args:
        model: As in `grad_cam`.
        images: As in `grad_cam`.
        target: As in `grad_cam`.
        layer: As in `grad_cam`.
        batch_size: As in `grad_cam`.

    Returns:
        Maps at the images' size, float32, raw.

    Example:
        >>> layers = [keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)]
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
        >>> grad_cam_plus_plus(model, np.random.default_rng(0).normal(size=(5, 8, 8, 3)), 1).shape
        (5, 8, 8)

    Reference:
        [Chattopadhyay et al., 2017](https://arxiv.org/abs/1710.11063), equations 5, 6 and 19
    """
    return _gradient_maps(model, images, target, layer, batch_size, weigh=_shared_weights)


def _gradient_maps(
    model: keras.Model, images: Any, target: Target, layer: str | None, batch_size: int, *, weigh: Callable
) -> np.ndarray:
    images = check_images(model, images)
    classes, function = check_target(model, images, target)
    layer = feature_layer(model, images.shape[1:], layer)
    run = compiled(model, _weighted_maps, function=function, layer=layer, weigh=weigh)
    maps = in_batches(run, batch_size, images, classes)
    warn_if_empty(maps, "no map of this layer speaks for the class; an earlier layer, or the predicted class, may.")
    return maps


def _weighted_maps(
    model: keras.Model,
    images: tf.Tensor,
    classes: tf.Tensor,
    *,
    function: Callable | None,
    layer: str,
    weigh: Callable,
) -> tf.Tensor:
    seen: list[tf.Tensor] = []
    # Nothing below the layer is watched, so nothing below it is differentiated.
    with tf.GradientTape(watch_accessed_variables=False) as tape:

        def watch(features: tf.Tensor) -> tf.Tensor:
            tape.watch(features)
            seen.append(features)
            return features

        scores = score(forward(model, images, taps={layer: watch}), classes, function)
    gradient = check_gradient(model, tape.gradient(scores, seen[-1]), images)
    features, gradient = (tf.cast(each, "float32") for each in (seen[-1], gradient))
    maps = tf.nn.relu(tf.einsum("nhwc,nc->nhw", features, weigh(features, gradient)))
    return _enlarged(maps, images)


def _mean_weights(features: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(gradient, axis=(1, 2))


def _shared_weights(features: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
    # With exp(S) as score the second and third derivatives are powers of the gradient g, times exp(S). A place's share
    # is g^2 / (2 g^2 + total g^3), which is 1 / (2 + total g); where g is zero, its product with the share is zero.
    total = tf.reduce_sum(features, axis=(1, 2), keepdims=True)
    return tf.reduce_sum(tf.math.divide_no_nan(tf.nn.relu(gradient), 2 + total * gradient), axis=(1, 2))


def _last_maps(model: keras.Model, images: np.ndarray) -> tuple[str, str | None]:
    """The last maps, and the dense layer that weighs their means; None where the maps are the classes' own."""
    shapes = execution(model, images.shape[1:])
    layers = dict(all_layers(model))
    spatial = [path for path, shape in shapes.items() if len(shape) == 3 and shape[0] * shape[1] > 1]
    if not spatial:
        raise _refusal(model, images, "has no maps")
    order = list(shapes)
    after = [path for path in order[order.index(spatial[-1]) + 1 :] if isinstance(layers[path], keras.layers.Dense)]
    if not after:
        return spatial[-1], None
    if len(after) > 1 or layers[after[0]].kernel.shape[0] != shapes[spatial[-1]][2]:
        raise _refusal(model, images, f"has the dense layers {', '.join(after)} behind its last maps")
    return spatial[-1], after[0]


def _refusal(model: keras.Model, images: Any, reason: str) -> ValueError:
    """Why there is no such map; or that these images are too small, where what is pooled has one place only."""
    layers = dict(all_layers(model))
    single, pooled = "", ""
    for path, shape in execution(model, tuple(images.shape[1:])).items():
        if isinstance(layers[path], keras.layers.GlobalAveragePooling2D):
            pooled = single
        elif len(shape) == 3 and not isinstance(layers[path], keras.Model):
            single = path if shape[0] * shape[1] == 1 else ""
    if pooled:
        return ValueError(_TOO_SMALL.format(*images.shape[1:3], pooled, model.name))
    return ValueError(_NO_CAM.format(model.name, reason))


def _class_activation_map(
    model: keras.Model,
    images: tf.Tensor,
    classes: tf.Tensor,
    *,
    function: Callable | None,
    layer: str,
    dense: str | None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    seen: list[tf.Tensor] = []

    def note(features: tf.Tensor) -> tf.Tensor:
        seen.append(tf.cast(features, "float32"))
        return features

    scores = forward(model, images, taps={layer: note})
    scores = tf.reshape(scores, (-1, int(np.prod(scores.shape[1:]))))
    expected = tf.reduce_mean(seen[-1], axis=(1, 2))
    # What the target makes of the scores: a one for a class and zeros for the others.
    with tf.GradientTape() as tape:
        tape.watch(scores)
        value = score(scores, classes, function)
    weights = tape.gradient(value, scores)
    if dense is not None:
        head = find_layer(model, dense)
        kernel = tf.cast(head.kernel, "float32")
        expected = expected @ kernel + (0.0 if head.bias is None else tf.cast(head.bias, "float32"))
        weights = tf.matmul(weights, kernel, transpose_b=True)
    if expected.shape[-1] != scores.shape[-1]:
        raise _refusal(model, images, "has neither behind its last maps")
    maps = tf.einsum("nhwc,nc->nhw", seen[-1], weights)
    return _enlarged(maps, images), expected, scores


def _enlarged(maps: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    return tf.image.resize(maps[..., None], images.shape[1:3])[..., 0]
