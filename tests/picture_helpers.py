"""A callback called without a training, and the pictures and texts that it wrote into the event file."""

import numpy as np
import tensorflow as tf
from event_helpers import read_events


def see(callback, model, steps=(0,), spoil=False):
    """Calls the hooks of a training of these epochs; may make all weights "not a number" on the way."""
    callback.set_model(model)
    callback.on_train_begin()
    if spoil:
        model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    for step in steps:
        callback.on_epoch_end(step, {})
    callback.on_train_end()


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
