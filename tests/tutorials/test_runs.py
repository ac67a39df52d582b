"""Runs are found wherever they lie, and what is none is named."""

import json
import os

import pytest
from run_helpers import make_run

from kerasdl.tutorials import runs


def found_in(folder):
    found, skipped = runs.find(folder)
    return [(run.lesson, str(run.folder)) for run in found], skipped


def test_runs_lie_at_any_depth_and_come_in_the_courses_order(tmp_path):
    make_run(tmp_path / "a" / "b" / "c", "saliency")
    make_run(tmp_path / "resume", "resume")
    make_run(tmp_path / "second", finished="2026-11-30T00:30:00+02:00")  # 22:30 in UTC
    make_run(tmp_path / "quick", arguments={"quick": True}, finished="2026-11-01T00:00:00+00:00")
    make_run(tmp_path / "first", finished="2026-11-29T22:00:00+00:00")
    (tmp_path / ".hidden").mkdir()
    make_run(tmp_path / ".hidden" / "lenet")
    assert found_in(tmp_path) == (
        [("lenet", "first"), ("lenet", "second"), ("lenet", "quick"), ("saliency", "a/b/c"), ("resume", "resume")],
        [],
    )


def test_the_folder_itself_may_be_a_run(tmp_path):
    make_run(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    assert found_in(tmp_path) == ([("lenet", ".")], [])


def test_figures_come_in_the_order_in_which_they_were_drawn(tmp_path):
    make_run(tmp_path, figures=("z.png", "b.png", "a.png"))
    (tmp_path / "figures" / "notes.txt").write_text("no figure")
    [run], _ = runs.find(tmp_path)
    assert [figure.name for figure in run.figures] == ["z.png", "b.png", "a.png"]


def test_facts_of_a_run(tmp_path):
    make_run(tmp_path, finished="2026-11-30T01:02:03+02:00", seconds=59.7, arguments={"quick": True})
    [run], _ = runs.find(tmp_path)
    assert run.metrics == {"accuracy": 0.861}
    assert run.quick
    assert (run.seconds, run.seconds_of_computing) == (59.7, 31.5)
    assert run.finished.isoformat() == "2026-11-29T23:02:03+00:00"
    assert run.versions == {"python": "3.11.7", "keras": "3.15.1"}
    assert run.last_words is None


@pytest.mark.parametrize(
    "changes",
    [
        {"finished": "yesterday", "seconds": "long", "arguments": [], "versions": None},
        {"finished": None, "seconds": float("nan"), "arguments": {"quick": "no"}, "versions": "new"},
        {"finished": "0001-01-01T00:00:00+05:00", "seconds": 10**400, "arguments": None, "versions": 1},
    ],
)
def test_facts_that_somebody_has_spoilt_are_missing(tmp_path, changes):
    make_run(tmp_path, **changes)
    [run], _ = runs.find(tmp_path)
    assert (run.quick, run.seconds, run.finished, run.versions) == (False, None, None, {})


@pytest.mark.parametrize(
    ("log", "last_words"),
    [
        ("Traceback\nValueError: `epochs` must be at least 1.\n\n", "ValueError: `epochs` must be at least 1."),
        ("ValueError: no\nexit code 1\n", "exit code 1: ValueError: no"),
        ("exit code -9\n", "exit code -9"),
        ("1/2 \x1b[32mgreen\x1b[0m\r2/2 loss\x08\x08 0.5\ninterrupted\n", "interrupted: 2/2 loss 0.5"),
        ("42/50 \x1b[32m━━━━\x1b[0m\x1b[37m━━\x1b[0m 4s 552ms/step", "42/50 4s 552ms/step"),
        (" \n", "It printed nothing."),
        ("x" * 100_000 + "\nshort\n", "short"),
        (b"half a letter \xc3\n", "half a letter \N{REPLACEMENT CHARACTER}"),
        (None, None),
    ],
)
def test_a_run_without_a_result_has_last_words(tmp_path, log, last_words):
    folder = tmp_path / "lenet"
    (folder / "figures").mkdir(parents=True)
    if log is not None:
        (folder / "log.txt").write_bytes(log.encode() if isinstance(log, str) else log)
    [run], skipped = runs.find(tmp_path)
    assert (run.lesson, run.record, run.metrics, run.last_words) == ("lenet", {}, {}, last_words)
    assert skipped == []


def test_odd_files_do_not_hide_the_others(tmp_path):
    make_run(tmp_path / "lenet", figures=("good.png",))
    (tmp_path / "lenet" / "figures" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "lenet" / "log.txt").mkdir()
    (tmp_path / "saliency" / "log.txt").mkdir(parents=True)
    [run, failed], _ = runs.find(tmp_path)
    assert [figure.name for figure in run.figures] == ["good.png"]
    assert (run.last_words, failed.last_words) == (None, "It cannot be read (Is a directory).")


def test_a_later_failure_stands_beside_an_earlier_result(tmp_path):
    make_run(tmp_path / "lenet")
    log = tmp_path / "lenet" / "log.txt"
    log.write_text("MemoryError\nexit code 1\n")
    os.utime(tmp_path / "lenet" / "metrics.json", (1000, 1000))
    [run], _ = runs.find(tmp_path)
    assert run.metrics == {"accuracy": 0.861}
    assert run.last_words == "exit code 1: MemoryError"
    # The log of a run that went well ends otherwise, and an older failure has been made good.
    log.write_text("curves: tensorboard --logdir runs\n")
    assert runs.find(tmp_path)[0][0].last_words is None
    log.write_text("MemoryError\nexit code 1\n")
    os.utime(log, (500, 500))
    assert runs.find(tmp_path)[0][0].last_words is None


def test_what_is_no_run_is_named(tmp_path):
    make_run(tmp_path / "lenet")
    (tmp_path / "curves" / "train").mkdir(parents=True)
    for name, text in (
        ("half", '{"lesson": "le'),
        ("list", "[]"),
        ("unknown", '{"lesson": "lenett", "metrics": {}}'),
        ("odd", '{"lesson": ["lenet"], "metrics": {}}'),
        ("words", '{"lesson": "lenet", "metrics": {"accuracy": "high"}}'),
        ("bare", '{"lesson": "lenet"}'),
        ("huge", json.dumps({"lesson": "lenet", "metrics": {"accuracy": 10**400}})),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(text)
    found, skipped = found_in(tmp_path)
    assert found == [("lenet", "lenet")]
    no_record = "it is no record of a lesson of this course."
    cut_off = "it cannot be read (Unterminated string starting at: line 1 column 12 (char 11))."
    assert skipped == [
        f"{tmp_path}/bare/metrics.json: {no_record}",
        f"{tmp_path}/half/metrics.json: {cut_off}",
        f"{tmp_path}/huge/metrics.json: {no_record}",
        *(f"{tmp_path}/{name}/metrics.json: {no_record}" for name in ("list", "odd", "unknown", "words")),
        f"{tmp_path}/curves: there is no run of a lesson in it.",
    ]
