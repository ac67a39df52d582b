"""What the lesson on Shakespeare counts."""

import collections
import math

import numpy as np

from kerasdl.tutorials import shakespeare


def test_counting_gives_what_the_formula_says():
    train, test = ["to be or not to be", "that is", "abracadabra"], ["to be that", "zabra", ""]
    characters = len({*"".join(train + test)}) + 1  # and the end
    seen = collections.defaultdict(collections.Counter)
    for text in train:
        text = f"^^^{text}$"
        for at in range(3, len(text)):
            for length in range(4):
                seen[text[at - length : at]][text[at]] += 1
    expected = [[], [], [], []]
    for text in test:
        text = f"^^^{text}$"
        for at in range(3, len(text)):
            probability = 1 / characters
            for length in range(4):
                followers = seen.get(text[at - length : at])
                if followers:
                    counted = followers[text[at]] + len(followers) * probability
                    probability = counted / (followers.total() + len(followers))
                expected[length].append(-math.log2(probability))
    for found, wanted in zip(shakespeare.counted_bits(train, test, most=3), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-12)
