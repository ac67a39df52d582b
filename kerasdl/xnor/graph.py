"""A Keras model as a list of calls: every layer that is called, on which values, in an order in which they can run."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import keras

from kerasdl.xnor.inputs import inputs_of


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """What goes from call to call.

    Args:
        name: An address, unique in the graph.
        shape: The batch first, None where a size is not known before.
        dtype: Such as "float32".
    """

    name: str
    shape: tuple[Any, ...]
    dtype: str


@dataclasses.dataclass(eq=False)
class Node:
    """One call of a layer, or of an operation of `keras.ops`.

    Args:
        name: The layer's name, behind those of the models that it is nested in, such as "encoder/conv1".
        layer: What is called.
        args: The call's arguments, with `Value`s in the place of tensors.
        kwargs: Those that were given by name.
        outputs: What comes out.
        shared: Whether the layer is called more than once.
        original: The layer of the model that `layer` has taken the place of, if it has.
        folded: The call of a batch normalisation that the layer does as well, once it is folded into its weights.
        split_off: Whether the model has no layer for it: the activation of a packed layer, or a change of dtype that
            a nested model makes of what it is given.
    """

    name: str
    layer: Any
    args: Any
    kwargs: dict[str, Any]
    outputs: tuple[Value, ...]
    shared: bool = False
    original: Any = None
    folded: Any = None
    split_off: bool = False

    @property
    def inputs(self) -> tuple[Value, ...]:
        """All values that it reads."""
        return tuple(leaf for leaf in keras.tree.flatten((self.args, self.kwargs)) if isinstance(leaf, Value))

    @property
    def stands_for(self) -> tuple[str, ...]:
        """The names of the model's layers that it is, if any."""
        if self.split_off:
            return ()
        return (self.name,) if self.folded is None else (self.name, self.folded.name)

    @property
    def float_bytes(self) -> int:
        """What the weights of these layers take in the model."""
        layers = [self.original or self.layer, *([] if self.folded is None else [self.folded.layer])]
        return sum(weight.value.dtype.size * math.prod(weight.shape) for layer in layers for weight in _weights(layer))

    @property
    def plain(self) -> bool:
        """Whether one value goes in and one comes out, and nothing else is said."""
        return len(self.args) == 1 and isinstance(self.args[0], Value) and not self.kwargs and len(self.outputs) == 1

    @property
    def source(self) -> Value:
        """The value that a plain node reads."""
        return self.args[0]

    @property
    def output(self) -> Value:
        """The value that a plain node gives."""
        return self.outputs[0]


@dataclasses.dataclass(eq=False)
class Graph:
    """All calls of a model.

    Args:
        name: The model's name.
        inputs: In the order of `model.inputs`.
        outputs: In the order of `model.outputs`.
        nodes: Each behind those that it reads.
    """

    name: str
    inputs: list[Value]
    outputs: list[Value]
    nodes: list[Node]

    def producers(self) -> dict[Value, Node]:
        """Which node gives a value."""
        return {value: node for node in self.nodes for value in node.outputs}

    def readers(self) -> dict[Value, list[Node]]:
        """Which nodes read a value."""
        readers: dict[Value, list[Node]] = {value: [] for value in self.inputs}
        for node in self.nodes:
            readers.update({value: [] for value in node.outputs})
            for value in dict.fromkeys(node.inputs):
                readers[value].append(node)
        return readers


