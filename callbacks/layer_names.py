"""Names of layers that are the same in every run, so that TensorBoard lays the curves of runs over each other."""

import re

import keras

from kerasdl.visualization.layer_paths import all_layers, find_layer

# What `keras.layers.Bidirectional` puts before the names of its two layers.
_PREFIXES = ("", "forward_", "backward_")


def layer_names(model: keras.layers.Layer) -> dict[str, keras.layers.Layer]:
    """Every layer of a model, those of models and layers inside it too, by a name that does not change between runs.

    Keras counts the layers that a process has made: the first convolution of a second model is `conv2d_7`. Here they
    are counted in the order in which they stand in the model, anew inside each model or layer that has layers of its
    own: `conv2d`, `conv2d_1`, `sequential/conv2d`. Names that somebody chose are kept. A layer that stands at several
    places has the name of the outermost.

    Args:
        model: Any Keras model, also one that is a class, or a layer.

    Returns:
        The layers by their names, outer before inner.

    Example:
        >>> layers = [keras.layers.Conv2D(4, 3), keras.layers.Conv2D(4, 3), keras.layers.Dense(2, name="logits")]
        >>> list(layer_names(keras.Sequential([*layers, keras.layers.Dense(2)])))
        ['conv2d', 'conv2d_1', 'logits', 'dense']
    """
    found: dict[str, keras.layers.Layer] = {}
    _collect(model, "", found, {id(model)})
    return found


def named_layer(model: keras.Model, name: str) -> tuple[str, keras.layers.Layer]:
    """The layer that somebody means by `name`, with its name between runs.

    Args:
        model: Any Keras model.
        name: What Keras calls the layer, alone or as "outer/inner", or its name in `layer_names`; where these are two
            layers, the one that Keras calls so.

    Example:
        >>> model = keras.Sequential([keras.layers.Conv2D(4, 3), keras.layers.Dense(2, name="logits")])
        >>> named_layer(model, "logits")[1] is model.layers[1]
        True
    """
    layers = layer_names(model)
    try:
        wanted = find_layer(model, name)
    except ValueError:
        if name not in layers:
            raise
        wanted = layers[name]
    return next((stable, layer) for stable, layer in layers.items() if layer is wanted)


def path_and_name(model: keras.Model, layer: keras.layers.Layer) -> tuple[str, str]:
    """The path by which `kerasdl.visualization` finds a layer, and its name in `layer_names`.

    Args:
        model: Any Keras model.
        layer: One of its layers, also one inside another.

    Example:
        >>> model = keras.Sequential([keras.layers.Conv2D(4, 3), keras.layers.Dense(2, name="logits")])
        >>> path_and_name(model, model.layers[1])
        ('logits', 'logits')
    """
    path = next(path for path, each in all_layers(model) if each is layer)
    return path, next(name for name, each in layer_names(model).items() if each is layer)


def layer_weights(model: keras.Model, *, trainable: bool = False) -> dict[str, list[keras.Variable]]:
    """The weights of each layer that has some of its own, each weight with the innermost layer that holds it.

    Those of the only cell of a recurrent layer are the layer's.

    Args:
        model: A model that is built.
        trainable: True leaves out what is not trained.

    Returns:
        The weights by the layer's name as `layer_names` has it; those of the model itself are called "model".

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), keras.layers.BatchNormalization()])
        >>> {name: len(weights) for name, weights in layer_weights(model).items()}
        {'dense': 2, 'batch_normalization': 4}
    """
    layers = layer_names(model)
    owners = {id(weight): "model" for weight in model.weights}
    for name, layer in layers.items():
        # Outer before inner: the last one stays.
        owners |= {id(weight): without_cell(name, layers) for weight in layer.weights}
    found: dict[str, list[keras.Variable]] = {name: [] for name in ("model", *layers)}
    for weight in model.trainable_weights if trainable else model.weights:
        found[owners[id(weight)]].append(weight)
    return {name: weights for name, weights in found.items() if weights}


def without_cell(name: str, layers: dict[str, keras.layers.Layer]) -> str:
    """The name of a layer; for a cell that is a recurrent layer's only one, the name of that layer.

    Args:
        name: One of `layers`.
        layers: What `layer_names` gave.
    """
    outer = name.rpartition("/")[0]
    return outer if outer and getattr(layers[outer], "cell", None) is layers[name] else name


def _collect(parent: keras.layers.Layer, path: str, found: dict[str, keras.layers.Layer], seen: set[int]) -> None:
    inner = []
    for layer in _inside(parent):
        if id(layer) not in seen:
            seen.add(id(layer))
            inner.append(layer)
    own = [without_number(layer) for layer in inner]
    chosen = {layer.name for layer, kind in zip(inner, own, strict=True) if kind is None}
    taken: set[str] = set()
    for layer, kind in zip(inner, own, strict=True):
        name, number = kind or layer.name, 0
        # A model that is a class may have two layers of one chosen name; and somebody may have chosen "conv2d_1".
        while name in taken or (kind is not None and name in chosen):
            number += 1
            name = f"{kind or layer.name}_{number}"
        taken.add(name)
        found[path + name] = layer
        _collect(layer, f"{path}{name}/", found, seen)


def _inside(parent: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layers right inside a model or a layer."""
    if isinstance(parent, keras.Model):
        return list(parent.layers)
    inner: list[keras.layers.Layer] = []
    for value in vars(parent).values():
        several = value if isinstance(value, list | tuple) else [value]
        inner += [each for each in several if isinstance(each, keras.layers.Layer)]
    return inner


def without_number(thing: keras.layers.Layer | keras.Variable) -> str | None:
    """The name that Keras gave to a layer or a variable, without its number; None where somebody chose the name.

    Args:
        thing: A layer or a variable.
    """
    kind = _snake_case(type(thing).__name__)
    for prefix in _PREFIXES:
        if re.fullmatch(rf"{re.escape(prefix + kind)}(_\d+)?", thing.name):
            return prefix + kind
    return None


def _snake_case(name: str) -> str:
    """The name of a class as Keras begins the names of its layers: Conv2DTranspose is conv2d_transpose."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
