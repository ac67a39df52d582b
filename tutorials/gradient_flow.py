"""Why does a recurrent network forget, and what keeps its gradient alive over a hundred steps?

Paper:  [Bengio et al., 1994](https://doi.org/10.1109/72.279181);
        [Pascanu et al., 2012](https://arxiv.org/abs/1211.5063);
        [Hochreiter and Schmidhuber, 1997](https://doi.org/10.1162/neco.1997.9.8.1735); forget gates:
        [Gers et al., 2000](https://doi.org/10.1162/089976600300015015); their bias of 1:
        [Jozefowicz et al., 2015](https://proceedings.mlr.press/v37/jozefowicz15.html)
Run:    python -m tutorials.gradient_flow
Takes:  95 seconds on one core
Expect: after 100 steps an Elman network that begins with a rotation (s = 1) and an LSTM remember 24 ± 1 % and 24 ± 2 %
        of the symbols: nothing, 25 % is chance. One of s = 1.4 remembers 72 ± 24 % and an LSTM that begins with open
        forget gates 83 ± 17 % (three seeds). The gradients say why: per step, their logarithm changes by -0.133 ± 0.003
        and -0.176 ± 0.003 in the first two, by 0.016 ± 0.002 and 0.025 ± 0.002 in the others. Over five seeds, 100
        steps only and without the LSTM of bias 1, the rotation remembers 30 ± 6 %, s = 1.4 83 ± 15 % and the open gates
        85 ± 10 %: both are better than the rotation (3.4 and 4.8 standard errors), and no different from each other.
        Without squashing the gradient grows by log s per step, to 8 digits; with tanh by -0.75 at s = 0.5 (log s is
        -0.69), -0.13 at 1 (0), 0.02 at 1.4 (0.34) and 0.13 at 2 (0.69). Gradients that explode leave 26 ± 1 % of the
        symbols right after 20 steps, clipped ones 100 % in each of three seeds.

To learn that the end of a sequence depends on its beginning, a network needs a gradient that comes all the way back.
Between two steps of an Elman network it is multiplied by `diag(1 - h_t^2) W_h`, and over a hundred steps by a hundred
such matrices. If s is the largest singular value of `W_h`, no step stretches a gradient more than s times:

- below 1 the gradient *vanishes*, at least as fast as `s^T`, whatever the inputs;
- above 1 it *may* explode. It need not: a saturated unit has a derivative near 0, and lets nothing through.

Three things are measured here. How fast the gradient shrinks or grows, for matrices that are a number times a
rotation, so that all singular values are that number. Whether an explosion harms the training, and whether it
helps to shorten each gradient that is longer than 1 (*clipping*). And how long a network can remember: the first symbol
of a row must be named after many others that mean nothing.

An LSTM has a memory that is not multiplied by a matrix but by its forget gate, `c_t = f_t c_{t-1} + ...`: with f = 1
the gradient stays as it is for ever. The first LSTM, of 1997, had no forget gate, and so f = 1 always; Gers and her
colleagues gave it one, so that it can empty its memory. But at first no gate is 1. Keras begins at a bias of 1, so that
f = 0.73, and log 0.73 = -0.31 per step. With a bias of log T the gate lets the memory live for about T steps ([Tallec
and Ollivier, 2018](https://arxiv.org/abs/1804.11188)): log f = -0.01 for T = 100.

What is measured is more, -0.18 and 0.03, for c has a second way: through the next h into later gates. (Without the
recurrent matrices it is -0.30 and -0.01 in the first of the networks.) Still, with a bias of 1 the gradient vanishes,
faster even than that of an Elman network which begins with a rotation.

So what keeps a gradient alive is that nothing shrinks it at each step. Open gates do that; in an Elman network s has
to be just so for its inputs, here about 1.4 and for weak ones 1, and then it does as well.

Exercises:

1. A rotation has singular values of 1. Why does the gradient of an Elman network that begins with one vanish all the
   same? What does it do with `activation=None`, and why is that no solution?
2. How far can the LSTM remember with a bias of log T, and the GRU, which Keras begins with gates half open? In the
   GRU it is the update gate z whose bias counts.
3. Clip at 0.01 and at 100 instead of 1. Which of the two is like no clipping, and what does the other cost?
"""

import re
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasdl import training
from kerasdl.layers import ElmanRNN
from kerasdl.sequences import gradient_norms
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import plots

SINGULAR_VALUES = {"Elman, s = 1": 1.0, "Elman, s = 1.4": 1.4}
KINDS = (*SINGULAR_VALUES, "LSTM, forget bias 1", "LSTM, forget bias log T")
SYMBOLS = 4  # to be remembered; as many others mean nothing


