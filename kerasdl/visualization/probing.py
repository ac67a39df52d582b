"""A look inside a model while it runs, whatever it is made of: layers are tapped, not cut out of their graph.

A new `keras.Model` from an input to some inner layer exists only where one graph leads from one to the other. That
fails for the layers of a model inside a model, and for models that are classes. Here the whole model runs as it always
does, and for the time of this run a layer's `call` also hands its result to a function of ours. Nothing of the model is
changed afterwards, and in a compiled function nothing is left of the detour.
"""

import contextlib
import functools
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.visualization.checks import check_count
from kerasdl.visualization.layer_paths import all_layers, find_layer, structure
from kerasdl.visualization.outputs import one_output

Tap = Callable[[tf.Tensor], tf.Tensor]

_NORMALISERS = (
    keras.activations.softmax,
    keras.activations.sigmoid,
    tf.nn.softmax,
    tf.nn.sigmoid,
    keras.ops.softmax,
    keras.ops.sigmoid,
)
RECTIFIERS = (
    keras.activations.relu,
    keras.activations.relu6,
    tf.nn.relu,
    tf.nn.relu6,
    keras.ops.relu,
    keras.ops.relu6,
)
# The same, where a graph was made with `keras.ops.softmax(x)`: such steps are no layers.
_NORMALISING_STEPS, _RECTIFYING_STEPS = ("Softmax", "Sigmoid"), ("Relu", "Relu6")
_KEPT = 64  # Compiled functions per model; a new callable as target needs a new one each time.

_compiled: weakref.WeakKeyDictionary[keras.Model, dict] = weakref.WeakKeyDictionary()
_executions: weakref.WeakKeyDictionary[keras.Model, dict] = weakref.WeakKeyDictionary()


def forward(
    model: keras.Model,
    images: tf.Tensor,
    *,
    taps: Mapping[str, Tap] | None = None,
    rectifier: Callable[[tf.Tensor, Tap], tf.Tensor] | None = None,
) -> tf.Tensor:
    """The unnormalised scores, `(N, classes)` float32: what the model has before a softmax or sigmoid at its end.

    Args:
        model: Any Keras model of one input.
        images: A batch.
        taps: Name of a layer: a function that gets the layer's output and returns what goes on in its place.
        rectifier: Called as `rectifier(x, relu)` in the place of every `relu(x)`, be it a layer or an activation.
    """
    layers = dict.fromkeys(layer for _, layer in all_layers(model))
    changes: list[tuple[Any, str, Any]] = []
    normalised: list[tuple[tf.Tensor, tf.Tensor]] = []

    def remember(function: Callable) -> Callable:
        def call(x: tf.Tensor, *args: Any, **kwargs: Any) -> tf.Tensor:
            y = function(x, *args, **kwargs)
            normalised.append((x, y))
            return y

        return call

    def rectify(function: Tap) -> Callable:
        return lambda x: rectifier(x, function)  # type: ignore[misc]

    wanted = {find_layer(model, name): tap for name, tap in (taps or {}).items()}
    for layer in layers:
        call: Callable = layer.call
        activation: Any = getattr(layer, "activation", None)
        if any(activation is each for each in _NORMALISERS):
            changes.append((layer, "activation", remember(activation)))
        elif isinstance(layer, keras.layers.Softmax):
            call = remember(call)
        elif rectifier is not None and any(activation is each for each in RECTIFIERS):
            changes.append((layer, "activation", rectify(activation)))
        elif rectifier is not None and isinstance(layer, keras.layers.ReLU):
            call = rectify(call)
        if layer in wanted:
            call = _tapped(call, wanted[layer])
        if call is not layer.call:
            changes.append((layer, "call", call))
    for step in _graph_steps(model):
        if type(step).__name__ in _NORMALISING_STEPS:
            changes.append((step, "call", remember(step.call)))
        elif rectifier is not None and type(step).__name__ in _RECTIFYING_STEPS:
            changes.append((step, "call", rectify(step.call)))
    with changed(changes):
        outputs = model(images, training=False)
    output = one_output(outputs, model)
    for before, after in normalised:
        if after is output:
            output = before
    return tf.cast(output, "float32")


def has_rectifier(model: keras.Model) -> bool:
    """Whether there is a rectifier that `forward` would replace."""
    return any(
        isinstance(layer, keras.layers.ReLU) or any(getattr(layer, "activation", None) is each for each in RECTIFIERS)
        for _, layer in all_layers(model)
    ) or any(type(step).__name__ in _RECTIFYING_STEPS for step in _graph_steps(model))


def _graph_steps(model: keras.Model) -> list[Any]:
    """What runs in the model's graph, or in those of models in it, and is no layer."""
    models = [model, *(layer for _, layer in all_layers(model) if isinstance(layer, keras.Model))]
    steps = [step for each in models for step in getattr(each, "operations", ())]
    return [step for step in steps if not isinstance(step, keras.layers.Layer)]


def _tapped(call: Callable, tap: Tap) -> Callable:
    return lambda *args, **kwargs: tap(call(*args, **kwargs))


@contextlib.contextmanager
def changed(changes: Iterable[tuple[Any, str, Any]]) -> Iterator[None]:
    """Gives objects other attributes for a while, past Keras' book-keeping, and their own ones back."""
    missing = object()
    before = []
    try:
        for thing, name, value in changes:
            before.append((thing, name, vars(thing).get(name, missing)))
            vars(thing)[name] = value
        yield
    finally:
        for thing, name, value in reversed(before):
            if value is missing:
                del vars(thing)[name]
            else:
                vars(thing)[name] = value


