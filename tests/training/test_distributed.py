"""`training.fit` on several devices against the same training on one, in one process and in several."""

import subprocess
import sys
from pathlib import Path

import distributed_cases
import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.training.building import build_for
from kerasdl.training.launch import run_workers
from kerasdl.training.maths import make_update
from kerasdl.training.replicas import Replicas

PROGRAM = distributed_cases.__file__
# Half precision rounds the gradient of each replica before the sum.
TOLERANCES = {"mixed_float16": 1e-3, "mixed_bfloat16": 1e-3}
CASES = [case for case in distributed_cases.CASES if case != "unsynchronized"]


def run_mirrored(folder: Path, count: int, *cases: str) -> dict[str, np.ndarray]:
    out = folder / "mirrored.npz"
    subprocess.run([sys.executable, PROGRAM, out, f"mirrored:{count}", *cases], check=True, timeout=900)
    return dict(np.load(out))


def assert_as_on_one_device(case: str, results: dict[str, np.ndarray]) -> None:
    tolerance = TOLERANCES.get(case, 1e-5)
    for name, value in distributed_cases.train(case).items():
        found = results[f"{case}|{name}"]
        np.testing.assert_allclose(found, value, rtol=tolerance, atol=tolerance, err_msg=f"{case}: {name}")


@pytest.mark.slow
def test_three_devices_train_as_one(tmp_path):
    results = run_mirrored(tmp_path, 3, "plain", "unsynchronized")
    assert_as_on_one_device("plain", results)
    check_moving_statistics(results)


def test_three_devices_measure_as_one_and_drop_what_they_like(tmp_path):
    results = run_mirrored(tmp_path, 3, "measuring_inside", "dropped")
    assert_as_on_one_device("measuring_inside", results)
    # The first replica draws what one device draws for those rows; the others draw their own, and all go on as one.
    layer = keras.layers.Dropout(0.5, seed=7)
    first = layer(tf.ones((4, 50)), training=True).numpy()
    masks = results["dropped|masks"]
    np.testing.assert_array_equal(masks[0], first)
    for one, other in [(0, 1), (0, 2), (1, 2)]:
        assert 0.3 < np.mean(masks[one] == masks[other]) < 0.7
    np.testing.assert_array_equal(results["dropped|state"], layer.seed_generator.state.numpy())


def check_moving_statistics(results: dict[str, np.ndarray]) -> None:
    """Where each replica normalises by its own rows: the mean is that of all rows, the variance the mean of theirs."""
    keras.utils.set_random_seed(3)
    model = distributed_cases.classifier()
    (x, _), *_ = distributed_cases.images(12, 12)
    features = model.layers[1](x).numpy()
    mean = 0.01 * features.mean((0, 1, 2))
    variance = 0.99 + 0.01 * np.mean([part.var((0, 1, 2)) for part in np.split(features, 3)], axis=0)
    np.testing.assert_allclose(results["unsynchronized|weight 4"], mean, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(results["unsynchronized|weight 5"], variance, rtol=1e-6)


def test_the_parts_of_a_step_have_names():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        model = distributed_cases.measuring_inside()
    x, y = distributed_cases.images().map(lambda x, y: (x, y[:, None])).element_spec
    build_for(model, (x, y), replicas=Replicas(strategy))
    update = make_update(model, clip_norm=1.0, replicas=Replicas(strategy))
    graph = tf.function(lambda x, y: update(x, y, None), autograph=False).get_concrete_function(x, y).graph
    names = {operation.name.split("/")[0] for operation in graph.get_operations()}
    assert names >= {"share", "loss", "gradient_tape", "sums", "clipping", "optimizer", "metrics"}


@pytest.mark.slow
@pytest.mark.parametrize("inside", [True, False])
def test_a_strategy_of_one_device_trains_as_none(inside):
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope() if inside else tf.device("CPU:0"):
        results = distributed_cases.train("plain", strategy)
    assert_as_on_one_device("plain", {f"plain|{name}": value for name, value in results.items()})


@pytest.mark.slow
def test_two_devices_train_as_one_in_every_way(tmp_path):
    results = run_mirrored(tmp_path, 2, *CASES)
    for case in CASES:
        assert_as_on_one_device(case, results)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "cases"),
    [(2, ["heads", "accumulating", "masked", "mixed_float16"]), (3, ["callbacks"])],
)
def test_workers_train_as_one_process(tmp_path, count, cases):
    assert run_workers([PROGRAM, str(tmp_path / "worker#.npz"), "workers", *cases], workers=count) == 0
    first, *others = (dict(np.load(tmp_path / f"worker{index}.npz")) for index in range(count))
    for other in others:
        for name, value in first.items():
            np.testing.assert_array_equal(other[name], value, err_msg=name)
    for case in cases:
        assert_as_on_one_device(case, first)
