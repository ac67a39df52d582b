"""The small data set and network on which the training tests run, and the comparison with `model.fit`."""

import keras
import numpy as np
import tensorflow as tf

from kerasdl import layers, training


def batches(count=12, batch_size=8, seed=0, weights=False):
    random = np.random.default_rng(seed)
    images = random.normal(size=(count * batch_size, 6, 6, 2)).astype("float32")
    labels = (images[:, :3].mean((1, 2, 3)) > images[:, 3:].mean((1, 2, 3))).astype("int64")
    parts = (images, labels, random.random(len(labels)).astype("float32")) if weights else (images, labels)
    return tf.data.Dataset.from_tensor_slices(parts).batch(batch_size)


def network(**compile_arguments):
    """A little of everything that training touches: dropout, moving statistics, a regulariser, a seed."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((6, 6, 2))
    # Without a bias: behind it the normalisation leaves a gradient of rounding errors alone, which Adam makes large.
    x = keras.layers.Conv2D(4, 3, use_bias=False, kernel_regularizer=keras.regularizers.L2(0.01))(inputs)
    x = layers.FusedBatchNormalization()(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dropout(0.3, seed=1)(x)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax", dtype="float32")(x))
    arguments = {"optimizer": keras.optimizers.Adam(0.01), "loss": "sparse_categorical_crossentropy"}
    model.compile(**{**arguments, "metrics": ["accuracy"], **compile_arguments})
    return model


def assert_same_training(make, data, validation=None, tolerance=1e-6):
    theirs, ours = make(), make()
    expected = theirs.fit(data, validation_data=validation, epochs=3, verbose=0, shuffle=False).history
    history = training.fit(ours, data, validation_data=validation, epochs=3, verbose=0)
    assert history is ours.history
    assert list(history.history) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(history.history[name], values, rtol=tolerance, err_msg=name)
    for mine, stock in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, stock, rtol=tolerance, atol=tolerance)
