"""Which tasks can one recurrent cell be wired for, and what does the wiring change?

Paper:  [Elman, 1990](https://doi.org/10.1207/s15516709cog1402_1); the picture of the five wirings became known through
        [Karpathy, 2015](https://karpathy.github.io/2015/05/21/rnn-effectiveness/)
Run:    python -m tutorials.paradigms
Takes:  50 seconds on one core
Expect: of the answers on bits never seen, 100 % right in four wirings, and 99.96 % in the delayed one. Without memory
        one to one stays at 100 %; the others fall to 55, 20, 56 and 50 %, about what can be known from one step: 55,
        25, 55 and 50 %.

A network without memory maps one input of fixed size to one output of fixed size. A recurrent one may be given an
input at any step, or none, and be asked for an output at any step, or not. That makes five kinds of tasks:

| | goes in | comes out | in the world | here, of 10 bits |
|---|---|---|---|---|
| one to one | all at once | one answer | classify an image | how many ones? |
| one to many | all at once | one answer per step | caption an image | spell the bits |
| many to one | one per step | one answer at the end | judge a text | how many ones? |
| many to many, synced | one per step | an answer at each | tag the words | is the number of ones so far odd? |
| many to many, delayed | one per step | answers after the last | translate a sentence | spell the bits backwards |

The right answer of each toy is known, and whoever wants to answer for bits never seen before has to find the rule. All
five networks are the same: one cell, one linear layer. What differs is at which steps there is something to read, and
at which steps somebody listens; the latter is a matter of `sample_weight`.

Each network has a twin whose state is wiped after each step. Where it does as well, no memory was needed.

Exercises:

1. Which wiring would you take for: a film to its title, a title to a film, each frame of a film to who is in it, a
   question to an answer? Which of them can begin to answer before all has been read?
2. Run it with `--cell elman`. Which wiring suffers most, and over how many steps does it have to remember?
3. In the synced toy ask whether the *whole* row has an odd number of ones, at each step. What is the best that any
   network that has not seen the future can do? Add `bidirectional=True` in `network`.
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasdl import training
from kerasdl.sequences.recurrent import stack
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.visualization import plots

TASKS = {
    "one to one": "how many ones?",
    "one to many": "spell the bits",
    "many to one": "how many ones?",
    "many to many, synced": "an odd number so far?",
    "many to many, delayed": "spell them backwards",
}


def toys(bits: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """What goes in, what should come out, and at which steps somebody listens, for rows of bits in all five wirings."""
    rows, count = bits.shape
    signs = 2.0 * bits - 1  # so that 0 is left to say: nothing
    at_once = np.zeros((rows, count, count), "float32")
    at_once[:, 0] = signs
    one_by_one = np.zeros((rows, count, count), "float32")
    one_by_one[:, :, 0] = signs
    nothing = np.zeros((rows, count, count), "float32")
    every_step = np.ones((rows, count), "float32")
    ones = bits.sum(axis=1, keepdims=True)
    return {
        "one to one": (at_once[:, :1], ones, every_step[:, :1]),
        "one to many": (at_once, bits, every_step),
        "many to one": (one_by_one, np.repeat(ones, count, axis=1), every_step * (np.arange(count) == count - 1)),
        "many to many, synced": (one_by_one, bits.cumsum(axis=1) % 2, every_step),
        "many to many, delayed": (
            np.concatenate([one_by_one, nothing], axis=1),
            np.concatenate([0 * bits, bits[:, ::-1]], axis=1),
            np.concatenate([0 * every_step, every_step], axis=1),
        ),
    }


def network(cell: str, units: int, bits: int) -> keras.Model:
    """One cell and one linear layer: all five wirings."""
    inputs = keras.Input((None, bits))
    states = stack(inputs, cell=cell, units=units, return_sequences=True)
    logits = keras.layers.Dense(bits + 1, name="logits")(states)
    return keras.Model(inputs, keras.layers.Activation("softmax", name="predictions")(logits))


def step_by_step(arrays: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each step as a sequence of its own: nothing is left of the step before."""
    return tuple(array.reshape(-1, 1, *array.shape[2:]) for array in arrays)  # type: ignore[return-value]


