"""How well can the next letter of Shakespeare be guessed, and what is written by a network that only guesses letters?

Paper:  [Elman, 1990](https://doi.org/10.1207/s15516709cog1402_1), [Graves, 2013](https://arxiv.org/abs/1308.0850)
Run:    python -m tutorials.shakespeare
Takes:  95 seconds on one core
Expect: 2.80 bits per character on the test passages from an LSTM, 2.86 from an Elman network with as many weights, and
        2.55 from counting what followed the last four characters. So in three epochs both networks beat trigrams (3.03
        behind the last two characters; 4.86 without context), and not yet the best of counting. The Elman network's
        0.068 ± 0.004 more are one training of each, at a rate of its own: the error says what other passages would
        change, not what other first weights or rates would.

A language model gives every possible next character a probability. Told the true text, it pays -log2 p for each
character: the number of bits in which a perfect compressor that uses the model would write it. Their mean, the bits per
character, is the measure of language models, and not of networks alone: counting how often each character followed each
pair of characters makes a model, too, and one that is hard to beat with little text and time.

This lesson counts first: contexts of no character to five, each smoothed by the shorter ones (Witten and Bell). Then an
Elman network and an LSTM with the same number of weights read the same passages equally often, and both write.

Exercises:

1. Run it with `--epochs 10`. Which of the two networks gains more? Where does counting stop gaining? Then change
   `RATES`: measured on the split `validation`, which is best for each, and how much of the difference is left?
2. Ask the trained LSTM for `generate(model, "ROMEO:", 300, temperature=t)` with t from 0 to 2. Which words does it
   repeat at 0, and what breaks first above 1: the spelling, the lines, or the names of the speakers?
3. Build `language_model` with `unit="word"` on the same text, and turn its loss into bits per character, spaces
   included. Compare fairly: what does your model pay for words it does not know?
"""

import math
from pathlib import Path

import keras
import numpy as np

from kerasdl import training
from kerasdl.data import load
from kerasdl.sequences import generate, language_batches, language_model, vocabulary
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.wanted_data import needs
from kerasdl.visualization import plots