def rows(count: int, steps: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One symbol and then others that mean nothing, one-hot: `(count, steps, 8)`, and what the first was."""
    symbols = rng.integers(SYMBOLS, 2 * SYMBOLS, (count, steps))
    symbols[:, 0] = rng.integers(SYMBOLS, size=count)
    return np.eye(2 * SYMBOLS, dtype="float32")[symbols], symbols[:, 0]


def set_singular_values(layer: keras.layers.RNN, value: float, rng: np.random.Generator) -> None:
    """Makes the recurrent matrix of a built Elman layer a rotation times a number."""
    kernel, recurrent, bias = layer.get_weights()
    layer.set_weights([kernel, value * np.linalg.qr(rng.normal(size=recurrent.shape))[0], bias])


def network(kind: str, steps: int, units: int, seed: int) -> tuple[keras.Model, keras.layers.RNN]:
    """A recurrent layer whose last state names the symbol; and that layer."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((steps, 2 * SYMBOLS))
    layer = ElmanRNN(units) if kind in SINGULAR_VALUES else keras.layers.LSTM(units)
    model = keras.Model(inputs, keras.layers.Dense(SYMBOLS, activation="softmax")(layer(inputs)))
    if kind in SINGULAR_VALUES:
        set_singular_values(layer, SINGULAR_VALUES[kind], np.random.default_rng(seed))
    elif kind == "LSTM, forget bias log T":
        kernel, recurrent, bias = layer.get_weights()
        bias[units : 2 * units] = np.log(steps)
        layer.set_weights([kernel, recurrent, bias])
    return model, layer


def train(
    model: keras.Model, steps: int, epochs: int, examples: int, clip_norm: float, logs: Path, seed: int
) -> tuple[float, list[float]]:
    """How many of 500 fresh rows the network gets right at the end, and the loss of each epoch."""
    rng = np.random.default_rng(seed)
    data = tf.data.Dataset.from_tensor_slices(rows(examples, steps, rng)).shuffle(examples, seed=seed).batch(32)
    fresh, firsts = rows(500, steps, rng)
    watch = keras.callbacks.TensorBoard(logs)
    history = training.fit(model, data, epochs=epochs, clip_norm=clip_norm, callbacks=[watch], verbose=2)
    return float((model.predict(fresh, verbose=0).argmax(axis=-1) == firsts).mean()), history.history["loss"]


@lesson
def main(
    *,
    data: str = "first_symbol",
    epochs: int | None = None,
    units: int = 32,
    seeds: int = 3,
    quick: bool = False,
    out: Path = Path("runs/gradient_flow"),
) -> dict[str, float]:
    """Measures gradients on their way back, then what becomes of them in training.

    Args:
        data: The task; there is only first_symbol, drawn here.
        epochs: Passes over 2,000 rows for each network; 4 without it.
        units: The size of every state.
        seeds: How often everything is repeated, with other rows and other first weights.
        quick: Short rows and one epoch, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    if data != "first_symbol":
        raise ValueError(f"`data` must be 'first_symbol'. Received: data={data!r}.")
    epochs = epochs or (1 if quick else 4)
    lengths, examples, seeds = ((4, 8), 64, 1) if quick else ((10, 30, 100), 2000, seeds)

    # First without any training. Where nothing squashes, the logarithm of the gradient changes by log s at each step.
    # Squashing takes from that: little where the inputs are weak and the gradient vanishes, for a small state stays in
    # the middle of the tanh; and the more, the larger the state.
    kinds = {
        "linear: log s": (keras.activations.linear, 1.0),
        "tanh, weak inputs": ("tanh", 0.1),
        "tanh": ("tanh", 1.0),
    }
    values, back = (0.5, 0.7, 0.85, 1.0, 1.2, 1.4, 2.0), 50
    norms: dict[str, np.ndarray] = {}
    slopes: dict[str, list[float]] = {name: [] for name in kinds}
    for name, (activation, strength) in kinds.items():
        layer = ElmanRNN(units, activation=activation)
        layer.build((None, back, 2 * SYMBOLS))
        for value in values:
            rng = np.random.default_rng(0)
            inputs = strength * rows(64, back, rng)[0]
            set_singular_values(layer, value, rng)
            logarithms = np.log(gradient_norms(layer, inputs)).mean(axis=0)[::-1]
            slopes[name].append(np.polyfit(np.arange(back), logarithms, 1)[0])
            if name == "tanh":
                norms[f"s = {value:g}"] = np.exp(logarithms)
    plots.save(
        plots.lines(
            norms,
            np.arange(back),
            x_label="steps back from the end",
            y_label="length of the gradient",
            log_y=True,
            markers=False,
            title="Before training, gradients vanish or explode",
        ),
        out / "figures" / "gradient_norms.png",
    )
    plots.save(
        plots.lines(
            slopes,
            np.log(values),
            x_label="log s (s: singular values of the recurrent matrix)",
            y_label="growth of log |dL/dh| per step back",
            title="The gradient grows s-fold per step back, or less",
        ),
        out / "figures" / "slopes.png",
    )
    metrics = {"linear_slope_minus_log_s": np.abs(slopes["linear: log s"] - np.log(values)).max()}
    for value in (0.5, 1.0, 1.2, 1.4, 2.0):
        metrics[f"tanh_slope_at_{value}"] = slopes["tanh"][values.index(value)]
    metrics["tanh_slope_minus_log_s_at_most"] = (slopes["tanh"] - np.log(values)).max()

    # The same for the networks whose memory is tested below, over the longest row. In an LSTM it is the cell whose
    # gradient may live; its state h is made anew at every step. All curves begin one step before the end, since
    # `gradient_norms` counts what c does to h in the last step as part of that step.
    alive = {}
    for name in KINDS:
        gradients = []
        for seed in range(seeds):
            _, layer = network(name, lengths[-1], units, seed)
            inputs, _ = rows(64, lengths[-1], np.random.default_rng(seed))
            found = gradient_norms(layer, inputs, state=int(name.startswith("LSTM")))
            gradients.append(np.log(found[:, -2::-1]).mean(axis=0))
        steps_back = np.arange(1, lengths[-1])
        slope = [np.polyfit(steps_back, each, 1)[0] for each in gradients]
        metrics[f"gradient_slope_{key(name)}"] = np.mean(slope)
        metrics[f"gradient_slope_{key(name)}_error"] = standard_error(slope)
        logarithms = np.mean(gradients, axis=0)
        alive[name] = np.exp(logarithms - logarithms[0])
    plots.save(
        plots.lines(
            alive,
            steps_back,
            x_label="steps back from the end",
            y_label="|dL/dh|, of LSTMs |dL/dc|, first = 1",
            log_y=True,
            markers=False,
            title="Two of four keep their gradient, untrained",
        ),
        out / "figures" / "memory_gradients.png",
    )

    # Now training, by plain gradient descent with a rate of 0.3, from singular values of 1.5. One step along a gradient
    # that is long throws the weights far away, to where other gradients are long too. Shortened to length 1 it keeps
    # its direction. (At a rate of 0.1 both learn: what clipping saves one from is to have to find that rate.)
    far = 20
    clips = {"as it is": 1e9, "clipped at 1": 1.0}
    losses: dict[str, list[list[float]]] = {name: [] for name in clips}
    rights: dict[str, list[float]] = {name: [] for name in clips}
    for seed in range(seeds):
        for name, clip_norm in clips.items():
            model, layer = network(KINDS[0], far, units, seed)
            set_singular_values(layer, 1.5, np.random.default_rng(seed))
            model.compile(keras.optimizers.SGD(0.3), "sparse_categorical_crossentropy")
            logs = out / "logs" / f"{name.replace(' ', '_')}_seed{seed}"
            print(f"\nGradient {name}, seed {seed}")
            right, loss = train(model, far, epochs, examples, clip_norm, logs, seed)
            rights[name].append(right)
            losses[name].append(loss)
    plots.save(
        plots.lines(
            {f"gradient {name}": np.mean(loss, axis=0) for name, loss in losses.items()},
            x_label="epoch",
            y_label="training loss (± standard error)",
            errors={f"gradient {name}": standard_error(loss) for name, loss in losses.items()},
            title=f"Gradients that explode spoil the training (chance: {np.log(SYMBOLS):.2f})",
        ),
        out / "figures" / "clipping.png",
    )
    for name, values_of in rights.items():
        accuracy = f"accuracy_{'clipped' if 'clipped' in name else 'unclipped'}"
        metrics |= {accuracy: np.mean(values_of), f"{accuracy}_error": standard_error(values_of)}

    # Last, memory. A rotation (s = 1) loses gradient at every step, since tanh takes from it; with s = 1.4 the slope
    # above was nearest to 0, so the Elman network gets that chance as well.
    memory: dict[str, list[list[float]]] = {name: [] for name in KINDS}
    for seed in range(seeds):
        for name in KINDS:
            memory[name].append([])
            for steps in lengths:
                model, _ = network(name, steps, units, seed)
                model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy")
                print(f"\n{name}, {steps} steps, seed {seed}")
                logs = out / "logs" / f"{key(name)}_{steps}_seed{seed}"
                memory[name][-1].append(train(model, steps, epochs, examples, 1.0, logs, seed)[0])
    plots.save(
        plots.lines(
            {name: 100 * np.mean(right, axis=0) for name, right in memory.items()},
            lengths,
            x_label="steps between the symbol and the answer",
            y_label="symbols remembered, in % (± standard error)",
            errors={name: 100 * standard_error(right) for name, right in memory.items()},
            log_x=True,
            title=f"Remembered after {epochs * examples:,} training rows (chance: {100 / SYMBOLS:.0f} %)",
        ),
        out / "figures" / "memory.png",
    )
    for name, remembered in memory.items():
        for steps, mean, error in zip(lengths, np.mean(remembered, axis=0), standard_error(remembered), strict=True):
            metrics |= {f"{key(name)}_{steps}_steps": mean, f"{key(name)}_{steps}_steps_error": error}
    return metrics


def key(name: str) -> str:
    """A name for a metric or a folder."""
    return "_".join(re.findall(r"[a-z0-9.]+", name.lower()))


if __name__ == "__main__":
    command_line(main)
