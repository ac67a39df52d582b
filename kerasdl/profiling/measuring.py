"""`profile`: one trace of the model tells what it costs, and the same compiled function is timed."""

import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.profiling.multiply_adds import multiplies_unseen
from kerasdl.profiling.profiles import Latency, LayerProfile, Profile
from kerasdl.profiling.recording import Call, Liveness, recorded_calls, shape_of, tensors_in


def profile(
    model: keras.Model,
    batch_size: int = 1,
    *,
    input_shape: Any = None,
    repeats: int = 10,
) -> Profile:
    """What a model costs in inference: parameters, multiply-adds, memory and time.

    Multiply-adds are those of convolutions and dense layers (recurrent kernels too), per example and per call: a layer
    that is called twice counts twice. A layer of your own says its number by a method
    `multiply_adds(input_shape, output_shape)`, for one example, with both shapes beginning with the batch. Without
    one, a layer with a matrix among its weights is named in `not_counted`.

    Args:
        model: Any Keras model, nested, shared or subclassed; it is only called.
        batch_size: Examples in a call.
        input_shape: The shape of one example, where the model leaves it open; for several inputs a list or a
            dictionary of shapes, as the model takes them.
        repeats: Calls to time, after two that are not; 0 to measure no time.

    Returns:
        The numbers of the whole, and those of each layer.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
        >>> costs = profile(model, repeats=0)
        >>> costs.parameters, costs.multiply_adds, costs.peak_activation_bytes
        (112, 3888, 1344)
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a keras.Model. Received: {type(model).__name__}.")
    for name, value, smallest in (("batch_size", batch_size, 1), ("repeats", repeats, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < smallest:
            raise ValueError(f"`{name}` must be an integer of at least {smallest}. Received: {name}={value!r}.")
    specs = _input_specs(model, batch_size, input_shape)
    function = tf.function(lambda inputs: model(inputs, training=False), autograph=False)
    if not model.built:
        function.get_concrete_function(specs)  # building calls layers as well, and these calls would count
    traced = tf.function(lambda inputs: model(inputs, training=False), autograph=False)
    with recorded_calls(model) as calls:
        run = traced.get_concrete_function(specs)
    inputs = [tensor for tensor in run.inputs if tensor.dtype != tf.resource][: len(tf.nest.flatten(specs))]
    liveness = Liveness(calls, inputs, tensors_in(run.structured_outputs))
    layers = _by_layer(calls, liveness, batch_size)
    return Profile(
        name=model.name,
        input_shape=tuple(tf.nest.flatten(specs)[0].shape),
        trainable_parameters=_numbers_in(model.trainable_weights),
        parameters=_numbers_in(model.weights),
        weight_bytes=sum(math.prod(w.shape) * tf.as_dtype(w.dtype).size for w in model.weights),
        multiply_adds=sum(layer.multiply_adds or 0 for layer in layers),
        activation_bytes=liveness.total,
        peak_activation_bytes=liveness.peak,
        latency=_time(traced, specs, repeats) if repeats else None,
        layers=layers,
    )


def _input_specs(model: keras.Model, batch_size: int, input_shape: Any) -> Any:
    """What the model takes, with every size known."""
    given = getattr(model, "inputs", None)
    if input_shape is not None:
        dtype = given[0].dtype if given and len(given) == 1 else None
        return keras.tree.map_shape_structure(
            lambda shape: tf.TensorSpec((batch_size, *shape), dtype or keras.config.floatx()), input_shape
        )
    if not given:
        raise ValueError(
            f"The input shape of model {model.name!r} is not known, for it does not begin with a keras.Input: tell it "
            "by input_shape=(height, width, channels), without the batch."
        )
    for tensor in given:
        if None in tensor.shape[1:]:
            raise ValueError(
                f"Model {model.name!r} takes inputs of many sizes: tell one of them by input_shape=(height, width, "
                f"channels), without the batch. Received: an input of shape {tensor.shape}."
            )
    # As the model was given its inputs: one, a list or a dictionary. A sequential model has one, and no `input`.
    structure = getattr(model, "input", given[0])
    return keras.tree.map_structure(
        lambda tensor: tf.TensorSpec((batch_size, *tensor.shape[1:]), tensor.dtype), structure
    )


def _by_layer(calls: list[Call], liveness: Liveness, batch_size: int) -> tuple[LayerProfile, ...]:
    seen: set[int] = set()
    layers: dict[int, dict[str, Any]] = {}
    for call, new_bytes in zip(calls, liveness.new_bytes, strict=True):
        layer = call.layer
        if id(layer) not in layers:
            weights = [weight for weight in getattr(layer, "weights", ()) if id(weight) not in seen]
            seen |= {id(weight) for weight in weights}
            layers[id(layer)] = {
                "path": call.path,
                "kind": type(layer).__name__,
                "calls": 0,
                "output_shape": shape_of(call.outputs[0], layer) if call.outputs else (),
                "parameters": _numbers_in(weights),
                "multiply_adds": 0,
                "activation_bytes": 0,
            }
        entry = layers[id(layer)]
        entry["calls"] += 1
        entry["activation_bytes"] += new_bytes
        if call.multiply_adds is not None:
            entry["multiply_adds"] += call.multiply_adds // batch_size
        elif multiplies_unseen(layer):
            entry["multiply_adds"] = None
    return tuple(LayerProfile(**entry) for entry in layers.values())


def _numbers_in(weights: list[Any]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def _time(function: Callable[..., Any], specs: Any, repeats: int) -> Latency:
    """The quartiles of several calls on noise."""
    random = np.random.default_rng(0)

    def noise(spec: tf.TensorSpec) -> tf.Tensor:
        return tf.cast(random.random(spec.shape), spec.dtype)

    inputs = tf.nest.map_structure(noise, specs)
    taken = []
    for _ in range(2 + repeats):
        begin = time.perf_counter()
        # On an accelerator the call returns at once: only who looks at the numbers has waited for them.
        np.asarray(tf.nest.flatten(function(inputs))[0])
        taken.append(time.perf_counter() - begin)
    lower, median, upper = np.quantile(taken[2:], (0.25, 0.5, 0.75))
    return Latency(median=float(median), lower=float(lower), upper=float(upper), repeats=repeats)
