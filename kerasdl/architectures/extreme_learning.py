"""Networks of which only the last layer is learnt: all others stay as they were drawn."""

import math
from typing import Any

import keras

from kerasdl.architectures.checks import check_classes, check_image_shape
from kerasdl.architectures.parts import classify
from kerasdl.layers.checks import check_positive


def extreme_learning_machine(
    units: int = 1000,
    *,
    input_shape: tuple[int, int, int] = (28, 28, 1),
    classes: int = 10,
    seed: int | None = None,
    name: str = "extreme_learning_machine",
) -> keras.Model:
    """One hidden layer of random sigmoid units that is never trained; 795,010 parameters, of which 10,010 are learnt.

    Enough random units can tell almost anything apart, so only the last layer has to be found, and for the squared
    error that is one linear system: `solve_readout`. (It can be trained by gradient as well.)

    Args:
        units: Random units.
        input_shape: Height, width and channels; images in [0, 1].
        classes: Number of classes.
        seed: Makes the same random units each time.
        name: The model's name.

    Returns:
        A model that ends in `logits` and `predictions`.

    Example:
        >>> model = extreme_learning_machine(200, seed=0)
        >>> [weight.path for weight in model.trainable_weights]
        ['logits/kernel', 'logits/bias']

    Reference:
        [Huang et al., 2006](https://doi.org/10.1016/j.neucom.2005.12.126)
    """
    units = check_positive("units", units)
    input_shape, classes = check_image_shape(input_shape), check_classes(classes)
    inputs = keras.Input(input_shape, name="images")
    x = keras.layers.Rescaling(2.0, offset=-1.0, name="centring")(inputs)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(units, trainable=False, name="hidden", **_random(seed))(x)
    x = keras.layers.Activation("sigmoid", name="stage1_out")(x)
    return keras.Model(inputs, classify(x, classes), name=name)


def random_feature_cnn(
    filters: int = 128,
    *,
    kernel_size: int = 5,
    grid: int = 4,
    input_shape: tuple[int, int, int] = (28, 28, 1),
    classes: int = 10,
    seed: int | None = None,
    name: str = "random_feature_cnn",
) -> keras.Model:
    """Random filters, a rectifier, pooling, and a last layer that is learnt; 23,818 parameters, 20,490 of them learnt.

    Even filters that nobody trained see more than random combinations of all pixels do: they look at neighbours, and
    pooling forgives small shifts. Find the last layer with `solve_readout` or by gradient.

    Args:
        filters: Random filters.
        kernel_size: Side of a filter.
        grid: Each filter's map is averaged to about `grid` times `grid` numbers, whatever the images' size.
        input_shape: Height, width and channels; images in [0, 1], at least `grid` pixels wide and high.
        classes: Number of classes.
        seed: Makes the same random filters each time.
        name: The model's name.

    Returns:
        A model that ends in `logits` and `predictions`.

    Example:
        >>> random_feature_cnn(32).get_layer("flatten").output.shape
        (None, 512)

    Reference:
        [Jarrett et al., 2009](https://doi.org/10.1109/ICCV.2009.5459469), on random filters in section 5
    """
    filters, kernel_size = check_positive("filters", filters), check_positive("kernel_size", kernel_size)
    grid = check_positive("grid", grid)
    input_shape, classes = check_image_shape(input_shape, smallest=grid), check_classes(classes)
    inputs = keras.Input(input_shape, name="images")
    x = keras.layers.Rescaling(2.0, offset=-1.0, name="centring")(inputs)
    x = keras.layers.Conv2D(filters, kernel_size, padding="same", trainable=False, name="filters", **_random(seed))(x)
    x = keras.layers.ReLU(name="rectifier")(x)
    window = tuple(math.ceil(side / grid) for side in input_shape[:2])
    x = keras.layers.AveragePooling2D(window, padding="same", name="stage1_out")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    return keras.Model(inputs, classify(x, classes), name=name)


def _random(seed: int | None) -> dict[str, Any]:
    """Weights and biases of units that stay as they are: their weighted sums have about unit variance."""
    seeds = (None, None) if seed is None else (seed, seed + 1)
    return {
        "kernel_initializer": keras.initializers.VarianceScaling(1.0, "fan_in", "untruncated_normal", seed=seeds[0]),
        "bias_initializer": keras.initializers.RandomUniform(-1.0, 1.0, seed=seeds[1]),
    }
