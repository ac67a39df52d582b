"""Data that come again as they came before: the earlier epochs' share in the order of this one."""

from typing import Any

import tensorflow as tf

from kerasdl.training.many_steps import fingerprint_of

# Operations that leave a trace for the next epoch: a variable is changed, or Python is asked.
_LEAVE_A_TRACE = ("Assign", "PyFunc", "Rng", "ResourceScatter", "Stateful")
# A call of a function, whose own operations are looked at as well.
_HARMLESS = ("StatefulPartitionedCall", "StatefulIf", "StatefulWhile")
_RANDOM_ORDER = ("Shuffle", "RandomDataset")
# In these, a data set may be begun later than the epoch, or several times within it.
_NOT_BEGUN_ONCE = ("RepeatDataset", "ShuffleAndRepeat", "ConcatenateDataset", "DirectedInterleave")


def replay(
    data: tf.data.Dataset, epochs: int, validation_data: tf.data.Dataset | None = None, validations: int = 0
) -> int | None:
    """Lets `data` believe that it was gone through so many times.

    The seed of a shuffle moves on with every iterator. Where nothing else moves on, to take the first batch of each is
    enough (a shuffle below another one begins with it); otherwise all batches must be taken.

    Args:
        data: The batches, in which nobody has looked yet.
        epochs: How many times.
        validation_data: What was measured on after each epoch; it may come from the same shuffle.
        validations: After how many epochs.

    Returns:
        The fingerprint of the first batch of the last time; None where the order is the same each time.
    """
    effort = what_moves_on(data) if epochs else "nothing"
    other = what_moves_on(validation_data) if validations and validation_data is not None else "nothing"
    first = None
    for epoch in range(epochs):
        first = _go_through(data, effort)
        if epoch < validations:
            _go_through(validation_data, other)
    return None if first is None else int(fingerprint_of(first))


def _go_through(data: Any, effort: str) -> Any:
    if effort == "nothing":
        return None
    iterator = iter(data)
    first = next(iterator, None)
    if effort == "batches":
        for _ in iterator:
            pass
    return first


def reads_ahead(data: tf.data.Dataset) -> bool:
    """Whether batches may be made before somebody asks for them.

    Args:
        data: A data set.
    """
    names = _operations(data)
    return names is None or any(part in name for name in names for part in ("Prefetch", "Parallel", "MapAndBatch"))


def what_moves_on(data: tf.data.Dataset) -> str:
    """What of an epoch the order of the next depends on: "nothing", its "beginning", or all of its "batches".

    Args:
        data: A data set.

    Example:
        >>> numbers = tf.data.Dataset.range(8)
        >>> what_moves_on(numbers), what_moves_on(numbers.shuffle(8)), what_moves_on(numbers.shuffle(8).repeat(2))
        ('nothing', 'beginning', 'batches')
    """
    names = _operations(data)
    if names is None:
        return "batches"
    if any(part in name for name in names - {*_HARMLESS} for part in _LEAVE_A_TRACE):
        return "batches"
    if not any(part in name for name in names for part in _RANDOM_ORDER):
        return "nothing"
    if any(part in name for name in names for part in _NOT_BEGUN_ONCE) or _keeps_an_order(data):
        return "batches"
    return "beginning"


def _keeps_an_order(data: tf.data.Dataset) -> bool:
    """Whether a cache is filled with what a shuffle gave, or a function begins a data set from outside of it."""
    graph = _graph(data)
    if graph is None:
        return True
    nodes = {node.name: node for node in graph.node}
    inner = [node for function in graph.library.function for node in function.node_def]
    if any("CacheDataset" in node.op for node in inner):
        return True
    if any(tf.variant.as_datatype_enum in node.attr["Targuments"].list.type for node in [*nodes.values(), *inner]):
        return True

    def is_below(name: str, seen: set[str]) -> bool:
        name = name.lstrip("^").partition(":")[0]
        if name in seen or name not in nodes:
            return False
        seen.add(name)
        if any(part in nodes[name].op for part in _RANDOM_ORDER):
            return True
        return any(is_below(below, seen) for below in nodes[name].input)

    return any("CacheDataset" in node.op and is_below(node.name, set()) for node in nodes.values())


def _graph(data: tf.data.Dataset) -> Any:
    """The graph of a data set; None where it has none."""
    try:
        text = tf.raw_ops.DatasetToGraphV2(
            input_dataset=tf.data.experimental.to_variant(data),
            external_state_policy=1,  # A state that is not written into the graph is no error.
        )
        graph: Any = tf.compat.v1.GraphDef.FromString(text.numpy())
    except Exception:
        return None  # Larger than a graph may be, or made of what cannot be written down.
    return graph


def _operations(data: tf.data.Dataset) -> set[str] | None:
    """The names of all operations of a data set's graph, also in the functions it maps; None where it has no graph."""
    graph = _graph(data)
    if graph is None:
        return None
    nodes = [node for function in graph.library.function for node in function.node_def]
    names = {node.op for node in nodes}
    # Outside of the functions an assignment only says what a variable is when the graph is loaded again.
    names |= {node.op for node in graph.node if node.op.endswith(("Dataset", "DatasetV2", "DatasetV3"))}
    return names or None
