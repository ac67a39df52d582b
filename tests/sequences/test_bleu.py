"""BLEU against what one counts by hand."""

import numpy as np
import pytest

from kerasdl.sequences import (
    corpus_bleu,
)


def test_bleu_is_what_one_counts_by_hand():
    # Six words each: 5 of 6 words, 3 of 5 pairs, 2 of 4 threes, 1 of 3 fours, each seen in the reference.
    assert corpus_bleu(["the cat sat on a mat"], ["The cat sat on the mat"]) == pytest.approx(
        100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25
    )
    # The paper's own example: "the" seven times counts twice.
    assert corpus_bleu(["the the the the the the the"], ["the cat is on the mat"], longest=1) == pytest.approx(
        100 * 2 / 7
    )
    # Too short: all runs are right, times exp(1 - 6 / 4); the counts are those of both sentences together.
    assert corpus_bleu(["the cat sat on"], ["the cat sat on the mat"]) == pytest.approx(100 * np.exp(-0.5))
    assert corpus_bleu(["a b c d", "x"], ["a b c d", "y"]) == pytest.approx(100 * (4 / 5) ** 0.25)
    assert corpus_bleu(["a b c d", ""], ["a b c d", ""]) == pytest.approx(100)
    assert corpus_bleu(["a b c"], ["a b c"]) == 0  # has no run of four
    with pytest.raises(ValueError, match=r"at least one. Received: 0 translations and 1 references.$"):
        corpus_bleu([], ["a"])
    with pytest.raises(TypeError, match=r"^`references` must be many texts, .* Received: one text, 'abc'.$"):
        corpus_bleu(["a", "b", "c"], "abc")  # not letter by letter
    with pytest.raises(ValueError, match=r"^`longest` must be a whole number of at least 1. Received: longest=0.$"):
        corpus_bleu(["a"], ["a"], longest=0)
