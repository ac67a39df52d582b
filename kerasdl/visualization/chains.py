"""The layers that a model begins with, as long as they stand in a line and each place sees only what is near it."""

from typing import Any

import keras
import numpy as np

# What these make of a place depends on that place alone; of another function one cannot know.
_FUNCTIONS = tuple(
    getattr(keras.activations, name)
    for name in (
        *("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus"),
        *("softsign", "tanh", "sigmoid", "hard_sigmoid", "hard_silu", "softmax"),
    )
)
_POINTWISE = (
    keras.layers.BatchNormalization,
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.Rescaling,
    keras.layers.Dropout,
)
CONVOLUTIONS = ("Conv2D", "FastConv2D")  # Others may treat the border otherwise.


def chain_of(model: keras.Model, path: str = "") -> list[tuple[str, keras.layers.Layer]]:
    """The layers from the images on, as long as each is all that the next one sees, and nothing else sees it.

    Layers inside a nested model are part of the chain where that model is, and end it. A layer's own `input` tells
    only of its first place in a graph, so the model's configuration is asked.

    Args:
        model: Any Keras model; one that is no Sequential and no graph has no chain.
        path: What the layers' paths begin with.

    Returns:
        The layers with their paths.
    """
    if not model.built:
        return []
    if isinstance(model, keras.Sequential):
        names = [layer.name for layer in model.layers]
    elif type(model).__name__ == "Functional" and len(model.inputs) == 1:
        try:
            names = _line(model.get_config())
        except (NotImplementedError, TypeError, ValueError):  # A layer that cannot be written down.
            return []
    else:
        return []
    found: list[tuple[str, keras.layers.Layer]] = []
    for name in names:
        layer = model.get_layer(name)
        if isinstance(layer, keras.Model):
            return found + chain_of(layer, f"{path}{name}/")
        found.append((path + name, layer))
    return found


def _line(config: dict[str, Any]) -> list[str]:
    """The names of the layers from the input on, up to where the graph forks or a layer has a second place in it."""
    calls = {layer["name"]: [_sources(call) for call in layer["inbound_nodes"]] for layer in config["layers"]}
    line, name = [], _sources(config["input_layers"])[0]
    while name not in _sources(config["output_layers"]):
        readers = [each for each, places in calls.items() if any(name in sources for sources in places)]
        if len(readers) != 1 or calls[readers[0]] != [[name]]:
            break
        name = readers[0]
        line.append(name)
    return line


def _sources(part: Any) -> list[str]:
    """The layers whose outputs a part of a configuration names: [name, node, tensor], or inside keras tensors."""
    if isinstance(part, dict):
        part = list(part.values())
    if not isinstance(part, list | tuple):
        return []
    if len(part) == 3 and isinstance(part[0], str) and isinstance(part[1], int) and isinstance(part[2], int):
        return [part[0]]
    return [name for each in part for name in _sources(each)]


def geometry_of(layer: keras.layers.Layer, side: tuple[int, int]) -> Any:
    """Padding, kernel and strides for rows and columns, or None for a layer that may see everything.

    Args:
        layer: Any layer with maps.
        side: Height and width of its input.
    """
    nothing = ((0, 0), (0, 0))
    if getattr(layer, "activation", None) not in (None, *_FUNCTIONS):
        return None
    if isinstance(layer, keras.layers.BatchNormalization) and layer.axis not in (-1, 3):
        return None
    if isinstance(layer, keras.layers.Rescaling) and max(np.ndim(layer.scale), np.ndim(layer.offset)) > 1:
        return None
    if isinstance(layer, _POINTWISE):
        return nothing, (1, 1), (1, 1)
    if getattr(layer, "data_format", None) != "channels_last":
        return None
    if isinstance(layer, keras.layers.ZeroPadding2D):
        return layer.padding, (1, 1), (1, 1)
    if isinstance(layer, keras.layers.MaxPooling2D | keras.layers.AveragePooling2D) and layer.padding == "valid":
        return nothing, tuple(layer.pool_size), tuple(layer.strides)
    if type(layer).__name__ not in CONVOLUTIONS or layer.groups != 1 or tuple(layer.dilation_rate) != (1, 1):
        return None
    kernel, strides = tuple(layer.kernel_size), tuple(layer.strides)
    if layer.padding == "valid":
        return nothing, kernel, strides
    missing = [max(-(-n // s) * s - s + k - n, 0) for n, k, s in zip(side, kernel, strides, strict=True)]
    return tuple((each // 2, each - each // 2) for each in missing), kernel, strides
