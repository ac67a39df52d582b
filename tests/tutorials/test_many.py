import dataclasses
import json
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kerasdl.tutorials import __main__ as main
from kerasdl.tutorials import catalogue, many
from kerasdl.tutorials.__main__ import app

GOOD = """
import json, pathlib, sys
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
(out / "metrics.json").write_text(json.dumps({"metrics": {"accuracy": 0.75, "quick": float("--quick" in sys.argv)}}))
"""
SLOW = """
import multiprocessing, os, signal, time
try:
    os.kill(multiprocessing.parent_process().pid, signal.SIGINT)
    print("begun", flush=True)
    time.sleep(0.5)
finally:
    print("all is in order")
"""
LATE = """
import json, multiprocessing, os, pathlib, signal, sys
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
(out / "metrics.json").write_text(json.dumps({"metrics": {"accuracy": 0.5}}))
print("all is done", flush=True)
os.kill(multiprocessing.parent_process().pid, signal.SIGINT)
sys.exit(130)
"""
BRANCH = """
import json, os, pathlib, sys
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
threads = len(os.listdir(f"/proc/{os.getppid()}/task"))
found = {"tensorflow": float("tensorflow" in sys.modules), "threads": float(threads)}
(out / "metrics.json").write_text(json.dumps({"metrics": found}))
"""
BAD = "print('all went well until')\nraise RuntimeError('[it] did not')\n"


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """Three lessons, of which the second fails, in a package of their own."""
    (tmp_path / "toys").mkdir()
    for name, program in (("a", GOOD), ("b", BAD), ("c", GOOD)):
        (tmp_path / "toys" / f"{name}.py").write_text(program)
    lessons = [catalogue.Lesson(name, Path(), f"Is it {name}?", {"Takes": "1 second"}, "", "") for name in "abc"]
    monkeypatch.setattr(catalogue, "lessons", lambda: lessons)
    monkeypatch.setattr(many, "__package__", "toys")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return lessons


def test_a_failed_lesson_does_not_stop_the_others(toys, tmp_path):
    results = list(many.run(toys, tmp_path / "out", quick=True))
    assert [result.lesson for result in results] == ["a", "b", "c"]
    assert [result.metrics for result in results] == [
        {"accuracy": 0.75, "quick": 1.0},
        {},
        {"accuracy": 0.75, "quick": 1.0},
    ]
    assert [result.error for result in results] == [None, "exit code 1: RuntimeError: [it] did not", None]
    assert all(0 < result.seconds < 60 for result in results)
    log = (tmp_path / "out" / "b" / "log.txt").read_text()
    assert log.startswith("all went well until\nTraceback")
    assert log.endswith("RuntimeError: [it] did not\n\nexit code 1\n")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each lesson imports TensorFlow for itself")
def test_lessons_branch_off_a_process_with_tensorflow_that_has_a_single_thread(toys, tmp_path):
    """With threads of TensorFlow or NumPy, what branches off may wait for ever for a lock that another thread had."""
    (tmp_path / "toys" / "a.py").write_text(BRANCH)
    [result] = many.run(toys[:1], tmp_path, quick=True)
    assert result.error is None, (tmp_path / "a" / "log.txt").read_text()
    assert result.metrics == {"tensorflow": 1.0, "threads": 1.0}


def test_the_command_ends_in_a_table_and_tells_of_failures_by_its_exit_code(toys):
    result = CliRunner().invoke(app, ["run"])
    assert result.exit_code == 1
    words = " ".join(result.stdout.replace("│", " ").split())
    lines = [" ".join(line.split()) for line in result.stdout.split("\n")]
    assert re.fullmatch(r"1/3 a \d+\.\d s ok", lines[0])
    assert re.fullmatch(r"2/3 b \d+\.\d s exit code 1: RuntimeError: \[it\] did not", lines[1])
    assert "a ok" in words
    assert "b failed" in words
    assert "exit code 1: RuntimeError: [it] did not" in words
    assert "accuracy 0.7500 quick 0" in words.replace("├", " ")
    assert "1 of 3 lessons failed. What they printed: runs/b/log.txt" in words


