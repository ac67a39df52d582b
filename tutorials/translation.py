"""What does attention do for a network that translates?

Paper:  [Bahdanau et al., 2014](https://arxiv.org/abs/1409.0473), [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762)
Run:    python -m tutorials.translation
Takes:  4 minutes on one core
Expect: after four epochs a BLEU of 9.4 from the last state alone, 31.8 with attention, 25.6 from the transformer (one
        seed); 9.5, 33.5 and 27.9 with a beam of four. Attention is ahead from the first epoch on.

An encoder reads the English sentence; a decoder writes the French one, word by word, beginning with the encoder's last
state. So a sentence of any length has to go through one vector, and what the decoder needs for its fourth word must be
kept while it writes three others. Attention lets it look again: its state asks, all states of the encoder are compared
with the question, and the mean of those that fit is the answer. The transformer leaves the recurrence out: every word
asks all others.

Exercises:

1. Try `--longest 10 --epochs 10`, with some patience. Which of the three gains least from longer sentences, and
   why?
2. Write a sentence with "not" in it, and its opposite. Where do "ne" and "pas" look? Draw it with
   `plots.attention(answer.attention[0], answer.source_words[0], answer.words[0])`.
3. Swap the columns of the pairs and translate French into English. Is the other direction easier?
"""

import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasdl import training
from kerasdl.data import load
from kerasdl.sequences import corpus_bleu, translate, translation_batches, translator, vocabulary
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.wanted_data import needs
from kerasdl.visualization import plots


