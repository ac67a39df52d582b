"""Every lesson, as its readers run it: by its command, and as a notebook."""

import json
import math
import os
import runpy
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kerasdl.tutorials import catalogue, export

pytestmark = pytest.mark.slow
every_lesson = pytest.mark.parametrize("lesson", catalogue.lessons(), ids=lambda lesson: lesson.name)


def _scalars(log_dir, tag):
    events = EventAccumulator(str(log_dir), size_guidance={"tensors": 0})
    events.Reload()
    return [float(np.frombuffer(event.tensor_proto.tensor_content, "float32")[0]) for event in events.Tensors(tag)]


def _look_at(figures):
    pictures = sorted(figures.glob("*.png"))
    assert pictures
    for path in pictures:
        with PIL.Image.open(path) as picture:
            grey = np.asarray(picture.convert("L"))
        assert min(grey.shape) >= 200
        assert grey.min() < 100 < 200 < grey.max(), f"{path.name} is blank"


@every_lesson
def test_a_quick_run_leaves_metrics_figures_and_logs(lesson, tmp_path):
    command = [sys.executable, "-m", f"kerasdl.tutorials.{lesson.name}", "--quick", "--out", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Warning" not in ended.stderr
    record = json.loads((tmp_path / "metrics.json").read_text())
    assert record["lesson"] == lesson.name
    assert record["arguments"]["quick"] is True
    assert record["metrics"]
    assert all(math.isfinite(value) for value in record["metrics"].values())
    for name in record["metrics"]:
        assert name in ended.stdout
    _look_at(tmp_path / "figures")
    assert list((tmp_path / "logs").rglob("events.out.tfevents.*"))


@every_lesson
def test_its_options_are_those_of_main(lesson, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [lesson.name, "--help"])
    # Without the module that importing the catalogue may have left, which Python would warn of.
    monkeypatch.delitem(sys.modules, f"kerasdl.tutorials.{lesson.name}", raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"kerasdl.tutorials.{lesson.name}", run_name="__main__", alter_sys=True)
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert lesson.question in " ".join(shown.split())
    for option in ("--data", "--epochs", "--out", "--quick"):
        assert option in shown
    assert f"runs/{lesson.name}" in shown


@every_lesson
def test_its_notebook_runs_from_top_to_bottom(lesson, tmp_path):
    program = [
        # Shows no pictures, but looks whether they are there.
        "import os, sys, types",
        "sys.modules['IPython'] = types.SimpleNamespace(version_info=(9, 0))",  # matplotlib asks for it
        "stub = types.ModuleType('IPython.display')",
        "stub.Image, stub.display = (lambda path: path), (lambda path: print('shown', os.path.getsize(path) > 0))",
        "sys.modules['IPython.display'] = stub",
    ]
    program += [source for kind, source in export.cells_of(lesson) if kind == "code"]
    quick = "\n\n".join(program).replace("\nquick = False\n", "\nquick = True\n")
    assert "\nquick = True\n" in quick
    ended = subprocess.run([sys.executable, "-"], input=quick, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "shown True" in ended.stdout
    _look_at(tmp_path / "runs" / lesson.name / "figures")


def test_lenet_reports_what_its_logs_say(tmp_path):
    from kerasdl.tutorials import lenet

    metrics = lenet.main(quick=True, out=tmp_path)
    assert metrics["lenet5_parameters"] == 60_000
    assert metrics["lenet5_modern_parameters"] == 61_706
    for name in ("lenet5", "lenet5_modern"):
        watched = _scalars(tmp_path / "logs" / name / "validation", "epoch_accuracy")
        assert metrics[f"{name}_accuracy"] == pytest.approx(np.mean(watched[-3:]), abs=1e-6)


def test_a_wrong_data_name_is_answered_in_one_line(tmp_path):
    command = [sys.executable, "-m", "kerasdl.tutorials.lenet", "--data", "fashion_sampel", "--out", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"})
    assert ended.returncode == 1
    last = ended.stderr.strip().split("\n")[-1]
    assert last.startswith("Error: ")
    assert "fashion_sample" in last
    assert "Traceback" not in ended.stderr
