"""What is seeing the future worth, when every half minute of a night's sleep is to be named?

Paper:  [Schuster and Paliwal, 1997](https://doi.org/10.1109/78.650093); the best possible by
        [Rabiner, 1989](https://doi.org/10.1109/5.18626)
Run:    python -m tutorials.sleep_stages
Takes:  25 seconds on one core
Expect: 59.1 % of the half minutes named right by a network that sees one alone, 79.3 % by one that sees the past too,
        87.0 % by one that sees the future as well; the best possible is 59.3, 80.5 and 88.7 %. So the future is worth
        7.6 ± 0.1 points (three seeds) to a network, and 8.1 to whoever knows how the nights were drawn.

Who sleeps in a laboratory is recorded all night, and somebody names every 30 seconds: awake, the light stages N1 and
N2, the deep N3, or REM, in which one dreams. What is looked at are rhythms in the electroencephalogram: slow delta
waves say N3, spindles (sigma) say N2, and alpha waves that somebody lies awake with closed eyes. One half minute alone
is often not clear. But stages last: who was in REM a moment ago most likely still is, and after N3 comes no REM.

The nights here are drawn by a process that we know: a Markov chain that nobody sees goes from stage to stage, and each
half minute the strengths of five rhythms are drawn around the means of the stage. So one can compute how often the best
possible guess is right, by Bayes' rule, for somebody who sees

- one half minute alone,
- the past as well: the *forward* recursion, as a monitor at the bed would have to work,
- the future as well: *forward-backward*, as one who looks through the recording in the morning.

On average nobody can do better than these three numbers, and the question is how near they come by examples alone.

Exercises:

1. Run it with `--data noisy`. Is the future worth more or less, when each half minute says less?
2. Try `--cell gru --seeds 1`. Does a gated cell come nearer to the best possible? What would bring the rest: more
   nights, or more units?
3. A monitor may answer a little late. Shift the stages by four steps (two minutes) against the signal in `windows`, for
   the network that sees the past alone: how much of what the future is worth does that give?
4. N1 is found least often, with one half minute alone hardly ever (`n1_found`). Why is that right? Weigh its steps
   four times (`sample_weight`): what does that cost the other stages?
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasdl import training
from kerasdl.sequences import StepAccuracy, tagger
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import plots

STAGES = ("awake", "N1", "N2", "N3", "REM")
STEPS = 960  # half minutes in eight hours
# How long each stage lasts, in half minutes, and what follows it.
LASTS = np.array([8, 4, 14, 20, 18])
NEXT = np.array(
    [
        [0.00, 0.90, 0.10, 0.00, 0.00],
        [0.20, 0.00, 0.70, 0.00, 0.10],
        [0.15, 0.20, 0.00, 0.40, 0.25],
        [0.10, 0.10, 0.80, 0.00, 0.00],
        [0.40, 0.30, 0.30, 0.00, 0.00],
    ]
)
# How strong delta, theta, alpha, sigma and beta are on average: logarithms, in units of how much they vary.
RHYTHMS = np.array(
    [
        [-0.4, -0.3, 1.0, -0.5, 0.8],
        [0.0, 0.5, 0.1, -0.2, 0.2],
        [0.5, 0.3, -0.3, 0.9, -0.3],
        [1.5, 0.1, -0.5, 0.3, -0.7],
        [-0.3, 0.6, -0.1, -0.5, 0.3],
    ]
)
VARIES = {"clear": 0.8, "usual": 1.0, "noisy": 1.5}
# Each stage is made of three states one after the other, or the shortest stay would be the most frequent.
PARTS = 3


def chain() -> np.ndarray:
    """The probability of going from each state to each in half a minute."""
    moves = np.zeros((len(STAGES), PARTS, len(STAGES), PARTS))
    for stage, leaves in enumerate(PARTS / LASTS):
        for part in range(PARTS):
            moves[stage, part, stage, part] = 1 - leaves
            if part + 1 < PARTS:
                moves[stage, part, stage, part + 1] = leaves
            else:
                moves[stage, part, :, 0] = leaves * NEXT[stage]
    return moves.reshape(len(STAGES) * PARTS, -1)


def draw_nights(count: int, varies: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Some nights: the strengths of the rhythms, `(count, STEPS, 5)`, and the stages, `(count, STEPS)`."""
    below = chain().cumsum(axis=1)
    states = np.zeros((count, STEPS), int)  # everybody is awake at first
    for step in range(1, STEPS):
        states[:, step] = (rng.random((count, 1)) > below[states[:, step - 1]]).sum(axis=1)
    stages = np.minimum(states // PARTS, len(STAGES) - 1)
    return (RHYTHMS[stages] + varies * rng.normal(size=(count, STEPS, 5))).astype("float32"), stages


def best_guesses(signal: np.ndarray, varies: float) -> dict[str, np.ndarray]:
    """The most probable stage of each step, given what one sees, by Bayes' rule."""
    moves, (count, steps, _) = chain(), signal.shape
    distances = ((signal[:, :, None] - RHYTHMS) ** 2).sum(axis=-1) / (2 * varies**2)
    likely = np.repeat(np.exp(distances.min(axis=-1, keepdims=True) - distances), PARTS, axis=-1)
    usual = np.linalg.matrix_power(moves, 10_000)[0]  # how often each state is met at all
    past, future = np.zeros_like(likely), np.ones_like(likely)
    expected = np.eye(len(moves))[0]
    for t in range(steps):
        past[:, t] = expected * likely[:, t]
        past[:, t] /= past[:, t].sum(axis=-1, keepdims=True)
        expected = past[:, t] @ moves
    for t in reversed(range(steps - 1)):
        future[:, t] = (likely[:, t + 1] * future[:, t + 1]) @ moves.T
        future[:, t] /= future[:, t].sum(axis=-1, keepdims=True)
    beliefs = (usual * likely, past, past * future)
    return {
        sees: belief.reshape(count, steps, len(STAGES), PARTS).sum(axis=-1).argmax(axis=-1)
        for sees, belief in zip(SEES, beliefs, strict=True)
    }


def one_step_alone() -> keras.Model:
    """A network without memory, the same at each step."""
    signal = keras.Input((None, 5))
    hidden = keras.layers.Dense(64, activation="relu")(signal)
    return keras.Model(signal, keras.layers.Dense(len(STAGES), activation="softmax", name="predictions")(hidden))


SEES = ("one step", "the past", "past and future")


@lesson
def main(
    *,
    data: str = "usual",
    epochs: int | None = None,
    cell: str = "elman",
    units: int = 32,
    seeds: int = 3,
    quick: bool = False,
    out: Path = Path("runs/sleep_stages"),
) -> dict[str, float]:
    """Trains networks that see one step, the past, and the future too, and compares them with the best possible.

    Args:
        data: How much the rhythms vary within a stage: clear, usual or noisy.
        epochs: Passes over the training nights; 8 without it.
        cell: The recurrent cell: elman, gru or lstm.
        units: The size of its state, for each direction.
        seeds: How often each network is trained, with other first weights and another order of the nights.
        quick: A few nights, one seed and 8 units, whatever is given, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    if data not in VARIES:
        raise ValueError(f"`data` must be one of {', '.join(VARIES)}. Received: data={data!r}.")
    varies, window = VARIES[data], 120
    epochs = epochs or (1 if quick else 8)
    train_nights, test_nights = (8, 4) if quick else (128, 40)
    seeds, units = (1, 8) if quick else (seeds, units)
    signal, stages = draw_nights(train_nights, varies, np.random.default_rng(1))
    test_signal, test_stages = draw_nights(test_nights, varies, np.random.default_rng(2))

    # We know the process, so we know how well anybody can do.
    best = best_guesses(test_signal, varies)

    # Training on hours, not nights: a layer that goes on for an hour goes on for eight as well, and what happened more
    # than an hour ago says nothing of now.
    windows = signal.reshape(-1, window, 5), stages.reshape(-1, window)
    builders = {
        SEES[0]: one_step_alone,
        SEES[1]: lambda: tagger(classes=STAGES, features=5, cell=cell, units=units),
        SEES[2]: lambda: tagger(classes=STAGES, features=5, cell=cell, units=units, bidirectional=True),
    }
    guesses: dict[str, list[np.ndarray]] = {sees: [] for sees in SEES}
    for seed in range(seeds):
        for sees, build in builders.items():
            keras.utils.set_random_seed(seed)
            model = build()
            batches = tf.data.Dataset.from_tensor_slices(windows).shuffle(len(windows[0]), seed=seed).batch(32)
            rate = keras.optimizers.schedules.CosineDecay(0.005, epochs * len(batches))
            model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=[StepAccuracy()])
            print(f"\nSees {sees}, seed {seed}")
            logs = keras.callbacks.TensorBoard(out / "logs" / f"{sees.replace(' ', '_')}_seed{seed}")
            training.fit(model, batches, epochs=epochs, clip_norm=1.0, callbacks=[logs])
            guesses[sees].append(np.argmax(model(test_signal), axis=-1))

    # Each network beside the best that anybody can do who sees as much.
    right = {sees: np.array([(guess == test_stages).mean() for guess in guesses[sees]]) for sees in SEES}
    error = {sees: standard_error(values) for sees, values in right.items()}
    limit = {sees: (guess == test_stages).mean() for sees, guess in best.items()}
    plots.save(
        plots.bars(
            {
                "best possible": [100 * limit[sees] for sees in SEES],
                "network": [100 * right[sees].mean() for sees in SEES],
            },
            [sees.replace("and ", "and\n") for sees in SEES],
            y_label="steps named right, in %",
            written="{:.1f}",
            title="How often one is right who sees ...",
        ),
        out / "figures" / "past_and_future.png",
    )

    # One night. Who sees the past alone has to wait until a new stage is certain, and jumps at every odd half minute;
    # who sees the future knows that it was an odd one.
    night = {"truth": test_stages[0]}
    night |= {f"network that sees {sees}": guesses[sees][0][0] for sees in SEES[1:]}
    # Drawn as laboratories draw it: awake on top, REM below, and the deeper the sleep, the lower.
    upwards = ("N3", "N2", "N1", "REM", "awake")
    heights = np.array([upwards.index(stage) for stage in STAGES])
    plots.save(
        plots.timelines(
            {name: heights[row] for name, row in night.items()},
            upwards,
            np.arange(STEPS) / 120,
            x_label="hours of sleep",
            title="One night: who sees the past alone flickers",
        ),
        out / "figures" / "night.png",
    )

    metrics: dict[str, float] = {}
    for sees in SEES:
        name = sees.replace(" ", "_")
        metrics |= {f"{name}_accuracy": right[sees].mean(), f"{name}_error": error[sees], f"{name}_best": limit[sees]}
        n1 = test_stages == STAGES.index("N1")
        metrics[f"{name}_n1_found"] = np.mean([(guess[n1] == test_stages[n1]).mean() for guess in guesses[sees]])
    gain = right[SEES[2]] - right[SEES[1]]
    metrics["future_is_worth"] = gain.mean()
    metrics["future_error"] = standard_error(gain)
    metrics["future_is_worth_at_best"] = limit[SEES[2]] - limit[SEES[1]]
    return metrics


if __name__ == "__main__":
    command_line(main)
