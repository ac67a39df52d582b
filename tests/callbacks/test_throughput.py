"""The throughput that is written is what clocks of the test say."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from event_helpers import read_scalars

from kerasdl import training
from kerasdl.callbacks import ThroughputSummary, throughput


def batches(size=4, count=10):
    x = np.arange(count, dtype="float32")[:, None]
    return tf.data.Dataset.from_tensor_slices((x, 2 * x)).batch(size)


def network(**optimizer):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.001, **optimizer), "mse")
    return model


def clock(monkeypatch, seconds):
    """Lets TensorFlow's clock in the taps show these times, one after the other."""
    left = iter(seconds)
    monkeypatch.setattr(tf, "timestamp", lambda: tf.numpy_function(lambda: next(left), [], tf.float64))


@pytest.mark.parametrize("loop", ["model", "training"])
def test_taps_measure_from_the_first_question_to_the_last(monkeypatch, tmp_path, loop):
    # Asked for a batch and got it: 3 s, 2 s and 1 s of waiting, batches of 4, 4 and 2 examples.
    clock(monkeypatch, [100.0, 103.0, 104.0, 106.0, 110.0, 111.0])
    callback, model = ThroughputSummary(tmp_path), network()
    if loop == "training":
        training.fit(model, batches(), epochs=1, callbacks=callback, verbose=0)
    else:
        model.fit(callback.watch(batches()), callbacks=[callback], verbose=0, shuffle=False)
    expected = {
        "throughput/steps_per_second": 2 / 10,
        "throughput/step_milliseconds": 5000,
        "throughput/examples_per_second": 8 / 10,
        "throughput/waiting_share": (3 + 2) / 10,
    }
    assert read_scalars(tmp_path) == {tag: {0: pytest.approx(value)} for tag, value in expected.items()}


def test_one_batch_lasts_to_the_end_of_the_epoch(monkeypatch, tmp_path):
    clock(monkeypatch, [100.0, 103.0])
    monkeypatch.setattr(throughput, "time", types.SimpleNamespace(time=lambda: 112.0))
    callback = ThroughputSummary(tmp_path)
    training.fit(network(), batches(10), epochs=1, callbacks=callback, verbose=0)
    found = {tag: values[0] for tag, values in read_scalars(tmp_path).items()}
    assert found["throughput/step_milliseconds"] == pytest.approx(12_000)
    assert found["throughput/waiting_share"] == pytest.approx(0.25)
    assert found["throughput/examples_per_second"] == pytest.approx(10 / 12)


@pytest.mark.parametrize(
    ("optimizer", "calls"),
    [({}, 3), pytest.param({"gradient_accumulation_steps": 3}, 1, marks=pytest.mark.slow)],
)
def test_without_taps_the_hooks_measure_and_validation_does_not_count(monkeypatch, tmp_path, optimizer, calls):
    callback, model = ThroughputSummary(tmp_path), network(**optimizer)
    times = iter([50.0, 56.0])  # The epoch begins, the validation begins.
    monkeypatch.setattr(throughput, "time", types.SimpleNamespace(time=lambda: next(times)))
    model.fit(batches(), validation_data=batches(), callbacks=[callback], verbose=0, shuffle=False)
    assert int(model.optimizer.iterations) == calls
    expected = {"steps_per_second": 3 / 6, "step_milliseconds": 2000, "examples_per_second": 10 / 6}
    assert read_scalars(tmp_path) == {
        f"throughput/{name}": {0: pytest.approx(value)} for name, value in expected.items()
    }


def test_of_several_workers_no_metric_is_read(monkeypatch, tmp_path):
    """Each would have to take part in reading it, and a callback that writes is with the first alone."""
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", tf.distribute.Strategy)
    network().fit(batches(), callbacks=[ThroughputSummary(tmp_path)], verbose=0, shuffle=False)
    assert set(read_scalars(tmp_path)) == {"throughput/steps_per_second", "throughput/step_milliseconds"}


def test_a_model_that_counts_nothing_has_no_numbers(tmp_path):
    class Own(keras.Model):
        def train_step(self, data):
            return {"own": tf.constant(1.0)}

    model = Own()
    model.compile()
    model.build((None, 1))
    model.fit(batches(), callbacks=[ThroughputSummary(tmp_path)], verbose=0, shuffle=False)
    assert read_scalars(tmp_path) == {}


def test_the_rest_of_an_interrupted_epoch_is_left_out(tmp_path):
    class TakeUpAgain(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 0:
                callback.set_state({"is_in_epoch": True})

    callback = ThroughputSummary(tmp_path)
    training.fit(network(), batches(), epochs=3, callbacks=[callback, TakeUpAgain()], verbose=0)
    assert {tuple(values) for values in read_scalars(tmp_path).values()} == {(1, 2)}
    assert callback.get_state() == {"is_in_epoch": False}


def data_sets():
    rows = np.arange(24, dtype="float32").reshape(12, 2)
    table = tf.data.Dataset.from_tensor_slices(rows)
    ragged = tf.data.Dataset.range(12).map(lambda n: tf.range(n)).ragged_batch(5)
    return {
        "pairs": table.map(lambda x: (x, 2 * x)).batch(5),
        "dictionaries": table.map(lambda x: ({"one": x, "two": x + 1}, x)).batch(5),
        "no targets": table.map(lambda x: (x, None)).batch(5),
        "ragged": ragged,
        "sparse": table.map(tf.sparse.from_dense).batch(5),
        "shuffled": table.shuffle(12, seed=3).batch(5),
        "unknown length": table.filter(lambda x: x[0] > 3).batch(5),
        "endless": table.repeat().batch(5),
    }


@pytest.mark.parametrize("kind", data_sets())
def test_the_data_stay_what_they_are(kind, tmp_path):
    data, callback = data_sets()[kind], ThroughputSummary(tmp_path)
    watched = callback.watch(data_sets()[kind])
    assert watched.element_spec == data.element_spec
    assert watched.cardinality() == data.cardinality()
    for _ in range(2):  # A shuffled data set has another order in its second pass, and the same.
        for mine, theirs in zip(watched.take(3), data.take(3), strict=True):
            for part, other in zip(
                *(tf.nest.flatten(each, expand_composites=True) for each in (mine, theirs)), strict=True
            ):
                np.testing.assert_array_equal(part, other)
    if kind != "unknown length":
        assert callback._taps.read(until=0.0)["examples"] == (25 if kind == "endless" else 5 + 5 + 2 + 5 + 5)


def test_only_data_sets_have_taps(tmp_path):
    text = (
        r"^`data` must be a tf.data.Dataset of batches. For arrays use "
        r"tf.data.Dataset.from_tensor_slices\(\(x, y\)\).batch\(32\). Received: ndarray.$"
    )
    with pytest.raises(TypeError, match=text):
        ThroughputSummary(tmp_path).watch(np.zeros((3, 1)))
