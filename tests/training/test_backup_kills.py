"""A training that is killed again and again ends as one that never was."""

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

SCRIPT = Path(__file__).parent / "killed_training.py"
KINDS = {"batch": 25, "measured": 8, "piece": 200, "synchronised": 8, "renamed": 4, "clock": 1500}


def run(folder, kind="never", count=1):
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    return subprocess.run(
        [sys.executable, "-W", "error::UserWarning:kerasdl", str(SCRIPT), str(folder), kind, str(count)],
        env=environment,
        capture_output=True,
        text=True,
    )


def steps_shown(logs):
    """How often each tag is shown at each step, in the files of each run's folder."""
    shown = Counter()
    for path in logs.rglob("*tfevents*"):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                shown[str(path.parent.relative_to(logs)), value.tag, event.step] += 1
    return shown


@pytest.mark.slow
def test_a_training_that_is_killed_again_and_again_ends_as_if_it_never_was(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finished = run(whole)
    assert finished.returncode == 0, finished.stderr
    chance = random.Random(1)
    moments, kills = [], 0
    while True:
        kind = [*KINDS][len(moments) % len(KINDS)] if kills < 11 else "never"
        moments.append((kind, chance.randint(1, KINDS.get(kind, 1))))
        ended = run(killed, *moments[-1])
        print(moments[-1], ended.returncode, sorted(path.name for path in (killed / "backup").glob("backup-*")))
        assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
        if ended.returncode == 0:
            break
        kills += 1
    assert kills >= 10
    assert json.loads((killed / "history.json").read_text()) == json.loads((whole / "history.json").read_text())
    with np.load(whole / "weights.npz") as expected, np.load(killed / "weights.npz") as got:
        assert expected.files == got.files
        for name in expected.files:
            np.testing.assert_array_equal(got[name], expected[name])
    assert (killed / "table.csv").read_text() == (whole / "table.csv").read_text()
    expected, got = steps_shown(whole / "logs"), steps_shown(killed / "logs")
    assert set(got.values()) == {1}
    assert got == expected
