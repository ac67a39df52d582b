"""What is back-propagation through time, once one has written it down, and what does a recurrent network learn by it?

Paper:  [Elman, 1990](https://doi.org/10.1207/s15516709cog1402_1)
Run:    python -m tutorials.elman_from_scratch
Takes:  15 seconds on one core
Expect: loop, layers and unrolled graph agree to 1e-15, the states as well as each copy's gradient, and the copies' sum
        is the shared gradient to 2e-15. Twelve copies back, the gradient is 0.17 of what the last copy adds. After 100
        passes over 3,000 letters the squared error per bit is 0.0003 ± 0.00004 at vowels and 0.0743 ± 0.0003 at
        consonants (three seeds; the best possible are 0 and 0.0741). From the last letter alone it is 0.048 and 0.221.

Elman's network has one rule, `h_t = tanh(x_t W_xh + h_{t-1} W_hh + b)`, and applies it at every step with the same
weights. Unrolled, it is an ordinary deep network of as many layers as there are steps, only that all layers share their
weights. So its gradient is what back-propagation always gives: send the error back through the copies, note what each
copy of the weights would have to change, and add the notes up, since the copies are one.

The lesson computes all of it several times: by a loop in NumPy, by the layer, and by a network with a true copy of the
weights for every step. Then the layer learns Elman's own task. Consonants b, d and g come in random order, and each is
followed by its vowels: ba, dii, guuu. Nobody can say which consonant comes next, but whoever counts the vowels knows
*when* one comes, and then what follows is certain. The error over time should be a saw.

What such a network can do, and what not: with a ramp in the place of tanh, weights that are fractions, exact states
and as much time as it wants, it can do what any computer can: the digits of its states are the computer's tape
([Siegelmann and Sontag, 1995](https://doi.org/10.1006/jcss.1995.1013)). That says that the weights exist. It does not
say that a gradient finds them, nor that they survive rounding to the 24 bits of a float32, nor that a network which
learnt short sequences will be right about long ones: see `length_generalization`.

Exercises:

1. Elman did not send the error back through time: he took `h_{t-1}` for one more input. Put a `tf.stop_gradient` into
   the unrolled graph. How much of the gradient is lost, and is ba, dii, guuu still learnt?
2. Give the untrained network a recurrent matrix three times as large. How does the picture of the copies change?
3. Let g be followed by two to four u at random, so that nobody knows any more when the next consonant comes. What is
   the best possible error after each of these u now, and does the network come to it?
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasdl import training
from kerasdl.layers import ElmanRNN
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import plots

WORDS = ("ba", "dii", "guuu")
# Elman's table 1: consonant, vowel, interrupted, high, back, voiced.
LETTERS = {
    "b": (1, 0, 1, 0, 0, 1),
    "d": (1, 0, 1, 1, 0, 1),
    "g": (1, 0, 1, 0, 1, 1),
    "a": (0, 1, 0, 0, 1, 1),
    "i": (0, 1, 0, 1, 0, 1),
    "u": (0, 1, 0, 1, 1, 1),
}


def text(letters: int, rng: np.random.Generator) -> str:
    """Words in random order, cut at a number of letters."""
    return "".join(WORDS[word] for word in rng.integers(3, size=letters))[:letters]


def bits(letters: str) -> np.ndarray:
    """`(letters, 6)`."""
    return np.array([LETTERS[letter] for letter in letters], "float32")


def forward(x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """The states of one row, `h_0 = 0` among them: `(steps + 1, units)`."""
    kernel, recurrent, bias = weights
    states = [np.zeros(len(bias))]
    for step in x:
        states.append(np.tanh(step @ kernel + states[-1] @ recurrent + bias))
    return np.array(states)


def backward(
    x: np.ndarray, states: np.ndarray, d_states: np.ndarray, weights: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each copy of the three weights adds to the gradient, by the chain rule: `(steps, ...)` each."""
    _, recurrent, _ = weights
    dh, dz = np.zeros(len(recurrent)), np.zeros_like(d_states)
    for step in reversed(range(len(x))):
        dh = dh + d_states[step]  # from the loss, and from the step after
        dz[step] = dh * (1 - states[step + 1] ** 2)  # tanh' = 1 - tanh^2
        dh = dz[step] @ recurrent.T
    return x[:, :, None] * dz[:, None, :], states[:-1, :, None] * dz[:, None, :], dz


