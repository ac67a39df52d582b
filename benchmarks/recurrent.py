"""Is Elman's layer faster than the stock one and than PyTorch's, and what does its way back keep in memory?

    python -m benchmarks.recurrent

One training step (forward, and the gradients of inputs and weights) in an ordinary `tf.function`. The contenders take
turns in one run, many times; what counts is the median. The stock layer may also be compiled by XLA, and PyTorch (where
it is installed) uses as many threads as TensorFlow. Memory is what a fresh process adds to the peak of a tiny step.

Then `sequences.translate` against a loop over the words in Python, which takes the same decoder step by step, in a
batch of 64. Takes about five minutes on two cores.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
import tensorflow as tf
import typer
from rich.console import Console
from rich.table import Table

from kerasdl import layers, sequences
from kerasdl.sequences.encoder_decoder import recurrent_steps

try:
    import torch
except ImportError:
    torch = None

# (batch, steps, inputs, units), and how many times as fast as the faster of the others the layer is to be.
GOALS = {(32, 100, 64, 128): 1.4, (64, 50, 128, 256): 1.1, (1, 200, 32, 64): 5.0, (16, 1000, 32, 64): 2.5}
OURS = "kerasdl ElmanRNN"
STOCK = "keras SimpleRNN"

Shape = tuple[int, int, int, int]


def random_batch(shape: Shape) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Sequences, the weights of a loss that looks at every state, and the layer's weights."""
    batch, steps, inputs, units = shape
    random = np.random.default_rng(0)

    def normal(*size: int, scale: float = 1.0) -> np.ndarray:
        return (random.normal(size=size) * scale).astype("float32")

    weights = [normal(inputs, units, scale=inputs**-0.5), normal(units, units, scale=0.9 * units**-0.5), normal(units)]
    return normal(batch, steps, inputs), normal(batch, steps, units), weights


