"""Can one tell what somebody likes from the words alone, without their order?

Paper:  [Elman, 1990](https://doi.org/10.1207/s15516709cog1402_1), "Finding structure in time"
Run:    python -m tutorials.word_order
Takes:  15 seconds on one core
Expect: the bag of words answers 47.1 ± 1.5 % right, and never both when the foods are exchanged; the Elman network
        100.0 % with each of three seeds (on pairs of foods that were never seen together).

"I do not like eggs, I like waffles" and "I do not like waffles, I like eggs" have the same words, and say the opposite.
A *bag of words* counts words and forgets where they stood, as spam filters did for years. For it the two sentences are
one, and whatever it answers is wrong for one of them: at most half of its answers are right, however large it is and
however long it learns. It gets less than half where it names a food that does not stand in the sentence, which is wrong
both times. A recurrent network reads from left to right. At "waffles" its state still knows whether there was a "not"
before.

This lesson makes sentences of several forms about 16 kinds of food, and asks which of the two the speaker likes. Some
pairs of foods never stand in one sentence in training. The network is asked about these: it can have learned no
sentence by heart, only what "not" does.

Exercises:

1. Let the bag count pairs of neighbouring words (bigrams). Which forms does it understand then? Which pairs of words
   would it have to count for the others?
2. Put "as I told you yesterday when we met in the street" between the two halves of each sentence. How many words may
   stand there before the Elman network forgets, and before an LSTM does (`cell="lstm"`)?
3. Hold back a food in one role: nobody ever dislikes tofu in training. Does the network understand "we do not like
   tofu, we like eggs"? Why is this harder than a pair that was not seen?
"""

import itertools
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasdl import training
from kerasdl.sequences import classifier, classify, text, vocabulary
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.visualization import plots

FOODS = (
    *("apples", "beans", "bread", "cheese", "eggs", "fish", "grapes", "honey"),
    *("lemons", "nuts", "onions", "pasta", "rice", "soup", "tofu", "waffles"),
)
# Without the last two, whoever takes the second food would always be right.
FORMS = {
    "plain": ["{who} do not {like} {this}, {who} {like} {that}"],
    "mixed": [
        "{who} do not {like} {this}, {who} {like} {that}",
        "{who} {like} not {this} but {that}",
        "{who} {like} {that}, {who} do not {like} {this}",
        "{who} {like} {that}, not {this}",
    ],
}


def sentences(pairs: list[tuple[str, str]], forms: list[str]) -> tuple[list[str], list[int]]:
    """Every sentence on every pair in both orders, with the number of the food that is liked.

    The sentence in which the two foods are exchanged comes right behind each.
    """
    texts, liked = [], []
    for form, who, like in itertools.product(forms, ("I", "we", "they"), ("like", "love", "want", "eat")):
        for one, other in pairs:
            for this, that in ((one, other), (other, one)):
                texts.append(form.format(who=who, like=like, this=this, that=that))
                liked.append(FOODS.index(that))
    return texts, liked


