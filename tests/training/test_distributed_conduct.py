"""Two workers where they differ: who writes, who stops whom, and what they say to data that are not the same."""

import json

import distributed_cases
import distributed_conduct
import keras
import numpy as np
import pytest

from kerasdl import training
from kerasdl.training.launch import run_workers

SAME_DATA = (
    "ValueError: Every worker must read the same batches in the same order, of which each takes its share: give "
    "`shuffle` and all else that is random in `data` a seed, and do not shard it. Received: "
)


@pytest.mark.slow
def test_two_workers_write_once_stop_together_and_refuse_alike(tmp_path):
    assert run_workers([distributed_conduct.__file__, str(tmp_path)], workers=2) == 0
    chief, other = (json.loads((tmp_path / f"worker{index}" / "found.json").read_text()) for index in (0, 1))
    check_callbacks(tmp_path, chief, other)
    # Seven steps of the first epoch and four of the second.
    assert chief["stopped"] == other["stopped"] == 11
    for found, batches in ((chief, 5), (other, 3)):
        assert found["other_order"] == f"{SAME_DATA}another first batch."
        assert found["other_length"] == f"{SAME_DATA}another number of batches, {batches} here."
        for case in ("later_order", "unknown_length", "no_batch"):
            assert found[case] == f"{SAME_DATA}other batches than another worker."
        assert found["rates"].startswith(
            "ValueError: The weights must stay the same on all workers: let a callback that changes the learning rate "
            "or the weights do so on each of them, by what all know. Received: weights of the absolute sum "
        )
        assert found["not_finite"] == (
            "FloatingPointError: The loss must stay finite. It became NaN or infinite at step 3 of epoch 1, which did "
            "not touch the trainable weights. Try a smaller learning rate or clip_norm=1.0, and look for NaN in the "
            "data."
        )
        assert found["weights_are_finite"]
        assert found["keras_backup"] == (
            "ValueError: Several workers must begin with the same epoch, and BackupAndRestore tells it to one of "
            "them: use `backup_dir` instead. Received: a BackupAndRestore among the callbacks."
        )
        assert found["resumed"]
        keras.utils.set_random_seed(3)
        x, y = next(distributed_cases.images().as_numpy_iterator())
        expected = training.make_train_step(distributed_cases.classifier(), clip_norm=1.0)(x[:7], y[:7])
        assert found["step"] == pytest.approx({name: float(value) for name, value in expected.items()}, rel=1e-5)


def check_callbacks(folder, chief, other):
    """Of both, the chief alone writes; what it wrote is the model that both have."""
    assert (chief["called"], other["called"]) == ([[0, 1], [0, 1]], [[0, 1], []])
    assert chief["files"] == ["last.weights.h5", "log.csv", "logs", "model.keras"]
    assert other["files"] == []
    assert chief["history"] == other["history"]
    saved = keras.models.load_model(folder / "worker0" / "model.keras").get_weights()
    reloaded = distributed_cases.classifier()
    reloaded.optimizer.build(reloaded.trainable_variables)
    reloaded.load_weights(folder / "worker0" / "last.weights.h5")
    for index in (0, 1):
        weights = list(np.load(folder / f"weights{index}.npz").values())
        for weight, of_model, of_weights in zip(weights, saved, reloaded.get_weights(), strict=True):
            np.testing.assert_array_equal(of_model, weight)
            np.testing.assert_array_equal(of_weights, weight)