@lesson
def main(
    *,
    data: str = "bits",
    bits: int = 10,
    cell: str = "gru",
    units: int = 64,
    epochs: int = 80,
    seed: int = 0,
    quick: bool = False,
    out: Path = Path("runs/paradigms"),
) -> dict[str, float]:
    """Trains one small network for each wiring.

    Args:
        data: Only "bits": all rows of so many bits, generated here.
        bits: How many bits a row has.
        cell: "elman", "gru" or "lstm".
        units: The size of the state.
        epochs: Passes over three quarters of all rows; the last quarter is for testing.
        seed: Decides the first weights, and which rows are for testing.
        quick: Rows of 4 bits, 8 units and 2 epochs, whatever is given, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    if data != "bits":
        raise ValueError(f'`data` must be "bits", which this lesson generates. Received: data={data!r}.')
    if quick:
        bits, units, epochs = 4, 8, 2

    # All 1,024 rows of ten bits, in random order. What is learnt by heart helps little with the last quarter.
    rows = np.array([[number >> place & 1 for place in range(bits)] for number in range(2**bits)])
    rows = np.random.default_rng(seed).permutation(rows)
    split = 3 * len(rows) // 4
    metrics: dict[str, float] = {}
    accuracies: dict[str, dict[str, float]] = {"with memory": {}, "without": {}}
    for name in toys(rows):
        for kind, results in accuracies.items():
            known, unseen = (toys(some)[name] for some in (rows[:split], rows[split:]))
            batch_size = 32
            if kind == "without":
                # As many steps in a batch as before; only none knows of the others.
                batch_size *= known[0].shape[1]
                known, unseen = step_by_step(known), step_by_step(unseen)
            keras.utils.set_random_seed(seed)
            model = network(cell, units, bits)
            batches = tf.data.Dataset.from_tensor_slices(known).cache().shuffle(10_000, seed=seed).batch(batch_size)
            schedule = keras.optimizers.schedules.CosineDecay(0.01, epochs * len(batches))
            # Where the weight is 0 nobody listens: what the network says there costs nothing, and teaches nothing.
            model.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy")
            key = f"{name.replace(',', '').replace(' ', '_')}_{kind.replace(' ', '_')}"
            board = keras.callbacks.TensorBoard(out / "logs" / key)
            training.fit(model, batches, epochs=epochs, callbacks=[board], verbose=0)
            inputs, answers, listened = unseen
            right = np.argmax(model(inputs), axis=-1) == answers
            results[name] = metrics[f"{key}_accuracy"] = float(right[listened > 0].mean())
            print(f"{name}, {kind}: {results[name]:.1%} right", flush=True)

    # The five wirings, drawn for three bits. Read each from the left to the right, and ask at each output which inputs
    # an arrow leads here from.
    example = np.array([[1, 0, 0]])
    diagrams = {}
    for name, (inputs, answers, listened) in toys(example).items():
        told = [
            "100" if name.startswith("one") and step == 0 else str(int(x > 0)) if x else None
            for step, x in enumerate(inputs[0, :, 0])
        ]
        asked = [str(answer) if weight else None for answer, weight in zip(answers[0], listened[0], strict=True)]
        diagrams[f"{name}\n{TASKS[name]}\n{accuracies['with memory'][name]:.1%}"] = (told, asked)
    plots.save(
        plots.unrolled(diagrams, title=f"One cell, five wirings: answers right on unseen rows of {bits} bits"),
        out / "figures" / "wirings.png",
    )

    # Whoever wipes the state cuts the arrows from state to state. What is left is what can be known from one step: in
    # "one to many" the first bit, for example, and half of the others by luck.
    plots.save(
        plots.bars(
            {kind: [100 * share for share in results.values()] for kind, results in accuracies.items()},
            [name.rpartition(", ")[2] for name in accuracies["without"]],
            y_label="answers right (%)",
            title="Without memory all wirings but one to one only guess",
        ),
        out / "figures" / "memory.png",
    )
    return metrics


if __name__ == "__main__":
    command_line(main)
