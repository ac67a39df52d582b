"""Real workers, which train together: what becomes of the result when one is killed, and when all are interrupted."""

import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytestmark = pytest.mark.slow
PATIENCE = 600  # seconds; the longest takes a quarter of a minute, beside other tests more

PROGRAM = '''
import json, os, pathlib, signal, sys, time
import keras
import numpy as np
import tensorflow as tf
from kerasdl import training
from kerasdl.training.cluster import find_cluster

folder, troubled = pathlib.Path(sys.argv[1]), "trouble" in sys.argv
first, second = folder / "killed", folder / "interrupted"
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

class Trouble(keras.callbacks.Callback):
    """In the first life the second worker is killed; in the second one there is time to press Ctrl-C."""

    def get_state(self):
        return {}

    def set_state(self, state):
        pass

    def on_epoch_begin(self, epoch, logs=None):
        if not troubled:
            return
        if epoch == 3 and index == 1 and not first.exists():
            first.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if epoch == 4 and not second.exists() and first.exists():
            self.wait_for_ctrl_c()

    def wait_for_ctrl_c(self):
        """Training goes on where all have come here and each has heard it."""
        heard, handler = [], signal.getsignal(signal.SIGINT)
        signal.signal(signal.SIGINT, lambda *received: heard.append(handler(*received)))
        (folder / f"here.{index}").touch()
        while not heard:
            if len(list(folder.glob("here.*"))) == 3:
                second.touch()
            time.sleep(0.02)
        signal.signal(signal.SIGINT, handler)

history = training.fit(
    model, data, epochs=5, validation_data=data.take(2), callbacks=[Trouble()], verbose=0,
    backup_dir=folder / "backup", backup_every=4,
)
if index == 0:
    np.savez(folder / "weights.npz", *[np.array(w) for w in model.weights + model.optimizer.variables])
    (folder / "history.json").write_text(json.dumps(history.history))
'''


LAUNCH = ("-m", "kerasdl.training.launch", "--workers", "3", "--restarts", "1")


def start(tmp_path, name, *words, launch=LAUNCH):
    program, folder = tmp_path / "program.py", tmp_path / name
    program.write_text(PROGRAM)
    folder.mkdir(exist_ok=True)
    command = [sys.executable, *launch, str(program), str(folder), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def results(tmp_path, name):
    weights = np.load(tmp_path / name / "weights.npz")
    history = json.loads((tmp_path / name / "history.json").read_text())
    return {name: np.array(values) for name, values in history.items()}, [weights[key] for key in weights.files]


def test_one_of_three_is_killed_and_all_are_interrupted_and_the_result_is_the_undisturbed_one(tmp_path):
    for name, launch in (("alone", ()), ("three", LAUNCH)):
        _, said = (process := start(tmp_path, name, launch=launch)).communicate(timeout=PATIENCE)
        assert process.returncode == 0, said
    process = start(tmp_path, "troubled", "trouble")
    end = time.monotonic() + PATIENCE
    while not (tmp_path / "troubled" / "interrupted").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, said
    assert re.search(r"^launch: Worker 1 was killed by SIGKILL after \d+ s\.$", said, re.MULTILINE)
    assert said.count("launch: Starting all 3 again (restart 1 of 1).") == 1
    _, said = (process := start(tmp_path, "troubled", "trouble")).communicate(timeout=PATIENCE)
    assert process.returncode == 0, said

    alone, alone_weights = results(tmp_path, "alone")
    expected, weights = results(tmp_path, "three")
    history, found = results(tmp_path, "troubled")
    for name in expected:
        # A metric's sum goes into the backup, not each worker's part of it: taken up in the middle of an epoch the
        # parts are others, and their sum may differ in its last digit.
        np.testing.assert_allclose(history[name], expected[name], rtol=3e-7, err_msg=name)
        np.testing.assert_allclose(expected[name], alone[name], rtol=1e-5, err_msg=name)
    for one, other, single in zip(found, weights, alone_weights, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose(other, single, rtol=1e-4, atol=1e-5)


def test_three_workers_train_the_first_lesson_as_one_does(tmp_path):
    metrics = []
    for name, launch in (("one", ()), ("three", LAUNCH)):
        out = tmp_path / name
        command = [sys.executable, *launch, "-m", "kerasdl.tutorials.lenet", "--quick", "--out", str(out)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.count("Pictures and metrics are in") == 1
        assert len(list(out.rglob("events.out.tfevents.*"))) == 6  # of each network: training, validation, filters
        assert len(list((out / "figures").glob("*.png"))) == 5
        metrics.append(json.loads((out / "metrics.json").read_text())["metrics"])
    assert metrics[1] == pytest.approx(metrics[0], abs=0.005)
