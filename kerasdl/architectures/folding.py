"""Folding: what only training needs goes into the weights of ordinary convolutions."""

from typing import Any

import keras
import numpy as np

from kerasdl.layers import DiracConv2D, FastConv2D


def fold_dirac(model: keras.Model) -> keras.Model:
    """The same network without what only training needs: Dirac convolutions become `keras.layers.Conv2D`.

    The identity, `a`, `b` and the lengths of the filters go into the kernel. So does the batch normalisation behind a
    convolution, Dirac or ordinary, whose shift becomes the bias: `gamma / sqrt(variance + epsilon)` of a map is one
    number once training is over. That is all that the authors fold, as their parameter counts say: of the four numbers
    per map of a Dirac convolution and the two of the first layer, one remains. What is folded away has no layer any
    more; all others keep their names.

    Args:
        model: A graph of layers with Dirac convolutions in it, such as `diracnet18()`, trained or loaded.

    Returns:
        A new model with weights of its own; the old one stays as it is.

    Example:
        >>> from kerasdl.architectures import diracnet_cifar, fold_dirac
        >>> model = diracnet_cifar(10, 1)
        >>> model.count_params() - fold_dirac(model).count_params()  # moving means and variances included
        1168

    Reference:
        [Zagoruyko and Komodakis, 2017](https://arxiv.org/abs/1706.00388), section 2
    """
    layers = list(getattr(model, "layers", ()))
    if not any(isinstance(layer, DiracConv2D) for layer in layers):
        raise ValueError(
            "`model` must have layers of kerasdl.layers.DiracConv2D, as diracnet18() has: without them there is "
            f"nothing to fold. Received: {getattr(model, 'name', model)!r} with {len(layers)} layers, none of them "
            "a Dirac convolution."
        )
    norms = _foldable_norms(model)
    convolutions = {norm: convolution for convolution, norm in norms.items()}

    def convert(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if layer.name in norms:
            config["use_bias"] = True
        if not isinstance(layer, DiracConv2D | FastConv2D):
            return type(layer).from_config(config)
        for name in ("alpha_initializer", "beta_initializer"):
            config.pop(name, None)
        return keras.layers.Conv2D.from_config(config)

    def connect(layer: keras.layers.Layer, *inputs: Any, **kwargs: Any) -> Any:
        return inputs[0] if layer.name in convolutions else layer(*inputs, **kwargs)

    names = {id(layer.output): layer.name for layer in layers if isinstance(layer, keras.layers.InputLayer)}
    inputs = keras.tree.map_structure(
        lambda tensor: keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=names[id(tensor)]), model.input
    )
    folded = keras.models.clone_model(model, inputs, clone_function=convert, call_function=connect)
    for layer in folded.layers:
        old = model.get_layer(layer.name)
        if isinstance(old, DiracConv2D) or layer.name in norms:
            norm = model.get_layer(norms[layer.name]) if layer.name in norms else None
            layer.set_weights(_folded_weights(old, norm))
        else:
            layer.set_weights(old.get_weights())
    return folded


def _foldable_norms(model: keras.Model) -> dict[str, str]:
    """For each convolution whose output goes to a batch normalisation, and nowhere else, that layer's name."""
    readers: dict[int, list[keras.layers.Layer | None]] = {id(tensor): [None] for tensor in model.outputs}
    for layer in model.layers:
        if not isinstance(layer, keras.layers.InputLayer):
            for tensor in keras.tree.flatten(layer.input):
                readers.setdefault(id(tensor), []).append(layer)
    found = {}
    for layer in model.layers:
        ordinary = type(layer) in (keras.layers.Conv2D, FastConv2D, DiracConv2D)
        if ordinary and layer.activation is keras.activations.linear and layer.data_format == "channels_last":
            norm, *others = readers[id(layer.output)]
            if isinstance(norm, keras.layers.BatchNormalization) and norm.axis in (-1, 3) and not others:
                found[layer.name] = norm.name
    return found


def _folded_weights(convolution: keras.layers.Conv2D, norm: keras.layers.BatchNormalization | None) -> list[np.ndarray]:
    """Kernel and bias of the ordinary convolution, computed in double precision."""
    dirac = isinstance(convolution, DiracConv2D)
    kernel = np.asarray(convolution.dirac_kernel() if dirac else convolution.kernel, "float64")
    bias = np.asarray(convolution.bias, "float64") if convolution.use_bias else np.zeros(convolution.filters)
    if norm is None:
        return [kernel, bias] if convolution.use_bias else [kernel]
    gamma = np.asarray(norm.gamma, "float64") if norm.scale else 1.0
    beta = np.asarray(norm.beta, "float64") if norm.center else 0.0
    factor = gamma / np.sqrt(np.asarray(norm.moving_variance, "float64") + norm.epsilon)
    return [kernel * factor, beta + (bias - np.asarray(norm.moving_mean, "float64")) * factor]
