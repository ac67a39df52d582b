"""What callbacks remember from one epoch to the next: taken along where a training is taken up again."""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import keras

from kerasdl.training.backup_files import check_content
from kerasdl.training.keras_internals import PRIVATE_COUNTS

# Keras asks no callback for its state, so these are known by name; all others say it in get_state and set_state.
_REMEMBER: dict[type, tuple[str, ...]] = {
    keras.callbacks.EarlyStopping: ("wait", "stopped_epoch", "best", "best_weights", "best_epoch"),
    keras.callbacks.ReduceLROnPlateau: ("wait", "cooldown_counter", "best"),
    keras.callbacks.ModelCheckpoint: ("best",),
    keras.callbacks.TensorBoard: (),
    keras.callbacks.SwapEMAWeights: (),
    # These remember nothing, or nothing that the next epoch asks for.
    keras.callbacks.CSVLogger: (),
    keras.callbacks.History: (),
    keras.callbacks.LearningRateScheduler: (),
    keras.callbacks.ProgbarLogger: (),
    keras.callbacks.RemoteMonitor: (),
    keras.callbacks.TerminateOnNaN: (),
}
_EVERY_CALLBACK_HAS = frozenset(vars(keras.callbacks.Callback()))


def get_states(callbacks: Iterable[keras.callbacks.Callback]) -> list[dict[str, Any]]:
    """The state of each callback, with the name of its class.

    Args:
        callbacks: The callbacks.

    Returns:
        One `{"class": name, "state": {...}}` for each.
    """
    return [{"class": type(callback).__name__, "state": _state(callback)} for callback in callbacks]


def set_states(callbacks: Sequence[keras.callbacks.Callback], states: list[dict[str, Any]]) -> None:
    """Gives each callback its state back: the first of a class that of the first of this class, and so on.

    Args:
        callbacks: The callbacks; one that was not there then begins anew.
        states: What `get_states` returned.
    """
    left = list(states)
    for callback in callbacks:
        for index, saved in enumerate(left):
            if saved["class"] == type(callback).__name__:
                _set_state(callback, left.pop(index)["state"])
                break


def check_states(states: list[dict[str, Any]]) -> None:
    """Refuses at the beginning what could not be written at the first backup.

    Args:
        states: What `get_states` returned.
    """
    for saved in states:
        check_content(saved["state"]["own"], f"get_state() of {saved['class']}")


def check_callbacks(callbacks: Iterable[keras.callbacks.Callback]) -> None:
    """Names, in one warning, the callbacks that may remember something which nobody can ask for.

    Args:
        callbacks: The callbacks.

    Raises:
        ValueError: Where one of them takes a training up in its own way.
    """
    callbacks = list(callbacks)
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.BackupAndRestore) or getattr(callback, "takes_trainings_up", False):
            raise ValueError(
                "With `backup_dir` a training is taken up once, and not twice: leave out the callback. "
                f"Received: {type(callback).__name__} among the callbacks."
            )
    names = sorted({type(callback).__name__ for callback in callbacks if not _is_known(callback)})
    if names:
        warnings.warn(
            f"What {', '.join(names)} remembers is not in the backup, and begins anew where the training is taken up "
            "again. A callback that has get_state() -> dict and set_state(dict) is asked for it.",
            stacklevel=4,
        )


def _names(callback: keras.callbacks.Callback) -> list[str]:
    """The attributes that Keras' own callbacks, and what is derived from them, must be given back."""
    return [
        name
        for table in (_REMEMBER, PRIVATE_COUNTS)
        for cls, names in table.items()
        if isinstance(callback, cls)
        for name in names
    ]


def _has_own(callback: keras.callbacks.Callback) -> bool:
    return callable(getattr(callback, "get_state", None)) and callable(getattr(callback, "set_state", None))


def _is_known(callback: keras.callbacks.Callback) -> bool:
    if _has_own(callback) or type(callback) in _REMEMBER:
        return True
    return not set(vars(callback)) - _EVERY_CALLBACK_HAS - _attributes_of_known(callback)


def _attributes_of_known(callback: keras.callbacks.Callback) -> set[str]:
    """The attributes that the classes of the table, from which this one is derived, ask for or set."""
    functions = [
        function
        for known in _REMEMBER
        if isinstance(callback, known)
        for cls in known.__mro__
        for function in vars(cls).values()
    ]
    return {name for function in functions if hasattr(function, "__code__") for name in function.__code__.co_names}


def _state(callback: keras.callbacks.Callback) -> dict[str, Any]:
    state = {name: getattr(callback, name) for name in _names(callback) if hasattr(callback, name)}
    return {"known": state, "own": callback.get_state() if _has_own(callback) else None}


def _set_state(callback: keras.callbacks.Callback, state: dict[str, Any]) -> None:
    for name, value in state["known"].items():
        setattr(callback, name, value)
    if state["own"] is not None and _has_own(callback):
        callback.set_state(state["own"])
