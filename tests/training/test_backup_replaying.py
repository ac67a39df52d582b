"""Data gone through again come as they came before, without reading more of them than must be."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.training.many_steps import fingerprint_of
from kerasdl.training.replaying import replay, what_moves_on


def numbers():
    return tf.data.Dataset.range(12)


def augmented():
    flip = keras.layers.RandomFlip(seed=1)
    images = tf.random.stateless_uniform((4, 3, 3, 1), (1, 2))
    return numbers().map(lambda x: flip(images, training=True))


def counted():
    count = tf.Variable(0, dtype=tf.int64)
    return numbers().map(lambda x: count.assign_add(x))


def drawn():
    generator = tf.random.Generator.from_seed(3)
    return numbers().map(lambda x: generator.normal([]))


def of_python():
    generator = np.random.default_rng(2)
    return tf.data.Dataset.from_generator(lambda: generator.random(5), output_signature=tf.TensorSpec((), tf.float64))


def through_a_function():
    twice = tf.function(lambda x: 2 * x)
    return numbers().shuffle(12, seed=1).map(lambda x: twice(x))


def captured():
    outside = numbers().shuffle(12, seed=1)
    return tf.data.Dataset.range(3).flat_map(lambda index: outside.take(4))


KINDS = [
    (numbers, "nothing"),
    (lambda: numbers().cache().batch(3).prefetch(2), "nothing"),
    (lambda: numbers().shuffle(12, seed=1).batch(3), "beginning"),
    (lambda: numbers().shuffle(12, seed=1).map(lambda x: x).shuffle(5, seed=2), "beginning"),
    (lambda: numbers().cache().shuffle(12, seed=1).batch(3).prefetch(2), "beginning"),
    (lambda: numbers().shuffle(12, seed=1).interleave(lambda x: tf.data.Dataset.range(x, x + 2)), "beginning"),
    (lambda: tf.data.Dataset.random(seed=5, rerandomize_each_iteration=True).take(9), "beginning"),
    (lambda: tf.data.Dataset.zip(numbers().shuffle(12, seed=1), numbers().shuffle(12, seed=2)), "beginning"),
    (through_a_function, "beginning"),
    (lambda: numbers().shuffle(12, seed=1).repeat(2), "batches"),
    (lambda: numbers().shuffle(12, seed=1).concatenate(numbers().shuffle(12, seed=2)), "batches"),
    (lambda: numbers().shuffle(12, seed=1).batch(3).shuffle(4, seed=2).cache().shuffle(4, seed=3), "batches"),
    (captured, "batches"),
    (augmented, "batches"),
    (counted, "batches"),
    (drawn, "batches"),
    (of_python, "batches"),
]


def taken(data):
    return [tf.nest.map_structure(lambda part: part.numpy().tolist(), element) for element in data]


@pytest.mark.parametrize(("make", "moves_on"), KINDS)
def test_the_next_epoch_is_the_one_that_would_have_come(make, moves_on):
    data = make()
    epochs = [taken(data) for _ in range(3)]
    again = make()
    assert what_moves_on(again) == moves_on
    assert (epochs[2] == epochs[1]) == (moves_on == "nothing")
    first = replay(again, 2)
    assert taken(again) == epochs[2]
    if moves_on == "nothing":
        assert first is None
    else:
        second = make()
        taken(second)
        assert first == int(fingerprint_of(next(iter(second))))


def test_no_more_is_read_than_must_be():
    read = []
    data = numbers().map(lambda x: tf.py_function(lambda y: read.append(int(y)) or y, [x], tf.int64))
    replay(data, 2)
    assert read == [*range(12)] * 2  # What Python does may count.
    replay(data, 0)
    assert len(read) == 24
