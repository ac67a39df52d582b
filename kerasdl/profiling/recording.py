"""Which layers a model calls, in which order, and how long what they give is needed."""

import contextlib
import dataclasses
import math
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf

from kerasdl.profiling.multiply_adds import count_multiply_adds, rule_for

# They give the numbers that they get, under another shape: no new memory.
_VIEWS = (keras.layers.Reshape, keras.layers.Flatten)


@dataclasses.dataclass
class Call:
    """One call of a layer that has no called layers inside."""

    layer: Any
    path: str
    inputs: list[Any]
    outputs: list[Any]
    multiply_adds: int | None


@contextlib.contextmanager
def recorded_calls(model: Any) -> Iterator[list[Call]]:
    """Notes every call of a layer or operation, in this thread, for as long as the block lasts.

    Keras has no hooks, and only in a functional model the calls could be read from its graph. So for a moment all
    layers call through this function; that reaches subclassed models, and layers inside of layers, too.

    Args:
        model: The model that will be called; its own name is left out of the paths.

    Yields:
        The list that fills with the calls.
    """
    calls: list[Call] = []
    open_calls: list[list[Any]] = []  # of each layer that is being called: itself, whether it has called others
    original, thread = keras.Operation.__call__, threading.get_ident()

    def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        # What happens inside a layer whose multiply-adds are counted as a whole is no call of its own.
        if threading.get_ident() != thread or (open_calls and rule_for(open_calls[-1][0])):
            return original(self, *args, **kwargs)
        if open_calls:
            open_calls[-1][1] = True
        open_calls.append([self, False])
        try:
            result = original(self, *args, **kwargs)
        finally:
            _, called_others = open_calls.pop()
        if not called_others:
            outer = [layer.name for layer, _ in open_calls if layer is not model]
            inputs, outputs = tensors_in((args, kwargs)), tensors_in(result)
            count = count_multiply_adds(self, [shape_of(t, self) for t in inputs], [shape_of(t, self) for t in outputs])
            calls.append(Call(self, "/".join([*outer, self.name]), inputs, outputs, count))
        return result

    keras.Operation.__call__ = noted
    try:
        yield calls
    finally:
        keras.Operation.__call__ = original


def tensors_in(structure: Any) -> list[Any]:
    """The tensors in nested lists and dictionaries, in order.

    Args:
        structure: Anything.
    """
    return [part for part in keras.tree.flatten(structure) if tf.is_tensor(part)]


def shape_of(tensor: Any, layer: Any) -> tuple[int, ...]:
    """The shape, which must be known.

    Args:
        tensor: A tensor of a graph.
        layer: Where it belongs, for the message.
    """
    if not tensor.shape.is_fully_defined():
        raise ValueError(
            f"Every shape must be known before the model runs. Received: layer {layer.name!r} with a tensor of shape "
            f"{tensor.shape}, whose size depends on the values."
        )
    return tuple(tensor.shape)


def bytes_of(tensor: Any) -> int:
    """How much memory the tensor's numbers take.

    Args:
        tensor: A tensor of known shape.
    """
    return math.prod(tensor.shape) * tensor.dtype.size


class Liveness:
    """From when to when each output is needed, where the calls happen one after the other and none in place.

    Args:
        calls: The recorded calls, in order.
        inputs: The model's inputs.
        outputs: The model's outputs, needed to the end.
    """

    def __init__(self, calls: list[Call], inputs: Iterable[Any], outputs: Iterable[Any]) -> None:
        self._buffers: dict[Any, int] = {}  # which buffer a tensor lies in
        self.sizes: list[int] = []
        self._spans: list[list[int]] = []
        self.new_bytes: list[int] = []  # what each call adds
        for tensor in inputs:
            self._add(tensor, 0)
        for now, call in enumerate(calls):
            for buffer in self._sources(call.inputs):
                self._spans[buffer][1] = now
            total = sum(self.sizes)
            for tensor in call.outputs:
                if isinstance(call.layer, _VIEWS) and (sources := self._sources(call.inputs)):
                    self._buffers[tensor.ref()] = min(sources)
                elif tensor.ref() not in self._buffers:
                    self._add(tensor, now)
            self.new_bytes.append(sum(self.sizes) - total)
        for buffer in self._sources(outputs):
            self._spans[buffer][1] = len(calls)

    @property
    def total(self) -> int:
        """Inputs and all outputs together."""
        return sum(self.sizes)

    @property
    def peak(self) -> int:
        """The most that is needed at one time."""
        change: dict[int, int] = {}
        for size, (begin, end) in zip(self.sizes, self._spans, strict=True):
            change[begin] = change.get(begin, 0) + size
            change[end + 1] = change.get(end + 1, 0) - size
        needed = most = 0
        for now in sorted(change):
            needed += change[now]
            most = max(most, needed)
        return most

    def _add(self, tensor: Any, now: int) -> None:
        self._buffers[tensor.ref()] = len(self.sizes)
        self.sizes.append(bytes_of(tensor))
        self._spans.append([now, now])

    def _sources(self, tensors: Iterable[Any]) -> set[int]:
        """The buffers that tensors are computed from: their own, or through casts and the like those before."""
        found, seen, waiting = set(), set(), list(tensors)
        while waiting:
            tensor = waiting.pop()
            if tensor.ref() in self._buffers:
                found.add(self._buffers[tensor.ref()])
            elif tensor.ref() not in seen and hasattr(tensor, "op"):
                seen.add(tensor.ref())
                waiting += tensor.op.inputs
        return found
