"""The real data set `messages`: text messages, wanted ("ham") and unwanted ("spam")."""

import collections
import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import tensorflow_datasets as tfds

from kerasdl.data import reproducible, splitting

LABELS = ("ham", "spam")

_SEED = 2011
_TEST_SHARE = 0.2
# Two messages that share so many words in a row are variants of one: spam is written from templates.
_RUN = 6

_DESCRIPTION = """\
The 5,574 text messages of the SMS Spam Collection, 4,827 wanted ("ham") and 747 unwanted ("spam"), word for word as
they were collected, with their entities (`&lt;#&gt;` stands for a number that was taken out).

4,460 messages (598 spam) are to train with and 1,114 (149 spam) to test. Spam comes in variants which differ only in a
prize or a telephone number: messages that are the same but for case, digits, punctuation and spacing, or share six
words in a row, directly or through others, are one group (4,743 groups), and no group stands in both splits. Messages
are shuffled within their split, those of a group one behind the other."""

_CITATION = """\
@inproceedings{almeida2011contributions,
  title = {Contributions to the Study of {SMS} Spam Filtering: New Collection and Results},
  author = {Tiago A. Almeida and Jos{\\'e} Mar{\\'i}a G{\\'o}mez Hidalgo and Akebo Yamakami},
  booktitle = {Proceedings of the 2011 ACM Symposium on Document Engineering (DocEng)},
  year = {2011}
}"""


class Message(NamedTuple):
    """A labelled text message."""

    text: str
    label: str


def read_messages(file: Path) -> list[Message]:
    """Reads the collection.

    Args:
        file: `SMSSpamCollection.gz`.

    Returns:
        All messages in the file's order, unchanged.
    """
    with gzip.open(file, "rt", encoding="utf-8", newline="\n") as lines:
        pairs = [line.rstrip("\n").split("\t", maxsplit=1) for line in lines]
    return [Message(text, label) for label, text in pairs]


def _variant_keys(text: str) -> set[str | tuple[str, ...]]:
    """What a message shares with its variants: its letters, or any six words in a row."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    runs = {tuple(words[start : start + _RUN]) for start in range(len(words) - _RUN + 1)}
    return {splitting.normal_form(re.sub(r"\d", "", text)), *runs}


def split_messages(messages: list[Message]) -> dict[str, list[Message]]:
    """Gives a fifth of the messages of either label to `test`, whole groups of variants only.

    Args:
        messages: All messages.

    Returns:
        The messages of each split, shuffled, variants one behind the other.
    """
    totals = collections.Counter(message.label for message in messages)
    room = {label: round(_TEST_SHARE * total) for label, total in totals.items()}
    splits: dict[str, list[Message]] = {"train": [], "test": []}
    for group in splitting.group_duplicates(map(_variant_keys, (message.text for message in messages)), seed=_SEED):
        members = [messages[index] for index in group]
        counts = collections.Counter(member.label for member in members)
        fits = all(room[label] >= count for label, count in counts.items())
        splits["test" if fits else "train"] += members
        if fits:
            room = {label: left - counts[label] for label, left in room.items()}
    return splits


class KerasdlMessages(reproducible.ReproducibleBuilder):
    """The SMS Spam Collection: 5,574 text messages, wanted and unwanted.

    Args:
        source: The folder with the raw file, `text/SMSSpamCollection.gz`.
        **kwargs: As for every TFDS builder, such as `data_dir`.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {"text": tfds.features.Text(), "label": tfds.features.ClassLabel(names=LABELS)},
            ),
            supervised_keys=("text", "label"),
            disable_shuffling=True,
            homepage="https://archive.ics.uci.edu/dataset/228/sms+spam+collection",
            citation=_CITATION,
            license="CC BY 4.0",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        splits = split_messages(read_messages(self.source / "text" / "SMSSpamCollection.gz"))
        return {split: self._generate_examples(messages) for split, messages in splits.items()}

    def _generate_examples(self, messages: list[Message]) -> Iterator[tuple[int, dict[str, str]]]:
        yield from enumerate(message._asdict() for message in messages)
