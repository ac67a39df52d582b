"""How the benchmark of maps and attacks measures: everybody in turn, and never only once."""

import runpy
from pathlib import Path

BENCHMARK = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "visualization.py"))


def test_everybody_begins_in_turn_and_the_median_counts():
    durations = {"ours": [3.0, 1.0, 2.0], "peer": [10.0, 30.0, 20.0]}
    now, order = 0.0, []

    def call(name):
        nonlocal now
        order.append(name)
        now += durations[name].pop(0)

    calls = {name: lambda name=name: call(name) for name in durations}
    assert BENCHMARK["take_turns"](calls, 3, lambda: now) == {"ours": 2.0, "peer": 20.0}
    assert order == ["ours", "peer", "peer", "ours", "ours", "peer"]


def test_no_median_is_of_a_single_run():
    assert min(contest.repeats for contest in BENCHMARK["CONTESTS"]) >= 3
