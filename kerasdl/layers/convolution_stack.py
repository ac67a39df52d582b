"""Thousands of equal convolutions in one layer: a loop over a stacked kernel."""

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kerasdl.initializers import DeltaOrthogonal
from kerasdl.layers.checks import check_positive


@keras.saving.register_keras_serializable(package="kerasdl")
class DeepConvolutionStack(keras.layers.Layer):
    """`depth` convolutions one after another: `x[l + 1] = f(K[l] * x[l] + b[l])`, as many maps out as in.

    A Keras graph of thousands of layers meets Python's limit of recursion. Here all kernels lie in one weight, and one
    loop runs over them, so the graph has the same size at any depth.

    Training needs little memory, too: on the way forward only every `sqrt(depth)`-th output is kept, and on the way
    back those between are computed once more, which takes about a fifth more time. A stack of 10,000 keeps 300 maps
    at a time instead of 20,000: with 64 examples of 8x8x16 a step of training needs 0.8 GB, and would need 8.

    Args:
        depth: Number of convolutions.
        kernel_size: Side of the kernels.
        activation: The function f; None for the identity.
        padding: `"circular"` continues the maps at their opposite border, so that no place differs from another;
            `"same"` pads with zeros.
        kernel_initializer: Makes the kernels, `(depth, kernel_size, kernel_size, channels, channels)`; None for
            `DeltaOrthogonal`. Keras' variance-scaling initializers (Glorot, He, LeCun) see the fans of one kernel.
        bias_initializer: Makes the biases, `(depth, channels)`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> layer = DeepConvolutionStack(1_000, activation=None)
        >>> x = keras.random.normal((1, 4, 4, 8))
        >>> bool(abs(np.linalg.norm(layer(x)) / np.linalg.norm(x) - 1) < 1e-3)
        True

    Reference:
        [Xiao et al., 2018](https://arxiv.org/abs/1806.05393); for the memory
        [Chen et al., 2016](https://arxiv.org/abs/1604.06174), section 3
    """

    def __init__(
        self,
        depth: int,
        kernel_size: int = 3,
        activation: Any = "tanh",
        padding: str = "circular",
        kernel_initializer: Any = None,
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.depth = check_positive("depth", depth)
        self.kernel_size = check_positive("kernel_size", kernel_size)
        self.activation = keras.activations.get(activation)
        if padding not in ("circular", "same"):
            raise ValueError(f"`padding` must be 'circular' or 'same'. Received: padding={padding!r}.")
        self.padding = padding
        self.kernel_initializer = keras.initializers.get(kernel_initializer or DeltaOrthogonal())
        self.bias_initializer = keras.initializers.get(bias_initializer)
        if type(self.kernel_initializer) is keras.initializers.Orthogonal:
            raise ValueError(
                "`kernel_initializer` may not be Orthogonal, which would make one flat matrix of the whole stack: use "
                "kerasdl.initializers.DeltaOrthogonal."
            )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the stacked kernel and the biases."""
        if len(input_shape) != 4 or input_shape[-1] is None:
            raise ValueError(
                "DeepConvolutionStack expects maps of shape (batch, height, width, channels), the channels known. "
                f"Received: input_shape={tuple(input_shape)}."
            )
        channels = input_shape[-1]
        margin = self.kernel_size // 2
        if self.padding == "circular" and any(side is not None and side < margin for side in input_shape[1:3]):
            raise ValueError(
                f"With circular padding the maps must be at least {margin}x{margin} for kernels of side "
                f"{self.kernel_size}. Received: input_shape={tuple(input_shape)}."
            )
        shape = (self.depth, self.kernel_size, self.kernel_size, channels, channels)
        initializer = _for_each_kernel(self.kernel_initializer, self.depth)
        self.kernel = self.add_weight(shape=shape, initializer=initializer, name="kernel")
        self.bias = self.add_weight(shape=(self.depth, channels), initializer=self.bias_initializer, name="bias")

    def call(self, inputs: Any) -> Any:
        """Runs through the stack."""
        kernels = keras.ops.cast(self.kernel, self.compute_dtype)
        biases = keras.ops.cast(self.bias, self.compute_dtype)
        return _run_stack(inputs, kernels, biases, self.activation, self.padding)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the input."""
        return tuple(input_shape)

    def multiply_adds(self, input_shape: tuple[int | None, ...], output_shape: tuple[int | None, ...]) -> int:
        """Multiplications with an addition for one example.

        Args:
            input_shape: With the batch dimension.
            output_shape: With the batch dimension.
        """
        height, width, channels = (int(side or 0) for side in output_shape[1:])
        return self.depth * self.kernel_size**2 * channels * height * width * channels

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return {
            **super().get_config(),
            "depth": self.depth,
            "kernel_size": self.kernel_size,
            "activation": keras.activations.serialize(self.activation),
            "padding": self.padding,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }


def _for_each_kernel(initializer: Any, depth: int) -> Any:
    """Keras takes the depth for one more side of the kernel, and so the fans for `depth` times as large."""
    if not isinstance(initializer, keras.initializers.VarianceScaling):
        return initializer
    return keras.initializers.VarianceScaling(
        initializer.scale * depth, initializer.mode, initializer.distribution, seed=initializer.seed
    )


# Compiled, or in eager mode the loop would be Python's.
@tf.function(autograph=False)
def _run_stack(inputs: Any, kernels: Any, biases: Any, activation: Callable, padding: str) -> Any:
    """Runs through the stack, with a gradient of its own: TensorFlow's would keep the maps of every layer."""

    @tf.custom_gradient
    def run(inputs: Any, kernels: Any, biases: Any) -> tuple[Any, Callable]:
        def weigh(index: Any, x: Any) -> Any:
            return _convolve(x, kernels[index], padding) + biases[index]

        outputs, kept = _forward(inputs, kernels.shape[0], weigh, activation)

        def gradient(flow: Any) -> tuple[Any, Any, Any]:
            return _backward(flow, kept, kernels, weigh, activation, padding)

        return outputs, gradient

    return run(inputs, kernels, biases)


def _convolve(x: Any, kernel: Any, padding: str) -> Any:
    """A convolution that keeps the size."""
    size = kernel.shape[0]
    if padding == "same" or size == 1:
        return tf.nn.conv2d(x, kernel, 1, "SAME")
    before, after = (size - 1) // 2, size // 2
    x = tf.concat([x[:, tf.shape(x)[1] - before :], x, x[:, :after]], axis=1)
    x = tf.concat([x[:, :, tf.shape(x)[2] - before :], x, x[:, :, :after]], axis=2)
    return tf.nn.conv2d(x, kernel, 1, "VALID")


def _segments(depth: int) -> tuple[int, int]:
    """The length of a segment, whose first maps are kept, and how many there are."""
    length = math.isqrt(depth)
    return length, math.ceil(depth / length)


def _maps(count: int, like: Any) -> tf.TensorArray:
    """Room for the maps of some layers."""
    return tf.TensorArray(like.dtype, count, element_shape=like.shape, clear_after_read=False)


def _forward(x: Any, depth: int, weigh: Callable, activation: Callable) -> tuple[Any, Any]:
    """The outputs of the last layer, and the inputs of each segment."""
    length, count = _segments(depth)

    def run_layer(index: Any, x: Any) -> tuple[Any, Any]:
        return index + 1, activation(weigh(index, x))

    def run_segment(segment: Any, x: Any, kept: Any) -> tuple[Any, Any, Any]:
        kept = kept.write(segment, x)
        first = segment * length
        end = tf.minimum(first + length, depth)
        _, x = tf.while_loop(lambda index, x: index < end, run_layer, (first, x))
        return segment + 1, x, kept

    start = (tf.constant(0), x, _maps(count, x))
    _, x, kept = tf.while_loop(lambda segment, *_: segment < count, run_segment, start)
    return x, kept.stack()


def _backward(
    flow: Any, kept: Any, kernels: Any, weigh: Callable, activation: Callable, padding: str
) -> tuple[Any, Any, Any]:
    """The gradients of the inputs, the kernels and the biases, segment by segment from the last."""
    depth, channels = kernels.shape[0], kernels.shape[-1]
    length, count = _segments(depth)

    def run_segment_back(segment: Any, flow: Any, of_kernels: Any, of_biases: Any) -> tuple[Any, ...]:
        first = segment * length
        end = tf.minimum(first + length, depth)

        def run_layer_again(index: Any, x: Any, inputs: Any, sums: Any) -> tuple[Any, ...]:
            weighted = weigh(index, x)
            place = index - first
            return index + 1, activation(weighted), inputs.write(place, x), sums.write(place, weighted)

        x = kept[segment]
        start = (first, x, _maps(length, x), _maps(length, x))
        _, _, inputs, sums = tf.while_loop(lambda index, *_: index < end, run_layer_again, start)

        def run_layer_back(index: Any, flow: Any, of_kernels: Any, of_biases: Any) -> tuple[Any, ...]:
            x, weighted, kernel = inputs.read(index - first), sums.read(index - first), kernels[index]
            with tf.GradientTape() as tape:
                tape.watch(weighted)
                y = activation(weighted)
            flow = tape.gradient(y, weighted, flow)
            # A convolution's gradient does not need its value, so TensorFlow takes this one out of the graph again.
            with tf.GradientTape() as tape:
                tape.watch((x, kernel))
                y = _convolve(x, kernel, padding)
            of_biases = of_biases.write(index, tf.reduce_sum(flow, (0, 1, 2)))
            flow, of_kernel = tape.gradient(y, (x, kernel), flow)
            return index - 1, flow, of_kernels.write(index, of_kernel), of_biases

        start = (end - 1, flow, of_kernels, of_biases)
        _, *gradients = tf.while_loop(lambda index, *_: index >= first, run_layer_back, start)
        return segment - 1, *gradients

    of_kernels = tf.TensorArray(kernels.dtype, depth, element_shape=kernels.shape[1:])
    of_biases = tf.TensorArray(kernels.dtype, depth, element_shape=(channels,))
    start = (tf.constant(count - 1), flow, of_kernels, of_biases)
    _, flow, of_kernels, of_biases = tf.while_loop(lambda segment, *_: segment >= 0, run_segment_back, start)
    return flow, of_kernels.stack(), of_biases.stack()
