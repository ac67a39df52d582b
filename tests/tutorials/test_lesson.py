import json
import re
import subprocess
import sys
import time
from pathlib import Path

import keras
import pytest

from kerasdl.tutorials.lesson import argument_helps, command_line, lesson, number
from kerasdl.tutorials.wanted_data import needs


@lesson
def main(
    *, epochs: int = 3, data: str = "sample", fast_mode: bool = True, quick: bool = False, out: Path = Path("runs/x")
) -> dict[str, float]:
    """A lesson for these tests.

    Args:
        epochs: How often,
            counted from one.
        data: What happens: "stop", "bug", or nothing.
        fast_mode: Whether to hurry.
        quick: Whether to only show that it works.
        out: Where to.
    """
    if data == "stop":
        raise KeyboardInterrupt
    if data == "bug":
        raise ValueError("a bug")
    assert isinstance(out, Path)
    assert (out / "figures").is_dir()
    if data == "other":
        (out / "figures" / "same.png").write_text("new")
    return {"accuracy": 0.5, "parameters": 60000}


def _type(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["lesson", *words])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as end:
        command_line(main)
    return end.value.code


def test_the_metrics_are_written_with_all_one_needs_to_get_them_again(tmp_path):
    out = tmp_path / "my results"
    assert main(epochs=2, fast_mode=False, out=str(out)) == {"accuracy": 0.5, "parameters": 60000.0}
    record = json.loads((out / "metrics.json").read_text())
    assert record["lesson"] == "test_lesson"
    assert record["metrics"] == {"accuracy": 0.5, "parameters": 60000.0}
    assert record["arguments"] == {"epochs": 2, "data": "sample", "fast_mode": False, "quick": False, "out": str(out)}
    assert record["command"] == f"python -m kerasdl.tutorials.test_lesson --epochs 2 --no-fast-mode --out '{out}'"
    assert record["versions"]["keras"] == keras.__version__
    assert 0 <= record["seconds"] < 60


def test_computing_is_that_of_other_processes_too_but_no_waiting(tmp_path):
    @lesson
    def compute_and_wait(*, out):
        busy = "import time\nwhile time.process_time() < 0.4: pass"
        subprocess.run([sys.executable, "-S", "-c", busy], check=True)
        time.sleep(2)
        return {}

    compute_and_wait(out=tmp_path)
    record = json.loads((tmp_path / "metrics.json").read_text())
    assert record["seconds"] >= 2.4
    # Threads of other tests may compute as well: only with the seconds of waiting it is 2.4.
    assert 0.4 <= record["seconds_of_computing"] < 2.4


def test_a_run_that_succeeds_takes_the_place_of_an_earlier_one(tmp_path):
    main(out=tmp_path)
    (tmp_path / "logs" / "train").mkdir(parents=True)
    curve, checkpoint = tmp_path / "logs/train/events.out.tfevents.1", tmp_path / "logs/train/mine.keras"
    figures = [tmp_path / "figures" / name for name in ("same.png", "renamed.png", "notes.txt")]
    for path in (curve, checkpoint, *figures):
        path.write_text("old")
    with pytest.raises(ValueError, match=r"^a bug$"):
        main(data="bug", out=tmp_path)
    assert curve.read_text() == "old"
    assert figures[0].read_text() == "old"
    assert json.loads((tmp_path / "metrics.json").read_text())["arguments"]["data"] == "sample"
    main(data="other", out=tmp_path)
    assert not curve.exists()
    assert checkpoint.read_text() == "old"
    assert [path.exists() and path.read_text() for path in figures] == ["new", False, "old"]
    assert json.loads((tmp_path / "metrics.json").read_text())["arguments"]["data"] == "other"


@pytest.mark.parametrize("record", [None, "{", '{"lesson": "another"}'])
def test_logs_of_others_are_left_alone(tmp_path, record):
    if record is not None:
        (tmp_path / "metrics.json").write_text(record)
    curve = tmp_path / "logs/events.out.tfevents.1"
    curve.parent.mkdir()
    curve.write_text("somebody's")
    main(out=tmp_path)
    assert curve.read_text() == "somebody's"