def unrolled(x: np.ndarray, last: np.ndarray, weights: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """The states of a network with a copy of the weights for every step, and each copy's gradient by the tape."""
    copies = [[tf.constant(weight) for weight in weights] for _ in x]
    h, states = tf.zeros((1, len(weights[2])), tf.float64), []
    with tf.GradientTape() as tape:
        tape.watch(copies)
        for step, (kernel, recurrent, bias) in zip(x, copies, strict=True):
            h = tf.tanh(step[None] @ kernel + h @ recurrent + bias)
            states.append(h[0])
        loss = tf.reduce_sum(h * last)
    gradients = tape.gradient(loss, copies, unconnected_gradients="zero")
    return np.array(states), [np.array(parts) for parts in zip(*gradients, strict=True)]


def difference(*pairs: tuple) -> float:
    """The largest difference within any of the pairs."""
    return max(float(np.abs(np.asarray(one) - np.asarray(other)).max()) for one, other in pairs)


def best_without_memory(letters: str) -> np.ndarray:
    """The squared error of who sees the last letter alone: the best guess is the mean of what followed it."""
    now, following = np.array(list(letters[:-1])), bits(letters[1:])
    means = {letter: following[now == letter].mean(axis=0) for letter in set(now)}
    return np.mean([(means[letter] - row) ** 2 for letter, row in zip(now, following, strict=True)], axis=1)


@lesson
def main(
    *,
    data: str = "ba_dii_guuu",
    epochs: int = 100,
    units: int = 20,
    steps: int = 12,
    seeds: int = 3,
    quick: bool = False,
    out: Path = Path("runs/elman_from_scratch"),
) -> dict[str, float]:
    """Computes one gradient in every way, then learns Elman's letters.

    Args:
        data: The task; there is only ba_dii_guuu, drawn here.
        epochs: Passes over 3,000 letters.
        units: Size of the state; Elman's was 20.
        steps: Length of the row whose gradient is computed.
        seeds: How often the letters are learnt, with other rows and other first weights.
        quick: One seed and few epochs, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    if data != "ba_dii_guuu":
        raise ValueError(f"`data` must be 'ba_dii_guuu'. Received: data={data!r}.")
    if quick:
        epochs, seeds = 2, 1
    rng = np.random.default_rng(0)
    keras.utils.set_random_seed(0)

    # One row of letters, and a loss that looks at the last state alone: a sum of its parts with random factors. Double
    # precision, so that what is left of a difference is no rounding.
    x, last = bits(text(steps, rng)).astype("float64"), rng.normal(size=units)
    layers = {"Elman": ElmanRNN(units, dtype="float64"), "stock": keras.layers.SimpleRNN(units, dtype="float64")}
    for layer in layers.values():
        layer.build((1, *x.shape))
        layer.set_weights(layers["Elman"].get_weights())
    weights = layers["Elman"].get_weights()

    # First the loop in NumPy: three lines forward, four lines back. For every step it says what that step's copy of the
    # weights would have to change; what the one shared matrix has to change is the sum over the copies.
    states = forward(x, weights)
    d_states = np.zeros((steps, units))
    d_states[-1] = last
    by_hand = backward(x, states, d_states, weights)

    # The same again by the tape, which knows nothing of time, through a graph with a true copy for each step; and by
    # the two layers, whose copies are one, so that they give the sums alone.
    copied_states, by_tape = unrolled(x, last, weights)
    copy_error = difference(*zip(by_hand, by_tape, strict=True))
    sum_errors, state_error = [], difference((states[1:], copied_states))
    for name, layer in layers.items():
        with tf.GradientTape() as tape:
            state = layer(x[None])
            loss = tf.reduce_sum(state * last)
        sums = tape.gradient(loss, [weight.value for weight in layer.trainable_weights])
        state_error = max(state_error, difference((state[0], states[-1])))
        sum_errors.append(difference(*((part.sum(axis=0), total) for part, total in zip(by_hand, sums, strict=True))))
        print(f"{name}: its gradient is the sum over the copies but for {sum_errors[-1]:.1e}")
    print(f"each copy's gradient by hand and by the tape: the same but for {copy_error:.1e}")

    # How much does each copy add? The error has to pass all the copies above. With every one it is multiplied by the
    # recurrent matrix and by tanh', which is below one.
    norms = {
        name: np.linalg.norm(part.reshape(steps, -1), axis=1)
        for name, part in zip(("input weights", "recurrent weights"), by_hand, strict=False)
    }
    plots.save(
        plots.lines(
            {name: np.where(values > 0, values, np.nan) for name, values in norms.items()},
            x_label="step of the copy (the loss looks at the last)",
            y_label="norm of the copy's gradient",
            log_y=True,
            title="The further back a copy, the less it has to say",
        ),
        out / "figures" / "copies.png",
    )

    # Now Elman's task: say the next letter. There are fifty rows of 60 letters, so this is as long as his text was; a
    # fresh row shows what has been learnt. What is squared and averaged is the six bits of the letter.
    errors = []
    fresh = text(301, np.random.default_rng(1000))
    consonant = np.isin(list(fresh[1:]), ["b", "d", "g"])
    for seed in range(seeds):
        keras.utils.set_random_seed(seed)
        rows = np.stack([bits(text(61, np.random.default_rng((seed, row)))) for row in range(50)])
        given = keras.Input(batch_shape=(None, None, 6))
        hidden = ElmanRNN(units, return_sequences=True)(given)
        model = keras.Model(given, keras.layers.Dense(6, activation="sigmoid")(hidden))
        model.compile(keras.optimizers.Adam(0.01), "mse")
        batches = tf.data.Dataset.from_tensor_slices((rows[:, :-1], rows[:, 1:])).shuffle(50, seed=seed).batch(10)
        watch = keras.callbacks.TensorBoard(out / "logs" / f"seed{seed}")
        training.fit(model, batches, epochs=epochs, callbacks=[watch], verbose=0)
        guesses = model.predict(bits(fresh[:-1])[None], verbose=0)[0]
        errors.append(np.mean((guesses - bits(fresh[1:])) ** 2, axis=1))
        found = errors[-1]
        print(
            f"seed {seed}: error {found[consonant].mean():.3f} at consonants, {found[~consonant].mean():.4f} at vowels"
        )
    ignorant = best_without_memory(fresh)

    # The teeth of the saw stand at the consonants, which nobody can foresee. But even there the network is not lost: it
    # knows that a consonant comes, and four of a consonant's six bits are the same for all three. The other two are one
    # in a third of all cases, and who guesses a third is wrong by 1/3 * 2/3 on average: 4/9 in six bits, 0.074.
    plots.save(
        plots.bars(
            {"": errors[0][:15]},
            list(fresh[1:16]),
            y_label="squared error per bit",
            written=None,
            title="The error tells where the words begin",
        ),
        out / "figures" / "saw.png",
    )
    at_vowels = np.array([error[~consonant].mean() for error in errors])
    at_consonants = np.array([error[consonant].mean() for error in errors])
    # Standard errors over the seeds; none can be told from one seed.
    uncertain = [standard_error(found) for found in (at_vowels, at_consonants)]
    plots.save(
        plots.bars(
            {
                "recurrent network": [at_vowels.mean(), at_consonants.mean()],
                "last letter only": [ignorant[~consonant].mean(), ignorant[consonant].mean()],
            },
            ["vowels", "consonants"],
            y_label="squared error per bit (± standard error)",
            errors={"recurrent network": uncertain},
            written="{:.4f}",
            title="It pays to count the vowels",
        ),
        out / "figures" / "memory.png",
    )
    return {
        "largest_state_difference": state_error,
        "largest_copy_difference": copy_error,
        "largest_sum_difference": max(sum_errors),
        "first_to_last_copy": norms["input weights"][0] / norms["input weights"][-1],
        "error_at_vowels": at_vowels.mean(),
        "error_at_vowels_error": uncertain[0],
        "error_at_consonants": at_consonants.mean(),
        "error_at_consonants_error": uncertain[1],
        "without_memory_at_vowels": ignorant[~consonant].mean(),
        "without_memory_at_consonants": ignorant[consonant].mean(),
    }


if __name__ == "__main__":
    command_line(main)