class Clock(keras.callbacks.Callback):
    """How long each epoch takes, with its validation."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Starts to count."""
        self.seconds.append(-time.perf_counter())

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Ends."""
        self.seconds[-1] += time.perf_counter()


def short_pairs(data: str, split: str, longest: int) -> list[tuple[str, str]]:
    """The pairs of a split that have few words in both languages.

    Args:
        data: A set of pairs of sentences.
        split: Which part of it.
        longest: The most words of a sentence.
    """
    pairs = []
    for batch in load(data, split=split, batch_size=1000).as_numpy_iterator():
        pairs += [(english.decode(), french.decode()) for english, french in zip(*batch, strict=True)]
    return [pair for pair in pairs if max(len(text.split()) for text in pair) <= longest]


@lesson
def main(
    *,
    data: str = "sentence_pairs",
    epochs: int | None = None,
    longest: int = 6,
    cell: str = "gru",
    units: int = 128,
    batch_size: int = 64,
    seed: int = 0,
    quick: bool = False,
    out: Path = Path("runs/translation"),
) -> dict[str, float]:
    """Trains three translators on the same pairs of sentences, and compares what they write.

    Args:
        data: A set of pairs of sentences that kerasdl.data.load knows.
        epochs: Passes over the pairs; 4 without it.
        longest: Pairs with more words than that in either language are left out.
        cell: The recurrent cell: elman, gru or lstm.
        units: The size of a state, and the numbers per word.
        batch_size: Pairs per step.
        seed: Decides the first weights and the order of the pairs.
        quick: A few pairs of at most 5 words, 16 units, Elman cells and a beam of 1, whatever is given, only to see
            that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    needs(data, "english", "french", like="sentence_pairs")
    epochs = epochs or (1 if quick else 4)
    if quick:
        longest, units, cell = min(longest, 5), 16, "elman"

    # Short sentences of words that stand there at least three times: what is left can be learned in minutes.
    train, validation, test = (
        short_pairs(data, f"{split}[:200]" if quick else split, longest) for split in ("train", "validation", "test")
    )
    words = [vocabulary([pair[side] for pair in train], minimum_count=1 if quick else 3) for side in (0, 1)]
    print(f"{len(train):,} pairs to train with, of {len(words[0]):,} English and {len(words[1]):,} French words.")

    # Three networks of about one size. The first has to put the sentence into one vector, the encoder's last state. The
    # second may look at every state of the encoder each time it writes a word. The third does nothing but look.
    keras.utils.set_random_seed(seed)
    size: dict[str, Any] = {"units": units, "dropout": 0.2}
    networks = {
        "last state": translator(*words, cell=cell, attention=False, name="last_state", **size),
        "attention": translator(*words, cell=cell, name="attention", **size),
        "transformer": translator(*words, cell="transformer", name="transformer", **size),
    }

    # All learn by teacher forcing: whatever they would have said, they see the right words before the next one. The
    # learning rate rises, and falls along a cosine. A fifth of the numbers is dropped at random at each step: for some
    # thousand words, fifteen thousand sentences are few. Gradients are cut to a length of 1: now and then a recurrent
    # network's explode.
    rates = {"last state": 0.004, "attention": 0.004, "transformer": 0.002}
    histories, clocks = {}, {}
    for name, model in networks.items():
        print(f"\n{name}: {model.count_params():,} parameters")
        batches = translation_batches(model, train, batch_size=batch_size, shuffle=True, seed=seed)
        steps = epochs * len(batches)
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0, steps - steps // 10, warmup_target=rates[name], warmup_steps=steps // 10
        )
        model.compile(
            keras.optimizers.Adam(schedule),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
            run_eagerly=quick,  # compiling takes longer than a few steps
        )
        clocks[name] = Clock()
        histories[name] = training.fit(
            model,
            batches,
            epochs=epochs,
            clip_norm=1.0,
            validation_data=translation_batches(model, validation, batch_size=250),
            callbacks=[clocks[name], keras.callbacks.TensorBoard(out / "logs" / model.name)],
        )
    plots.save(
        plots.training_curves(histories, "loss", title="Surprise at the next French word, in nats"),
        out / "figures" / "loss.png",
    )

    # Now they write for themselves, on sentences that they have never seen. BLEU counts which of their runs of one to
    # four words a person has written too; 100 is that person's very sentence, and a good translation in other words
    # may have 0. A beam of four follows four beginnings of each sentence instead of the likeliest one.
    english, french = (list(side) for side in zip(*test, strict=True))
    written = {name: translate(model, english, length=20) for name, model in networks.items()}
    beam = 1 if quick else 4  # another width is another function to compile
    metrics: dict[str, float] = {}
    for name, model in networks.items():
        metrics |= {
            f"{model.name}_bleu": corpus_bleu(written[name].sentences, french),
            f"{model.name}_bleu_beam": corpus_bleu(
                translate(model, english, beam_width=beam, length=20).sentences, french
            ),
            f"{model.name}_validation_loss": histories[name].history["val_loss"][-1],
            f"{model.name}_parameters": model.count_params(),
            # Without the first epoch, in which the step is compiled.
            f"{model.name}_seconds_per_epoch": float(np.mean(clocks[name].seconds[-max(epochs - 1, 1) :])),
        }
    plots.save(
        plots.bars(
            {
                "likeliest word": [metrics[f"{model.name}_bleu"] for model in networks.values()],
                f"beam of {beam}": [metrics[f"{model.name}_bleu_beam"] for model in networks.values()],
            },
            [f"{name}\n{metrics[f'{model.name}_seconds_per_epoch']:.0f} s" for name, model in networks.items()],
            y_label="BLEU on test sentences",
            written="{:.1f}",
            title="BLEU, and seconds per epoch",
        ),
        out / "figures" / "bleu.png",
    )
    for index in range(6):
        print(f"\n{english[index]}\n  a person:    {french[index]}")
        for name in networks:
            print(f"  {name + ':':12} {written[name].sentences[index]}")

    # Where did it look? Each row is a French word, and the English words are the darker the more it saw of them. Nobody
    # told the network which word means which: it found out because that helps to say the next word.
    # The sentence is the one with the most words among those that are translated as a person did.
    answer = written["attention"]
    written_alike = zip(answer.sentences, french, strict=True)
    right = [ours.replace(" ", "") == theirs.replace(" ", "").lower() for ours, theirs in written_alike]
    index = max(range(len(english)), key=lambda row: (right[row], len(answer.words[row])))
    if answer.attention and answer.words[index]:
        plots.save(
            plots.attention(
                answer.attention[index],
                answer.source_words[index],
                answer.words[index],
                title="Which English words each French word looks at",
            ),
            out / "figures" / "attention.png",
        )
    return metrics


if __name__ == "__main__":
    command_line(main)
