"""Pictures and texts that a test reads back from TensorBoard's event files."""

import tensorflow as tf
from event_helpers import read_events


def read_images(log_dir, tag):
    """The pictures under a tag, as `{step: [pixels, ...]}`."""
    pictures = {}
    for event in read_events(log_dir):
        for value in event.summary.value:
            if value.tag == tag:
                # Width and height come first.
                pictures[event.step] = [tf.io.decode_png(png).numpy() for png in value.tensor.string_val[2:]]
    return pictures


def read_texts(log_dir, tag):
    """The texts under a tag, as `{step: text}`."""
    return {
        event.step: tf.make_ndarray(value.tensor).item().decode()
        for event in read_events(log_dir)
        for value in event.summary.value
        if value.tag == tag
    }
