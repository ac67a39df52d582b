"""A packed network: what it is made of, and the outputs that it gives."""

import operator
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasdl.xnor.files import read_steps, write_steps
from kerasdl.xnor.inputs import Input, check_inputs
from kerasdl.xnor.keras_part import KerasPart
from kerasdl.xnor.steps import Step
from kerasdl.xnor.summaries import summary_text
from kerasdl.xnor.workspaces import Workspace

# The kernels take all threads that numba has, and one of its ways to start them must not be used from two threads at
# once: packed networks wait for each other.
_running = threading.Lock()


class PackedModel:
    """A network whose binary layers compute with words of 64 bits; `kerasdl.xnor.pack` or `load` makes it.

    It is for inference only, by `predict`, and holds no latent weights. As many threads compute as numba is set to use:
    `numba.set_num_threads`, or `NUMBA_NUM_THREADS` in the environment. Calls from several threads wait for each other.

    Other processes: start them with "spawn" (`multiprocessing.get_context("spawn")`), and hand them the network, which
    can be pickled, or its file. With fork() the libraries below do not work: GNU OpenMP kills a child that predicts if
    its parent had predicted, and TensorFlow, which runs what is not packed, hangs where the parent had used it.

    Args:
        name: The model's name.
        inputs: What it takes.
        steps: What it does, in order.
        sources: The names of the values that its inputs are in the steps, in their order.
        outputs: The name of its output in the steps; or a list or a dictionary of them, as the model's output is.

    Example:
        >>> from kerasdl.architectures import binary_cnn
        >>> from kerasdl.xnor import pack
        >>> packed = pack(binary_cnn())
        >>> packed.predict(np.zeros((2, 28, 28, 1), "float32")).shape
        (2, 10)
    """

    def __init__(
        self, name: str, inputs: tuple[Input, ...], steps: tuple[Step, ...], sources: tuple[str, ...], outputs: Any
    ) -> None:
        self.name = name
        self.inputs = tuple(inputs)
        self.steps = tuple(steps)
        self.sources = tuple(sources)
        self.outputs = outputs
        self._check_order()
        read = {name for step in self.steps for name in step.reads}
        for step in self.steps:
            if isinstance(step, KerasPart) and not read.intersection(step.writes):
                step.end()
        self._workspace = Workspace()

    def _check_order(self) -> None:
        known = set(self.sources)
        for step in self.steps:
            if missing := [name for name in step.reads if name not in known]:
                raise ValueError(f"The step {step.name!r} must read what comes before it. Received: {missing}.")
            known.update(step.writes)
        if missing := [name for name in keras.tree.flatten(self.outputs) if name not in known]:
            raise ValueError(f"The outputs must be written by a step. Received: {missing}.")

    def __getstate__(self) -> dict[str, Any]:
        # Memory to compute in is each copy's own.
        return {**self.__dict__, "_workspace": Workspace()}

    def predict(self, images: Any, batch_size: int = 32, verbose: int = 0) -> Any:
        """What the model's `predict` gives: float32 arrays, one per output.

        Args:
            images: As the model takes them: one array, or for several inputs a list, or a dictionary by name. Whole
                numbers and other floats are converted as Keras does.
            batch_size: How many images are computed together. The memory that the largest batch takes stays reserved.
            verbose: 1 shows how far it is.

        Returns:
            An array, or a list or a dictionary of them, as the model's output is.
        """
        arrays = check_inputs(self.inputs, images)
        size = _check_batch_size(batch_size)
        count = len(arrays[0])
        bar = keras.utils.Progbar(-(-count // size), verbose=1) if verbose else None
        names = keras.tree.flatten(self.outputs)
        results: dict[str, np.ndarray] = {}
        with _running:
            for start in range(0, count, size):
                part = [array[start : start + size] for array in arrays]
                try:
                    values = self._pass(part)
                    for name in names:
                        made = values[name]
                        if name not in results:
                            results[name] = np.empty((count, *made.shape[1:]), made.dtype)
                        results[name][start : start + size] = made
                finally:
                    self._workspace.end()
                if bar is not None:
                    bar.add(1)
        return keras.tree.map_structure(results.__getitem__, self.outputs)

    def _pass(self, arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
        workspace = self._workspace
        workspace.begin(len(arrays[0]), dict(zip(self.sources, arrays, strict=True)))
        for step in self.steps:
            step.run(workspace)
        return workspace.values

    @property
    def nbytes(self) -> int:
        """What it holds, in bytes: packed weights, thresholds and scales, and the weights of what runs in Keras."""
        return sum(step.nbytes for step in self.steps)

    def summary(self, print_fn: Callable[[str], Any] | None = None) -> None:
        """Prints how each layer runs and what it costs: its bytes beside those of the model, and its multiply-adds.

        Args:
            print_fn: Takes the text; None prints it.
        """
        (print_fn or print)(summary_text(self.name, self.steps, self.sources))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes it to one file, which `kerasdl.xnor.load` reads; the file is there whole or not at all.

        Args:
            path: Where to; a file that is there is replaced.
        """
        about = {
            "name": self.name,
            "inputs": [[given.name, list(given.shape), given.dtype] for given in self.inputs],
            "sources": list(self.sources),
            "outputs": self.outputs,
        }
        write_steps(Path(path), about, self.steps)

    def __repr__(self) -> str:
        return f"<PackedModel {self.name!r}: {len(self.steps)} steps, {self.nbytes:,} bytes>"


def load(path: str | os.PathLike[str], custom_objects: dict[str, Any] | None = None) -> PackedModel:
    """A packed network from the file that its `save` wrote, equal bit for bit.

    Args:
        path: The file.
        custom_objects: Classes and functions of one's own, by name, that layers outside the packed part are made of;
            what is registered with Keras is found without.

    Example:
        >>> import tempfile
        >>> from kerasdl.architectures import binary_cnn
        >>> from kerasdl.xnor import load, pack
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pack(binary_cnn()).save(f"{folder}/network.xnor")
        ...     load(f"{folder}/network.xnor").name
        'binary_cnn'
    """
    about, steps = read_steps(Path(path), custom_objects)
    inputs = tuple(Input(name, tuple(shape), dtype) for name, shape, dtype in about["inputs"])
    return PackedModel(about["name"], inputs, steps, tuple(about["sources"]), about["outputs"])


def _check_batch_size(batch_size: Any) -> int:
    try:
        size = 0 if isinstance(batch_size, bool) else operator.index(batch_size)
    except TypeError:
        size = 0
    if size < 1:
        raise ValueError(f"`batch_size` must be a whole number, 1 or more. Received: {batch_size!r}.")
    return size
