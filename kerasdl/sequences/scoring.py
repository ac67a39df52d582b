"""How near translations come to those of people."""

import collections
from collections.abc import Iterable

import numpy as np

from kerasdl.sequences import text
from kerasdl.sequences.checks import check_whole


def corpus_bleu(translations: Iterable[str], references: Iterable[str], *, longest: int = 4) -> float:
    """BLEU: which share of the runs of 1 to 4 words in the translations stand in the references, in percent.

    `BP (p_1 p_2 p_3 p_4)^(1/4)`: p_n is the share of all runs of n words that the reference has too, each at most as
    often as there, counted over all sentences. Left out words cost nothing in these shares, so that all is multiplied
    by BP = exp(1 - r / c) where the c words of the translations are fewer than the r of the references. A text without
    one common run of four words has a BLEU of 0. Words are those of `split_words`, in lower case, with marks: numbers
    from other splits are not to be compared.

    Args:
        translations: One sentence for each reference.
        references: What they should be.
        longest: The length of the longest runs.

    Returns:
        From 0 to 100.

    Example:
        >>> round(corpus_bleu(["the cat sat on a mat"], ["the cat sat on the mat"]), 1)
        53.7

    Reference:
        [Papineni et al., 2002](https://aclanthology.org/P02-1040/), section 2.3
    """
    check_whole("longest", longest)
    pair = [text.as_list(translations, "translations"), text.as_list(references, "references")]
    if len(pair[0]) != len(pair[1]) or not pair[0]:
        raise ValueError(
            "Expected one reference for each translation, and at least one. "
            f"Received: {len(pair[0])} translations and {len(pair[1])} references."
        )
    ours, theirs = ([[word for word in row if word] for row in text.split_words(side).to_list()] for side in pair)
    common, all_runs = np.zeros(longest), np.zeros(longest)
    for written, right in zip(ours, theirs, strict=True):
        for n in range(1, longest + 1):
            runs, known = (
                collections.Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1))
                for words in (written, right)
            )
            common[n - 1] += (runs & known).total()
            all_runs[n - 1] += runs.total()
    if not common.all():
        return 0.0
    lengths = [sum(map(len, side)) for side in (ours, theirs)]
    brevity = min(1.0, float(np.exp(1 - lengths[1] / lengths[0])))
    return float(100 * brevity * np.exp(np.mean(np.log(common / all_runs))))
