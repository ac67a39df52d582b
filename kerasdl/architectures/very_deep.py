"""Ten thousand convolutions and nothing else: no normalisation, no shortcuts, only the right first weights."""

import keras
import numpy as np

from kerasdl.architectures.checks import check_classes, check_image_shape
from kerasdl.architectures.parts import classify, convolve
from kerasdl.initializers import DeltaOrthogonal
from kerasdl.layers import DeepConvolutionStack
from kerasdl.layers.checks import check_positive


def critical_variances(q: float) -> tuple[float, float]:
    """The variances of weights and biases at which signals of variance `q` and their gradients both keep their size.

    In a wide random tanh network a weighted sum h is Gaussian. Its variance stays `q` from layer to layer, and a small
    change of the input neither dies out nor explodes, where (the paper's equations 2.3 and 2.6, with chi = 1)

        q = weight_variance * E[tanh(h)^2] + bias_variance,    1 = weight_variance * E[tanh'(h)^2],    h ~ N(0, q).

    The means are integrals over a Gaussian, which Gauss-Hermite quadrature gives to ten digits.

    Args:
        q: The variance of a weighted sum, at most 1: for larger ones tanh is too much of a step for the quadrature.

    Returns:
        The weights' variance times the number of inputs, and the biases' variance.

    Example:
        >>> weight_variance, bias_variance = critical_variances(0.01)
        >>> f"{weight_variance:.4f} {bias_variance:.1e}"
        '1.0197 1.3e-06'

    Reference:
        [Xiao et al., 2018](https://arxiv.org/abs/1806.05393), section 2
    """
    if not 0 < q <= 1:
        raise ValueError(f"`q` must be positive and at most 1. Received: q={q}.")
    nodes, weights = np.polynomial.hermite_e.hermegauss(150)
    weights = weights / weights.sum()
    squashed = np.tanh(np.sqrt(q) * nodes)
    weight_variance = 1 / np.sum(weights * (1 - squashed**2) ** 2)
    # Of the order of q cubed: for tiny q the difference is round-off, and may be below zero.
    bias_variance = max(q - weight_variance * np.sum(weights * squashed**2), 0.0)
    return float(weight_variance), float(bias_variance)


def vanilla_cnn(
    depth: int = 100,
    *,
    channels: int = 16,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    seed: int | None = None,
    name: str = "vanilla_cnn",
) -> keras.Model:
    """A plain tanh network of up to 10,000 layers that can be trained; 237,258 parameters with 100 layers of 16 maps.

    Three convolutions bring the images to `channels` maps of a quarter of their side. Then come `depth` circular 3x3
    convolutions, whose delta-orthogonal kernels and biases have the variances at which signal and gradient keep their
    size (`critical_variances` at q = 1 / depth: the deeper, the nearer to linear each layer must be). They are one
    layer, `stage2_out`: Keras cannot chain so many. Last come an average over all places and a dense layer.

    A step changes all layers at once, so the rate of plain gradient descent must fall as 1 / depth, or faster.

    Each further layer adds `9 * channels**2 + channels` parameters; with 10,000 there are 23,205,258.

    Args:
        depth: Layers in the stack.
        channels: Maps in every layer.
        input_shape: Height, width and channels; images in [0, 1], at least 4x4.
        classes: Number of classes.
        seed: Makes the same first weights each time.
        name: The model's name.

    Returns:
        A model that ends in `logits` and `predictions`.

    Example:
        >>> vanilla_cnn(10_000, channels=4).count_params()
        1480458

    Reference:
        [Xiao et al., 2018](https://arxiv.org/abs/1806.05393), sections 2 and 3
    """
    depth, channels = check_positive("depth", depth), check_positive("channels", channels)
    input_shape, classes = check_image_shape(input_shape, smallest=4), check_classes(classes)
    q = 1 / depth
    weight_variance, bias_variance = critical_variances(q)

    def gaussian(number: int, scale: float) -> dict[str, keras.initializers.Initializer]:
        """First weights of a convolution before the stack: unlike the stack's they mix neighbours from the start."""
        seeds = [None if seed is None else seed + 10 * number + offset for offset in (0, 1)]
        return {
            "kernel_initializer": keras.initializers.VarianceScaling(
                scale, "fan_in", "untruncated_normal", seed=seeds[0]
            ),
            "bias_initializer": keras.initializers.RandomNormal(stddev=bias_variance**0.5, seed=seeds[1]),
        }

    conv = keras.layers.Conv2D
    inputs = keras.Input(input_shape, name="images")
    # Pixels spread evenly over [-1, 1] have the mean square 1/3.
    x = keras.layers.Rescaling(2.0, offset=-1.0, name="centring")(inputs)
    x = convolve(x, channels, 3, name="stage1_conv1", conv=conv, activation="tanh", **gaussian(1, 3 * q))
    x = convolve(x, channels, 3, 2, name="stage1_conv2", conv=conv, activation="tanh", **gaussian(2, weight_variance))
    x = convolve(x, channels, 3, 2, name="stage1_conv3", conv=conv, **gaussian(3, weight_variance))
    x = keras.layers.Activation("tanh", name="stage1_out")(x)
    x = DeepConvolutionStack(
        depth,
        kernel_initializer=DeltaOrthogonal(weight_variance**0.5, seed=seed),
        bias_initializer=gaussian(4, 1.0)["bias_initializer"],
        name="stage2_out",
    )(x)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    # The maps are of the size of sqrt(q); the dense layer shall see numbers near 1.
    x = keras.layers.Rescaling(q**-0.5, name="amplification")(x)
    options = {} if seed is None else {"kernel_initializer": keras.initializers.GlorotUniform(seed=seed + 50)}
    return keras.Model(inputs, classify(x, classes, **options), name=name)
