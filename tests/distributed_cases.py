"""What is trained on one device and on several alike; as a program: one worker, or one process of several devices.

python distributed_cases.py out.npz mirrored:3 plain heads ...
python -m kerasdl.training.launch --workers 2 distributed_cases.py out#.npz workers plain heads ...
"""

import contextlib
import os
import sys

import keras
import numpy as np
import tensorflow as tf

from kerasdl import layers, training
from kerasdl.training.replicas import Replicas
from kerasdl.training.shares import Share


def images(count=61, batch_size=10, seed=0, weights=False):
    """Six batches of ten, and one of a single row: fewer than there are replicas."""
    random = np.random.default_rng(seed)
    pixels = random.normal(size=(count, 6, 6, 2)).astype("float32")
    parts = (pixels, random.integers(0, 3, count), *((random.random(count).astype("float32"),) if weights else ()))
    return tf.data.Dataset.from_tensor_slices(parts).batch(batch_size)


def classifier(*, batch_norm=None, optimizer=None, loss=None, **compile_arguments):
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(4, 3, activation="relu", kernel_regularizer=keras.regularizers.L2(0.01))(inputs)
    x = (layers.FusedBatchNormalization(synchronized=True) if batch_norm is None else batch_norm)(x)
    x = keras.layers.Flatten()(x)
    model = keras.Model(inputs, keras.layers.Dense(3, dtype="float32")(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if loss is None else loss
    compile_arguments = {"metrics": ["accuracy"], **compile_arguments}
    model.compile(keras.optimizers.Adam(0.01) if optimizer is None else optimizer, loss, **compile_arguments)
    return model


def square_of_integers(y, outputs):
    """Fails where the labels come as the integers that they are: Keras makes them what the outputs are."""
    return tf.reduce_mean(tf.square(y - outputs), -1)


class Watched(keras.layers.Layer):
    """Counts what passes."""

    def __init__(self):
        super().__init__()
        self.mean = keras.metrics.Mean(name="passing")

    def call(self, inputs):
        self.mean.update_state(inputs)
        return inputs


def measuring_inside():
    model = keras.Sequential([keras.Input((6, 6, 2)), Watched(), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", square_of_integers)
    return model


def of_two_types():
    """Gradients of two types, which one message cannot carry."""
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Dense(4, "tanh", dtype="float64")(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3)(x))
    model.compile("sgd", cross_entropy("sum_over_batch_size"))
    return model


def two_heads(**compile_arguments):
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Flatten()(inputs)
    heads = {"main": keras.layers.Dense(3, name="main")(x), "side": keras.layers.Dense(3, name="side")(x)}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model = keras.Model(inputs, heads)
    model.compile(
        "sgd",
        {"main": loss, "side": loss},
        loss_weights={"main": 1, "side": 0.3},
        metrics={"main": ["accuracy"]},
        **compile_arguments,
    )
    return model


def tagger(loss):
    """Words of zero are masked, in other numbers in each row; the gradient of an embedding comes as rows."""
    inputs = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(7, 5, mask_zero=True)(inputs)
    x = keras.layers.LSTM(4, return_sequences=True)(x)
    model = keras.Model(inputs, keras.layers.Dense(3, dtype="float32")(x))
    model.compile(keras.optimizers.SGD(0.5, momentum=0.9), loss, weighted_metrics=["accuracy"])
    return model


def sentences(weights=False):
    random = np.random.default_rng(1)
    words = random.integers(1, 7, (33, 8)) * (np.arange(8) < random.integers(1, 9, (33, 1)))
    parts = (words, random.integers(0, 3, (33, 8)), *((random.random((33, 8)).astype("float32"),) if weights else ()))
    return tf.data.Dataset.from_tensor_slices(parts).batch(8)


def of_two_heads(data):
    return data.map(lambda x, y: (x, {"main": y, "side": 2 - y}))


def in_policy(policy, make):
    def made():
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            return make()
        finally:
            keras.config.set_dtype_policy(before)

    return made


def cross_entropy(reduction):
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)


def averaging():
    return keras.optimizers.AdamW(0.01, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=5, clipnorm=0.5)


def accumulating():
    return keras.optimizers.Adam(0.01, gradient_accumulation_steps=2, global_clipnorm=1.0)


def stopping():
    return [
        keras.callbacks.ReduceLROnPlateau("val_loss", patience=1, min_delta=0.5),
        keras.callbacks.EarlyStopping("val_loss", patience=2, min_delta=0.5),
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
    ]


# Model, data and what `fit` gets besides.
CASES = {
    "plain": (classifier, images, lambda: {"validation_data": images(25, 4, seed=1), "clip_norm": 1.0}),
    "heads": (
        two_heads,
        # Filtered, so that nobody knows how many there are.
        lambda: of_two_heads(images()).filter(lambda x, y: True),
        lambda: {"validation_data": of_two_heads(images(25, 4, seed=1)), "steps_per_call": 3},
    ),
    "weights": (
        lambda: classifier(weighted_metrics=["accuracy", keras.metrics.MeanMetricWrapper(cross_entropy("none"))]),
        lambda: images(weights=True),
        lambda: {"steps_per_call": 1},
    ),
    "attack": (
        classifier,
        images,
        lambda: {"attack": lambda model, x, y: x + 0.1 * tf.sign(tf.cast(y, x.dtype)[:, None, None, None] - 1)},
    ),
    "averaging": (lambda: classifier(optimizer=averaging()), images, dict),
    "accumulating": (lambda: classifier(optimizer=accumulating()), images, lambda: {"clip_norm": 0.7}),
    "callbacks": (classifier, images, lambda: {"validation_data": images(25, 4, seed=1), "callbacks": stopping()}),
    "eagerly": (lambda: two_heads(run_eagerly=True), lambda: of_two_heads(images(21)), dict),
    "measuring_inside": (measuring_inside, lambda: images().map(lambda x, y: (x, y[:, None])), dict),
    "of_two_types": (of_two_types, images, lambda: {"clip_norm": 1.0}),
    # No batch of a single row: there a regulariser would count for less.
    # One batch, after which the weights would part.
    "unsynchronized": (
        lambda: classifier(batch_norm=layers.FusedBatchNormalization()),
        lambda: images(12, 12),
        lambda: {"epochs": 1},
    ),
    "sum": (
        lambda: classifier(loss=cross_entropy("sum"), optimizer=keras.optimizers.SGD(0.01)),
        lambda: images(63),
        dict,
    ),
    "masked": (
        lambda: tagger(cross_entropy("sum_over_batch_size")),
        sentences,
        lambda: {"validation_data": sentences()},
    ),
    "masked_and_weighted": (
        lambda: tagger(cross_entropy("mean_with_sample_weight")),
        lambda: sentences(weights=True),
        lambda: {"validation_data": sentences(weights=True)},
    ),
    # By plain descent, which does not blow up a gradient that is next to nothing, as Adam does.
    "mixed_bfloat16": (in_policy("mixed_bfloat16", lambda: classifier(optimizer="sgd")), lambda: images(68), dict),
    # No batch of a single row, whose large gradients make one device, but not several, lower the scale of the loss.
    "mixed_float16": (
        in_policy("mixed_float16", lambda: classifier(optimizer="sgd")),
        lambda: images(68),
        lambda: {"validation_data": images(25, 4)},
    ),
}


def train(case, strategy=None):
    """The history and the weights after three epochs, in one flat dictionary."""
    make, data, arguments = CASES[case]
    keras.utils.set_random_seed(3)
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        model = make()
    history = training.fit(model, data(), **{"epochs": 3, "verbose": 0, **arguments()}).history
    weights = {f"weight {index}": value for index, value in enumerate(model.get_weights())}
    state = {f"optimizer {index}": value.numpy() for index, value in enumerate(model.optimizer.variables)}
    return {**history, **weights, **state}


def dropped(strategy):
    """The masks that the replicas draw for their rows, and the state of the generator afterwards."""
    replicas = Replicas(strategy)
    with strategy.scope():
        model = keras.Sequential([keras.Input((50,)), keras.layers.Dropout(0.5, seed=7)])

    def draw():
        share = Share(tf.ones((4 * replicas.count, 50)), replicas)
        with share.own_random_numbers(model):
            return model(share.of(tf.ones((4 * replicas.count, 50))), training=True)

    masks = strategy.experimental_local_results(tf.function(strategy.run, autograph=False)(draw))
    return {"masks": np.stack(masks), "state": model.layers[-1].seed_generator.state.numpy()}


def main(out, kind, *cases):
    tf.config.threading.set_intra_op_parallelism_threads(1)
    if kind == "workers":
        strategy = training.strategy()
        out = out.replace("#", str(strategy.cluster_resolver.task_id))
    else:
        count = int(kind.removeprefix("mirrored:"))
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
        strategy = tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(count)])
    results = {}
    for case in cases:
        found = dropped(strategy) if case == "dropped" else train(case, strategy)
        results |= {f"{case}|{name}": value for name, value in found.items()}
    np.savez(out, **results)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main(*sys.argv[1:])
