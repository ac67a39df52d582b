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


def replay(data: tf.data.Dataset, epochs: int) -> int | None:
    """Lets `data` believe that it was gone through so many times.

    The seed of a shuffle moves on with every iterator. Where nothing else moves on, to take the first batch of each is
    enough (a shuffle below another one begins with it); otherwise all batches must be taken.

    Args:
        data: The batches, in which nobody has looked yet.
        epochs: How many times.

    Returns:
        The fingerprint of the first batch of the last time; None where the order is the same each time.
    """
    effort = what_moves_on(data) if epochs else "nothing"
    if effort == "nothing":
        return None
    for _ in range(epochs):
        iterator = iter(data)
        first = next(iterator, None)
        if effort == "batches":
            for _ in iterator:
                pass
    return None if first is None else int(fingerprint_of(first))


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
    return "batches" if any(part in name for name in names for part in _NOT_BEGUN_ONCE) else "beginning"


def _operations(data: tf.data.Dataset) -> set[str] | None:
    """The names of all operations of a data set's graph, also in the functions it maps; None where it has no graph."""
    try:
        text = tf.raw_ops.DatasetToGraphV2(
            input_dataset=tf.data.experimental.to_variant(data),
            external_state_policy=1,  # A state that is not written into the graph is no error.
        )
        graph: Any = tf.compat.v1.GraphDef.FromString(text.numpy())
    except Exception:
        return None  # Larger than a graph may be, or made of what cannot be written down.
    nodes = [node for function in graph.library.function for node in function.node_def]
    names = {node.op for node in nodes}
    # Outside of the functions an assignment only says what a variable is when the graph is loaded again.
    names |= {node.op for node in graph.node if node.op.endswith(("Dataset", "DatasetV2", "DatasetV3"))}
    return names or None
