"""The binary convolutions of larq-compute-engine, measured by a Python of its own.

    python3 -m venv larq && larq/bin/pip install larq larq-compute-engine tf_keras "numpy<2"
    larq/bin/python -m benchmarks.larq_layers --threads 1

prints one line of JSON. larq does not run under Keras 3, nor its engine with NumPy 2, so neither can share a process
with ours; `benchmarks.xnor --larq larq/bin/python` runs this as one of its programs. A layer is, as ours, a
convolution, batch normalization and sign inside a chain: six layers less two, a quarter of it. The float layer is the
engine's own, XNNPACK's.
"""

import argparse
import contextlib
import io
import json
import os
import statistics
import time

os.environ.update(TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")

import larq
import larq_compute_engine
import numpy as np
import tf_keras
from larq_compute_engine.tflite.python.interpreter import Interpreter

SHAPES = ((14, 256), (28, 256), (28, 128), (56, 64), (7, 512))


def network(size: int, channels: int, layers: int, *, binary: bool) -> tf_keras.Model:
    """A chain of so many layers."""
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    inputs = x = tf_keras.Input((size, size, channels))
    for _ in range(layers):
        if binary:
            make = larq.layers.QuantConv2D(channels, 3, padding="same", pad_values=1.0, use_bias=False, **signs)
            x = tf_keras.layers.BatchNormalization()(make(x))
        else:
            x = tf_keras.layers.Conv2D(channels, 3, padding="same", use_bias=False)(x)
    return tf_keras.Model(inputs, x)


def seconds_of_a_layer(size: int, channels: int, threads: int, turns: int, *, binary: bool) -> float:
    """The median over turns, in which the longer chain and the shorter alternate."""
    images = np.random.default_rng(0).normal(size=(1, size, size, channels)).astype("float32")
    chains = {}
    for layers in (2, 6):
        with contextlib.redirect_stdout(io.StringIO()):
            converted = larq_compute_engine.convert_keras_model(network(size, channels, layers, binary=binary))
        chains[layers] = Interpreter(converted, num_threads=threads)
    seconds: dict[int, list[float]] = {layers: [] for layers in chains}
    for turn in range(1 + turns):
        for layers, chain in chains.items():
            begin = time.perf_counter()
            chain.predict(images)
            if turn:
                seconds[layers].append(time.perf_counter() - begin)
    return (statistics.median(seconds[6]) - statistics.median(seconds[2])) / 4


def main() -> None:
    """Prints the seconds of a layer for each shape, of bits and of floats."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=9)
    options = parser.parse_args()
    rows = []
    for size, channels in SHAPES:
        found = {
            name: seconds_of_a_layer(size, channels, options.threads, options.turns, binary=name == "binary")
            for name in ("binary", "float")
        }
        rows.append({"size": size, "channels": channels, "batch": 1, "seconds": found})
    print(json.dumps({"threads": options.threads, "rows": rows}))


if __name__ == "__main__":
    main()
