"""LeNet-5: as it was in 1998, and as everybody builds it today."""

import keras
import numpy as np

from kerasdl.architectures.checks import check_classes, check_image_shape
from kerasdl.architectures.parts import classify
from kerasdl.layers import EuclideanRBF, SparselyConnectedConv2D, TrainablePooling, scaled_tanh

# LeCun et al. 1998, Table I: a row for each map of S2, a column for each map of C3, an X where the one sees the
# other. Six columns take three neighbours, six take four, three take four with gaps, one takes all.
_C3_TABLE = """
X . . . X X X . . X X X X . X X
X X . . . X X X . . X X X X . X
X X X . . . X X X . . X . X X X
. X X X . . X X X X . . X . X X
. . X X X . . X X X X . X X . X
. . . X X X . . X X X X . X X X
"""
C3_CONNECTIONS = np.array([[int(mark == "X") for mark in row.split()] for row in _C3_TABLE.strip().split("\n")])

# The output codes are stylised 7x12 pictures of the digits (their Figure 3): similar digits have similar codes.
_DIGITS = """
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
..###..  ...#...  .#####.  .#####.  ....##.  #######  ..####.  #######  .#####.  .#####.
.#...#.  ..##...  #.....#  #.....#  ...#.#.  #......  .#.....  ......#  #.....#  #.....#
#.....#  .#.#...  ......#  ......#  ..#..#.  #......  #......  .....#.  #.....#  #.....#
#.....#  ...#...  ......#  ......#  .#...#.  ######.  #......  .....#.  #.....#  #.....#
#.....#  ...#...  .....#.  ..####.  #....#.  ......#  ######.  ....#..  .#####.  .######
#.....#  ...#...  ...##..  ......#  #######  ......#  #.....#  ....#..  #.....#  ......#
#.....#  ...#...  ..#....  ......#  .....#.  ......#  #.....#  ...#...  #.....#  ......#
#.....#  ...#...  .#.....  ......#  .....#.  ......#  #.....#  ...#...  #.....#  ......#
.#...#.  ...#...  #......  #.....#  .....#.  #.....#  #.....#  ..#....  #.....#  .....#.
..###..  .#####.  #######  .#####.  .....#.  .#####.  .#####.  ..#....  .#####.  .####..
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
"""


def output_codes(classes: int) -> np.ndarray:
    """The codes of the RBF units, `(classes, 84)` of +1 and -1: the ten digits, then random codes.

    Example:
        >>> output_codes(10).shape
        (10, 84)

    Reference:
        [LeCun et al., 1998](https://doi.org/10.1109/5.726791), Figure 3
    """
    rows = [line.split() for line in _DIGITS.strip().split("\n")]
    digits = [[1.0 if dot == "#" else -1.0 for row in rows for dot in row[digit]] for digit in range(10)]
    others = np.random.default_rng(0).choice([-1.0, 1.0], (max(classes - 10, 0), 84))
    return np.concatenate([digits, others])[:classes].astype("float32")


def _frame(input_shape: tuple[int, int, int]) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """The input, and the input padded with background to at least 32x32, the size at which C5 just fits."""
    inputs = keras.Input(input_shape, name="images")
    missing = [max(0, 32 - side) for side in input_shape[:2]]
    if not any(missing):
        return inputs, inputs
    padding = tuple((total // 2, total - total // 2) for total in missing)
    return inputs, keras.layers.ZeroPadding2D(padding, name="padding")(inputs)


def lenet5(*, input_shape: tuple[int, int, int] = (32, 32, 1), classes: int = 10, name: str = "lenet5") -> keras.Model:
    """LeNet-5 of 1998, 60,000 trainable parameters.

    Learned subsampling (S2, S4), C3 with the sparse connections of Table I, a scaled hyperbolic tangent everywhere,
    and an output that measures the distance to a fixed code per class. `logits` are minus these distances: with the
    cross-entropy of `predictions` the network learns by the paper's criterion (equation 9) without the constant for
    rubbish.

    Args:
        input_shape: Height, width and channels; images in [0, 1], smaller ones than 32x32 are padded.
        classes: Number of classes; the codes are pictures of the digits for the first ten, random for more.
        name: The model's name.

    Returns:
        A model that ends in `logits` and `predictions`.

    Example:
        >>> lenet5(input_shape=(28, 28, 1)).output_shape
        (None, 10)

    Reference:
        [LeCun et al., 1998](https://doi.org/10.1109/5.726791), Figure 2
    """
    input_shape, classes = check_image_shape(input_shape), check_classes(classes)
    conv = keras.layers.Conv2D
    inputs, x = _frame(input_shape)
    # Background -0.1 and ink 1.175: over a page of text the mean is about 0 and the variance about 1, which speeds
    # learning up.
    x = keras.layers.Rescaling(1.275, offset=-0.1, name="normalization")(x)
    x = conv(6, 5, activation=scaled_tanh, name="c1")(x)
    x = TrainablePooling(activation=None, name="s2")(x)
    x = keras.layers.Activation(scaled_tanh, name="stage1_out")(x)
    x = SparselyConnectedConv2D(C3_CONNECTIONS, 5, activation=scaled_tanh, name="c3")(x)
    x = TrainablePooling(activation=None, name="s4")(x)
    x = keras.layers.Activation(scaled_tanh, name="stage2_out")(x)
    x = conv(120, 5, activation=scaled_tanh, name="c5")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(84, activation=scaled_tanh, name="f6")(x)
    # Squared distances reach into the hundreds, where half precision counts in ones: the head stays in float32.
    x = EuclideanRBF(output_codes(classes), name="rbf", dtype="float32")(x)
    x = keras.layers.Rescaling(-1.0, name="logits", dtype="float32")(x)
    x = keras.layers.Activation("softmax", name="predictions", dtype="float32")(x)
    return keras.Model(inputs, x, name=name)


def lenet5_modern(
    *, input_shape: tuple[int, int, int] = (32, 32, 1), classes: int = 10, name: str = "lenet5_modern"
) -> keras.Model:
    """LeNet-5 as it is taught today, 61,706 parameters.

    The same sizes with what later years brought: every map of C3 sees every map of S2, max pooling, rectifiers, and a
    dense layer with a softmax at the end.

    Args:
        input_shape: Height, width and channels; images in [0, 1], smaller ones than 32x32 are padded.
        classes: Number of classes.
        name: The model's name.

    Returns:
        A model that ends in `logits` and `predictions`.

    Example:
        >>> lenet5_modern(input_shape=(28, 28, 1)).count_params()
        61706

    Reference:
        After [LeCun et al., 1998](https://doi.org/10.1109/5.726791), Figure 2
    """
    input_shape, classes = check_image_shape(input_shape), check_classes(classes)
    conv, pool = keras.layers.Conv2D, keras.layers.MaxPooling2D
    inputs, x = _frame(input_shape)
    x = conv(6, 5, activation="relu", name="c1")(x)
    x = pool(2, name="stage1_out")(x)
    x = conv(16, 5, activation="relu", name="c3")(x)
    x = pool(2, name="stage2_out")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(120, activation="relu", name="c5")(x)
    x = keras.layers.Dense(84, activation="relu", name="f6")(x)
    return keras.Model(inputs, classify(x, classes), name=name)
