"""The layers of a model by their addresses: those of models inside it and of layers inside layers too."""

import difflib
import weakref
from collections.abc import Iterator
from typing import Any

import keras

_KINDS: dict[type, str] = {}  # Every call looks through all attributes of all layers.


def all_layers(model: keras.layers.Layer, path: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """Every layer with its path, outer before inner: those of nested models, and those inside other layers."""
    if isinstance(model, keras.Model):
        inner = list(model.layers)
    else:
        inner = []
        for value in vars(model).values():
            kind = _KINDS.get(type(value)) or _kind(type(value))
            if kind == "layer":
                inner.append(value)
            elif kind == "several":
                inner += value
    seen: set[int] = set()
    for layer in inner:
        if isinstance(layer, keras.layers.Layer) and id(layer) not in seen:
            seen.add(id(layer))
            yield path + layer.name, layer
            yield from all_layers(layer, f"{path}{layer.name}/")


def _kind(of: type) -> str:
    is_layer, is_several = issubclass(of, keras.layers.Layer), issubclass(of, list | tuple)
    _KINDS[of] = "layer" if is_layer else "several" if is_several else "other"
    return _KINDS[of]


def find_layer(model: keras.Model, name: str) -> keras.layers.Layer:
    """The layer of that name, also one inside a nested model: by its name alone, or as "outer/inner"."""
    known = list(all_layers(model))
    # A whole path first: another layer may have this name inside a model that comes before.
    for names in ([path for path, _ in known], [layer.name for _, layer in known]):
        if name in names:
            return known[names.index(name)][1]
    names = list(dict.fromkeys(layer.name for _, layer in known))
    close = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5) or names[-3:]
    raise ValueError(
        f"`layer` must name a layer of model {model.name!r}. Received: {name!r}. The closest are: {', '.join(close)}."
    )


def structure(model: keras.Model) -> tuple[Any, ...]:
    """What a graph of the model is made of: equal as long as each layer is the same one, with the same activation."""
    marks: list[Any] = []
    for _, layer in all_layers(model):
        activation = getattr(layer, "activation", None)
        # References: what has gone may have left its place in memory to another one.
        marks += [weakref.ref(layer), None if activation is None else _mark(activation)]
    return tuple(marks)


def _mark(thing: Any) -> Any:
    try:
        return weakref.ref(thing)
    except TypeError:
        return id(thing)
