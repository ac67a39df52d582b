"""Does a recurrent network that was trained on short sequences work on sequences ten times as long?

Paper:  [Weiss et al., 2018](https://aclanthology.org/P18-2117/),
        [Siegelmann and Sontag, 1995](https://doi.org/10.1006/jcss.1995.1013)
Run:    python -m tutorials.length_generalization
Takes:  45 seconds on one core
Expect: parity and the first symbol stay right up to length 100 (100 % of the sequences, in each of three networks of
        both kinds), and counting breaks: from 11 to 20 the LSTM is right in 64 ± 19 % and the Elman network in 5 ± 2 %,
        and from 21 on neither ever is. On all sequences of the lengths it was trained on, up to 10, every network is
        right. In the first LSTM one unit of the cell goes up by 0.96 at each a, and still by 0.97 beyond the trained
        lengths; the Elman network's unit goes up by 0.14, and beyond by less than 0.001.

A recurrent network reads sequences of any length with the same weights. With the right weights such a network can even
do what any Turing machine does (Siegelmann and Sontag, 1995), if its units are linear between 0 and 1 and cut off
there, and its states rational numbers without rounding: a number with enough digits is a tape. That is not said of
tanh, of 24 bits, or of what gradient descent finds: this only has to work on the short sequences of the training.

Three tasks, each with an answer at every step, learnt on sequences of length 1 to 10 and tested on up to 100:

| task | input | to be said at each step | what has to be kept |
|---|---|---|---|
| parity | random bits | was the number of ones so far odd? | one bit, which each step may turn |
| first | one of four symbols, then others | which was the first? | two bits, for ever |
| count | a a a b b b | after each b: does another b follow, or is that all? | a number that grows with the length |

A sequence is right where every one of its answers is right. The first two need a machine of two or four states, the
third a counter: no finite number of states is enough for every length.

Why can two of them go on? A likely reason is that units which are driven into the flat ends of tanh forget small
errors, so that these cannot add up, and a few states can be held for as long as one likes. A count that grows is new at
every length: nothing in the training said what a state should look like at eleven.

Exercises:

1. Train with `--longest 20`. Does the length at which counting breaks double, too?
2. Test a GRU. Weiss et al. say that it cannot count as an LSTM does. Which of its equations is the reason?
3. Ask for the answer of `parity` at the last step alone. How many epochs does it take now, and what does that say about
   how the gradient finds the state that was needed?
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl import training
from kerasdl.layers import ElmanRNN
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import plots

Sequences = tuple[np.ndarray, np.ndarray, np.ndarray]  # what is read, what is to be said, whether it is asked
CELLS: dict[str, Any] = {"Elman": ElmanRNN, "LSTM": keras.layers.LSTM}
# Set by hand, one for each, and not searched: with them every network gets all of the trained lengths right. How far it
# counts beyond may depend on them.
RATES = {"Elman": 0.005, "LSTM": 0.01}


def parity(lengths: np.ndarray, generator: np.random.Generator) -> Sequences:
    """Random bits, and at each step whether the number of ones is odd."""
    read = generator.integers(0, 2, (len(lengths), lengths.max()))
    return read, read.cumsum(axis=1) % 2, np.arange(lengths.max()) < lengths[:, None]


def first(lengths: np.ndarray, generator: np.random.Generator) -> Sequences:
    """One of the symbols 0 to 3, then symbols 4 to 7, and at each step which was the first."""
    read = generator.integers(4, 8, (len(lengths), lengths.max()))
    read[:, 0] -= 4
    return read, np.repeat(read[:, :1], lengths.max(), axis=1), np.arange(lengths.max()) < lengths[:, None]


def count(lengths: np.ndarray, generator: np.random.Generator) -> Sequences:
    """As many b (1) as a (0), and at each b whether it was the last."""
    steps, half = np.arange(2 * lengths.max()), lengths[:, None]
    read = np.where(steps < half, 0, 1)
    return read, (steps == 2 * half - 1) + 0 * read, (steps >= half) & (steps < 2 * half)


TASKS: dict[str, Callable[[np.ndarray, np.random.Generator], Sequences]] = {
    "parity": parity,
    "first": first,
    "count": count,
}
SYMBOLS, ANSWERS = 8, 4


def networks(name: str, units: int, seeds: int, steps: int | None) -> keras.Model:
    """Networks that differ in their first weights alone, side by side in one model, so that one step trains them all.

    Args:
        name: Which of `CELLS`.
        units: The size of the state.
        seeds: How many networks.
        steps: The length of the sequences; None for any. Where it is known, the loop over the steps is compiled away:
            by the Elman layer itself, by Keras' LSTM if told so.
    """
    read = keras.Input((steps,), dtype="int32")
    options = {"unroll": steps is not None} if name == "LSTM" else {}
    outputs = []
    for seed in range(seeds):
        keras.utils.set_random_seed(seed)
        x = keras.layers.Embedding(SYMBOLS, 8, name=f"embedding{seed}")(read)
        x = CELLS[name](units, return_sequences=True, name=f"recurrent{seed}", **options)(x)
        outputs.append(keras.layers.Dense(ANSWERS, activation="softmax", name=f"predictions{seed}")(x))
    return keras.Model(read, outputs)


def all_right(model: keras.Model, sequences: Sequences) -> np.ndarray:
    """The share of sequences of which every answer is right, for each network."""
    read, answers, asked = sequences
    # Called as it is: `predict` would make a graph of its own for each length.
    found = model(tf.constant(read, "int32"), training=False)
    found = [np.asarray(each) for each in (found if isinstance(found, list) else [found])]
    return np.array([((each.argmax(axis=-1) == answers) | ~asked).all(axis=1).mean() for each in found])


def counters(layer: Any, embed: Any, halves: tuple[int, ...]) -> list[np.ndarray]:
    """What the unit that is most like a counter holds while n times a and n times b go by, for each n in `halves`.

    A counter goes up at every a and down at every b. For each unit of an LSTM's cell, or of an Elman network's state,
    the slopes over the a and over the b of the first of `halves` are measured: their product is the least for that one.
    """
    seen = []
    for half in halves:
        embedded = embed(tf.constant([[0] * half + [1] * half], "int32"))
        states = list(layer.cell.get_initial_state(batch_size=1))
        held = []
        for step in range(2 * half):
            _, states = layer.cell(embedded[:, step], states)
            held.append(states[-1][0])
        seen.append(np.stack(held))
    up, down = (np.polyfit(np.arange(halves[0]), part, 1)[0] for part in np.split(seen[0], 2))
    unit = int((up * down).argmin())
    return [np.sign(up[unit]) * values[:, unit] for values in seen]


@lesson
def main(
    *,
    data: str = "parity,first,count",
    epochs: int = 6,
    units: int = 24,
    longest: int = 10,
    seeds: int = 3,
    seed: int = 0,
    quick: bool = False,
    out: Path = Path("runs/length_generalization"),
) -> dict[str, float]:
    """Trains both networks on each task, and measures them on ever longer sequences.

    Args:
        data: The tasks, with commas between them.
        epochs: Passes over 6,400 short sequences.
        units: The size of the state.
        longest: The length of the longest sequence in training; in testing it is ten times that.
        seeds: How many networks of each kind are trained.
        seed: Decides the sequences.
        quick: One epoch of a few sequences, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    tasks = data.split(",")
    unknown = [task for task in tasks if task not in TASKS]
    if unknown:
        raise ValueError(f"`data` must name some of {', '.join(TASKS)}. Received: {unknown[0]!r}.")
    if quick:
        epochs, seeds, units = 1, 1, 4
        tasks = tasks[-1:]
    batches, tested = (2, 20) if quick else (100, 200)

    # Lengths are drawn from ranges, in testing too: of `count` there is only one sequence of each length.
    ends = [factor * longest for factor in (1, 2, 3, 5, 7, 10)]
    metrics: dict[str, float] = {}
    shares: dict[str, dict[str, np.ndarray]] = {}
    counted: dict[str, dict[str, np.ndarray]] = {}
    for task in tasks:
        # Each task has its own generator, so that it draws the same sequences whichever others are asked for.
        generator = np.random.default_rng((seed, list(TASKS).index(task)))
        read, answers, asked = TASKS[task](generator.integers(1, longest + 1, 64 * batches), generator)
        trained_on = tf.data.Dataset.from_tensor_slices(
            (read.astype("int32"), (answers,) * seeds, (asked.astype("float32"),) * seeds)
        )
        trained_on = trained_on.shuffle(len(read), seed=seed).batch(64)
        tests = [
            TASKS[task](generator.integers(begin + 1, end + 1, tested), generator)
            for begin, end in zip([0, *ends], ends, strict=False)
        ]
        shares[task] = {}
        for name in CELLS:
            # The norm of each gradient is limited: those of recurrent networks explode now and then. What is not asked,
            # and the padding behind a shorter sequence, has weight 0.
            model = networks(name, units, seeds, read.shape[1])
            optimizer = keras.optimizers.Adam(
                keras.optimizers.schedules.CosineDecay(RATES[name], epochs * batches, alpha=0.01), clipnorm=1.0
            )
            model.compile(optimizer, ["sparse_categorical_crossentropy"] * seeds)
            training.fit(
                model,
                trained_on,
                epochs=epochs,
                callbacks=[keras.callbacks.TensorBoard(out / "logs" / f"{task}_{name.lower()}")],
                verbose=0,
            )
            # The same weights read sequences of any length.
            learnt = model.get_weights()
            model = networks(name, units, seeds, None)
            model.set_weights(learnt)
            rows = np.array([all_right(model, test) for test in tests])
            shares[task][name] = rows
            print(
                f"{task}, {name}: "
                + ", ".join(f"{row:.0%} to {end}" for end, row in zip(ends, rows.mean(axis=1), strict=True))
            )
            for end, row in zip(ends, rows, strict=True):
                if end in (longest, 2 * longest, 10 * longest):
                    key = f"{task}_{name.lower()}_{end}"
                    metrics[key] = float(row.mean())
                    metrics[f"{key}_error"] = float(standard_error(row))
            if task == "count":
                halves = (longest, 3 * longest // 2, 2 * longest)
                held = counters(model.get_layer("recurrent0"), model.get_layer("embedding0"), halves)
                counted[f"{name}: {'cell' if name == 'LSTM' else 'state'}"] = {
                    f"{half} a, {half} b": values for half, values in zip(halves, held, strict=True)
                }
                # What an a adds at the lengths that were learnt, and beyond them.
                steps = np.diff(held[-1])
                metrics[f"counter_{name.lower()}_per_a"] = float(steps[: longest - 1].mean())
                metrics[f"counter_{name.lower()}_per_a_beyond"] = float(steps[longest - 1 : 2 * longest - 1].mean())

    # What was learnt and is wrong more often than not at the greatest lengths is broken.
    broken = [
        task
        for task, found in shares.items()
        if any(row[0].mean() > 0.9 and row[-1].mean() < 0.5 for row in found.values())
    ]
    plots.save(
        plots.line_panels(
            {task: {name: row.mean(axis=1) for name, row in found.items()} for task, found in shares.items()},
            ends,
            x_label=f"length of the sequences, at most (dotted: {longest}, the longest in training)",
            y_label="share all right (± standard error)",
            errors={
                task: {name: row.std(axis=1, ddof=1) / seeds**0.5 for name, row in found.items() if seeds > 1}
                for task, found in shares.items()
            },
            y_limits=(-0.05, 1.05),
            marks=[longest],
            title=f"Learnt on short sequences; what breaks on long ones: {', '.join(broken) or 'nothing'}",
        ),
        out / "figures" / "lengths.png",
    )

    # Why? Look into the first network of each kind while as many a as ever seen go by, then as many b; and more of
    # both. A cell of an LSTM can add 1 at each a and take 1 away at each b, for nothing squashes it: a counter. This
    # one goes on beyond what it was trained on, but ends a little lower the longer it counted: up and down are not
    # quite the same, and a small difference at each step is a wrong count after many. An Elman network's state goes
    # through tanh at every step: it comes to rest, and from then on one more a makes no difference.
    if counted:
        plots.save(
            plots.line_panels(
                counted,
                x_label=f"step (trained on at most {longest} a, {longest} b)",
                y_label="value of the unit",
                markers=False,
                title="Up at each a, down at each b? The unit most like a counter",
            ),
            out / "figures" / "counters.png",
        )
    return metrics


if __name__ == "__main__":
    command_line(main)