def test_of_many_metrics_the_first_ones_are_shown_and_the_way_to_the_others(toys, tmp_path):
    (tmp_path / "toys" / "a.py").write_text(GOOD.replace('"accuracy": 0.75', '"a": 1, "b": 0.25, "c": 3, "d": 4'))
    shown = CliRunner().invoke(app, ["run", "--out", "a b", "a"]).stdout
    cells = [line.split("│")[4].strip() for line in shown.splitlines() if line.count("│") == 5]
    assert cells == ["a 1", "b 0.2500", "c 3", "and 2 more"]
    assert shown.endswith("All metrics and pictures on a page: python -m kerasdl.tutorials report 'a b'\n")


def test_the_named_ones_run_quickly_into_the_named_folder(toys, tmp_path):
    result = CliRunner().invoke(app, ["run", "--quick", "--out", "elsewhere", "c", "a"])
    assert result.exit_code == 0
    assert not (tmp_path / "elsewhere" / "b").exists()
    for name in "ac":
        assert json.loads((tmp_path / "elsewhere" / name / "metrics.json").read_text())["metrics"]["quick"] == 1.0
    assert result.stdout.index("c ") < result.stdout.index("a ")
    warning = "Quick runs only show that the lessons work: their numbers mean nothing."
    assert result.stdout.endswith(f"\n{warning}\n")
    assert warning not in CliRunner().invoke(app, ["run", "a"]).stdout


def test_quick_results_do_not_take_the_place_of_others(toys):
    CliRunner().invoke(app, ["run", "a"])
    CliRunner().invoke(app, ["run", "--quick", "a"])
    metrics = [json.loads(Path(folder, "a/metrics.json").read_text())["metrics"] for folder in ("runs", "runs/quick")]
    assert [each["quick"] for each in metrics] == [0.0, 1.0]


def test_a_place_where_nothing_can_be_written_is_refused(toys):
    Path("file").touch()
    result = CliRunner().invoke(app, ["run", "--out", "file", "a"])
    assert result.exit_code == 1
    assert result.stderr == "Error: --out must be a folder one may write to. Received: file (File exists).\n"


def test_a_lesson_that_hears_an_interrupt_may_put_its_things_in_order(toys, tmp_path):
    (tmp_path / "toys" / "c.py").write_text(SLOW)
    with pytest.raises(KeyboardInterrupt):
        list(many.run(toys[2:], tmp_path, quick=True))
    assert (tmp_path / "c" / "log.txt").read_text() == "begun\nall is in order\n\ninterrupted\n"


def test_an_interrupt_after_the_results_leaves_them_whole(toys, tmp_path):
    (tmp_path / "toys" / "c.py").write_text(LATE)
    following = many.run([toys[2], toys[0]], tmp_path, quick=True)
    result = next(following)
    assert (result.lesson, result.metrics, result.error) == ("c", {"accuracy": 0.5}, None)
    with pytest.raises(KeyboardInterrupt):
        next(following)
    assert not (tmp_path / "a").exists()
    assert (tmp_path / "c" / "log.txt").read_text() == "all is done\n"
    # The results of an earlier run are not those of one that was stopped.
    (tmp_path / "toys" / "c.py").write_text(SLOW)
    with pytest.raises(KeyboardInterrupt):
        list(many.run(toys[2:], tmp_path, quick=True))
    assert (tmp_path / "c" / "log.txt").read_text().endswith("\ninterrupted\n")


def test_the_bar_is_as_long_as_the_lessons_take(toys):
    times = ["40 seconds on one core", "4 minutes on one core, more with --full", "about a minute on 2 cores"]
    lessons = [dataclasses.replace(toy, facts={"Takes": takes}) for toy, takes in zip(toys, times, strict=True)]
    assert [lesson.seconds for lesson in lessons] == [40.0, 240.0, 60.0]
    assert main._progress(lessons, quick=False).tasks[0].total == 340.0
    assert main._progress(lessons, quick=True).tasks[0].total == 3.0


def test_an_interrupt_says_how_far_it_came(toys, monkeypatch):
    def run(chosen, out, *, quick):
        yield many.Result("a", 1.0, {}, None)
        raise KeyboardInterrupt

    monkeypatch.setattr(many, "run", run)
    result = CliRunner().invoke(app, ["run"])
    assert result.exit_code == 130
    assert CliRunner().invoke(app, ["run", "a"]).stdout.endswith("\nStopped after 1 of 1 lessons.\n")
    assert result.stdout.strip().split("\n")[-1] == "Stopped at b, after 1 of 3 lessons."