def counted_bits(train: list[str], test: list[str], most: int = 5) -> list[np.ndarray]:
    """-log2 of the probability of each character of `test` and of each end, counted in `train`.

    With T different characters seen behind a context, n times in all, of which c times this one, and p' what the
    context that is one character shorter says: p = (c + T p') / (n + T). (Witten and Bell, 1991)

    Args:
        train: Texts to count in.
        test: Texts to measure on.
        most: The longest context.

    Returns:
        The bits with a context of 0, 1, ... `most` characters.
    """
    numbers = {character: number for number, character in enumerate(sorted({*"".join(train), *"".join(test)}), 2)}
    size = len(numbers) + 2  # 0 stands before the beginning, 1 is the end

    def read(texts: list[str]) -> np.ndarray:
        return np.array([n for text in texts for n in [0] * most + [numbers[character] for character in text] + [1]])

    def look_up(keys: np.ndarray, known: np.ndarray, values: np.ndarray) -> np.ndarray:
        places = np.searchsorted(known, keys).clip(max=len(known) - 1)
        return np.where(known[places] == keys, values[places], 0)

    def contexts(ids: np.ndarray, length: int) -> np.ndarray:
        """The last characters before each place as one number: its digits are the characters."""
        code = np.zeros(len(ids), "int64")
        for back in range(1, length + 1):
            code += np.roll(ids, back) * size ** (back - 1)
        return code[ids > 0]

    seen, asked = read(train), read(test)
    probability = np.full((asked > 0).sum(), 1 / (size - 1))
    bits = []
    for length in range(most + 1):
        pairs, times = np.unique(contexts(seen, length) * size + seen[seen > 0], return_counts=True)
        known, first, kinds = np.unique(pairs // size, return_index=True, return_counts=True)
        places = contexts(asked, length)
        n, kind = look_up(places, known, np.add.reduceat(times, first)), look_up(places, known, kinds)
        c = look_up(places * size + asked[asked > 0], pairs, times)
        smoothed = (c + kind * probability) / np.maximum(n + kind, 1)
        probability = np.where(n > 0, smoothed, probability)
        bits.append(-np.log2(probability))
    return bits


def network_bits(model: keras.Model, texts: list[str]) -> np.ndarray:
    """The bits that each text costs, from its first character to its end, read as a whole."""
    bits = []
    for strings, following in language_batches(model, texts, batch_size=32, window=None, shuffle=False):
        following = following.numpy()
        found = np.take_along_axis(model.predict_on_batch(strings), following[..., None], axis=-1)[..., 0]
        bits.append(-(np.log2(found) * (following > 0)).sum(axis=1))
    return np.concatenate(bits)


def same_weights(units: int, embedding: int, outputs: int) -> int:
    """How many units an Elman network may have where an LSTM has `units`, for no more weights, outputs included."""

    def weights(factor: int, units: int) -> int:
        return factor * units * (units + embedding + 1) + (units + 1) * outputs

    return next(size for size in range(units, 4 * units) if weights(1, size + 1) > weights(4, units))


# Set by hand and not searched: the difference that is measured here is one between these two trainings, and other rates
# may make it another.
RATES = {"elman": 0.002, "lstm": 0.005}


@lesson
def main(
    *,
    data: str = "shakespeare",
    epochs: int = 3,
    units: int = 128,
    seed: int = 0,
    quick: bool = False,
    out: Path = Path("runs/shakespeare"),
) -> dict[str, float]:
    """Counts, trains both networks, compares them, and lets them write.

    Args:
        data: Any set of texts that kerasdl.data.load knows.
        epochs: Passes over the training passages.
        units: The size of the LSTM's state; the Elman network gets as many weights.
        seed: Decides the first weights, the order of the passages and what is written.
        quick: A few passages and small networks, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    needs(data, "text", like="shakespeare")
    parts = {"train": "train[:40]", "test": "test[:8]"} if quick else {"train": "train", "test": "test"}
    train, test = (
        [text.decode() for text, _ in load(data, split=split, batch_size=None).as_numpy_iterator()]
        for split in parts.values()
    )
    prompts = ["ROMEO:\n", "JULIET:\n"]
    if not set("".join(prompts)) <= set("".join(train)):
        raise ValueError(
            f"`data` must have all characters of {prompts}, as 'shakespeare' has. Received: data={data!r}."
        )
    if quick:
        epochs, units = 1, 16
    # Every passage ends, and that is to be guessed as well.
    characters = np.array([len(text) + 1 for text in test])
    print(f"{sum(map(len, train)):,} characters to learn from, {characters.sum():,} to be guessed")

    # Counting needs no training, only one look at the text. But a longer context is rarer: after five characters many
    # of those in the test passages were never seen, and the shorter contexts have to help out.
    counted = [float(bits.mean()) for bits in counted_bits(train, test)]
    for length, value in enumerate(counted):
        print(f"counted, {length} characters of context: {value:.3f} bits per character")

    # An LSTM has four matrices where an Elman network has one, so the Elman network's state is about twice as long for
    # the same number of weights. Which is the better use of them?
    names = vocabulary(train, unit="character")
    embedding = 32
    wide = same_weights(units, embedding, len(names) + 4)
    bits, models, histories = {}, {}, {}
    for name, cell, size in (("Elman", "elman", wide), ("LSTM", "lstm", units)):
        keras.utils.set_random_seed(seed)
        model = language_model(names, cell=cell, units=size, embedding=embedding, name=cell)
        print(f"\n{name}, {size} units, {model.count_params():,} weights")
        # Windows of a hundred characters: the gradient goes back so far and no further, however long the passage. The
        # norm of the gradients is clipped, because those of a recurrent network explode now and then.
        batches = language_batches(model, train, batch_size=32, window=100, seed=seed)
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0,
            decay_steps=max(math.ceil(0.9 * epochs * len(batches)), 1),
            warmup_target=RATES[cell],
            warmup_steps=math.ceil(0.1 * epochs * len(batches)),
        )
        model.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"])
        histories[name] = training.fit(
            model,
            batches,
            epochs=epochs,
            clip_norm=1.0,
            callbacks=[keras.callbacks.TensorBoard(out / "logs" / cell)],
            verbose=2,
        )
        # The test passages are read whole: a state that was trained on a hundred steps goes on for five hundred.
        bits[name] = network_bits(model, test)
        print(f"{name}: {bits[name].sum() / characters.sum():.3f} bits per character")
        models[name] = model

    networks = {name: float(each.sum() / characters.sum()) for name, each in bits.items()}
    # Both guessed the same passages, so the passages' own difficulty cancels in the difference. Its standard error over
    # passages says how far it depends on which passages were drawn (not on the seed of the training).
    difference = (bits["Elman"] - bits["LSTM"]) / characters.mean()
    error = float(difference.std(ddof=1) / len(difference) ** 0.5)
    print(f"Elman minus LSTM: {difference.mean():.3f} ± {error:.3f} bits per character")

    # Each bar is of one part alone: two parts for two colours.
    plots.save(
        plots.stacked_bars(
            {
                "learnt": [*(0.0 for _ in counted), *networks.values()],
                "counted": [*counted, *(0.0 for _ in networks)],
            },
            ["no context", "last one", *(f"last {length}" for length in range(2, len(counted))), *networks],
            y_label="bits per character (less is better)",
            written="{:.2f}",
            title="Guessing the next character, from the characters before it",
        ),
        out / "figures" / "bits.png",
    )

    # What does it write? A low temperature makes likely characters likelier: safe, and soon always the same. A high one
    # gives rare characters a chance, and each wrong one leads the network further from all it has read.
    written = {}
    for temperature in (0.3, 0.7, 1.2):
        texts = generate(models["LSTM"], prompts, 300, temperature=temperature, seed=seed)
        written[f"temperature {temperature}"] = "\n\n".join(text.strip() for text in texts)
    for name, text in written.items():
        print(f"\n--- {name}\n{text}")
    plots.save(
        plots.passages(written, title="What the LSTM writes, one character after the other"),
        out / "figures" / "written.png",
    )
    return {
        **{f"counted_{length}_bits": value for length, value in enumerate(counted)},
        **{f"{name.lower()}_bits": value for name, value in networks.items()},
        **{f"{name.lower()}_parameters": model.count_params() for name, model in models.items()},
        "elman_minus_lstm_bits": float(difference.mean()),
        "elman_minus_lstm_error": error,
    }


if __name__ == "__main__":
    command_line(main)
