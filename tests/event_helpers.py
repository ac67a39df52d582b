"""What a test reads back from TensorBoard's event files."""

from pathlib import Path

import tensorflow as tf
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader


def read_events(log_dir):
    """All events in a folder and in those below it, as TensorBoard's own loader reads them."""
    return [event for path in sorted(Path(log_dir).rglob("*tfevents*")) for event in EventFileLoader(str(path)).Load()]


def read_steps(log_dir):
    """The steps at which each tag was written; the graph of a run has the tag "__run_graph__"."""
    steps = {}
    for event in read_events(log_dir):
        for value in event.summary.value:
            steps.setdefault(value.tag, []).append(event.step)
    return {tag: sorted(found) for tag, found in sorted(steps.items())}


def read_arrays(log_dir, plugin):
    """What was written for one page of TensorBoard, such as "scalars" or "histograms", as `{tag: {step: array}}`."""
    arrays, tags = {}, set()
    for event in read_events(log_dir):
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == plugin:
                tags.add(value.tag)  # Only the first of a tag says what it is.
            if value.tag in tags:
                arrays.setdefault(value.tag, {})[event.step] = tf.make_ndarray(value.tensor)
    return arrays


def read_scalars(log_dir):
    """The numbers of the scalars, as `{tag: {step: number}}`."""
    found = read_arrays(log_dir, "scalars")
    return {tag: {step: array.item() for step, array in steps.items()} for tag, steps in found.items()}


def read_graphs(log_dir):
    """The graphs of a run."""
    values = [value for event in read_events(log_dir) for value in event.summary.value if value.tag == "__run_graph__"]
    return [tf.compat.v1.GraphDef.FromString(value.tensor.string_val[0]) for value in values]
