"""The squashing function of the networks of the 1990s."""

from typing import Any

import keras

AMPLITUDE = 1.7159
SLOPE = 2 / 3


@keras.saving.register_keras_serializable(package="kerasdl")
def scaled_tanh(x: Any) -> Any:
    """LeCun's sigmoid: `f(a) = 1.7159 tanh(2a / 3)`.

    The two constants make f(1) = 1 and f(-1) = -1, the points of largest curvature, so that a network whose targets
    are +1 and -1 works where the function is neither straight nor flat.

    Example:
        >>> [round(float(y), 2) for y in scaled_tanh(keras.ops.array([-1.0, 0.0, 1.0]))]
        [-1.0, 0.0, 1.0]

    Reference:
        [LeCun et al., 1998](https://doi.org/10.1109/5.726791), Appendix A
    """
    return AMPLITUDE * keras.ops.tanh(SLOPE * x)
