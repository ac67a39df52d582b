"""How well does a recurrent network predict chaos if none of its recurrent weights is ever trained?

Paper:  [Jaeger and Haas, 2004](https://doi.org/10.1126/science.1091277);
        [Jaeger, 2001](https://www.ai.rug.nl/minds/uploads/EchoStatesTechRep.pdf)
Run:    python -m tutorials.echo_state
Takes:  70 seconds on one core
Expect: the reservoir, solved in 0.4 seconds, forecasts 876 steps to within 0.4 deviations. Runs are cut at 1,000 steps,
        which 35 % of them reach, so the true mean is larger. The autoregression holds for 33 steps. A GRU that is given
        27 times the time holds for 15 (861 ± 28 fewer, over three series): 360 steps of Adam, in one setting, bring its
        error at one step to 0.018, where the reservoir has 0.00003 and the autoregression 0.0009. Radii from 0.8 to 1.1
        hold for 800 to 900 steps; 0.5 for about 150, 1.5 for about 120. The reservoir's error grows e-fold in 154
        steps, nearly as slowly as chaos allows (170, see below).

Mackey and Glass wrote down how many blood cells a body makes that learns of their number 17 days late:

    x'(t) = 0.2 x(t - 17) / (1 + x(t - 17)^10) - 0.1 x(t).

The number never settles and never repeats: two beginnings that differ a little are e times as far apart after some 170
days (the Lyapunov time). So a forecast can only be good for a while, and how long is a hard test of whether a network
has found the law behind the numbers, or has only learnt that tomorrow is much like today.

An echo state network is a random recurrent layer, a reservoir. Its state is full of echoes of the inputs, bent by tanh
and mixed; only a linear layer that reads them is learnt, and that is one linear system (`solve_readout`), in a second.
For a forecast the network is fed its own prediction as the next input, again and again. It is compared with

- a linear autoregression that sees as many past values as the reservoir has units, so that both learn equally many
  numbers, in the same closed form (with a penalty of its own);
- a GRU, all of whose weights are trained through time by gradient.

Exercises:

1. Take the bias away (`bias_scale=0`). The law is not odd in x; which of the errors suffers?
2. Give `EchoState` a `leak=0.3`, with a radius of 1.2. The series is slow and smooth: does a slow reservoir forecast
   longer, and is its error at one step smaller too?
3. Add noise to the training inputs. The error at one step gets worse; what happens to the worst of the free runs?
"""

import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl import training
from kerasdl.architectures import solve_readout
from kerasdl.layers import EchoState
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import plots


def mackey_glass(steps: int, seed: int, delay: int = 17, substeps: int = 10) -> np.ndarray:
    """The series at whole times: Runge and Kutta's method, in steps of a tenth."""
    lag, size, skipped = delay * substeps, 1 / substeps, 1000 * substeps

    def slope(now: float, then: float) -> float:
        return 0.2 * then / (1 + then**10) - 0.1 * now

    x = [1.2 + 0.2 * np.random.default_rng(seed).uniform(-1, 1)] * (lag + 1)
    for _ in range(skipped + steps * substeps):
        now, then, later = x[-1], x[-1 - lag], x[-lag]
        between = (then + later) / 2
        first = slope(now, then)
        second = slope(now + size / 2 * first, between)
        third = slope(now + size / 2 * second, between)
        x.append(now + size / 6 * (first + 2 * second + 2 * third + slope(now + size * third, later)))
    return np.array(x[lag + 1 + skipped :: substeps])


def scaled(series: np.ndarray, known: int) -> np.ndarray:
    """The series, so that its known values have mean 0 and deviation 1: of the others nothing is known."""
    return ((series - series[:known].mean()) / series[:known].std()).astype("float32")


def predictor(recurrent: keras.layers.Layer) -> keras.Model:
    """The next value from each state of a recurrent layer."""
    series = keras.Input((None, 1))
    return keras.Model(series, keras.layers.Dense(1, name="logits")(recurrent(series)))


