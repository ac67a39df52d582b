"""Every lesson, as its readers run it: by its command, and as a notebook."""

import ast
import base64
import json
import math
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kerasdl.tutorials import catalogue, export, many

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


def _quick_run(lesson, out):
    """Folder of a quick run: a new one, or one of `run --quick`, whose OUT KERASDL_QUICK_RUNS names."""
    made = os.environ.get("KERASDL_QUICK_RUNS")
    # Not a run of the lesson as it was before.
    if made and (Path(made) / lesson.name / "metrics.json").stat().st_mtime >= lesson.path.stat().st_mtime:
        return Path(made) / lesson.name
    [result] = many.run([lesson], out, quick=True)
    assert result.error is None, (out / lesson.name / "log.txt").read_text()
    return out / lesson.name


def test_a_quick_run_of_the_lesson_as_it_was_before_is_not_looked_at(tmp_path, monkeypatch):
    lesson, made = catalogue.find("lenet"), tmp_path / "lenet" / "metrics.json"
    made.parent.mkdir()
    made.touch()
    monkeypatch.setenv("KERASDL_QUICK_RUNS", str(tmp_path))
    monkeypatch.setattr(many, "run", lambda *_, **__: [many.Result("lenet", 1.0, {}, None)])
    assert _quick_run(lesson, tmp_path / "new") == tmp_path / "lenet"
    os.utime(made, (1000, 1000))
    assert _quick_run(lesson, tmp_path / "new") == tmp_path / "new" / "lenet"


@every_lesson
def test_a_quick_run_leaves_metrics_figures_and_logs(lesson, tmp_path):
    folder = _quick_run(lesson, tmp_path)
    printed = (folder / "log.txt").read_text()
    assert "Traceback" not in printed
    assert "Warning" not in printed
    record = json.loads((folder / "metrics.json").read_text())
    assert record["lesson"] == lesson.name
    assert record["arguments"]["quick"] is True
    assert record["metrics"]
    assert all(math.isfinite(value) for value in record["metrics"].values())
    for name in record["metrics"]:
        assert name in printed
    _look_at(folder / "figures")
    assert list((folder / "logs").rglob("events.out.tfevents.*"))
    # Ten seconds on two cores, imports aside; they count double and more where others share the processor.
    assert record["seconds_of_computing"] <= 60


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


def test_jupyter_runs_a_notebook_and_shows_its_figures(tmp_path):
    reason = "Jupyter comes with the extra dev: pip install -e '.[dev]'"
    nbclient = pytest.importorskip("nbclient", reason=reason)
    pytest.importorskip("ipykernel", reason=reason)
    nbformat = pytest.importorskip("nbformat", reason=reason)
    path = export.write(catalogue.find("lenet"), tmp_path / "lenet.ipynb")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in cells:
        cell.source = cell.source.replace("\nquick = False\n", "\nquick = True\n")
    # Where a cell fails this raises what it said.
    nbclient.NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    shown = [output.get("data", {}).get("image/png", "") for cell in cells for output in cell.outputs]
    saved = {path.read_bytes() for path in (tmp_path / "runs" / "lenet" / "figures").glob("*.png")}
    assert {base64.b64decode(data) for data in shown} - {b""} == saved
    metrics = ast.literal_eval(cells[-1].outputs[-1].data["text/plain"])
    assert metrics["lenet5_parameters"] == 60_000


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
