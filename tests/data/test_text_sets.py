"""The text sets that ship: what is in them, and that nothing stands in two splits."""

import collections
import hashlib
import re
import unicodedata
from pathlib import Path

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from kerasdl import data

PREPARED = Path(data.__file__).parent / "prepared"
COUNTS = {
    "tagged_sentences": {"train": 12_844, "validation": 1_856, "test": 1_921},
    "sentence_pairs": {"train": 30_000, "validation": 1_500, "test": 1_500},
    "messages": {"train": 4_460, "test": 1_114},
    "shakespeare": {"train": 2_196, "validation": 130, "test": 128},
}


def open_set(name):
    return tfds.builder_from_directory(PREPARED / f"kerasdl_{name}" / "1.0.0")


def read_set(name):
    builder = open_set(name)
    return {split: list(builder.as_dataset(split=split).as_numpy_iterator()) for split in COUNTS[name]}


@pytest.fixture(scope="module")
def sentences():
    return {
        split: [([word.decode() for word in example["words"]], example) for example in examples]
        for split, examples in read_set("tagged_sentences").items()
    }


@pytest.fixture(scope="module")
def pairs():
    return {
        split: [(example["english"].decode(), example["french"].decode()) for example in examples]
        for split, examples in read_set("sentence_pairs").items()
    }


@pytest.fixture(scope="module")
def messages():
    return {
        split: [(example["text"].decode(), int(example["label"])) for example in examples]
        for split, examples in read_set("messages").items()
    }


@pytest.fixture(scope="module")
def passages():
    return {
        split: [example["text"].decode() for example in examples] for split, examples in read_set("shakespeare").items()
    }


def plain(text):
    """Letters and digits in lower case, written without the package's own `normal_form`."""
    kept = "".join(character for character in unicodedata.normalize("NFKC", text).lower() if character.isalnum())
    return kept or "".join(text.split())


def check_apart(splits):
    """No two splits share anything."""
    names = sorted(splits)
    for one, other in ((one, other) for one in names for other in names if one < other):
        assert not set(splits[one]) & set(splits[other]), (one, other)


@pytest.mark.parametrize("name", COUNTS)
def test_the_description_tells_the_true_counts(name):
    info = open_set(name).info
    assert {split: part.num_examples for split, part in info.splits.items()} == COUNTS[name]
    assert all(part.num_shards == 1 for part in info.splits.values())
    for count in COUNTS[name].values():
        assert re.search(rf"\b{count:,}\b", info.description)


def test_features_survive_on_disk():
    infos = {name: open_set(name).info for name in COUNTS}
    words, tags = (infos["tagged_sentences"].features[key].feature for key in ("words", "tags"))
    assert isinstance(words, tfds.features.Text)
    assert " ".join(tags.names) == "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X"
    assert infos["tagged_sentences"].features["official_split"].names == ["train", "validation", "test"]
    assert infos["messages"].features["label"].names == ["ham", "spam"]
    for name, keys in {
        "sentence_pairs": ("english", "french"),
        "messages": ("text",),
        "shakespeare": ("text",),
    }.items():
        assert all(isinstance(infos[name].features[key], tfds.features.Text) for key in keys)
    assert {name: info.supervised_keys for name, info in infos.items()} == {
        "tagged_sentences": ("words", "tags"),
        "sentence_pairs": ("english", "french"),
        "messages": ("text", "label"),
        "shakespeare": ("text", "text"),
    }


@pytest.mark.parametrize(
    ("name", "licence", "address", "owner"),
    [
        ("tagged_sentences", "CC BY-SA 4.0", "https://creativecommons.org/licenses/by-sa/4.0/", "Leland Stanford"),
        ("sentence_pairs", "CC BY 2.0 FR", "https://creativecommons.org/licenses/by/2.0/fr/", "tatoeba.org"),
        ("messages", "CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/", "Almeida"),
        ("shakespeare", "Public domain", "https://creativecommons.org/publicdomain/mark/1.0/", "Karpathy"),
    ],
)
def test_the_licence_stands_beside_the_data(name, licence, address, owner):
    text = (PREPARED / f"kerasdl_{name}" / "LICENSE.txt").read_text(encoding="utf-8")
    assert all(part in text for part in (licence, address, owner, "What was changed"))
    assert open_set(name).info.redistribution_info.license == licence


@pytest.mark.parametrize("name", COUNTS)
def test_records_have_one_way_to_be_written(name):
    for path in (PREPARED / f"kerasdl_{name}" / "1.0.0").glob("*-test.tfrecord-*"):
        for record in tf.data.TFRecordDataset(str(path)).take(20).as_numpy_iterator():
            assert tf.train.Example.FromString(record).SerializeToString(deterministic=True) == record


@pytest.mark.slow
def test_every_sentence_of_the_treebank_is_there(sentences):
    everything = [pair for split in sentences.values() for pair in split]
    official = collections.Counter(int(example["official_split"]) for _, example in everything)
    assert official == {0: 12_543, 1: 2_001, 2: 2_077}
    assert sum(len(words) for words, _ in everything) == 254_821
    for words, example in everything:
        assert len(words) == len(example["tags"]) > 0
        assert all(word and not re.search(r"\s", word) for word in words)


