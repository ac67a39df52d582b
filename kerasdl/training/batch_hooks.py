"""Which callbacks must be called after every single batch, and which can wait for many."""

from collections.abc import Callable, Iterable

import keras

from kerasdl.training.keras_internals import profiles_batches

TRAIN_HOOKS = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
TEST_HOOKS = ("on_test_batch_begin", "on_test_batch_end")

# Keras' callbacks that have hooks for batches but need each batch only with certain settings.
_NEEDS_BATCHES: dict[type, Callable[[keras.callbacks.Callback], bool]] = {
    keras.callbacks.Callback: lambda callback: False,
    keras.callbacks.ProgbarLogger: lambda callback: False,
    keras.callbacks.ModelCheckpoint: lambda callback: callback.save_freq != "epoch",
    keras.callbacks.BackupAndRestore: lambda callback: callback.save_freq != "epoch",
    keras.callbacks.TensorBoard: lambda callback: callback.update_freq != "epoch" or profiles_batches(callback),
}


def any_needs_batches(callbacks: Iterable[keras.callbacks.Callback], hooks: tuple[str, ...]) -> bool:
    """Whether one of the callbacks does something of its own in one of the hooks."""
    return any(_needs_batches(callback, hook) for callback in callbacks for hook in hooks)


def _needs_batches(callback: keras.callbacks.Callback, hook: str) -> bool:
    if hook in vars(callback):  # LambdaCallback sets its hooks on the instance.
        return True
    author = next((cls for cls in type(callback).__mro__ if hook in vars(cls)), keras.callbacks.Callback)
    return _NEEDS_BATCHES.get(author, lambda _: True)(callback)