def test_of_several_workers_only_the_chief_keeps_its_results(tmp_path, monkeypatch):
    for index, kept in ((1, []), (0, ["figures", "metrics.json"])):
        config = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": index}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(config))
        assert main(out=tmp_path) == {"accuracy": 0.5, "parameters": 60000.0}
        assert sorted(path.name for path in tmp_path.iterdir()) == kept


def test_the_command_line_shows_options_and_their_help(monkeypatch, capsys):
    assert _type(monkeypatch, "--help") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--epochs <int> How often, counted from one. [default: 3]" in shown.replace("INTEGER", "<int>")
    assert "--fast-mode / --no-fast-mode Whether to hurry. [default: fast-mode]" in shown


def test_the_command_line_runs_and_says_where_the_results_are(monkeypatch, capsys, tmp_path):
    assert _type(monkeypatch, "--out", str(tmp_path)) == 0
    shown = capsys.readouterr().out
    assert re.search(r"accuracy\W+0\.5000\W", shown)
    assert re.search(r"parameters\W+60,000\W", shown)
    assert f"tensorboard --logdir {tmp_path}/logs" in shown
    assert (tmp_path / "metrics.json").exists()
    warning = "A quick run only shows that the lesson works: these numbers mean nothing."
    assert warning not in shown
    assert _type(monkeypatch, "--quick", "--out", str(tmp_path)) == 0
    assert warning in capsys.readouterr().out


def test_bad_arguments_are_answered_in_one_line(monkeypatch, capsys, tmp_path):
    assert _type(monkeypatch, "--epochs", "0", "--out", str(tmp_path)) == 1
    assert capsys.readouterr().err == "Error: `epochs` must be at least 1. Received: epochs=0.\n"
    file = tmp_path / "file"
    file.write_text("")
    assert _type(monkeypatch, "--out", str(file / "x")) == 1
    assert capsys.readouterr().err == (
        f"Error: `out` must be a folder one may write to. Received: out={file / 'x'} (Not a directory).\n"
    )


@pytest.mark.parametrize(
    ("data", "features", "like", "message"),
    [
        (
            "messages",
            ("words", "tags"),
            "tagged_sentences",
            "`data` must be a data set with words and tags, such as 'tagged_sentences'. "
            "Received: data='messages', which has label and text.",
        ),
        (
            "shakespeare",
            ("image", "caption", "words"),
            "shapes/pair",
            "`data` must be a data set with image, caption and words, such as 'shapes/pair'. "
            "Received: data='shakespeare', which has text.",
        ),
        (
            "fashion_sample",
            ("text",),
            "shakespeare",
            "`data` must be a data set with text, such as 'shakespeare'. "
            "Received: data='fashion_sample', which has image and label.",
        ),
    ],
)
def test_a_data_set_of_another_kind_is_refused_in_one_sentence(data, features, like, message):
    needs(like, *features, like=like)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        needs(data, *features, like=like)


def test_a_bug_keeps_its_traceback(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.argv", ["lesson", "--data", "bug", "--out", str(tmp_path)])
    with pytest.raises(ValueError, match=r"^a bug$"):
        command_line(main)


def test_an_interrupt_ends_with_one_line(monkeypatch, capsys, tmp_path):
    assert _type(monkeypatch, "--data", "stop", "--out", str(tmp_path)) == 130
    shown = capsys.readouterr()
    assert shown.out.strip() == "Stopped."
    assert shown.err == ""


def test_only_the_arguments_are_read_from_a_docstring():
    docstring = (
        "A.\n\nArgs:\n    one: First.\n    two: Second, with: a colon\n        and a line.\n\nReturns:\n    three: No."
    )
    assert argument_helps(docstring) == {"one": "First.", "two": "Second, with: a colon and a line."}
    assert argument_helps(None) == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (60000.0, "60,000"),
        (0.84271, "0.8427"),
        (0.861, "0.8610"),
        (12345.6, "12,346"),
        (0.0, "0"),
        (float("nan"), "nan"),
    ],
)
def test_numbers_are_written_to_be_read(value, text):
    assert number(value) == text
