"""What only a private name of Keras tells: kept in one place, with the reason."""

import keras


def first_epoch(model: keras.Model) -> int:
    """The epoch to begin with: `BackupAndRestore` leaves it on the model, where `model.fit` looks for it."""
    return getattr(model, "_initial_epoch", None) or 0


def profiles_batches(callback: keras.callbacks.TensorBoard) -> bool:
    """Whether `profile_batch` was set: the callback keeps it only as a private range of batches, (0, 0) for none."""
    return bool(getattr(callback, "_start_batch", 0) or getattr(callback, "_stop_batch", 0))
