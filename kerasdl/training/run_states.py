"""What a run is, beside its callbacks: every variable that a step touches, and the generators of random numbers."""

import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf


class Variables:
    """The values of all variables of a training.

    The model, the optimizer and the metrics name theirs. The compiled step may touch more: the states of a stateful
    recurrent layer, Keras' own generator of random numbers, what an attack counts. These are known once it is traced.

    Args:
        model: The compiled model, built.
        metrics: Those whose running values count.
        hidden: Gives the variables that the compiled step touches, all of them; without any before it is traced.
    """

    def __init__(
        self, model: keras.Model, metrics: Sequence[keras.metrics.Metric], hidden: Callable[[], list[tf.Variable]]
    ) -> None:
        self._model = model
        self._metrics = metrics
        self._hidden = hidden

    def read(self, remembered: dict[int, np.ndarray] | None = None) -> dict[str, Any]:
        """Every variable's name and value, by what it belongs to.

        Args:
            remembered: What `remember` returned before: these values are taken, and not those of now.
        """
        known = remembered or {}
        return {
            kind: {
                "paths": [_path(variable) for variable in variables],
                "values": [known[id(v)] if id(v) in known else _value(v) for v in variables],
            }
            for kind, variables in self._kinds().items()
        }

    def remember(self) -> dict[int, np.ndarray]:
        """The values of what a validation may change: the states of layers, their random numbers, what is hidden."""
        kinds = self._kinds()
        return {id(v): _value(v) for v in [*kinds["model"], *kinds["step"]] if not v.trainable}

    def _check(self, saved: dict[str, Any]) -> dict[str, list[Any]]:
        """Refuses a backup of other variables than these.

        Args:
            saved: What `read` returned, perhaps in another process.

        Returns:
            The variables by what they belong to; without those of the step where it is not traced yet.

        Raises:
            ValueError: It names the first that differs.
        """
        kinds = self._kinds()
        if not kinds["step"]:
            kinds.pop("step")
        for kind, variables in kinds.items():
            check_alike(kind, variables, saved[kind])
        return kinds

    def write(self, saved: dict[str, Any], *, only: str | None = None) -> None:
        """Gives the variables their values again.

        Args:
            saved: What `read` returned, perhaps in another process.
            only: What they must belong to; None means all.

        Raises:
            ValueError: Where the variables are not those of the backup.
        """
        for kind, variables in self._check(saved).items():
            if only not in (None, kind):
                continue
            for variable, value in zip(variables, saved[kind]["values"], strict=True):
                variable.assign(value)

    def _kinds(self) -> dict[str, list[Any]]:
        model = self._model
        named = {
            "model": list(model.variables),
            "optimizer": list(model.optimizer.variables),
            "metrics": [variable for metric in self._metrics for variable in metric.variables],
        }
        known = {part for variables in named.values() for variable in variables for part in _parts(variable)}
        return {**named, "step": [variable for variable in self._hidden() if not _parts(variable) & known]}


def check_alike(kind: str, variables: list[Any], saved: dict[str, Any]) -> None:
    """Refuses variables that are not those of the backup.

    Args:
        kind: What they belong to: "model", "optimizer", "metrics" or "step".
        variables: Those of the model that is here.
        saved: What `Variables.read` said of those of the backup.
    """
    here = [_description(_path(variable), variable.shape, _dtype_name(variable.dtype)) for variable in variables]
    there = [
        _description(path, value.shape, value.dtype.name)
        for path, value in zip(saved["paths"], saved["values"], strict=True)
    ]
    for index in range(max(len(here), len(there))):
        ours, theirs = ((side[index] if index < len(side) else "missing") for side in (here, there))
        if _without_numbers(ours) != _without_numbers(theirs):
            raise ValueError(
                "What is trained must be what the backup was made of, with the same optimizer and metrics. The first "
                f"difference is variable {index + 1} of the {kind}: {theirs} in the backup, {ours} here. Train the "
                "same model, or give another `backup_dir`."
            )


def read_generators() -> dict[str, Any]:
    """The states of Python's and NumPy's own generators of random numbers."""
    version, numbers, gauss = random.getstate()
    return {
        "python": (version, np.array(numbers, np.uint32), gauss),
        "numpy": np.random.get_state(),  # noqa: NPY002 (whoever still draws from it wants it to go on)
    }


def write_generators(saved: dict[str, Any]) -> None:
    """Lets both go on from there.

    Args:
        saved: What `read_generators` returned.
    """
    version, numbers, gauss = saved["python"]
    random.setstate((version, tuple(numbers.tolist()), gauss))
    np.random.set_state(saved["numpy"])  # noqa: NPY002


def same_generators(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether both would go on with the same numbers.

    Args:
        one: What `read_generators` returned.
        other: The same at another time.
    """
    pairs = zip(keras.tree.flatten(one), keras.tree.flatten(other), strict=True)
    return all(np.array_equal(mine, theirs) for mine, theirs in pairs)


def _parts(variable: Any) -> set[int]:
    """By what a variable is known, be it Keras' or TensorFlow's, on one device or on several."""
    value = variable.value if isinstance(variable, keras.Variable) else variable
    return {id(value), *(id(part) for part in getattr(value, "values", ()))}


def _path(variable: Any) -> str:
    return variable.path if isinstance(variable, keras.Variable) else variable.name.removesuffix(":0")


def _value(variable: Any) -> np.ndarray:
    # A copy: what NumPy shows of a variable may be its own memory, which the next step writes over.
    value = variable.value if isinstance(variable, keras.Variable) else variable
    return np.array(value.numpy())


def _dtype_name(dtype: Any) -> str:
    return dtype if isinstance(dtype, str) else dtype.name


def _description(path: str, shape: Any, dtype: str) -> str:
    return f"{path} {tuple(shape)} {dtype}"


def _without_numbers(description: str) -> str:
    """Without the numbers by which Keras tells names apart, which count on from one model of a process to the next."""
    path, _, rest = description.partition(" ")
    return f"{re.sub(r'_[0-9]+', '', path)} {rest}"
