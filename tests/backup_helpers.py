"""What the tests of backups share: data in a random order, a training that is cut off, and the comparison."""

import keras
import numpy as np
import tensorflow as tf
from training_helpers import batches, network

from kerasdl import training


def shuffled(count=6, **arguments):
    data = batches(count, **arguments).unbatch().shuffle(8 * count, seed=1).batch(8)
    return data.apply(tf.data.experimental.assert_cardinality(count))


class At(keras.callbacks.Callback):
    """Calls a function when a batch of an epoch is done, or a batch of its validation."""

    def __init__(self, epoch, batch, function, *, in_validation=False):
        super().__init__()
        self.place = epoch, batch
        self.function = function
        self.in_validation = in_validation

    def get_state(self):
        return {}

    def set_state(self, state):
        pass

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if not self.in_validation and (self.epoch, batch) == self.place:
            self.function()

    def on_test_batch_end(self, batch, logs=None):
        if self.in_validation and (self.epoch, batch) == self.place:
            self.function()


def crash():
    raise RuntimeError("power cut")


def fit(*callbacks, make=network, data=shuffled, epochs=3, **arguments):
    """A new model, trained on new data: what the same command does when it is started again."""
    model = make()
    arguments = {"validation_data": batches(2, seed=1), "verbose": 0, **arguments}
    training.fit(model, data(), epochs=epochs, callbacks=list(callbacks), **arguments)
    return model


def assert_same(model, other):
    """That two trainings have ended alike, bit for bit."""
    assert model.history.history == other.history.history
    assert model.history.epoch == other.history.epoch
    for mine, theirs in zip(model.variables, other.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    for mine, theirs in zip(model.optimizer.variables, other.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