class _StandIn(keras.Operation):
    """Takes a layer's place while the graph is read, so that the model's own layers are not called once more."""

    def __init__(self, operation: Any) -> None:
        super().__init__(name=operation.name)
        self.operation = operation

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Only shapes are ever asked for."""
        return self.operation(*args, **kwargs)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """What the layer says."""
        return self.operation.compute_output_spec(*args, **kwargs)


def read_graph(model: keras.Model) -> Graph:
    """All calls of a functional or sequential model, with nested ones laid open.

    Args:
        model: A built model; it stays as it is.

    Example:
        >>> inputs = keras.Input((4,))
        >>> graph = read_graph(keras.Model(inputs, keras.layers.Dense(2, name="logits")(inputs)))
        >>> [(node.name, node.output.shape) for node in graph.nodes]
        [('logits', (None, 2))]
    """
    _check(model)
    reader = _Reader()
    inputs = [
        Value(f"input:{given.name}", tensor.shape, given.dtype)
        for given, tensor in zip(inputs_of(model), model.inputs, strict=True)
    ]
    outputs = reader.read(model, inputs, "")
    counts: dict[int, int] = {}
    for node in reader.nodes:
        counts[id(node.layer)] = counts.get(id(node.layer), 0) + 1
    for node in reader.nodes:
        node.shared = counts[id(node.layer)] > 1
    return Graph(model.name, inputs, outputs, reader.nodes)


class _Reader:
    """Collects the nodes of a model and of those within it."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.taken: set[str] = set()

    def read(self, model: keras.Model, inputs: list[Value], prefix: str) -> list[Value]:
        """Adds the model's nodes, and gives its outputs."""
        # Over the same tensors, but not compiled: cloning a compiled model makes its losses and metrics again.
        plain = keras.Model(model.inputs, model.outputs)
        tensors = [
            keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=f"input_{place}")
            for place, tensor in enumerate(plain.inputs)
        ]
        values = {id(tensor): value for tensor, value in zip(tensors, inputs, strict=True)}
        kept = list(tensors)  # An id is only its tensor's while that lives.

        def call(stand_in: Any, *args: Any, **kwargs: Any) -> Any:
            operation = getattr(stand_in, "operation", stand_in)
            results = stand_in(*args, **kwargs)
            flat = keras.tree.flatten(results)
            kept.extend(flat)
            kwargs = {key: value for key, value in kwargs.items() if not _says_nothing(key, value)}
            args, kwargs = keras.tree.map_structure(lambda leaf: values.get(id(leaf), leaf), (args, kwargs))
            name = self._free_name(prefix + operation.name)
            if has_graph(operation) and not kwargs and len(args) == 1 and _fits(operation, args[0]):
                outputs = self.read(operation, self._cast(operation, keras.tree.flatten(args[0]), name), f"{name}/")
            else:
                outputs = [
                    Value(name if len(flat) == 1 else f"{name}:{place}", tensor.shape, tensor.dtype)
                    for place, tensor in enumerate(flat)
                ]
                self.nodes.append(Node(name, operation, args, kwargs, tuple(outputs)))
            values.update({id(tensor): value for tensor, value in zip(flat, outputs, strict=True)})
            return results

        copy = keras.models.clone_model(plain, tensors, clone_function=_StandIn, call_function=call)
        return [values[id(tensor)] for tensor in copy.outputs]

    def _cast(self, model: keras.Model, given: list[Value], prefix: str) -> list[Value]:
        """What a nested model makes of its inputs first: numbers of the dtypes that it was built for."""
        cast = []
        for value, tensor in zip(given, model.inputs, strict=True):
            dtype = keras.backend.standardize_dtype(tensor.dtype)
            if value.dtype != dtype:
                source = keras.Input(batch_shape=value.shape, dtype=value.dtype)
                operation = keras.Model(source, keras.ops.cast(source, dtype)).operations[-1]
                result = Value(self._free_name(f"{prefix}/{dtype}"), value.shape, dtype)
                self.nodes.append(Node(result.name, operation, (value,), {}, (result,), split_off=True))
                value = result
            cast.append(value)
        return cast

    def _free_name(self, name: str) -> str:
        free, number = name, 1
        while free in self.taken:
            number += 1
            free = f"{name}#{number}"
        self.taken.add(free)
        return free


def has_graph(model: Any) -> bool:
    """Whether it is a built model made of a graph of layers, and not of Python code in a `call` of its own."""
    if not isinstance(model, keras.Model) or getattr(model, "inputs", None) is None:
        return False
    tensor = keras.Input((1,))
    functional = type(keras.Model(tensor, tensor))
    own = functional if isinstance(model, functional) else keras.Sequential
    return isinstance(model, own) and type(model).call is own.call


def held_layers(layer: Any) -> Iterator[keras.layers.Layer]:
    """The layer, and all that it holds: those of models and wrappers, and attributes of layers of one's own."""
    seen, waiting = set(), [layer]
    while waiting:
        known = waiting.pop()
        if id(known) in seen:
            continue
        seen.add(id(known))
        if isinstance(known, keras.layers.Layer):
            yield known
            waiting.extend(vars(known).values())
        elif isinstance(known, list | tuple | set):
            waiting.extend(known)
        elif isinstance(known, dict):
            waiting.extend(known.values())


def _weights(layer: Any) -> list[Any]:
    return list(getattr(layer, "weights", ()))


def _says_nothing(key: str, value: Any) -> bool:
    """Keras notes `training=False` of a dropout, and of a nested model `mask=None`, or None for each of its inputs."""
    return (key == "training" and value is False) or (
        key == "mask" and all(leaf is None for leaf in keras.tree.flatten(value))
    )


def _fits(model: keras.Model, given: Any) -> bool:
    """Whether the inputs come as the model was built with, so that Keras puts them into no other order or shape."""
    structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    values = keras.tree.flatten(given)
    if len(values) != len(model.inputs) or not all(isinstance(value, Value) for value in values):
        return False
    if len(values) > 1:
        try:
            keras.tree.assert_same_structure(keras.tree.lists_to_tuples(given), keras.tree.lists_to_tuples(structure))
        except (TypeError, ValueError):
            return False
    return all(len(value.shape) == len(tensor.shape) for value, tensor in zip(values, model.inputs, strict=True))


def _check(model: Any) -> None:
    """Refuses what has no graph, and says how it could get one."""
    if not isinstance(model, keras.Model):
        raise TypeError(
            "`model` must be a keras.Model with a graph of layers: keras.Model(inputs, outputs), keras.Sequential, or "
            f"a network of kerasdl.architectures. Received: {type(model).__name__}."
        )
    if isinstance(model, keras.Sequential) and getattr(model, "inputs", None) is None:
        raise ValueError(
            f"`model` must be built. Received: the sequential model {model.name!r}, whose inputs have no shape yet. "
            "Let it begin with keras.Input(shape), or call model.build((None, *shape)), and load or train its weights."
        )
    if not has_graph(model):
        raise ValueError(
            "`model` must be a graph of layers, as keras.Model(inputs, outputs) makes it: what a `call` of its own "
            f"does cannot be read. Received: {model.name!r} of the class {type(model).__name__}. Write it with the "
            "functional interface, and copy the weights with set_weights(get_weights())."
        )
