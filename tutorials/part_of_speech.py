"""Verb or noun: how much does it help to remember what was said, and to know what comes?

Paper:  [Elman, 1990](https://doi.org/10.1207/s15516709cog1402_1); both directions:
        [Schuster and Paliwal, 1997](https://doi.org/10.1109/78.650093); letters:
        [Collobert et al., 2011](https://www.jmlr.org/papers/v12/collobert11a.html)
Run:    python -m tutorials.part_of_speech
Takes:  65 seconds on one core
Expect: the most frequent tag is right for 85.8 % of the test words, the Elman network for 91.4 %, both ways for 93.5 %,
        the LSTM both ways for 93.9 %; of the new words 31.2, 72.7, 75.0 and 75.7 %. Both ways are worth 2.15 ± 0.15
        points, the LSTM 0.33 ± 0.10 more: just over three standard errors over sentences, and with one seed, so that
        the last step is likely and not certain.

"They fish" and "the fish": the same word is a verb and a noun. Whoever gives each word the part of speech that it most
often has is right surprisingly often, for most words have only one. What is left is ambiguous words, which need
their neighbours, and new words, of which nothing is known but their letters and, again, their neighbours.

Here every word gets a class: many-to-many, in step. An Elman network knows at each word what came before it. A
*bidirectional* one has a second layer that reads from the end, and so knows what comes after it too: behind "the old",
"man" is a noun, unless "the boats" follows. An LSTM in both directions has gates that keep what is needed longer.

Exercises:

1. Take the letters away (`--suffixes 0`). Which words suffer: those that were seen in training or the new ones? The
   lesson prints both.
2. Write a sentence that leads up the garden path ("The old man the boats.") and tag it with `tag`. Which network is
   led astray?
3. Is it the LSTM's long memory that helps? Shuffle the words of each test sentence beyond a distance of three from the
   tagged word, and see what is lost.
"""

import collections
import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import confusion_matrix

from kerasdl import training
from kerasdl.data import info, load
from kerasdl.sequences import StepAccuracy, tag, tagger, vocabulary
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.wanted_data import needs
from kerasdl.visualization import plots

# The three networks, each with one thing more than the one before.
NETWORKS: dict[str, dict[str, Any]] = {
    "Elman": {"cell": "elman"},
    "Elman, both ways": {"cell": "elman", "bidirectional": True},
    "LSTM, both ways": {"cell": "lstm", "bidirectional": True},
}


def batches(data: str, split: str, *, size: int, seed: int | None = None) -> tf.data.Dataset:
    """Sentences of similar length together, so that little of a batch is padding; shuffled where there is a seed."""
    sentences = load(data, split=split, shuffle=seed is not None, seed=seed or 0)
    return sentences.bucket_by_sequence_length(
        lambda words, tags: tf.shape(words)[0], [8, 14, 20, 28, 40], [size] * 6, drop_remainder=False
    )


def real(dataset: tf.data.Dataset) -> tuple[list[list[str]], list[np.ndarray]]:
    """The sentences and their tags without padding."""
    sentences, tags = [], []
    for words, labels in dataset.as_numpy_iterator():
        for row, label in zip(words, labels, strict=True):
            sentences.append([word.decode() for word in row if word])
            tags.append(label[: len(sentences[-1])])
    return sentences, tags


def _key(name: str) -> str:
    return name.replace(", ", "_").replace(" ", "_").lower()


