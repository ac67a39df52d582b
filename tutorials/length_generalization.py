"""Does a recurrent network that was trained on short sequences work on sequences ten times as long?

Paper:  [Weiss et al., 2018](https://aclanthology.org/P18-2117/),
        [Siegelmann and Sontag, 1995](https://doi.org/10.1006/jcss.1995.1013)
Run:    python -m tutorials.length_generalization
Takes:  about a minute on 2 cores, from the time that the tasks took one by one
Expect: every network is right on all sequences of the lengths it was trained on, up to 10. Up to 100, parity stays
        right in both (100 %); the first symbol stays right in the LSTM (100 %), and in the Elman network in about three
        quarters of the sequences; counting breaks in both: from 11 to 20 the LSTM is right in about 60 % and the Elman
        network in 4 %, and at 21 to 30 neither ever is. (Three networks each, every task on its own, 4 to 6 epochs.)

A recurrent network reads sequences of any length with the same weights. An Elman network with the right weights can
even do what any Turing machine does (Siegelmann and Sontag, 1995): its state holds numbers of any precision, and a
number with enough digits is a tape. But that is said of weights that somebody chose, numbers without rounding and any
time. What gradient descent finds on short sequences only has to work on short sequences.

Three tasks, each with an answer at every step, learnt on sequences of length 1 to 10 and tested on up to 100:

| task | input | to be said at each step | what has to be kept |
|---|---|---|---|
| parity | random bits | was the number of ones so far odd? | one bit, which each step may turn |
| first | one of four symbols, then others | which was the first? | two bits, for ever |
| count | a a a b b b | after each b: does another b follow, or is that all? | a number that grows with the length |

A sequence is right where every one of its answers is right. The first two need a machine of two or four states, the
third a counter: no finite number of states is enough for every length.

Parity goes on for ever since its answer is asked at every step and each step must turn it: units that are driven into
the flat ends of tanh forget small errors, so that they cannot add up. The first symbol only had to last for ten steps;
in an Elman network it may fade slowly and be right all the same, as long as nobody asks at step 100. And a count that
grows is new at every length: nothing in the training said what a state should look like at eleven.

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
from kerasdl.visualization import plots

Sequences = tuple[np.ndarray, np.ndarray, np.ndarray]  # what is read, what is to be said, whether it is asked
CELLS: dict[str, Any] = {"Elman": ElmanRNN, "LSTM": keras.layers.LSTM}
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
    found = model.predict_on_batch(tf.constant(read, "int32"))
    found = found if isinstance(found, list) else [found]
    return np.array([((each.argmax(axis=-1) == answers) | ~asked).all(axis=1).mean() for each in found])


def counter(layer: Any, embedded: tf.Tensor) -> np.ndarray:
    """What the unit whose value varies most holds at each step: an LSTM's cell, or an Elman network's state."""
    states = list(layer.cell.get_initial_state(batch_size=1))
    seen = []
    for step in range(embedded.shape[1]):
        _, states = layer.cell(embedded[:, step], states)
        seen.append(states[-1][0])
    values = np.stack(seen)
    unit = int(np.ptp(values, axis=0).argmax())
    return values[:, unit] * np.sign(values[np.abs(values[:, unit]).argmax(), unit])


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
    generator = np.random.default_rng(seed)
    batches, tested = (2, 20) if quick else (100, 200)

    # Lengths are drawn from ranges, in testing too: of `count` there is only one sequence of each length.
    ends = [factor * longest for factor in (1, 2, 3, 5, 7, 10)]
    metrics, counters = {}, {}
    for task in tasks:
        read, answers, asked = TASKS[task](generator.integers(1, longest + 1, 64 * batches), generator)
        trained_on = tf.data.Dataset.from_tensor_slices(
            (read.astype("int32"), (answers,) * seeds, (asked.astype("float32"),) * seeds)
        )
        trained_on = trained_on.shuffle(len(read), seed=seed).batch(64)
        tests = [
            TASKS[task](generator.integers(begin + 1, end + 1, tested), generator)
            for begin, end in zip([0, *ends], ends, strict=False)
        ]
        rows = {}
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
            rows[name] = np.array([all_right(model, test) for test in tests])
            print(
                f"{task}, {name}: "
                + ", ".join(f"{row:.0%} to {end}" for end, row in zip(ends, rows[name].mean(axis=1), strict=True))
            )
            for end, row in zip(ends, rows[name], strict=True):
                if end in (longest, 2 * longest, 10 * longest):
                    key = f"{task}_{name.lower()}_{end}"
                    metrics[key] = float(row.mean())
                    metrics[f"{key}_error"] = float(row.std(ddof=1) / seeds**0.5) if seeds > 1 else 0.0
            if task == "count":
                ramp, *_ = count(np.array([4 * longest]), generator)
                embedded = model.get_layer("embedding0")(tf.constant(ramp, "int32"))
                counters[name] = counter(model.get_layer("recurrent0"), embedded)

        plots.save(
            plots.lines(
                {name: row.mean(axis=1) for name, row in rows.items()},
                ends,
                x_label="length of the sequences, at most",
                y_label="share of sequences all right",
                errors={name: row.std(axis=1, ddof=1) / seeds**0.5 for name, row in rows.items() if seeds > 1},
                title=f"{task}: learnt up to length {longest}, tested up to {10 * longest}",
            ),
            out / "figures" / f"{task}.png",
        )

    # Why? Look at the unit that varies most while four times as many a as ever seen go by, then as many b. A cell of an
    # LSTM can add 1 at each a and take 1 away at each b, since nothing squashes it: a counter. The state of an Elman
    # network goes through tanh at every step. Its counter is a spiral into a fixed point, and after some steps the
    # difference between n and n + 1 is lost.
    if counters:
        plots.save(
            plots.lines(
                counters,
                x_label=f"step: {4 * longest} times a, then {4 * longest} times b",
                y_label="value of the unit",
                markers=False,
                title="The unit that varies most while counting, far beyond the lengths seen",
            ),
            out / "figures" / "counters.png",
        )
    return metrics


if __name__ == "__main__":
    command_line(main)
