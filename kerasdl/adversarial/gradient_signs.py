"""One step along the sign of the gradient."""

from typing import Any

import keras
import tensorflow as tf

from kerasdl.adversarial.attacking import check_number, run_attack
from kerasdl.adversarial.margins import lead_of_others, value_and_gradient


def fgsm(
    model: keras.Model,
    images: Any,
    labels: Any = None,
    *,
    epsilon: float,
    target: Any = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    batch_size: int = 32,
) -> Any:
    """The fast gradient sign method: every pixel moves by `epsilon` to where the cross-entropy grows.

    On a linear model no other change of at most `epsilon` per pixel does more harm. As `training.fit(attack=
    functools.partial(fgsm, epsilon=0.1))` it makes each batch adversarial before the model learns from it.

    Args:
        model: Any Keras model of one input; it is left as it is.
        images: An array, `(N, height, width, channels)`, within `bounds`. Or a tensor of any rank, as in
            `training.fit`: then all images are attacked, also those that are wrong already, and a tensor of them comes
            back. In a step compiled by XLA (`jit_compile=True`) nothing checks that they lie in `bounds`.
        labels: The true classes as numbers or one-hot rows; None for what the model says.
        epsilon: The largest change of a pixel.
        target: None to lead away from the label; a class, or one per image, to lead to it.
        bounds: Smallest and largest value of an image.
        batch_size: Images at once.

    Returns:
        An `Adversarial`: images, success, already_wrong, distance (the largest change of a pixel). For a tensor,
        the images as a tensor.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
        >>> fgsm(model, np.full((4, 8, 8, 3), 0.5), epsilon=0.1).distance.round(3)
        array([0.1, 0.1, 0.1, 0.1], dtype=float32)

    Reference:
        [Goodfellow et al., 2014](https://arxiv.org/abs/1412.6572), section 4
    """
    check_number("epsilon", epsilon)
    return run_attack(
        _fgsm, model, images, labels, target, bounds=bounds, batch_size=batch_size, norm="linf", numbers=(epsilon,)
    )


def _fgsm(
    model: keras.Model,
    images: tf.Tensor,
    classes: tf.Tensor,
    places: tf.Tensor,
    low: tf.Tensor,
    high: tf.Tensor,
    epsilon: tf.Tensor,
    *,
    targeted: bool,
) -> tf.Tensor:
    _, _, gradient = value_and_gradient(model, images, lambda scores: lead_of_others(scores, classes))
    step = -epsilon if targeted else epsilon
    return tf.clip_by_value(images + step * tf.sign(gradient), low, high)
