"""The real data set `sentence_pairs`: English sentences and their French translations."""

import collections
import io
import re
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import tensorflow_datasets as tfds

from kerasdl.data import reproducible, splitting

_SEED = 2015
_COUNTS = {"train": 30_000, "validation": 1_500, "test": 1_500}
_SHORTEST, _LONGEST = 3, 10
# A word is kept when it stands in at least so many pairs: what is seen once or twice cannot be learned.
_RAREST = 10

_DESCRIPTION = """\
33,000 English sentences with a French translation from Tatoeba: 30,000 to train, 1,500 to validate, 1,500 to test, of
3 to 10 words in both languages (whether or not a mark that stands alone, as French has them, counts as a word). Each
word stands in at least ten of the collection's pairs of that length.

English sentences that share a translation, and French ones that share a source, directly or through others, are one
group, case, punctuation and spacing aside, and one pair of each group was drawn: no sentence of either language stands
in the set twice. The pairs are shuffled. In the text, typographic spaces and apostrophes are plain ones."""


class SentencePair(NamedTuple):
    """A sentence in two languages."""

    english: str
    french: str


def tidy(text: str) -> str:
    """Writes one sentence's characters in one way: composed letters, plain spaces and apostrophes, nothing invisible.

    Args:
        text: A sentence.

    Returns:
        The same words and marks.
    """
    # A soft hyphen and a space of no width are not to be seen.
    visible = re.sub("[\u00ad\u200b]", "", unicodedata.normalize("NFC", text))
    return " ".join(re.sub("[\u2018\u2019]", "'", visible).split())


def read_pairs(file: Path) -> list[SentencePair]:
    """Reads the collection's pairs.

    Args:
        file: `fra-eng.zip`.

    Returns:
        All pairs in the file's order, tidied.
    """
    with zipfile.ZipFile(file) as archive, archive.open("fra-eng/fra.txt") as member:
        # Lines end in "\n" alone: what else splits lines of Unicode text may stand inside a sentence.
        lines = io.TextIOWrapper(member, encoding="utf-8", newline="\n").read().strip("\n").split("\n")
    return [SentencePair(*(tidy(column) for column in line.split("\t")[:2])) for line in lines]


def _has_right_length(text: str) -> bool:
    """Whether a sentence has 3 to 10 words, counted with and without the marks that stand alone ("Quoi ?")."""
    pieces = text.split()
    words = [piece for piece in pieces if any(character.isalnum() for character in piece)]
    return len(words) >= _SHORTEST and len(pieces) <= _LONGEST


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def choose_pairs(pairs: list[SentencePair]) -> dict[str, list[SentencePair]]:
    """Chooses the pairs of each split: of fitting length, of frequent words, one of each group of duplicates.

    Args:
        pairs: All pairs of the collection.

    Returns:
        The pairs of each split, shuffled.
    """
    fitting = [pair for pair in pairs if all(map(_has_right_length, pair))]
    english_counts = collections.Counter(word for pair in fitting for word in _words(pair.english))
    french_counts = collections.Counter(word for pair in fitting for word in _words(pair.french))
    frequent = [
        pair
        for pair in fitting
        if all(english_counts[word] >= _RAREST for word in _words(pair.english))
        and all(french_counts[word] >= _RAREST for word in _words(pair.french))
    ]
    keys = [
        {("english", splitting.normal_form(pair.english)), ("french", splitting.normal_form(pair.french))}
        for pair in frequent
    ]
    groups = splitting.group_duplicates(keys, seed=_SEED)
    if len(groups) < sum(_COUNTS.values()):
        raise ValueError(
            f"The collection must have at least {sum(_COUNTS.values()):,} fitting pairs without duplicates: pass the "
            f"whole of Tatoeba's English-French file. Received: {len(groups):,} of {len(pairs):,} pairs."
        )
    drawn = iter(frequent[min(group, key=lambda index: splitting.chance(_SEED, index))] for group in groups)
    return {split: [next(drawn) for _ in range(count)] for split, count in _COUNTS.items()}


class KerasdlSentencePairs(reproducible.ReproducibleBuilder):
    """English-French sentence pairs of Tatoeba, 3 to 10 words long.

    Args:
        source: The folder with the raw file, `text/fra-eng.zip`.
        **kwargs: As for every TFDS builder, such as `data_dir`.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {"english": tfds.features.Text(), "french": tfds.features.Text()},
            ),
            supervised_keys=("english", "french"),
            disable_shuffling=True,
            homepage="https://tatoeba.org",
            license="CC BY 2.0 FR",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        splits = choose_pairs(read_pairs(self.source / "text" / "fra-eng.zip"))
        return {split: self._generate_examples(pairs) for split, pairs in splits.items()}

    def _generate_examples(self, pairs: list[SentencePair]) -> Iterator[tuple[int, dict[str, str]]]:
        yield from enumerate(pair._asdict() for pair in pairs)
