"""The real data set `shakespeare`: a million characters of plays, in order, cut between speeches."""

import gzip
import re
from collections.abc import Iterator

import tensorflow_datasets as tfds

from kerasdl.data import reproducible

# Passages of about this many characters: a few speeches, several of which make a batch.
_LENGTH = 500
# A passage belongs to the split in which its first character lies, in characters of the whole.
_SHARES = {"train": 0.9, "validation": 0.95, "test": 1.0}

_DESCRIPTION = """\
1,115,394 characters of Shakespeare's plays: 2,196 passages to train, 130 to validate and 128 to test. A passage is as
many whole speeches as fit in 500 characters (or one speech that is longer), each with the blank line that ends it.
Passages stand in the order of the plays, the splits one behind the other: put end to end they are the text again,
character for character. No speech stands in two splits."""

_CITATION = """\
@misc{karpathy2015char,
  title = {char-rnn: tiny {S}hakespeare},
  author = {Andrej Karpathy},
  howpublished = {https://github.com/karpathy/char-rnn},
  year = {2015}
}"""


def cut_passages(text: str) -> list[str]:
    """Cuts a play after every speech with which the passage would be too long.

    Args:
        text: Speeches with a blank line between them.

    Returns:
        The passages in order. Joined, they are the text.
    """
    # A speech ends with its blank line (twice there are two).
    speeches = re.split(r"(?<=\n\n)(?!\n)", text)
    passages = [""]
    for speech in speeches:
        if passages[-1] and len(passages[-1]) + len(speech) > _LENGTH:
            passages.append("")
        passages[-1] += speech
    return passages


def split_passages(passages: list[str]) -> dict[str, list[str]]:
    """Gives the first nine tenths of the text to `train`, and half of the rest each to `validation` and `test`.

    Args:
        passages: All passages in order.

    Returns:
        The passages of each split in order.
    """
    splits: dict[str, list[str]] = {split: [] for split in _SHARES}
    total = sum(map(len, passages))
    position = 0
    for passage in passages:
        splits[next(split for split, end in _SHARES.items() if position < end * total)].append(passage)
        position += len(passage)
    return splits


class KerasdlShakespeare(reproducible.ReproducibleBuilder):
    """A million characters of Shakespeare's plays in passages of whole speeches.

    Args:
        source: The folder with the raw file, `text/tiny_shakespeare.txt.gz`.
        **kwargs: As for every TFDS builder, such as `data_dir`.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict({"text": tfds.features.Text()}),
            # A language model's target is its own text: the model shifts it by one.
            supervised_keys=("text", "text"),
            disable_shuffling=True,
            homepage="https://github.com/karpathy/char-rnn",
            citation=_CITATION,
            license="Public domain",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        path = self.source / "text" / "tiny_shakespeare.txt.gz"
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
            splits = split_passages(cut_passages(file.read()))
        return {split: self._generate_examples(passages) for split, passages in splits.items()}

    def _generate_examples(self, passages: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
        yield from enumerate({"text": passage} for passage in passages)
