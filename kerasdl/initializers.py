"""First weights that keep a signal's length however many layers it passes."""

import math
from typing import Any

import keras
import numpy as np

__all__ = ["DeltaOrthogonal"]


@keras.saving.register_keras_serializable(package="kerasdl")
class DeltaOrthogonal(keras.initializers.Orthogonal):
    """A random orthogonal matrix in the kernel's centre, zero elsewhere: `K[centre] = gain * Q`, with `Q Q^T = I`.

    At first the convolution turns every pixel's vector and touches no neighbour. So it multiplies the length of its
    input by `gain`, exactly; a gradient on its way back keeps its length in the same way.

    It fits a kernel of a 1-D convolution, `(size, inputs, outputs)`, of a 2-D one, `(height, width, inputs, outputs)`,
    and a stack of 2-D kernels, `(depth, height, width, inputs, outputs)`, of which each gets its own matrix. The
    shape of a 3-D convolution's kernel looks like that of a stack: don't use it there.

    Args:
        gain: The factor in front of the matrix.
        seed: An integer makes the same kernel each time; None makes another one for each initializer.

    Example:
        >>> kernel = DeltaOrthogonal()((3, 3, 4, 8))
        >>> bool(keras.ops.all(kernel[0] == 0)), round(float(keras.ops.sum(kernel**2)), 4)
        (True, 4.0)

    Reference:
        [Xiao et al., 2018](https://arxiv.org/abs/1806.05393), Algorithm 2
    """

    def __init__(self, gain: float = 1.0, seed: Any = None) -> None:
        super().__init__(gain=gain, seed=seed)

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """Draws a kernel, or a stack of them.

        Args:
            shape: The kernel's shape.
            dtype: Its type; `keras.config.floatx()` without it.
        """
        shape = tuple(shape)
        if len(shape) not in (3, 4, 5):
            raise ValueError(
                "DeltaOrthogonal makes kernels of shape (size, inputs, outputs) or (height, width, inputs, outputs), "
                f"or stacks (depth, height, width, inputs, outputs). Received: shape={shape}."
            )
        stack, sides, (inputs, outputs) = shape[:-4], shape[-4:-2], shape[-2:]
        if inputs > outputs:
            raise ValueError(
                "DeltaOrthogonal needs at least as many outputs as inputs: fewer numbers cannot keep the length of "
                f"every vector. Received: inputs={inputs}, outputs={outputs}."
            )
        tall = keras.random.normal((*stack, outputs, inputs), dtype="float32", seed=self.seed)
        q, r = keras.ops.qr(tall)
        # Without these signs some orthogonal matrices would be likelier than others (Mezzadri, 2007).
        signs = keras.ops.sign(keras.ops.diagonal(r, axis1=-2, axis2=-1))
        matrix = keras.ops.swapaxes(q * (self.gain * signs)[..., None, :], -1, -2)
        matrix = keras.ops.cast(matrix, dtype or keras.config.floatx())
        # All places in a row: padding along one axis takes a third of the time.
        row = keras.ops.reshape(matrix, (*stack, 1, inputs * outputs))
        centre = int(np.ravel_multi_index([(side - 1) // 2 for side in sides], sides))
        around = [(0, 0)] * len(stack) + [(centre, math.prod(sides) - 1 - centre), (0, 0)]
        return keras.ops.reshape(keras.ops.pad(row, around), shape)