def execution(model: keras.Model, image_shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """The layers in the order in which they run, with the shape of what each gives for one image of this shape.

    One image of zeros runs through the model for it, once per shape; a model that is not built yet is built by it.
    """
    known = _executions.setdefault(model, {})
    key = (image_shape, structure(model))
    if key not in known or not model.built:
        image = tf.zeros((1, *image_shape))
        if not model.built:
            model(image)
        shapes: dict[str, tuple[int, ...]] = {}

        def note(path: str) -> Tap:
            def tap(y: Any) -> Any:
                if isinstance(y, tf.Tensor):
                    shapes.pop(path, None)
                    shapes[path] = tuple(y.shape[1:])
                return y

            return tap

        forward(model, image, taps={path: note(path) for path, _ in all_layers(model)})
        key = (image_shape, structure(model))  # It may have been built only now.
        known[key] = shapes
    return known[key]


def layer_path(model: keras.Model, image_shape: tuple[int, ...], name: str) -> str:
    """The path of the layer of this name, if it gives one tensor for an image.

    Args:
        model: Any Keras model.
        image_shape: Of one image.
        name: The layer's name or path.
    """
    wanted, shapes = find_layer(model, name), execution(model, image_shape)
    path = next((path for path, layer in all_layers(model) if layer is wanted and path in shapes), None)
    if path is None:
        raise ValueError(f"Layer {name!r} does not run, or does not give one tensor, for images of this shape.")
    return path


def gives_features(layer: keras.layers.Layer) -> bool:
    """Whether what a layer gives are features of its own: not those of a model, a pooling, a padding or a dropout."""
    passing = ("Pooling", "Dropout", "Padding", "Cropping")
    return not isinstance(layer, keras.Model) and not any(word in type(layer).__name__ for word in passing)


def feature_layer(model: keras.Model, image_shape: tuple[int, ...], name: str | None = None) -> str:
    """The layer called `name`, if it gives maps; the one that gives the last maps where `name` is None.

    The last maps are those of the last layer that `gives_features` and has more than one place.
    """
    shapes = execution(model, image_shape)
    if name is not None:
        wanted = find_layer(model, name)
        paths = [path for path, layer in all_layers(model) if layer is wanted and path in shapes]
        if paths and len(shapes[paths[0]]) == 3:
            return paths[0]
        spatial = [path for path, shape in shapes.items() if len(shape) == 3]
        raise ValueError(
            "`layer` must give maps, (height, width, channels). Received: "
            f"{name!r}, which gives {shapes[paths[0]] if paths else 'nothing for an image'}. "
            f"The last that does is {spatial[-1]!r}."
            if spatial
            else f"`layer` must give maps, and no layer of model {model.name!r} does."
        )
    layers = dict(all_layers(model))
    for path, shape in reversed(shapes.items()):
        if gives_features(layers[path]) and len(shape) == 3 and shape[0] * shape[1] > 1:
            return path
    raise ValueError(
        f"Expected a model with feature maps, (height, width, channels), of more than one place. "
        f"Received: {model.name!r}."
    )


def compiled(model: keras.Model, function: Callable, /, **options: Any) -> Callable[..., Any]:
    """`function(model, *tensors, **options)` as a function of the tensors, compiled once and kept with the model.

    The number of images may differ from call to call. What is kept goes when the model goes, but for options that hold
    the model themselves, such as a method of its own as target.

    Args:
        model: Any Keras model.
        function: Must not hold on to the model or its layers: no closure, only a function of a module.
        options: Hashable values that are built into the graph.
    """
    kept = _compiled.setdefault(model, {})
    parts = structure(model)
    reference = weakref.ref(model)

    def run(*tensors: Any) -> Any:
        tensors = tuple(tf.convert_to_tensor(tensor) for tensor in tensors)
        specs = tuple(
            tf.TensorSpec([None, *tensor.shape[1:]] if tensor.shape.rank else [], tensor.dtype) for tensor in tensors
        )
        key = (function, tuple(options.items()), specs, parts)
        if key not in kept:
            if len(kept) >= _KEPT:
                del kept[next(iter(kept))]
            # A partial, not a lambda: TensorFlow counts tracings by the code, and would warn of many functions of one.
            body = functools.partial(_run, function, reference, options)
            # The traced function itself: a tf.function would look at every tensor again, a fifth of a small call.
            kept[key] = tf.function(body, input_signature=specs, autograph=False).get_concrete_function()
        return kept[key](*tensors)

    return run


def _run(function: Callable, reference: weakref.ref, options: dict[str, Any], *tensors: tf.Tensor) -> Any:
    return function(reference(), *tensors, **options)


def in_batches(function: Callable, batch_size: int, *arrays: np.ndarray) -> Any:
    """The results of `function` on slices of the arrays, joined again: one array, or a tuple of them."""
    check_count("batch_size", batch_size)
    parts = [
        tf.nest.map_structure(
            lambda tensor: tensor.numpy(), function(*(array[at : at + batch_size] for array in arrays))
        )
        for at in range(0, len(arrays[0]), batch_size)
    ]
    return tf.nest.map_structure(lambda *pieces: np.concatenate(pieces), *parts)
