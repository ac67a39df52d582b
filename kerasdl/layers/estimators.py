"""Signs that can be trained: the sign forwards, and back an estimate of its derivative, which is 0 almost anywhere."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

# Li & Liu, 2016, equation 6: 0.7 lies between the best factors for a uniform and for a normal distribution.
TERNARY_FACTOR = 0.7


def _signs(x: tf.Tensor) -> tf.Tensor:
    """+1 where x >= 0, also at -0.0, and -1 where x < 0; a NaN stays one, so that a broken training shows."""
    # Cheaper than comparisons and choices.
    return tf.sign(tf.sign(x) + 0.5)


def _estimate(x: Any, forwards: Callable[[tf.Tensor], tf.Tensor], slope: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """`forwards(x)`, whose derivative is said to be `slope(x)`."""
    x = tf.convert_to_tensor(x)
    if not x.dtype.is_floating:
        x = tf.cast(x, keras.config.floatx())

    @tf.custom_gradient
    def estimated(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        return forwards(x), lambda upstream: upstream * slope(x)

    return estimated(x)


def _inside(x: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.abs(x) <= 1, x.dtype)


@keras.saving.register_keras_serializable(package="kerasdl")
def sign_ste(x: Any) -> Any:
    """The sign, with the clipped straight-through estimator: `dy/dx = 1` where `|x| <= 1`, 0 elsewhere.

    sign(0) = +1, also of -0.0.

    Args:
        x: Any numbers.

    Example:
        >>> sign_ste([-2.0, -0.0, 0.5]).numpy()
        array([-1.,  1.,  1.], dtype=float32)
        >>> keras.layers.Activation(sign_ste)(keras.Input((3,))).shape
        (None, 3)

    Reference:
        [Courbariaux et al., 2016](https://arxiv.org/abs/1602.02830), section 1.3;
        [Bengio et al., 2013](https://arxiv.org/abs/1308.3432)
    """
    return _estimate(x, _signs, _inside)


@keras.saving.register_keras_serializable(package="kerasdl")
def approx_sign(x: Any) -> Any:
    """The sign, with the derivative of two parabolas that approach it: `dy/dx = 2 - 2|x|` where `|x| <= 1`, else 0.

    Meant for inputs. A latent weight that has been clipped to 1 or -1 would get no gradient there, and stay for good.

    Args:
        x: Any numbers.

    Example:
        >>> approx_sign([-2.0, -0.0, 0.5]).numpy()
        array([-1.,  1.,  1.], dtype=float32)
        >>> keras.layers.Activation(approx_sign)(keras.Input((3,))).shape
        (None, 3)

    Reference:
        [Liu et al., 2018](https://arxiv.org/abs/1808.00278), section 3.3, equation 6
    """
    return _estimate(x, _signs, lambda x: tf.maximum(2 - 2 * tf.abs(x), 0))


@keras.saving.register_keras_serializable(package="kerasdl")
def swish_sign(x: Any, beta: float = 5.0) -> Any:
    """The sign, with the derivative of a Swish: `dy/dx = beta (2 - beta x tanh(beta x / 2)) / (1 + cosh(beta x))`.

    The derivative is smooth and a little below 0 far out, where `|beta x| > 2.4`, then fades. Layers call their
    estimator with inputs alone; for another `beta` register a function of your own, as the example does.

    Args:
        x: Any numbers.
        beta: How steep: the derivative at 0 is `beta`.

    Example:
        >>> swish_sign([-2.0, -0.0, 0.5]).numpy()
        array([-1.,  1.,  1.], dtype=float32)
        >>> keras.layers.Activation(swish_sign)(keras.Input((3,))).shape
        (None, 3)
        >>> @keras.saving.register_keras_serializable(package="mine")
        ... def steep_sign(x):
        ...     return swish_sign(x, beta=8.0)
        >>> kerasdl.layers.XnorDense(4, estimator=steep_sign).get_config()["estimator"]
        'mine>steep_sign'

    Reference:
        [Darabi et al., 2018](https://arxiv.org/abs/1812.11800), section 3.1, equation 5
    """

    def slope(x: tf.Tensor) -> tf.Tensor:
        # 1 / (1 + cosh z) = (1 - tanh(z/2)^2) / 2: one function, and nothing that overflows.
        tanh = tf.tanh(beta * x / 2)
        return beta * (2 - beta * x * tanh) * (1 - tanh * tanh) / 2

    return _estimate(x, _signs, slope)


@keras.saving.register_keras_serializable(package="kerasdl")
def ternary_ste(x: Any, threshold: Any = None) -> Any:
    """+1 above the threshold, -1 below its negative, 0 between; `dy/dx = 1` where `|x| <= 1`, 0 elsewhere.

    A number that is just as large as the threshold becomes 0. Without a threshold it is meant for kernels: as an
    activation, what it makes of one example would depend on the others of the batch. There give a threshold, in a
    function that is registered if the model is to be saved.

    Args:
        x: Any numbers, such as a kernel.
        threshold: At least 0: a number, or an array that spreads over `x`; no gradient flows into it. None takes
            `0.7 mean |x|` of each filter, that is over all axes but the last, of which there must be one at least.

    Example:
        >>> ternary_ste([[-2.0, 0.1], [0.3, 0.5]], threshold=0.3).numpy()
        array([[-1.,  0.],
               [ 0.,  1.]], dtype=float32)
        >>> keras.layers.Activation(lambda x: ternary_ste(x, threshold=0.3))(keras.Input((3,))).shape
        (None, 3)

    Reference:
        [Li and Liu, 2016](https://arxiv.org/abs/1605.04711), equations 3 and 6
    """
    # That of a graph may be known only later.
    known = None if threshold is None else tf.get_static_value(tf.convert_to_tensor(threshold))
    if known is not None and not (known >= 0).all():
        raise ValueError(f"`threshold` must be at least 0. Received: threshold={threshold!r}.")

    def forwards(x: tf.Tensor) -> tf.Tensor:
        limit = ternary_threshold(x) if threshold is None else tf.cast(threshold, x.dtype)
        return tf.where(tf.abs(x) <= limit, tf.zeros([], x.dtype), _signs(x))

    return _estimate(x, forwards, _inside)


def ternary_threshold(x: Any) -> Any:
    """`0.7 mean |x|` of each filter, with the axes that the mean is taken over kept."""
    if len(x.shape) < 2:
        raise ValueError(
            "Without a `threshold` ternary_ste takes the mean size of each filter, and so a kernel of at least two "
            f"axes, the last of which are the filters. Give a threshold. Received: x of shape {tuple(x.shape)}."
        )
    return TERNARY_FACTOR * tf.reduce_mean(tf.abs(x), axis=list(range(len(x.shape) - 1)), keepdims=True)