@lesson
def main(
    *,
    data: str = "tagged_sentences",
    epochs: int = 3,
    suffixes: int = 3,
    seed: int = 0,
    quick: bool = False,
    out: Path = Path("runs/part_of_speech"),
) -> dict[str, float]:
    """Tags words by their most frequent tag, and with an Elman network and an LSTM that look one way or both.

    Args:
        data: A set of sentences, `words` and `tags`; tagged_sentences ships inside.
        epochs: Passes over the training sentences.
        suffixes: The longest ending of a word that the networks look at; 0 to show them no letters.
        seed: Decides the first weights and the order of the sentences.
        quick: Few sentences, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    needs(data, "words", "tags", like="tagged_sentences")
    if quick:
        epochs = 1
    part = "[:128]" if quick else ""
    # The batches stay together, and come in another order in each epoch.
    train = batches(data, f"train{part}", size=64, seed=seed).cache().shuffle(1000, seed=seed)
    test = batches(data, f"test{part}", size=256).cache()
    names = info(data).classes

    # The baseline: each word gets the tag that it had most often in training, a new word the most frequent of all. It
    # needs no network, and is the number to beat.
    train_sentences, train_tags = real(train)
    test_sentences, test_tags = real(test)
    counts: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for words, labels in zip(train_sentences, train_tags, strict=True):
        for word, label in zip(words, labels, strict=True):
            counts[word][label] += 1
    total = sum(counts.values(), collections.Counter())
    usual = [[counts.get(word, total).most_common(1)[0][0] for word in words] for words in test_sentences]
    truth = np.concatenate(test_tags)
    flat = [word for words in test_sentences for word in words]
    new = np.array([word not in counts for word in flat])
    ambiguous = np.array([len(counts.get(word, ())) > 1 for word in flat])
    found = {"most frequent tag": np.concatenate(usual)}

    # Words that stand once in training are left out of the vocabulary: at them the networks learn what to make of a
    # word that they do not know.
    words = vocabulary(
        np.array([word for row in train_sentences for word in row], object), unit="token", minimum_count=2
    )
    models = {}
    for name, options in NETWORKS.items():
        print(f"\n{name}")
        keras.utils.set_random_seed(seed)
        models[name] = model = tagger(words, classes=names, suffixes=suffixes, name=_key(name), **options)
        steps = epochs * sum(1 for _ in train)
        rate = keras.optimizers.schedules.CosineDecay(0.003, steps)
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=[StepAccuracy()])
        logs = out / "logs" / model.name
        training.fit(
            model, train, epochs=epochs, validation_data=test, callbacks=[keras.callbacks.TensorBoard(logs)], verbose=2
        )
        tagged = tag(model, test_sentences)
        found[name] = np.array([names.index(each) for sentence in tagged for _, each in sentence])

    # All tagged the same sentences, so how hard these are cancels in the difference of two. Its standard error over
    # sentences says how far it depends on which sentences were drawn, not on the seed of the training. Words of one
    # sentence are not independent: a wrong one misleads its neighbours. So whole sentences are counted.
    lengths = np.array([len(words) for words in test_sentences])
    right = {
        name: np.add.reduceat((tags == truth).astype("int64"), lengths.cumsum() - lengths)
        for name, tags in found.items()
    }
    metrics: dict[str, float] = {}
    for less, more in itertools.pairwise(NETWORKS):
        gain = (right[more] - right[less]) / lengths.mean()
        key = f"{_key(more)}_minus_{_key(less)}"
        metrics |= {key: float(gain.mean()), f"{key}_error": float(gain.std(ddof=1) / len(gain) ** 0.5)}
        print(f"{more} minus {less}: {100 * metrics[key]:.2f} ± {100 * metrics[f'{key}_error']:.2f} points")

    # Where does which network win? A word is ambiguous if it had several tags in training. Of new words the baseline
    # knows nothing: it calls them all nouns.
    kinds = {"all words": np.ones_like(new), "ambiguous": ambiguous, "new": new}
    shares = {
        name: [100 * np.mean(tags[kind] == truth[kind]) for kind in kinds.values()] for name, tags in found.items()
    }
    plots.save(
        plots.bars(
            shares,
            [f"{name}\n{kind.mean():.0%}" for name, kind in kinds.items()],
            y_label="% tagged right",
            written="{:.1f}",
            title="Which words are tagged right?",
        ),
        out / "figures" / "accuracy.png",
    )

    # What is still confused? Look at names (PROPN) and nouns: is "Street" in an address a name?
    best = "LSTM, both ways"
    plots.save(
        plots.confusion_matrix(
            confusion_matrix(truth, found[best], labels=range(len(names))),
            names,
            title=f"{best}: who is taken for whom",
        ),
        out / "figures" / "confusion.png",
    )

    # Strings in, strings out: the vocabulary and the names of the tags are in the model, and in its file.
    for name, model in models.items():
        model.save(out / f"{model.name}.keras")
        [sentence] = tag(model, ["They fish where the fish unhelpfully blorked."])
        print(f"{name}: {' '.join(f'{word}/{each}' for word, each in sentence)}")

    for name, values in shares.items():
        key = _key(name)
        metrics |= {f"{key}_accuracy": values[0] / 100, f"{key}_on_new_words": values[2] / 100}
    return metrics


if __name__ == "__main__":
    command_line(main)
