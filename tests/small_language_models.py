"""Small language models of three letters that tests share."""

import keras
import tensorflow as tf

from kerasdl.sequences import language_model

LETTERS = ["a", "b", "c"]


def small(seed=0, letters=LETTERS, **options):
    keras.utils.set_random_seed(seed)
    return language_model(letters, **{"units": 5, "embedding": 3, **options})


def probabilities(model, text):
    """What the whole model, reading a text from its start, believes to come next."""
    return model(tf.constant([text])).numpy()[0, -1]
