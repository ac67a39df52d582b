"""The scopes of a graph, called as the layers are called in every run."""

import re
from typing import Any

import keras

from kerasdl.callbacks.layer_names import layer_names

_NUMBERED = re.compile(r"(.+?)_(\d+)")


def with_plain_names(graph: Any, model: keras.Model) -> Any:
    """The graph with layers called what they are called in every run, as a GraphDef; it is the same object.

    Keras opens the scope of a layer twice, to build it and to call it, so that all is in `conv_1` and nothing in
    `conv`; and it counts the layers that a process has made. Here the first call of a layer is `conv`, the next
    `conv_1`.

    Args:
        graph: A GraphDef in which the model was called.
        model: The model.
    """
    renamed = _new_names([node.name for node in graph.node], _layers(model))
    for node in graph.node:
        node.name = renamed[node.name]
        for index, source in enumerate(node.input):
            mark = "^" if source.startswith("^") else ""
            name, colon, output = source.removeprefix("^").partition(":")
            node.input[index] = f"{mark}{renamed[name]}{colon}{output}"
        places = node.attr["_class"].list.s if "_class" in node.attr else []
        for index, place in enumerate(places):
            places[index] = b"loc:@" + renamed[place.removeprefix(b"loc:@").decode()].encode()
    return graph


def _layers(model: keras.Model) -> dict[str, str]:
    """What Keras calls each layer, and the optimizer, with the name that it has in every run."""
    names = {model.name: model.name}
    if model.optimizer is not None:
        # Its scope is opened once, but Keras counts optimizers too.
        kind = re.sub(r"_\d+$", "", model.optimizer.name)
        names[kind] = kind
    for stable, layer in layer_names(model).items():
        names.setdefault(layer.name, stable.rpartition("/")[2])
    return names


def _new_names(names: list[str], layers: dict[str, str]) -> dict[str, str]:
    """The new name of each node and scope; in the order in which they were made, for the first call comes first."""
    inside: dict[str, set[str]] = {}
    for name in names:
        parts = name.split("/")
        for depth, own in enumerate(parts):
            inside.setdefault("/".join(parts[:depth]), set()).add(own)

    def plain(own: str) -> str | None:
        match = _NUMBERED.fullmatch(own)
        return layers.get(match[1]) if match else None

    # What is no call of a layer keeps its name, and no layer may take it.
    taken = {scope: {own for own in owns if plain(own) is None} for scope, owns in inside.items()}
    renamed = {"": ""}
    for name in names:
        parts = name.split("/")
        for depth, own in enumerate(parts):
            scope, full = "/".join(parts[:depth]), "/".join(parts[: depth + 1])
            if full in renamed:
                continue
            base = plain(own)
            new, number = base or own, 0
            while base is not None and new in taken[scope]:
                number += 1
                new = f"{base}_{number}"
            taken[scope].add(new)
            renamed[full] = f"{renamed[scope]}/{new}".removeprefix("/")
    return renamed
