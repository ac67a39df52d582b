"""How a set of texts is split so that no text stands in two splits: duplicates are grouped first, groups are split."""

import hashlib
import re
import unicodedata
from collections.abc import Hashable, Iterable


def normal_form(text: str) -> str:
    """What two texts share that differ only in case, punctuation, spacing or the form of their characters.

    Args:
        text: Any text.

    Returns:
        Its letters and digits alone, without case; for a text that has none, such as "?!", its characters.

    Example:
        >>> normal_form("Thank you,  Tom!")
        'thankyoutom'
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"[\W_]+", "", plain) or re.sub(r"\s+", "", plain)


def chance(seed: int, index: int) -> bytes:
    """A sort key that shuffles: the same order on every machine and with every version of every library.

    Args:
        seed: Every seed gives another order.
        index: The position of what is shuffled.

    Returns:
        The SHA-256 digest of both.
    """
    return hashlib.sha256(f"{seed}:{index}".encode()).digest()


def group_duplicates(keys: Iterable[Iterable[Hashable]], *, seed: int) -> list[list[int]]:
    """Groups the examples that share a key, directly or through others, and shuffles the groups.

    Args:
        keys: The keys of every example.
        seed: Of the shuffling.

    Returns:
        The groups, each a list of the positions of its examples in rising order. Every example is in exactly one.

    Example:
        >>> sorted(group_duplicates([{"a"}, {"b"}, {"a", "c"}, {"c"}], seed=0))
        [[0, 2, 3], [1]]
    """
    # Union-find: each example points towards the first of its group.
    leader: list[int] = []

    def find(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    first_with: dict[Hashable, int] = {}
    for index, own_keys in enumerate(keys):
        leader.append(index)
        for key in own_keys:
            one, other = sorted((find(index), find(first_with.setdefault(key, index))))
            leader[other] = one
    groups: dict[int, list[int]] = {}
    for index in range(len(leader)):
        groups.setdefault(find(index), []).append(index)
    return sorted(groups.values(), key=lambda group: chance(seed, group[0]))