def keras_step(kind: type[keras.layers.Layer], shape: Shape, compiled: bool = False) -> Callable[[], Any]:
    """A step of a Keras layer; what it returns is there when it returns."""
    sequences, weighting, weights = random_batch(shape)
    layer = kind(shape[3], return_sequences=True)
    layer.build(sequences.shape)
    layer.set_weights(weights)
    sources = [weight.value for weight in layer.trainable_weights]
    weighting = tf.constant(weighting)

    @tf.function(jit_compile=compiled)
    def step(inputs: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(layer(inputs) * weighting)
        return [loss, *tape.gradient(loss, [inputs, *sources])]

    inputs = tf.constant(sequences)
    return lambda: [part.numpy() for part in step(inputs)]


def torch_step(shape: Shape) -> Callable[[], Any]:
    """The same step of `torch.nn.RNN`."""
    sequences, weighting, weights = random_batch(shape)
    layer = torch.nn.RNN(shape[2], shape[3], batch_first=True)
    with torch.no_grad():
        for parameter, value in zip(
            layer.parameters(), [weights[0].T, weights[1].T, weights[2], 0 * weights[2]], strict=True
        ):
            parameter.copy_(torch.tensor(value))
    inputs, weighting = torch.tensor(sequences, requires_grad=True), torch.tensor(weighting)

    def step() -> list[np.ndarray]:
        inputs.grad = None
        layer.zero_grad()
        loss = (layer(inputs)[0] * weighting).sum()
        loss.backward()
        kernel, recurrent_kernel, bias, _ = (parameter.grad.numpy() for parameter in layer.parameters())
        return [loss.detach().numpy(), inputs.grad.numpy(), kernel.T, recurrent_kernel.T, bias]

    return step


def contenders(shape: Shape) -> dict[str, Callable[[], Any]]:
    """Every contender's step, which give the same numbers."""
    steps = {
        OURS: keras_step(layers.ElmanRNN, shape),
        f"{OURS}, whole step by XLA": keras_step(layers.ElmanRNN, shape, compiled=True),
        STOCK: keras_step(keras.layers.SimpleRNN, shape),
        f"{STOCK}, whole step by XLA": keras_step(keras.layers.SimpleRNN, shape, compiled=True),
    }
    if torch is not None:
        steps["torch.nn.RNN"] = torch_step(shape)
    expected = steps[STOCK]()
    for name, step in steps.items():
        for found, value in zip(step(), expected, strict=True):
            assert np.allclose(found, value, rtol=1e-3, atol=1e-3 * np.abs(value).max()), f"{name} differs"
    return steps


def take_turns(
    steps: dict[str, Callable[[], Any]], turns: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """The seconds of each contender's steps."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(turns):
        for name, step in steps.items():
            time.sleep(0.02)  # Threads of the one before still look for work.
            begin = clock()
            step()
            seconds[name].append(clock() - begin)
    return seconds


def show(title: str, seconds: dict[str, list[float]]) -> None:
    """Prints the contenders' times, and how many times as fast as each the first is."""
    table = Table(title=title)
    for column in ("contender", "median ms", "fastest ms", "first is faster by", "fastest by"):
        table.add_column(column, justify="left" if column == "contender" else "right")
    first = next(iter(seconds.values()))
    for name, values in seconds.items():
        median, least = statistics.median(values), min(values)
        ratios = (f"{median / statistics.median(first):.2f}", f"{least / min(first):.2f}")
        table.add_row(name, f"{1000 * median:.2f}", f"{1000 * least:.2f}", *ratios)
    Console().print(table)


def loop_in_python(model: keras.Model, sentences: list[str], length: int) -> list[list[int]]:
    """The most likely word at each step, until all sentences have ended: how one writes a decoder at first."""
    state, step = recurrent_steps(model, tf.constant(sentences), beam_width=1)
    words, written = tf.fill([len(sentences)], 2), []  # 2 starts and 3 ends a sentence; 0 and 1 are not written
    ended = np.zeros(len(sentences), bool)
    for _ in range(length):
        scores, state, _ = step(words, state)
        words = tf.argmax(scores[:, 3:], axis=1, output_type=tf.int32) + 3
        written.append(np.where(ended, 3, words.numpy()))
        ended |= written[-1] == 3
        if ended.all():
            break
    return np.stack(written, axis=1).tolist()


def translation(turns: int, clock: Callable[[], float]) -> None:
    """Prints the times of 64 sentences of a network that has not been trained, so that few of them end early."""
    keras.utils.set_random_seed(0)
    random, names = np.random.default_rng(0), [f"word{number}" for number in range(1000)]
    sentences = [" ".join(random.choice(names, size=length)) for length in random.integers(3, 12, 64)]
    model = sequences.translator(names, names, cell="gru", units=256)
    steps = {
        "sequences.translate": lambda: sequences.translate(model, sentences, length=20),
        "loop in Python": lambda: loop_in_python(model, sentences, 20),
    }
    expected = [[names[word - 4] for word in row if word != 3] for row in steps["loop in Python"]()]
    same = np.mean([found == row for found, row in zip(steps["sequences.translate"]().words, expected, strict=True)])
    assert same > 0.9, "the decoders differ"  # rounding may turn the order of two words as likely
    show("64 sentences of up to 20 words; goal 5 times", take_turns(steps, turns, clock))


def peak_of_step(name: str, shape: Shape) -> float:
    """The MiB that five steps add to the peak of a fresh process that has run a tiny one."""
    code = f"from benchmarks import recurrent; recurrent.print_peak({name!r}, {shape!r})"
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    output = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return float(output.stdout.split()[-1])


def print_peak(name: str, shape: Shape) -> None:
    """Run in a process of its own: prints by how many MiB the peak rises."""
    kind = layers.ElmanRNN if name == OURS else keras.layers.SimpleRNN
    keras_step(kind, (2, 3, *shape[2:]))()
    before = _peak()
    step = keras_step(kind, shape)
    for _ in range(5):
        step()
    print((_peak() - before) / 1024)


def _peak() -> int:
    """The most kB that this process has had; what `getrusage` tells is inherited from the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def main(
    turns: Annotated[int, typer.Option(help="How often the contenders take turns.")] = 40,
    busy: Annotated[
        bool,
        typer.Option(help="Counts the processor's seconds, where other work is done; wants one core, `taskset -c 0`."),
    ] = False,
    memory: Annotated[bool, typer.Option(help="Whether memory is measured as well.")] = True,
) -> None:
    """Prints the milliseconds of a step, how many times as fast the layer is, and the memory that it takes."""
    clock = time.process_time if busy else time.perf_counter
    if torch is not None:
        torch.set_num_threads(len(os.sched_getaffinity(0)))
    for shape, goal in GOALS.items():
        title = f"batch, steps, inputs, units = {shape}; goal {goal} times the faster of the others"
        show(title, take_turns(contenders(shape), turns, clock))
    translation(max(3, turns // 4), clock)
    if memory:
        shape = (64, 400, 128, 256)
        peaks = {name: peak_of_step(name, shape) for name in (OURS, STOCK)}
        Console().print(
            f"peak of a step at {shape}: " + ", ".join(f"{name} {peak:.0f} MiB" for name, peak in peaks.items())
        )


if __name__ == "__main__":
    typer.run(main)
