"""The last layers of a network in NumPy: for few images, to call TensorFlow costs more than they do."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kerasdl.layers import FusedBatchNormalization
from kerasdl.xnor.processor import compiled

Plain = Callable[[np.ndarray], np.ndarray]


def plain_layers(model: keras.Model) -> Plain | None:
    """The model as a function from an array to an array; None where it is not one chain of simple layers.

    Its results differ from Keras' by the rounding of sums in another order: not for numbers whose signs are taken.

    Args:
        model: Of one input and one output, with weights in float32.
    """
    functions: list[Plain] = []
    chained = model.inputs[0]
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        make = _MAKERS.get(type(layer))
        if make is None or layer.compute_dtype != "float32" or layer.input is not chained:
            return None
        function = make(layer)
        if function is None:
            return None
        functions.append(function)
        chained = layer.output
    if len(model.inputs) != 1 or len(model.outputs) != 1 or model.outputs[0] is not chained:
        return None

    def call(x: np.ndarray) -> np.ndarray:
        for function in functions:
            x = function(x)
        return x

    return call


def _same(x: np.ndarray) -> np.ndarray:
    return x


def _relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def _softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _activation(layer: keras.layers.Layer) -> Plain | None:
    known = {keras.activations.linear: _same, keras.activations.relu: _relu, keras.activations.softmax: _softmax}
    return known.get(layer.activation)


def _rectifier(layer: keras.layers.ReLU) -> Plain | None:
    return _relu if layer.max_value is None and not layer.negative_slope and not layer.threshold else None


def _norm(layer: keras.layers.BatchNormalization) -> Plain | None:
    if layer.axis not in (-1, len(layer.input.shape) - 1):
        return None
    factor = 1 / np.sqrt(np.asarray(layer.moving_variance) + np.float32(layer.epsilon))
    if layer.scale:
        factor = factor * np.asarray(layer.gamma)
    shift = (np.asarray(layer.beta) if layer.center else 0) - np.asarray(layer.moving_mean) * factor
    return lambda x: x * factor + shift


def _average(layer: keras.layers.GlobalAveragePooling2D) -> Plain | None:
    if layer.keepdims or layer.data_format != "channels_last":
        return None
    return lambda x: x.mean((1, 2))


def _flatten(layer: keras.layers.Flatten) -> Plain | None:
    return (lambda x: x.reshape(len(x), -1)) if layer.data_format == "channels_last" else None


def _dense(layer: keras.layers.Dense) -> Plain | None:
    activation = _activation(layer)
    if activation is None or len(layer.input.shape) != 2 or layer.quantization_mode or layer.lora_enabled:
        return None
    kernel = np.ascontiguousarray(layer.kernel, "float32")
    bias = np.asarray(layer.bias) if layer.use_bias else np.zeros(layer.units, "float32")

    def call(x: np.ndarray) -> np.ndarray:
        outputs = np.tile(bias, (len(x), 1))
        _add_products(np.ascontiguousarray(x, "float32"), kernel, outputs)
        return activation(outputs)

    return call


@compiled()
def _add_products(x: Any, kernel: Any, outputs: Any) -> None:
    """`outputs += x kernel`, in one thread: those of a BLAS would wait, and be in the way of ours."""
    for row in range(x.shape[0]):
        for place in range(x.shape[1]):
            number = x[row, place]
            for unit in range(kernel.shape[1]):
                outputs[row, unit] += number * kernel[place, unit]


_MAKERS: dict[type[keras.layers.Layer], Callable[[Any], Plain | None]] = {
    FusedBatchNormalization: _norm,
    keras.layers.Activation: _activation,
    keras.layers.BatchNormalization: _norm,
    keras.layers.Dense: _dense,
    keras.layers.Dropout: lambda layer: _same,
    keras.layers.Flatten: _flatten,
    keras.layers.GlobalAveragePooling2D: _average,
    keras.layers.Identity: lambda layer: _same,
    keras.layers.ReLU: _rectifier,
}