def bag_of_words(words: list[str]) -> keras.Model:
    """The mean of the words' vectors, a hidden layer, an answer: nothing that depends on the order."""
    inputs = keras.Input((), dtype="string")
    x = text.to_ids(words, text.split_words, name="words")(inputs)
    x = keras.layers.Embedding(len(words) + 2, 32, mask_zero=True)(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    x = keras.layers.Dense(64, "tanh")(x)
    return keras.Model(inputs, keras.layers.Dense(len(FOODS), "softmax")(x), name="bag_of_words")


@lesson
def main(
    *,
    data: str = "mixed",
    epochs: int = 4,
    seeds: int = 3,
    held_out: float = 0.3,
    quick: bool = False,
    out: Path = Path("runs/word_order"),
) -> dict[str, float]:
    """Trains a bag of words and a recurrent network, and asks both about pairs of words that they never saw together.

    Args:
        data: "mixed" for sentences of four forms, "plain" for the one form of the example.
        epochs: Passes over the training sentences.
        seeds: How often everything is repeated, with other pairs held out and other first weights.
        held_out: The share of the pairs of foods that are kept for the test.
        quick: Few sentences, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    if data not in FORMS:
        raise ValueError(f"`data` must be 'mixed' or 'plain'. Received: data={data!r}.")
    if quick:
        epochs, seeds = 1, 1
    accuracy: dict[str, list[float]] = {"bag of words": [], "Elman network": []}
    flipped: dict[str, list[float]] = {name: [] for name in accuracy}

    for seed in range(seeds):
        # Which foods never meet in training is another draw for each seed. Every food is in many other pairs.
        pairs = list(itertools.combinations(FOODS, 2))
        np.random.default_rng(seed).shuffle(pairs)
        kept = round(held_out * len(pairs))
        train_texts, train_liked = sentences(pairs[kept:], FORMS[data][:1] if quick else FORMS[data])
        test_texts, test_liked = sentences(pairs[:kept], FORMS[data])
        words = vocabulary(train_texts)
        train = tf.data.Dataset.from_tensor_slices((train_texts, train_liked)).shuffle(len(train_texts), seed=seed)
        test = tf.data.Dataset.from_tensor_slices((test_texts, test_liked)).batch(256)

        # The network has an Elman layer where the bag has a mean and a dense layer. What is asked of it can be said
        # word by word: remember whether "not" stands before the food that comes, and keep the food that has none.
        keras.utils.set_random_seed(seed)
        networks = {
            "bag of words": bag_of_words(words),
            "Elman network": classifier(words, classes=FOODS, units=64, embedding=32, name="elman"),
        }
        for name, model in networks.items():
            model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])
            training.fit(
                model,
                train.batch(64),
                epochs=epochs,
                validation_data=test,
                callbacks=[keras.callbacks.TensorBoard(out / "logs" / f"{model.name}_{seed}")],
                clip_norm=1.0,
                verbose=0,
            )
            answers = model.predict(test, verbose=0).argmax(axis=1)
            right = answers == np.array(test_liked)
            accuracy[name].append(right.mean())
            # Do both answers fit when the two words are exchanged?
            flipped[name].append(right.reshape(-1, 2).all(axis=1).mean())
            print(f"{name}, seed {seed}: {accuracy[name][-1]:.1%} of the answers right on pairs that were never seen")

    # A bag that knows the two foods can do no better than to choose one of them: half. The rest that it lacks are foods
    # that it names although they do not stand in the sentence.
    errors = {name: float(np.std(values)) / max(seeds - 1, 1) ** 0.5 for name, values in accuracy.items()}
    plots.save(
        plots.bars(
            {
                "sentence alone": [100 * np.mean(values) for values in accuracy.values()],
                "also with the\nfoods exchanged": [100 * np.mean(each) for each in flipped.values()],
            },
            list(accuracy),
            y_label="% of new sentences right",
            written="{:.1f}",
            title="What does the speaker like?",
        ),
        out / "figures" / "accuracy.png",
    )

    # What would the network answer after each word? It learned to answer at the end of a sentence alone, so what it
    # says in the middle need not make sense, and does not. What counts stands at the last word, and is right.
    elman = networks["Elman network"]
    shown = ["I do not like eggs, I like waffles", "I do not like waffles, I like eggs"]
    split = [[word.decode() for word in words] for words in text.split_words(shown).to_list()]
    beginnings = [" ".join(read[:end]) for read in split for end in range(1, len(read) + 1)]
    thoughts = np.split(elman.predict(tf.constant(beginnings), verbose=0), len(shown))
    for sentence, answer in zip(shown, classify(elman, shown), strict=True):
        print(f"{sentence}: {answer}")
    asked = ("eggs", "waffles")
    plots.save(
        plots.attention(
            [thought[:, FOODS.index(food)] for thought in thoughts for food in asked],
            [read for read in split for _ in asked],
            [f"{food}?" for _ in split for food in asked],
            value_label="probability",
            highest=1.0,
            title="The answer after each word: only the last one was learned",
        ),
        out / "figures" / "word_by_word.png",
    )

    metrics: dict[str, float] = {}
    for name, values in accuracy.items():
        key = name.split()[0].lower()
        metrics |= {f"{key}_accuracy": float(np.mean(values)), f"{key}_accuracy_error": errors[name]}
        metrics[f"{key}_flips"] = float(np.mean(flipped[name]))
    return metrics


if __name__ == "__main__":
    command_line(main)
