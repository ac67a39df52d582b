"""The weights themselves, as images: the first thing to look at in a trained network."""

from typing import Any

import keras
import numpy as np

from kerasdl.visualization.probing import all_layers

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Conv2DTranspose)


def filters(model: keras.Model, layer: str | None = None) -> np.ndarray:
    """The kernels of a convolution as images, `(filters, height, width, channels)` float32, raw.

    Only in the first convolution do the channels mean something to the eye, for they are those of the image: there one
    sees edges, blobs of colour and, where training went wrong, noise.

    Args:
        model: Any Keras model; it is left as it is.
        layer: Name of a two-dimensional convolution, also one inside a nested model or another layer, by its name alone
            or as "outer/inner". None takes the first.

    Returns:
        One image per filter; a depthwise convolution gives one of a single channel per kernel.

    Example:
        >>> model = keras.Sequential([keras.Input((28, 28, 3)), keras.layers.Conv2D(6, 5)])
        >>> filters(model).shape
        (6, 5, 5, 3)

    Reference:
        [Krizhevsky et al., 2012](https://papers.nips.cc/paper/4824), Figure 3: the first layer of AlexNet
    """
    convolution = find_convolution(model, layer)
    if not convolution.built:
        raise ValueError(
            f"The kernels of layer {convolution.name!r} are not made yet, for its input shape is not known. "
            "Begin the model with a keras.Input, or call it once on a batch."
        )
    kernel = keras.ops.convert_to_numpy(_kernel(convolution)).astype("float32")
    if isinstance(convolution, keras.layers.DepthwiseConv2D):
        # (height, width, channels, multiplier): every channel has kernels of its own, each a filter of one channel.
        return kernel.reshape(*kernel.shape[:2], 1, -1).transpose(3, 0, 1, 2)
    if isinstance(convolution, keras.layers.Conv2DTranspose):
        return kernel.transpose(2, 0, 1, 3)  # it keeps the filters before the channels
    return kernel.transpose(3, 0, 1, 2)


def find_convolution(model: keras.Model, layer: str | None = None) -> Any:
    """The convolution called `layer`, or the first one where `layer` is None; looks into nested models and layers too.

    Args:
        model: Any Keras model.
        layer: Name of a two-dimensional convolution, or its path as "outer/inner", or None.

    Returns:
        The layer itself.

    Example:
        >>> model = keras.Sequential([keras.Input((28, 28, 3)), keras.layers.Conv2D(6, 5, name="c1")])
        >>> find_convolution(model).name
        'c1'
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a keras.Model. Received: {type(model).__name__}.")
    layers = list(all_layers(model))
    convolutions = [(path, each) for path, each in layers if _is_convolution(each)]
    if not convolutions:
        raise ValueError(
            "Expected a model with a two-dimensional convolution among its layers or those inside them. "
            f"Received: model {model.name!r} without one."
        )
    if layer is None:
        return convolutions[0][1]
    for path, convolution in convolutions:
        if layer in (convolution.name, path):
            return convolution
    names = ", ".join(each.name for _, each in convolutions)
    is_there = any(layer in (each.name, path) for path, each in layers)
    raise ValueError(
        f"`layer` must name a two-dimensional convolution of model {model.name!r}. Received: layer={layer!r}, "
        f"which is {'not one' if is_there else 'not there'}. Choose among: {names}."
    )


def _is_convolution(layer: keras.layers.Layer) -> bool:
    if isinstance(layer, _CONVOLUTIONS):
        return True
    # Anybody's own convolution counts too, where it shows its kernels as the stock layer does.
    return hasattr(layer, "kernel_size") and len(getattr(_kernel(layer), "shape", ())) == 4


def _kernel(layer: keras.layers.Layer) -> Any:
    """The kernel, `(height, width, channels, filters)`; a layer that keeps it otherwise has a `dense_kernel()`."""
    if hasattr(layer, "dense_kernel") and layer.built:
        return layer.dense_kernel()
    return getattr(layer, "kernel", None)