@pytest.mark.slow
def test_the_tags_are_right(sentences):
    # Tagged by hand.
    known = {
        "train": (
            "The third was being run by the head of an investment firm .",
            "DET ADJ AUX AUX VERB ADP DET NOUN ADP DET NOUN NOUN PUNCT",
        ),
        "validation": ("From the AP comes this story :", "ADP DET PROPN VERB DET NOUN PUNCT"),
        "test": ("Google is a nice search engine .", "PROPN AUX DET ADJ NOUN NOUN PUNCT"),
    }
    names = open_set("tagged_sentences").info.features["tags"].feature.names
    for split, (text, tags) in known.items():
        (found,) = [example for words, example in sentences[split] if words == text.split()]
        assert [names[tag] for tag in found["tags"]] == tags.split()


@pytest.mark.slow
def test_only_sentences_of_two_splits_were_moved(sentences):
    check_apart({split: [plain(" ".join(words)) for words, _ in found] for split, found in sentences.items()})
    # What left its split stood in more than one, and is now in train.
    homes = collections.defaultdict(set)
    for found in sentences.values():
        for words, example in found:
            homes[plain(" ".join(words))].add(int(example["official_split"]))
    moved = [
        int(example["official_split"])
        for words, example in sentences["train"]
        if example["official_split"] and len(homes[plain(" ".join(words))]) > 1
    ]
    assert collections.Counter(moved) == {1: 145, 2: 156}
    for number, split in enumerate(["train", "validation", "test"]):
        assert all(int(example["official_split"]) == number or number == 0 for _, example in sentences[split])


@pytest.mark.slow
def test_no_sentence_of_either_language_stands_twice(pairs):
    for language in (0, 1):
        seen = [plain(pair[language]) for found in pairs.values() for pair in found]
        assert len(set(seen)) == len(seen) == 33_000


@pytest.mark.slow
def test_pairs_are_of_three_to_ten_words_of_every_length(pairs):
    lengths = collections.Counter()
    for found in pairs.values():
        for pair in found:
            for text in pair:
                assert 3 <= len(re.findall(r"\S*\w\S*", text)) <= len(text.split(" ")) <= 10
        lengths.update(len(english.split()) for english, _ in found)
    assert set(lengths) == set(range(3, 11))
    assert min(lengths.values()) > 500
    # Not only the shortest, with which the collection begins.
    assert sum(length * count for length, count in lengths.items()) / 33_000 > 5.5


@pytest.mark.slow
def test_pairs_are_tidy_text_in_two_languages(pairs):
    everything = [pair for found in pairs.values() for pair in found]
    assert ("Tom is very mean.", "Tom est très méchant.") in everything
    characters = {character for pair in everything for text in pair for character in text}
    assert {character for character in characters if character.isspace()} == {" "}
    assert not characters & set("\u2018\u2019\u00ad\u200b")
    assert all(text == unicodedata.normalize("NFC", text).strip() for pair in everything for text in pair)
    assert all(ord(character) < 0x250 for character in characters if character.isalpha())


def test_spam_has_its_share_of_either_split(messages):
    labels = {split: collections.Counter(label for _, label in found) for split, found in messages.items()}
    assert labels["train"] + labels["test"] == {0: 5574 - 747, 1: 747}
    for counts in labels.values():
        assert abs(counts[1] / counts.total() - 747 / 5574) < 0.001
    joined = messages["train"] + messages["test"]
    assert ("Ok lar... Joking wif u oni...", 0) in joined
    # Outside ASCII, and with the blank at its end.
    claim = (
        "GENT! We are trying to contact you. Last weekends draw shows that you won a £1000 prize GUARANTEED. "
        "Call 09064012160. Claim Code K52. Valid 12hrs only. 150ppm "
    )
    assert (claim, 1) in joined


def test_no_variant_of_a_message_is_in_both_splits(messages):
    texts = {split: [text for text, _ in found] for split, found in messages.items()}
    check_apart({split: [plain(text) for text in found] for split, found in texts.items()})
    check_apart({split: [plain(re.sub("[0-9]", "", text)) for text in found] for split, found in texts.items()})
    # Six words in a row, whatever stands between them.
    runs = {}
    for split, found in texts.items():
        spelled = [
            "".join(character if character.isalpha() else " " for character in text.lower()).split() for text in found
        ]
        runs[split] = [" ".join(words[i : i + 6]) for words in spelled for i in range(len(words) - 5)]
    check_apart(runs)


def test_passages_are_the_plays_again(passages):
    assert passages["train"][0].startswith("First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\n")
    text = "".join(passages["train"] + passages["validation"] + passages["test"])
    # Of the file itself: zcat tiny_shakespeare.txt.gz | sha256sum
    digest = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
    assert hashlib.sha256(text.encode()).hexdigest() == digest
    shares = {split: sum(map(len, found)) / len(text) for split, found in passages.items()}
    assert shares == pytest.approx({"train": 0.9, "validation": 0.05, "test": 0.05}, abs=0.001)


def test_passages_are_whole_speeches_and_none_is_in_two_splits(passages):
    check_apart(passages)
    speeches = {}
    for split, found in passages.items():
        speeches[split] = []
        for passage in found:
            assert re.match(r"[A-Za-z' ]+:\n", passage)
            inside = passage.strip("\n").split("\n\n")
            assert len(passage) <= 500 or len(inside) == 1
            # A name without words after it is no speech.
            speeches[split] += [plain(speech) for speech in inside if "\n" in speech]
    check_apart(speeches)