def forecasts(model: keras.Model, series: np.ndarray, starts: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """One-step predictions of the whole series, and `(starts, steps)` free runs from known beginnings."""
    recurrent, readout = model.layers[1:]

    def run(known: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        def step(count: tf.Tensor, state: tf.Tensor, told: Any) -> tuple[tf.Tensor, tf.Tensor, Any]:
            value = readout(state)
            return count + 1, recurrent.cell(value, [state])[0], told.write(count, value[:, 0])

        states = recurrent(known)[0]
        begin = (0, tf.gather(states, starts), tf.TensorArray("float32", steps))
        told = tf.while_loop(lambda count, *_: count < steps, step, begin)[2]
        return readout(states)[:, 0], tf.transpose(told.stack())

    # One graph for each network: to call ever new `tf.function`s would end in warnings that they are traced too often.
    graph = tf.function(run).get_concrete_function(tf.TensorSpec((1, len(series), 1)))
    one_step, runs = graph(tf.constant(series[None, :, None]))
    return one_step.numpy(), runs.numpy()


def autoregression(series: np.ndarray, known: int, lags: int, starts: np.ndarray, steps: int) -> tuple[Any, Any]:
    """The same of a linear sum of past values, by least squares."""
    rows = np.lib.stride_tricks.sliding_window_view(series.astype("float64"), lags)
    past = rows[: known - lags]
    kernel = np.linalg.solve(past.T @ past + 1e-6 * np.eye(lags), past.T @ series[lags:known])
    one_step = np.concatenate([np.zeros(lags - 1), rows @ kernel])
    window, told = rows[starts - lags + 1], []
    for _ in range(steps):
        told.append(window @ kernel)
        window = np.concatenate([window[:, 1:], told[-1][:, None]], axis=1)
    return one_step, np.stack(told, axis=1)


def solved(series: np.ndarray, known: int, units: int, radius: float, seed: int) -> tuple[keras.Model, float]:
    """A reservoir whose readout is solved, and the seconds that took."""
    begin = time.perf_counter()
    reservoir = EchoState(units, radius, input_scale=0.5, bias_scale=0.5, return_sequences=True, seed=seed)
    model = predictor(reservoir)
    # The first 200 values only wake the reservoir, which begins in silence: they weigh nothing.
    weight = (np.arange(known) >= 200).astype("float32")
    pairs = (series[None, :known, None], series[None, 1 : known + 1, None], weight[None])
    solve_readout(model, tf.data.Dataset.from_tensors(pairs), l2=1e-8)
    return model, time.perf_counter() - begin


def trained(series: np.ndarray, known: int, epochs: int, seed: int, logs: Path) -> tuple[keras.Model, float]:
    """A GRU that has learnt to tell the next of 100 values at each step but the first 20, and the seconds that took."""
    begin = time.perf_counter()
    keras.utils.set_random_seed(seed)
    model = predictor(keras.layers.GRU(64, return_sequences=True))
    windows = np.lib.stride_tricks.sliding_window_view(series[:known], 101)[::8, :, None]
    weight = np.broadcast_to(np.arange(100) >= 20, (len(windows), 100)).astype("float32")
    pairs = tf.data.Dataset.from_tensor_slices((windows[:, :-1], windows[:, 1:], weight)).cache()
    batches = pairs.shuffle(10_000, seed=seed).batch(32)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.01, epochs * len(batches))), "mse")
    training.fit(model, batches, epochs=epochs, callbacks=[keras.callbacks.TensorBoard(logs)], verbose=0)
    return model, time.perf_counter() - begin


def judged(
    series: np.ndarray, known: int, starts: np.ndarray, one_step: np.ndarray, runs: np.ndarray
) -> dict[str, Any]:
    """The error at one step, how the error of free runs grows, and for how many steps they are within 0.4.

    A run that is within to the end of the horizon counts as one of that length, though it might go on.
    """
    steps = runs.shape[1]
    away = np.abs(runs - np.stack([series[start + 1 : start + 1 + steps] for start in starts]))
    wrong = away > 0.4
    return {
        "one_step_error": np.sqrt(np.mean((one_step[known:-1] - series[known + 1 :]) ** 2)),
        "steps_held": np.where(wrong.any(axis=1), wrong.argmax(axis=1), steps).mean(),
        "reach_the_end": 1 - wrong.any(axis=1).mean(),
        "growth": (growth := np.sqrt(np.mean(np.minimum(away, 10) ** 2, axis=0))),
        "error_84": growth[83],
    }


