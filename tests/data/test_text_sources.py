"""How the text sets are made: of small examples, and of the raw files where somebody has them."""

import collections
import gzip
import re
import zipfile

import networkx as nx
import numpy as np
import pytest
import tensorflow_datasets as tfds

from kerasdl.data import catalog, messages, plays, prepare, splitting, tags, translations


def read_shipped(name):
    builder = tfds.builder_from_directory(catalog.shipped_folder(name))
    return [example for split in builder.info.splits for example in builder.as_dataset(split=split).as_numpy_iterator()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Thank you,  Tom!", "thankyoutom"),
        ("thank-you TOM", "thankyoutom"),
        ("Un e\u0301te\u0301\u202f!", "unété"),
        ("snake_case 12", "snakecase12"),
        ("? !", "?!"),
        ("", ""),
    ],
)
def test_normal_form(text, expected):
    assert splitting.normal_form(text) == expected


def test_groups_are_the_connected_components():
    rng = np.random.default_rng(0)
    for links in (0, 20, 60, 300):
        keys = [set(rng.integers(100, size=rng.integers(0, 4)).tolist()) for _ in range(links)]
        graph = nx.Graph()
        graph.add_nodes_from(range(links))
        graph.add_edges_from((i, j) for i in range(links) for j in range(i) if keys[i] & keys[j])
        groups = splitting.group_duplicates(keys, seed=0)
        assert sorted(groups) == sorted(sorted(component) for component in nx.connected_components(graph))


def test_the_order_of_groups_is_drawn_by_the_seed():
    keys = [{index} for index in range(50)]
    one, other = (splitting.group_duplicates(keys, seed=seed) for seed in (0, 1))
    assert one == splitting.group_duplicates(keys, seed=0)
    assert one != other
    assert one != sorted(one)
    # printf '0:1' | sha256sum
    assert splitting.chance(0, 1).hex() == "ef134f2a180ba05de91ab32d2976f51de13b68d823ea784171b1b0dafee67be4"


def test_only_words_are_read_from_the_treebank(tmp_path):
    rest = "_\t_\t_\t_\t_\t_"
    block = f"# text = Don't ask\n1-2\tDon't\t_\t_\t{rest}\n1\tDo\tdo\tAUX\t{rest}\n2\tn't\tnot\tPART\t{rest}\n"
    block += f"2.1\thidden\t_\tVERB\t{rest}\n3\task\task\tVERB\t{rest}\n\n"
    for part in ("train", "dev", "test"):
        with gzip.open(tmp_path / f"en_ewt-ud-{part}.conllu.gz", "wt", encoding="utf-8") as file:
            file.write(block)
    expected = (["Do", "n't", "ask"], ["AUX", "PART", "VERB"])
    assert tags.read_treebank(tmp_path) == [(split, *expected) for split in ("train", "validation", "test")]


def test_a_sentence_of_two_splits_goes_to_train():
    found = [
        tags.TaggedSentence(split, words.split(), ["X"] * len(words.split()))
        for split, words in [
            ("train", "One ."),
            ("validation", "Two ."),
            ("validation", "two !"),
            ("test", "Three ."),
            ("validation", "three"),
            ("test", "one"),
            ("test", "?"),
            ("validation", "!"),
        ]
    ]
    splits = tags.split_sentences(found)
    texts = {split: sorted(" ".join(sentence.words) for sentence in part) for split, part in splits.items()}
    assert texts == {
        "train": ["One .", "Three .", "one", "three"],
        "validation": ["!", "Two .", "two !"],
        "test": ["?"],
    }


def test_tidy_text_has_one_way_to_be_written():
    assert (
        translations.tidy("L\u2019e\u0301te\u0301\u202f:\u00a0 \u2018c\u00ad\u200bhaud\u2019 !") == "L'été : 'chaud' !"
    )


