"""Gradients that go back through a rectifier by another rule: guided backpropagation and deconvolution."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.visualization.gradients import image_gradient
from kerasdl.visualization.probing import Tap, compiled, has_rectifier, in_batches
from kerasdl.visualization.targets import Target, Unit, check_arguments, warn_if_empty


def guided_backpropagation(
    model: keras.Model, images: Any, target: Target = None, *, unit: Unit | None = None, batch_size: int = 32
) -> np.ndarray:
    """The gradient, but a rectifier lets back only what is positive, and only where it was on; the images' shape.

    What comes out is sharp because the way back is nearly that of the image forward. It depends little on the class
    and on the upper weights: see it as a picture of what can be seen, not of what decides.

    Args:
        model: Any Keras model with rectifiers, as layers or as activations; it is left as it is.
        images: `(N, height, width, channels)`, in the range the model was trained on.
        target: None for the predicted class, a class, one class per image, or a callable on the unnormalised scores.
        unit: In the place of a class, one neuron: (layer, (row, column, channel)).
        batch_size: Images at once.

    Returns:
        `(N, height, width, channels)`, float32, raw, with its signs.

    Example:
        >>> layers = [keras.layers.Dense(2, activation="relu"), keras.layers.Flatten(), keras.layers.Dense(2)]
        >>> model = keras.Sequential([keras.Input((4, 4, 3)), *layers])
        >>> guided_backpropagation(model, np.random.default_rng(0).normal(size=(5, 4, 4, 3)), 1).shape
        (5, 4, 4, 3)

    Reference:
        [Springenberg et al., 2014](https://arxiv.org/abs/1412.6806), section 3.4
    """
    return _maps(model, images, target, unit, batch_size, rule=_guided)


def deconvolution(
    model: keras.Model, images: Any, target: Target = None, *, unit: Unit | None = None, batch_size: int = 32
) -> np.ndarray:
    """The gradient, but a rectifier lets back what is positive, whether it was on or off; the images' shape.

    Args:
        model: As in `guided_backpropagation`.
        images: As in `guided_backpropagation`.
        target: As in `guided_backpropagation`.
        unit: As in `guided_backpropagation`.
        batch_size: As in `guided_backpropagation`.

    Returns:
        `(N, height, width, channels)`, float32, raw, with its signs.

    Example:
        >>> layers = [keras.layers.Dense(2, activation="relu"), keras.layers.Flatten(), keras.layers.Dense(2)]
        >>> model = keras.Sequential([keras.Input((4, 4, 3)), *layers])
        >>> deconvolution(model, np.random.default_rng(0).normal(size=(5, 4, 4, 3)), 1).shape
        (5, 4, 4, 3)

    Reference:
        [Zeiler and Fergus, 2013](https://arxiv.org/abs/1311.2901), section 2.1
    """
    return _maps(model, images, target, unit, batch_size, rule=_deconvolved)


def _guided(x: tf.Tensor, relu: Tap) -> tf.Tensor:
    @tf.custom_gradient
    def rectify(x: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = relu(x)
        # By the rectifier's own gradient: it knows the slope of a leak, and that of relu6 at its limit.
        return y, lambda upstream: tape.gradient(y, x, output_gradients=tf.nn.relu(upstream))

    return rectify(x)


def _deconvolved(x: tf.Tensor, relu: Tap) -> tf.Tensor:
    @tf.custom_gradient
    def rectify(x: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        return relu(x), tf.nn.relu

    return rectify(x)


def _maps(
    model: keras.Model, images: Any, target: Target, unit: Unit | None, batch_size: int, *, rule: Callable
) -> np.ndarray:
    images, classes, function, unit = check_arguments(model, images, target, unit)
    if not has_rectifier(model):
        raise ValueError(
            f"Expected a model with rectifiers, for only they are treated otherwise. Received: model {model.name!r} "
            "without a relu, as layer or as activation; take `saliency`."
        )
    run = compiled(model, _gradient, function=function, unit=unit, rule=rule)
    maps = in_batches(run, batch_size, images, classes)
    warn_if_empty(maps, "nothing positive comes back to the image; the unit may be off.")
    return maps


def _gradient(
    model: keras.Model,
    images: tf.Tensor,
    classes: tf.Tensor,
    *,
    function: Callable | None,
    unit: Unit | None,
    rule: Callable,
) -> tf.Tensor:
    return image_gradient(model, images, classes, function, unit, rectifier=rule)
