"""Real workers, which train together: one of three is killed, and nothing of it is to be seen in the result."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import json, os, signal, sys
import keras
import numpy as np
import tensorflow as tf
from kerasdl import training
from kerasdl.training.cluster import find_cluster

folder, kills = sys.argv[1], "kill" in sys.argv
strategy, cluster = training.strategy(), find_cluster()
index = cluster.index if cluster else 0
keras.utils.set_random_seed(0)
random = np.random.default_rng(0)
x = random.normal(size=(110, 6)).astype("float32")
y = (x @ random.normal(size=(6, 3))).argmax(axis=1)
data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(110, seed=3).batch(20)  # the last batch has 10
with strategy.scope():
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(3, "softmax")]
    )
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])

class Death(keras.callbacks.Callback):
    def get_state(self):
        return {}

    def set_state(self, state):
        pass

    def on_epoch_begin(self, epoch, logs=None):
        marker = os.path.join(folder, "killed")
        if epoch == 3 and kills and index == 1 and not os.path.exists(marker):
            open(marker, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)

history = training.fit(
    model, data, epochs=5, validation_data=data.take(2), callbacks=[Death()], verbose=0,
    backup_dir=os.path.join(folder, "backup"), backup_every=4,
)
if index == 0:
    np.savez(os.path.join(folder, "weights.npz"), *[np.array(w) for w in model.weights + model.optimizer.variables])
    with open(os.path.join(folder, "history.json"), "w") as file:
        json.dump(history.history, file)
"""


def run(tmp_path, name, workers, *words):
    program, folder = tmp_path / "program.py", tmp_path / name
    program.write_text(PROGRAM)
    folder.mkdir()
    launch = [sys.executable, "-m", "kerasdl.training.launch", "--workers", str(workers), "--restarts", "1"]
    ended = subprocess.run([*launch, str(program), str(folder), *words], capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0, ended.stderr
    weights = np.load(folder / "weights.npz")
    history = json.loads((folder / "history.json").read_text())
    return ended, {name: np.array(values) for name, values in history.items()}, [weights[key] for key in weights.files]


def test_one_of_three_is_killed_and_the_result_is_the_undisturbed_one(tmp_path):
    _, alone, alone_weights = run(tmp_path, "alone", 1)
    undisturbed, expected, weights = run(tmp_path, "three", 3)
    assert "again" not in undisturbed.stderr
    killed, history, found = run(tmp_path, "killed", 3, "kill")
    assert re.search(r"^launch: Worker 1 was killed by SIGKILL after \d+ s\.$", killed.stderr, re.MULTILINE)
    assert "launch: Starting all 3 again (restart 1 of 1)." in killed.stderr
    for name in expected:
        np.testing.assert_array_equal(history[name], expected[name], err_msg=name)
        np.testing.assert_allclose(expected[name], alone[name], rtol=1e-5, err_msg=name)
    for one, other, single in zip(found, weights, alone_weights, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose(other, single, rtol=1e-4, atol=1e-5)
