"""Where a network's graph adds a branch to a shortcut, and what its branches are made of."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from kerasdl.visualization.probing import all_layers, find_layer

Way = tuple[str | None, str]  # The layer whose output is handed on (None: nothing is) in the place of the second's.


class Block(NamedTuple):
    """A part of a network that can be taken out.

    Attributes:
        name: What to call it.
        way: What is handed on in the place of what.
        layers: Paths of the layers that have weights.
        shape: What another block must agree in to change places with this one.
    """

    name: str
    way: Way
    layers: tuple[str, ...]
    shape: tuple


def residual_blocks(model: keras.Model) -> list[Block]:
    """Every branch that a graph adds to a shortcut: the shortcut is what has passed the fewest layers."""
    blocks = []
    for path, operations, before in _graphs(model):
        makers = _makers(operations)
        depths: dict[Any, int] = {}
        for each in operations:
            depths[each] = 1 + max((depths[other] for other in before[each] if other in depths), default=0)
            # By its class, for a sum written with a plus is no layer.
            terms = tf.nest.flatten(each.input) if type(each).__name__ == "Add" else []
            ends = [makers.get(id(term)) for term in terms]
            if len(ends) < 2 or None in ends or len({tuple(term.shape) for term in terms}) > 1:
                continue
            shortcut, *branches = sorted(ends, key=depths.__getitem__)
            for number, branch in enumerate(branches, start=1):
                if depths[branch] > depths[shortcut] and isinstance(branch, keras.layers.Layer):
                    name = each.name if len(branches) == 1 else f"{each.name}, branch {number}"
                    own = [one for one in operations if one in before[branch] - before[shortcut]]
                    blocks.append(_block(name, (None, path + branch.name), path, own))
    if not blocks:
        raise ValueError(
            f"Expected a model with residual blocks, where a graph adds a branch to a shortcut. Model {model.name!r} "
            "has none. Blocks of other networks are given as `blocks=[(before, last), ...]`, pairs of layers."
        )
    return blocks


def given_blocks(model: keras.Model, blocks: Sequence[tuple[str, str]]) -> list[Block]:
    """The layers behind `before` up to `last`, for each pair."""
    pairs = [tuple(pair) for pair in blocks]
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"`blocks` must be pairs of layers' names, (before, last). Received: {blocks!r}.")
    graphs = list(_graphs(model))
    found = []
    for pair in pairs:
        start, end = (find_layer(model, name) for name in pair)
        holding = [graph for graph in graphs if start in graph[2].get(end, ()) and start is not end]
        if not holding or isinstance(start, keras.layers.InputLayer) or start.output.shape != end.output.shape:
            raise ValueError(
                "In each pair of `blocks` the second layer must follow on the first in one graph and give the same "
                f"shape, and the first must not be the input. Received: {pair}."
            )
        path, operations, before = holding[0]
        own = [one for one in operations if one in before[end] - before[start]]
        found.append(_block(end.name, (path + start.name, path + end.name), path, own))
    return found


def _block(name: str, way: Way, path: str, operations: list) -> Block:
    layers = [each for each in operations if getattr(each, "weights", None)]
    shapes = [(type(layer).__name__, *(tuple(weight.shape) for weight in layer.weights)) for layer in layers]
    paths = tuple(path + layer.name for layer in layers)
    return Block(name, way, paths, (tuple(operations[-1].output.shape), tuple(shapes)))


def _graphs(model: keras.Model) -> Iterator[tuple[str, list, dict]]:
    """For the model and each one inside it that is a graph: the path to it, its operations, all those before each."""
    for path, graph in [("", model), *((f"{path}/", layer) for path, layer in all_layers(model))]:
        if isinstance(graph, keras.Sequential):
            operations = graph.layers
        elif isinstance(graph, keras.Model) and hasattr(graph, "operations"):
            operations = graph.operations
        else:
            continue
        makers = _makers(operations)
        before: dict[Any, set] = {}
        for each in operations:  # in the order in which they run
            parents = [makers[id(tensor)] for tensor in tf.nest.flatten(each.input) if id(tensor) in makers]
            before[each] = {each}.union(*(before[parent] for parent in parents if parent in before))
        yield path, operations, before


def _makers(operations: list) -> dict[int, Any]:
    """The operation that makes each tensor, under the tensor's id."""
    return {id(tensor): each for each in operations for tensor in tf.nest.flatten(each.output)}
