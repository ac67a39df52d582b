"""The real data set `tagged_sentences`: English sentences with a part of speech for every word."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow_datasets as tfds

from kerasdl.data import reproducible, splitting

# The universal parts of speech, https://universaldependencies.org/u/pos/.
TAGS = (
    *("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM"),
    *("PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X"),
)

_SEED = 2014
_FILES = {"train": "train", "validation": "dev", "test": "test"}

_DESCRIPTION = """\
The 16,621 sentences (254,821 words) of the English Web Treebank of Universal Dependencies 2.10: weblogs, newsgroups,
e-mails, reviews and answers, with one of 17 universal parts of speech for every word and punctuation mark.

The splits are the treebank's own (12,543 / 2,001 / 2,077) but for short sentences such as "Thank you!" that stand in
more than one of them, case, punctuation and spacing aside: these stand in `train` only (145 of `validation` and 156 of
`test` were moved, most of one to three words), so that no sentence of a split was seen in another: 12,844 / 1,856 /
1,921. `official_split` says where each sentence stands in the treebank. Sentences are shuffled within their split, and
those with the same words stand one behind the other."""

_CITATION = """\
@inproceedings{silveira2014gold,
  title = {A Gold Standard Dependency Corpus for {E}nglish},
  author = {Natalia Silveira and Timothy Dozat and Marie-Catherine de Marneffe and Samuel Bowman and Miriam Connor and
            John Bauer and Christopher D. Manning},
  booktitle = {Proceedings of the Ninth International Conference on Language Resources and Evaluation (LREC)},
  year = {2014}
}"""


class TaggedSentence(NamedTuple):
    """A sentence of the treebank."""

    official_split: str
    words: list[str]
    tags: list[str]


def read_treebank(folder: Path) -> list[TaggedSentence]:
    """Reads the treebank's three files.

    Args:
        folder: Where `en_ewt-ud-train.conllu.gz` and the other two are.

    Returns:
        All sentences in the files' order.
    """
    sentences = []
    for split, part in _FILES.items():
        with gzip.open(folder / f"en_ewt-ud-{part}.conllu.gz", "rt", encoding="utf-8", newline="\n") as file:
            for block in file.read().strip("\n").split("\n\n"):
                lines = [line.split("\t") for line in block.split("\n") if not line.startswith("#")]
                # "3-4" is the two words 3 and 4 as they were written together, "5.1" a word that was left out.
                rows = [line for line in lines if line[0].isdecimal()]
                sentences.append(TaggedSentence(split, [row[1] for row in rows], [row[3] for row in rows]))
    return sentences


def split_sentences(sentences: list[TaggedSentence]) -> dict[str, list[TaggedSentence]]:
    """Keeps the treebank's splits, and moves what recurs in more than one of them to `train`.

    Args:
        sentences: All sentences.

    Returns:
        The sentences of each split, shuffled, duplicates one behind the other.
    """
    splits: dict[str, list[TaggedSentence]] = {split: [] for split in _FILES}
    keys = [{splitting.normal_form(" ".join(sentence.words))} for sentence in sentences]
    for group in splitting.group_duplicates(keys, seed=_SEED):
        members = [sentences[index] for index in group]
        homes = {member.official_split for member in members}
        splits[homes.pop() if len(homes) == 1 else "train"] += members
    return splits


class KerasdlTaggedSentences(reproducible.ReproducibleBuilder):
    """The English Web Treebank: words and universal parts of speech of 16,621 sentences.

    Args:
        source: The folder with the raw files, `text/en_ewt-ud-train.conllu.gz` and the other two.
        **kwargs: As for every TFDS builder, such as `data_dir`.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "words": tfds.features.Sequence(tfds.features.Text()),
                    "tags": tfds.features.Sequence(tfds.features.ClassLabel(names=TAGS)),
                    "official_split": tfds.features.ClassLabel(names=list(_FILES)),
                }
            ),
            supervised_keys=("words", "tags"),
            disable_shuffling=True,
            homepage="https://universaldependencies.org/treebanks/en_ewt/",
            citation=_CITATION,
            license="CC BY-SA 4.0",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        splits = split_sentences(read_treebank(self.source / "text"))
        return {split: self._generate_examples(sentences) for split, sentences in splits.items()}

    def _generate_examples(self, sentences: list[TaggedSentence]) -> Iterator[tuple[int, dict[str, Any]]]:
        yield from enumerate(sentence._asdict() for sentence in sentences)
