"""What is not packed, as Keras models of its own: as few as the order of the steps allows."""

from collections.abc import Iterable
from typing import Any

import keras

from kerasdl.xnor.graph import Graph, Node, Value, held_layers
from kerasdl.xnor.keras_part import KerasPart, give_weights
from kerasdl.xnor.steps import Step


def order_steps(graph: Graph, packed: list[Step], nodes: list[Node], reasons: dict[str, str]) -> list[Step]:
    """All steps in an order in which they can run, with the nodes that run in Keras put together.

    Args:
        graph: The model.
        packed: The steps of packed layers, in any order.
        nodes: The nodes that run in Keras, each behind those that it reads.
        reasons: Why they do, by name, where one could ask.
    """
    # Even levels are packed and odd ones are Keras': who reads a lower level may stand on any higher one.
    levels = {value.name: 0 for value in graph.inputs}
    ordered: dict[int, list[Any]] = {}
    waiting: list[Any] = [*packed, *nodes]
    while waiting:
        ready = [unit for unit in waiting if all(name in levels for name in _reads(unit))]
        for unit in ready:
            odd = isinstance(unit, Node)
            level = max((levels[name] for name in _reads(unit)), default=0)
            level += level % 2 != odd
            ordered.setdefault(level, []).append(unit)
            levels.update(dict.fromkeys(_writes(unit), level))
        done = set(map(id, ready))
        waiting = [unit for unit in waiting if id(unit) not in done]
    wanted = {name for step in packed for name in step.reads} | {value.name for value in graph.outputs}
    steps: list[Step] = []
    for level in sorted(ordered):
        if level % 2 == 0:
            steps.extend(ordered[level])
            continue
        group = [node for node in nodes if node in ordered[level]]
        others = [node for node in nodes if node not in group]
        elsewhere = wanted | {value.name for node in others for value in node.inputs}
        steps.append(_make_part(f"keras{level // 2 + 1}", group, elsewhere, reasons))
    return steps


def _reads(unit: Any) -> Iterable[str]:
    return [value.name for value in unit.inputs] if isinstance(unit, Node) else unit.reads


def _writes(unit: Any) -> Iterable[str]:
    return [value.name for value in unit.outputs] if isinstance(unit, Node) else unit.writes


def _make_part(name: str, nodes: list[Node], wanted: set[str], reasons: dict[str, str]) -> KerasPart:
    """One model of these nodes."""
    made = {value for node in nodes for value in node.outputs}
    sources = list(dict.fromkeys(value for node in nodes for value in node.inputs if value not in made))
    tensors: dict[Value, Any] = {
        value: keras.Input(batch_shape=(None, *value.shape[1:]), dtype=value.dtype, name=f"source{place}")
        for place, value in enumerate(sources)
    }
    copies: dict[int, Any] = {}
    taken = {f"source{place}" for place in range(len(sources))}
    for node in nodes:
        if id(node.layer) not in copies:
            copies[id(node.layer)] = _copy(node, _free_name(node.name, taken))
        args, kwargs = keras.tree.map_structure(
            lambda leaf: tensors[leaf] if isinstance(leaf, Value) else leaf, (node.args, node.kwargs)
        )
        layer = copies[id(node.layer)]
        results = keras.tree.flatten(layer(*args, **kwargs))
        tensors.update(zip(node.outputs, results, strict=True))
    for node in nodes:
        if isinstance(node.layer, keras.layers.Layer):
            give_weights(copies[id(node.layer)], node.layer.get_weights())
    outputs = [value for node in nodes for value in node.outputs if value.name in wanted]
    model = keras.Model([tensors[value] for value in sources], [tensors[value] for value in outputs], name=name)
    names = [known for node in nodes for known in node.stands_for]
    return KerasPart(
        name=name,
        layers=tuple(names),
        float_bytes=sum(node.float_bytes for node in {id(node.layer): node for node in nodes}.values()),
        sources=tuple(value.name for value in sources),
        outputs=tuple(value.name for value in outputs),
        model=model,
        reasons={known: reasons[known] for known in names if known in reasons},
    )


def _free_name(address: str, taken: set[str]) -> str:
    """A name that Keras allows for a layer, made of an address, and that no other layer of the part has."""
    name = address.replace("/", "_").replace("#", "_")
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _copy(node: Node, name: str) -> Any:
    """The layer again, with weights of its own, through the same configuration that a saved file would hold."""
    _check_vocabularies(node)
    try:
        config = keras.saving.serialize_keras_object(node.layer)
        config["config"]["name"] = name
        if isinstance(node.layer, keras.layers.IntegerLookup):
            config["config"].update(_vocabulary(node.layer))
        return keras.saving.deserialize_keras_object(config, safe_mode=True)
    except Exception as error:
        if isinstance(node.layer, keras.layers.Lambda):
            raise ValueError(
                f"The layer {node.name!r} (Lambda) must run in Keras, and no file can hold its code safely. Write it "
                "with operations of keras.ops in its place, or as a keras.layers.Layer with a get_config, under "
                "@keras.saving.register_keras_serializable(), and copy the weights."
            ) from error
        raise ValueError(
            f"The layer {node.name!r} ({type(node.layer).__name__}) has no packed form, and to run in Keras it must be "
            "one that can be saved and loaded, which it is not: give it a get_config, and put "
            "@keras.saving.register_keras_serializable() before its class. The reason: "
            f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
        ) from error


_LOOKUPS = (keras.layers.IntegerLookup, keras.layers.StringLookup, keras.layers.TextVectorization)


def _vocabulary(layer: keras.layers.IntegerLookup) -> dict[str, Any]:
    """What it has learnt, which is neither in its configuration nor in its weights."""
    if layer.output_mode == "tf_idf":
        return {}
    return {"vocabulary": [int(number) for number in layer.get_vocabulary(include_special_tokens=False)]}


def _check_vocabularies(node: Node) -> None:
    """Refuses words and numbers that a copy would not know."""
    for layer in held_layers(node.layer):
        copied = layer is node.layer and isinstance(layer, keras.layers.IntegerLookup) and _vocabulary(layer)
        if isinstance(layer, _LOOKUPS) and not copied and layer.get_config()["vocabulary"] is None:
            raise ValueError(
                f"The layer {layer.name!r} ({type(layer).__name__}) must have its vocabulary from where it was made, "
                "to run in Keras. Received: one that it has learnt with adapt. Make it with "
                "`vocabulary=layer.get_vocabulary(include_special_tokens=False)` (and `idf_weights`, for 'tf_idf'), "
                "or look up before the network."
            )