def test_too_few_pairs_are_refused():
    pairs = [translations.SentencePair(f"one two three {i % 7}", f"un deux trois {i}") for i in range(70)]
    message = (
        "The collection must have at least 33,000 fitting pairs without duplicates: pass the whole of Tatoeba's "
        "English-French file. Received: 0 of 70 pairs."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        translations.choose_pairs(pairs)


def test_variants_of_a_message_stay_together():
    template = "you have won a prize of {} pounds call {} now"
    spam = [messages.Message(template.format(i, 10**9 + i), "spam") for i in range(3)]
    spam += [messages.Message(f"{letter}{letter} offer", "spam") for letter in "abcdefghijkl"]
    ham = [messages.Message(letter * 3, "ham") for letter in "abcdefghijklmnopqrst"]
    splits = messages.split_messages(spam + ham)
    assert collections.Counter(message.label for message in splits["test"]) == {"spam": 3, "ham": 4}
    homes = {split for split, part in splits.items() for message in part if message in spam[:3]}
    assert len(homes) == 1
    assert sorted(splits["train"] + splits["test"]) == sorted(spam + ham)


def test_passages_are_cut_between_speeches():
    speeches = [f"A:\n{'a' * length}" for length in (100, 200, 300, 900, 10, 10)]
    text = "\n\n".join(speeches) + "\n"
    assert plays.cut_passages("A:\na\n\n\nB:\nb\n") == ["A:\na\n\n\nB:\nb\n"]
    passages = plays.cut_passages(text)
    assert [len(passage) for passage in passages] == [3 + 102 + 3 + 202, 3 + 302, 3 + 902, 3 + 12 + 3 + 11]
    assert "".join(passages) == text
    # A passage belongs where it begins: of 1,000 characters `validation` has those from 900 on, `test` those from 950.
    passages = ["x" * length for length in (800, 99, 2, 48, 1, 1, 49)]
    assert {split: [len(passage) for passage in part] for split, part in plays.split_passages(passages).items()} == {
        "train": [800, 99, 2],
        "validation": [48, 1],
        "test": [1, 49],
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tagged_sentences", "sentence_pairs", "messages", "shakespeare"])
def test_raw_files_give_the_same_bytes_again(name, extra_data, tmp_path):
    (again,) = prepare.prepare(extra_data, [name], tmp_path)
    shipped = catalog.shipped_folder(name)
    assert sorted(path.name for path in again.iterdir()) == sorted(path.name for path in shipped.iterdir())
    for path in again.iterdir():
        assert path.read_bytes() == (shipped / path.name).read_bytes(), path.name


def test_no_word_and_no_tag_of_the_treebank_was_altered(extra_data):
    expected = collections.Counter()
    for part in ("train", "dev", "test"):
        words, parts = [], []
        with gzip.open(extra_data / "text" / f"en_ewt-ud-{part}.conllu.gz", "rt", encoding="utf-8") as file:
            for line in file:
                if found := re.match(r"\d+\t([^\t]+)\t[^\t]+\t([A-Z]+)\t", line):
                    words.append(found[1])
                    parts.append(tags.TAGS.index(found[2]))
                elif words and line == "\n":
                    expected[part, tuple(words), tuple(parts)] += 1
                    words, parts = [], []
    names = ("train", "dev", "test")
    assert expected == collections.Counter(
        (names[example["official_split"]], tuple(word.decode() for word in example["words"]), tuple(example["tags"]))
        for example in read_shipped("tagged_sentences")
    )


def test_pairs_are_translations_of_frequent_words(extra_data):
    with zipfile.ZipFile(extra_data / "text" / "fra-eng.zip") as archive:
        lines = archive.read("fra-eng/fra.txt").decode().split("\n")
    plainly = str.maketrans({"\u202f": " ", "\u00a0": " ", "\u2009": " ", "\u2019": "'", "\u00ad": "", "\u200b": ""})
    raw = [tuple(" ".join(part.translate(plainly).split()) for part in line.split("\t")[:2]) for line in lines if line]
    shipped = {(example["english"].decode(), example["french"].decode()) for example in read_shipped("sentence_pairs")}
    assert shipped <= set(raw)
    for language in (0, 1):
        counts = collections.Counter(word for pair in raw for word in set(re.findall(r"\w+", pair[language].lower())))
        assert min(counts[word] for pair in shipped for word in re.findall(r"\w+", pair[language].lower())) >= 10


def test_no_message_was_altered(extra_data):
    with gzip.open(extra_data / "text" / "SMSSpamCollection.gz") as file:
        expected = collections.Counter(file.read().removesuffix(b"\n").split(b"\n"))
    shipped = [(b"ham", b"spam")[example["label"]] + b"\t" + example["text"] for example in read_shipped("messages")]
    assert collections.Counter(shipped) == expected
    assert (
        len(
            splitting.group_duplicates(
                [messages._variant_keys(example["text"].decode()) for example in read_shipped("messages")], seed=0
            )
        )
        == 4_743
    )


def test_no_character_of_the_plays_was_altered(extra_data):
    with gzip.open(extra_data / "text" / "tiny_shakespeare.txt.gz") as file:
        assert b"".join(example["text"] for example in read_shipped("shakespeare")) == file.read()