@lesson
def main(
    *,
    data: str = "mackey_glass",
    units: int = 500,
    spectral_radius: float = 0.95,
    epochs: int = 30,
    seeds: int = 3,
    quick: bool = False,
    out: Path = Path("runs/echo_state"),
) -> dict[str, float]:
    """Solves a reservoir's readout, trains a GRU, and lets both go on by themselves.

    Args:
        data: Only "mackey_glass": the series, generated here.
        units: The size of the reservoir, and the number of past values of the autoregression.
        spectral_radius: Of the reservoir's matrix.
        epochs: Passes of the GRU over the training windows; the reservoir needs none.
        seeds: How often everything is repeated, with other series and other random weights.
        quick: A short series, 50 units, one epoch and one seed, whatever is given, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    if data != "mackey_glass":
        raise ValueError(f'`data` must be "mackey_glass", which this lesson generates. Received: data={data!r}.')
    known, horizon, radii = 3000, 1000, [0.2, 0.5, 0.8, 0.95, 1.1, 1.25, 1.5]
    if quick:
        units, epochs, seeds, known, horizon, radii = 50, 1, 1, 600, 100, [0.5, 0.95]
    starts = known + np.arange(0, 2 * known - horizon - known, known // 60)

    # The first 3,000 values are known. The readout's penalty is tiny, for the series has no noise; `input_scale` and
    # `bias_scale` were chosen on another series. A forecast holds as long as it is less than 0.4 deviations from the
    # truth. The autoregression has a penalty of its own, and the GRU one setting, which nobody tuned.
    found: dict[str, list[dict[str, Any]]] = {"echo state": [], "GRU": [], "autoregression": []}
    over_radii = np.zeros((seeds, len(radii)))
    for seed in range(1, seeds + 1):
        series = scaled(mackey_glass(2 * known, seed), known)
        model, seconds = solved(series, known, units, spectral_radius, seed)
        told = {"echo state": forecasts(model, series, starts, horizon)}
        spent = {"echo state": seconds}
        model, spent["GRU"] = trained(series, known, epochs, seed, out / "logs" / f"gru_{seed}")
        told["GRU"] = forecasts(model, series, starts, horizon)
        begin = time.perf_counter()
        told["autoregression"] = autoregression(series, known, units, starts, horizon)
        spent["autoregression"] = time.perf_counter() - begin
        for name, (one_step, runs) in told.items():
            found[name].append({"seconds": spent[name], **judged(series, known, starts, one_step, runs)})
            print(f"{name}, series {seed}: holds {found[name][-1]['steps_held']:.0f} steps", flush=True)
        # The radius decides how long the reservoir remembers.
        for place, radius in enumerate(radii):
            model, _ = solved(series, known, units, radius, seed)
            free = judged(series, known, starts, *forecasts(model, series, starts, horizon))
            over_radii[seed - 1, place] = free["steps_held"]

    # One free run, from the last series: each network beside the truth.
    shown = min(500, horizon)
    truth = series[starts[0] + 1 : starts[0] + 1 + shown]
    plots.save(
        plots.line_panels(
            {name: {"truth": truth, "forecast": np.clip(runs[0, :shown], -3, 3)} for name, (_, runs) in told.items()},
            x_label="steps since the last known value",
            y_label="value (deviations from the mean)",
            y_limits=(-3.1, 3.1),
            markers=False,
            title="Fed its own predictions: who stays on the black curve?",
        ),
        out / "figures" / "free_run.png",
    )
    plots.save(
        plots.lines(
            {name: np.mean([each["growth"] for each in each_seed], axis=0) for name, each_seed in found.items()},
            x_label="steps since the last known value",
            y_label="error (1 = deviation of the series)",
            markers=False,
            log_y=True,
            title="Chaos makes every error grow",
        ),
        out / "figures" / "error.png",
    )
    plots.save(
        plots.lines(
            {"echo state": over_radii.mean(axis=0)},
            radii,
            errors={"echo state": standard_error(over_radii)} if seeds > 1 else None,
            x_label="spectral radius",
            y_label=f"steps within 0.4 of the truth\n(at most {horizon:,}; band: ± standard error)",
            title=f"How long the forecast of {units} random units holds",
        ),
        out / "figures" / "radius.png",
    )

    # What chaos alone makes grow is a straight line in that figure, from when the errors of the first steps are left
    # behind to when they are as large as the series.
    growth = np.mean([each["growth"] for each in found["echo state"]], axis=0)
    straight = np.flatnonzero((np.arange(horizon) >= horizon // 5) & (growth < 0.2))
    metrics = {
        f"steps_held_at_radius_{radius}": held for radius, held in zip(radii, over_radii.mean(axis=0), strict=True)
    }
    if len(straight) > 1:
        metrics["echo_state_e_fold_steps"] = 1 / np.polyfit(straight, np.log(growth[straight]), 1)[0]
    for name, each_seed in found.items():
        for key in ("one_step_error", "error_84", "steps_held", "reach_the_end", "seconds"):
            metrics[f"{name.lower().replace(' ', '_')}_{key}"] = float(np.mean([each[key] for each in each_seed]))
    held = {name: np.array([each["steps_held"] for each in each_seed]) for name, each_seed in found.items()}
    more = held["echo state"] - held["GRU"]
    metrics["steps_held_more_than_gru"] = more.mean()
    metrics["steps_held_more_than_gru_error"] = standard_error(more)
    return metrics


if __name__ == "__main__":
    command_line(main)
