"""How the benchmark of packed networks judges: a peer's best way counts, and the least of what was measured."""

import io
import runpy
from pathlib import Path

import pytest
from rich.console import Console

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TABLES = runpy.run_path(str(BENCHMARKS / "xnor_tables.py"))


def row(channels, *, chain, product=1.0, tensorflow=12.0, **more):
    seconds = {"chain": chain, "product": product, "tensorflow": tensorflow, "from floats": 1.0, **more}
    return {"size": 14, "channels": channels, "batch": 1, "products": 6e11, "seconds": seconds}


def told(threads, *rows):
    ceiling = {"product_bits": 1e12, "counted_bits": 1.5e12, "multiply_adds": 5e10}
    return {"threads": threads, "rows": list(rows), "ceiling": ceiling, "call": {"ours": 1e-5, "tensorflow": 1e-4}}


def printed(table):
    console = Console(width=160, file=io.StringIO())
    console.print(table)
    return console.file.getvalue().splitlines()


def test_a_peers_best_way_counts_and_an_absent_peer_has_no_ratio():
    each = row(256, chain=2.0, **{"torch, contiguous_format": 9.0, "torch, channels_last": 7.0})
    assert TABLES["ratio"](each, "torch", "chain") == 3.5
    assert TABLES["ratio"](each, "tensorflow", "chain") == 6.0
    assert TABLES["ratio"](row(256, chain=2.0), "tensorflow bfloat16", "chain") is None


def test_shares_are_of_either_ceiling():
    each = told(1, row(256, chain=1.0))
    assert TABLES["share"](each["rows"][0], each, "product_bits") == pytest.approx(0.6)
    assert TABLES["share"](each["rows"][0], each, "counted_bits") == pytest.approx(0.4)


def test_the_least_of_the_range_must_reach_the_goal():
    lines = printed(TABLES["goals"]([told(1, row(256, chain=1.0), row(256, chain=0.5), row(64, chain=2.5))], [], []))
    (wide,) = (line for line in lines if "256 channels" in line)
    (narrow,) = (line for line in lines if "64 channels" in line)
    assert "12.0x to 24.0x" in wide
    assert "reached" in wide
    assert "4.8x" in narrow
    assert "missed" in narrow


def test_the_loops_stand_beside_the_ceiling():
    scalar = {"floats": 100.0, "four_floats": 25.0, "words": 2.0, "four_words": 1.0}
    lines = printed(TABLES["paper"](scalar, told(1, row(256, chain=0.5))))
    (words,) = (line for line in lines if "64 bits, a loop" in line)
    assert "50.00x" in words
    assert "20 are" in " ".join(lines)


def test_the_loops_are_those_that_the_table_shows():
    scalar = runpy.run_path(str(BENCHMARKS / "scalar_loops.py"))["measure"](8, 128, 9)
    # Medians of nine turns, and the nearest two are 4 times apart.
    assert 0 < scalar["words"] < scalar["floats"]
    assert 0 < scalar["four_words"] < scalar["four_floats"] < scalar["floats"]
    assert len(printed(TABLES["paper"](scalar, told(1, row(256, chain=0.5))))) > 4
